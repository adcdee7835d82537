"""What a real server process is told of names, sessions and a provider holds there, also after it was killed."""

from __future__ import annotations

import http.client
import json
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
    link = http.client.HTTPConnection("127.0.0.1", server.port, timeout=20)
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
    kept.write_text(render_kept(KeptToken(digest_token(server.token), "view", ("churn",))))
    told = json.loads(ask(server, "GET", "/session", Cookie=cookie).text)
    assert told == {"user": "ann", "role": "view"}, "what the token may do now"
    kept.write_text(digest_token(make_user_token("ann")))
    assert ask(server, "GET", "/runs", Cookie=cookie).headers["location"] == "/login"


def test_nobody_is_believed_who_says_where_somebody_else_comes_from(server: ServerProcess) -> None:
    """Something stands before this server; what a visitor writes into the header itself comes before what that adds."""
    ask(server, "POST", "/session", {"token": "u1.eve.0123456789abcdef"}, X_Forwarded_For="1.2.3.4, 10.0.0.7", X_Forwarded_Proto="https")
    (line,) = (server.home / "audit.jsonl").read_text().splitlines()
    assert json.loads(line)["source"] == "10.0.0.7"
