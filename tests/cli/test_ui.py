"""`fairway ui`, and up, down and doctor of the local server: real processes, a real terminal where one is needed."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import pty
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from fairway.cli.dashboard import parse_plain
from fairway.engine.localserver import ask, ensure_server, find_server, stop_server
from fairway.engine.project import Project, load_project
from tests.web.process import ServerProcess
from tests.web.test_server import gate, open_gate, started

FAIRWAY = [sys.executable, "-m", "fairway.cli"]
RUN = "20261128-081503-x7kq3"


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    root = tmp_path / "shop"
    root.mkdir()
    made = load_project(str(root))
    yield made
    stop_server(made.home)


def fairway(project: Project, *words: str, **variables: str) -> subprocess.CompletedProcess[str]:
    environ = {**os.environ, **variables}
    return subprocess.run([*FAIRWAY, *words], cwd=project.root, env=environ, capture_output=True, text=True, timeout=180, check=False)


def visit(url: str, path: str, **headers: str) -> http.client.HTTPResponse:
    link = http.client.HTTPConnection(url.split("/")[2], timeout=60)
    link.request("GET", path, headers=headers)
    return link.getresponse()


def enter(link: str) -> str:
    """What a browser gets that follows the link: its cookie, "" if it is not let in."""
    url, _, code = link.partition("/login#code=")
    site = http.client.HTTPConnection(url.split("/")[2], timeout=60)
    site.request("POST", "/session", f"code={code}", {"Content-Type": "application/x-www-form-urlencoded", "Origin": url})
    return (site.getresponse().headers["set-cookie"] or "").partition(";")[0]


def test_the_link_opens_the_dashboard_of_a_project_in_which_nothing_was_run_yet(project: Project) -> None:
    done = fairway(project, "ui")
    assert done.returncode == 0, done.stderr
    link = done.stdout.strip()
    assert "\n" not in link, "the link alone is on stdout"
    assert link.startswith("http://127.0.0.1:")
    cookie = enter(link)
    page = visit(link, "/runs", Cookie=cookie)
    assert page.status == 200
    assert "fairway run" in page.read().decode(), "it says what to do first"
    assert enter(link) == "", "it opens once"
    assert visit(link, "/runs").status in (303, 401)
    again = fairway(project, "ui", "--no-open")
    assert again.stdout.partition("/login")[0] == link.partition("/login")[0]
    assert again.stdout.strip() != link
    assert "as before" in again.stderr


def test_it_is_the_project_that_is_meant(project: Project, tmp_path: Path) -> None:
    done = subprocess.run([*FAIRWAY, "-C", project.root, "ui"], cwd=tmp_path, capture_output=True, text=True, timeout=180, check=True)
    found = find_server(project.home)
    assert found is not None
    assert done.stdout.startswith(found.url)


def test_a_port_can_be_asked_for(project: Project) -> None:
    server = ensure_server(project)
    port = server.url.rpartition(":")[2]
    stop_server(project.home)
    assert fairway(project, "ui", "--port", port).stdout.startswith(f"http://127.0.0.1:{port}/")
    assert "port" in fairway(project, "ui", "--port", "x").stderr


@pytest.mark.parametrize(("words", "opened"), [([], True), (["--no-open"], False)])
def test_a_browser_is_opened_only_for_somebody_who_sits_before_it(project: Project, tmp_path: Path, words: list[str], opened: bool) -> None:
    browser, seen = tmp_path / "browser", tmp_path / "seen"
    browser.write_text(f'#!/bin/sh\necho "$1" > {seen}.part\nmv {seen}.part {seen}\n')
    browser.chmod(0o755)
    environ = {**os.environ, "BROWSER": str(browser)}
    environ.pop("SSH_CONNECTION", None)
    ours, theirs = pty.openpty()
    try:
        done = subprocess.run(
            [*FAIRWAY, "ui", *words], cwd=project.root, env=environ, stdout=theirs, stderr=subprocess.PIPE, timeout=180, check=True
        )
        link = os.read(ours, 4096).decode().strip()
    finally:
        os.close(ours)
        os.close(theirs)
    assert done.returncode == 0
    assert seen.exists() == opened
    if opened:
        assert seen.read_text().strip() == link
    assert "login#code=" in fairway(project, "ui", BROWSER=str(browser)).stdout, "into a pipe it only prints"


def test_up_keeps_it_and_down_ends_it(project: Project) -> None:
    up = fairway(project, "up", "--on", "local", "-o", "json")
    told = json.loads(up.stdout)
    assert told["changed"] is True
    assert "stays until `fairway down --on local`" in fairway(project, "up", "--on", "local").stderr
    doctor = fairway(project, "doctor").stdout
    assert f"local server: {told['url']} (process {told['pid']}), drives 0 runs, stays until fairway down" in doctor
    down = fairway(project, "down", "--on", "local")
    assert (down.returncode, f"process {told['pid']}" in down.stderr) == (0, True)
    with contextlib.suppress(psutil.NoSuchProcess):
        psutil.Process(told["pid"]).wait(180)
    assert "there is no local server" in fairway(project, "down", "--on", "local").stderr
    assert "local server: none runs" in fairway(project, "doctor").stdout


def test_down_asks_before_it_takes_the_server_away_from_runs(project: Project, tmp_path: Path) -> None:
    server = ensure_server(project)
    path, step = gate(tmp_path)
    ask(server, "POST", "/api/v1/runs", started(RUN, step))
    path.with_name("gate.begun").read_text()
    refused = fairway(project, "down", "--on", "local")
    assert refused.returncode == 2
    assert f"it drives 1 run: {RUN}" in refused.stderr
    assert "--yes" in refused.stderr
    assert find_server(project.home).pid == server.pid  # type: ignore[union-attr]
    assert fairway(project, "down", "--on", "local", "--yes").returncode == 0
    again = ensure_server(project)
    path.with_name("gate.begun").read_text()
    open_gate(path)
    after = 0
    while page := ask(again, "GET", f"/api/v1/runs/{RUN}/events?after={after}&wait=4")["items"]:
        after = page[-1]["seq"]
        if page[-1]["type"] == "RunEnded":
            break
    assert page[-1]["event"]["status"] == "succeeded", "nothing is lost by it"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["down", "--on", "local", "--volume"], "are kept in"),
        (["up", "--on", "local", "--dry-run"], "there is no YAML"),
        (["ui", "--on", "nowhere"], "there is no target 'nowhere'"),
        (["ui", "--colour"], "No such option"),
    ],
)
def test_what_makes_no_sense_is_refused(project: Project, words: list[str], message: str) -> None:
    done = fairway(project, *words)
    assert done.returncode == 2
    assert message in done.stderr
    assert find_server(project.home) is None


def test_the_dashboard_of_a_server_elsewhere_is_opened_by_the_callers_token(tmp_path: Path) -> None:
    server = ServerProcess(tmp_path / "server")
    server.start()
    try:
        root = tmp_path / "shop"
        root.mkdir()
        (root / "fairway.toml").write_text(server.settings())
        project = load_project(str(root))
        done = fairway(project, "ui", "--on", "campus", FAIRWAY_TOKEN=server.token)
        assert done.returncode == 0, done.stderr
        assert done.stdout.startswith(f"{server.url}/login#code=")
        assert visit(server.url, "/runs", Cookie=enter(done.stdout.strip())).status == 200
        refused = fairway(project, "ui", "--on", "campus", "--port", "8000", FAIRWAY_TOKEN=server.token)
        assert (refused.returncode, "--port is for the server on this machine" in refused.stderr) == (2, True)
    finally:
        server.kill()


def test_secrets_of_the_project_reach_what_the_server_runs(project: Project) -> None:
    Path(project.root, ".env").write_text("PASSWORD=sesame\n")
    server = ensure_server(project)
    assert ask(server, "GET", "/api/v1/secrets")["names"] == ["PASSWORD"]


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        ([], {"on": "", "browser": True, "port": 0}),
        (["--no-open"], {"on": "", "browser": False, "port": 0}),
        (["--on", "campus"], {"on": "campus", "browser": True, "port": 0}),
        (["--on=campus", "--no-open"], {"on": "campus", "browser": False, "port": 0}),
        (["--on"], None),
        (["--on="], None),
        (["--on", "--no-open"], None),
        (["--port", "8000"], None),
        (["--help"], None),
        (["runs"], None),
    ],
)
def test_plain_arguments_are_read_without_click(words: list[str], wanted: object) -> None:
    assert parse_plain(words) == wanted
