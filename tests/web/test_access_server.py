"""What a real server process is told of names, sessions and a provider holds there, also after it was killed."""

from __future__ import annotations

import http.client
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from fairway.spec.record import to_plain
from fairway.spec.target import OidcSettings, TargetSettings
from fairway.spec.tokens import KeptToken, digest_token, make_user_token, render_kept
from tests.web.process import ServerProcess


class Answer:
    """Status, headers and body of one answer."""

    def __init__(self, answer: http.client.HTTPResponse) -> None:
        self.status, self.headers, self.text = answer.status, answer.headers, answer.read().decode()


def ask(server: ServerProcess, method: str, path: str, form: dict[str, str] | None = None, **headers: str) -> Answer:
    link = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
    body = urlencode(form) if form is not None else None
    about = {"Accept": "text/html", **({"Content-Type": "application/x-www-form-urlencoded"} if form else {})}
    link.request(method, path, body, about | {name.replace("_", "-"): value for name, value in headers.items()})
    try:
        return Answer(link.getresponse())
    finally:
        link.close()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ServerProcess]:
    made = ServerProcess(tmp_path)
    oidc = OidcSettings("https://login.example.org", "fairway", roles={"*": "view"}, name="Campus login")
    target = TargetSettings("campus", "local", address="https://fairway.example.org", oidc=oidc)
    made.environ_of_server = {"FAIRWAY_TARGET": json.dumps(to_plain(target)), "FAIRWAY_OIDC_SECRET": "hush", "FAIRWAY_NAMESPACE": "ml"}
    made.start()
    yield made
    made.kill()


def test_a_server_knows_its_names_and_its_provider(server: ServerProcess) -> None:
    page = ask(server, "GET", "/login")
    assert page.status == 200 and "Go on with Campus login" in page.text and "hush" not in page.text
    for host, status in (("fairway.example.org", 200), ("fairway.ml.svc", 200), ("localhost:1", 200), ("evil.example", 421)):
        assert ask(server, "GET", "/login", Host=host).status == status, host
    settings: dict[str, Any] = json.loads(ask(server, "GET", "/api/v1/target", Accept="application/json", Fairway_Token=server.token).text)
    assert "oidc" not in settings["settings"] and "hush" not in str(settings)


def test_a_session_outlives_the_server_and_not_its_token(server: ServerProcess) -> None:
    begun = ask(server, "POST", "/session", {"token": server.token})
    assert begun.status == 303 and "; Secure" in (begun.headers["set-cookie"] or "")
    cookie = begun.headers["set-cookie"].partition(";")[0]
    assert ask(server, "GET", "/runs", Cookie=cookie).status == 200
    server.kill()
    server.start()
    assert ask(server, "GET", "/runs", Cookie=cookie).status == 200
    kept = server.folder / "secrets" / "token.ann"
    kept.unlink()
    kept.write_text(render_kept(KeptToken(digest_token(server.token), "view", ("churn",))))
    told = json.loads(ask(server, "GET", "/session", Cookie=cookie).text)
    assert told == {"user": "ann", "role": "view"}, "what the token may do now"
    kept.unlink()
    kept.write_text(digest_token(make_user_token("ann")))
    assert ask(server, "GET", "/runs", Cookie=cookie).headers["location"] == "/login"


def test_nobody_is_believed_who_says_where_somebody_else_comes_from(server: ServerProcess) -> None:
    """Something stands before this server; what a visitor writes into the header itself comes before what that adds."""
    ask(server, "POST", "/session", {"token": "u1.eve.0123456789abcdef"}, X_Forwarded_For="1.2.3.4, 10.0.0.7", X_Forwarded_Proto="https")
    (line,) = (server.home / "audit.jsonl").read_text().splitlines()
    assert json.loads(line)["source"] == "10.0.0.7"


FLOW = """
import pathlib
import fairway as fw

@fw.step
def make(n: int) -> fw.Directory:
    folder = pathlib.Path("out")
    folder.mkdir()
    (folder / "a.txt").write_text("x" * 5000 * n)
    return fw.Directory(folder)

@fw.pipeline
def flow(n: int = 2):
    return {"folder": make(n)}
"""


def test_people_of_a_project_work_in_it_with_the_command_line(tmp_path: Path) -> None:
    """Whoever may run runs, whoever may view looks and fetches, whoever is of another project finds nothing."""
    server = ServerProcess(tmp_path / "server")
    people = {"rob": ("run", ("shop",)), "vic": ("view", ("shop",)), "eve": ("admin", ("other",))}
    tokens = {name: make_user_token(name) for name in people}
    for name, (role, projects) in people.items():
        kept = KeptToken(digest_token(tokens[name]), role, projects)
        (server.folder / "secrets" / f"token.{name}").write_text(render_kept(kept))
    server.start()
    project = tmp_path / "shop"
    project.mkdir()
    (project / "flow.py").write_text(FLOW)
    (project / "fairway.toml").write_text('name = "shop"\ntarget = "campus"\n' + server.settings())

    def say(name: str, *words: str) -> tuple[int, str]:
        command = [sys.executable, "-m", "fairway", *words]
        environ = {**os.environ, "FAIRWAY_TOKEN": tokens[name]}
        done = subprocess.run(command, cwd=project, env=environ, capture_output=True, text=True, timeout=60, check=False)
        return done.returncode, done.stdout + done.stderr

    try:
        status, said = say("vic", "run", "flow.py")
        assert status == 2 and "this needs the role 'run', and yours is 'view'" in said
        status, said = say("rob", "run", "flow.py")
        assert status == 0, said
        status, said = say("vic", "artifacts", "get", "last", "folder", "--to", "got")
        assert status == 0 and (project / "got" / "a.txt").stat().st_size == 10_000, said
        assert "no such runs" in say("eve", "runs")[1]
        assert say("eve", "show", "last")[0] == 2
        status, said = say("rob", "gc")
        assert status == 2 and "fairway token add rob --role admin --replace" in said
    finally:
        server.kill()
