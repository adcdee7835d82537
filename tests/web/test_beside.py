"""A local server beside commands of the same home: what they do is seen at once, and what they wish is heard."""

from __future__ import annotations

import http.client
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from fairway.engine.localserver import LocalServer, ask, ensure_server, exchange, stop_server
from fairway.engine.project import Project, load_project
from fairway.spec.ports import run_now
from fairway.store import open_journal
from fairway.store.serverapi import parse_events
from tests.web.recorded import Journals
from tests.web.test_server import gate, started

RUN = "20261128-081503-x7kq3"
LONGEST_S = 60.0
FLOW = """
import fairway as fw

@fw.step
def wait(path: str) -> int:
    print("ready", flush=True)
    with open(path) as file:
        print("went on", file.read().strip(), flush=True)
    return 1

@fw.pipeline
def flow(path: str):
    return wait(path)
"""


@pytest.fixture
def project(tmp_path: Path, journals: Journals) -> Iterator[Project]:
    (tmp_path / "flow.py").write_text(FLOW)
    os.mkfifo(tmp_path / "gate")
    place = journals(tmp_path / ".fairway")
    (tmp_path / "fairway.toml").write_text(f'journal = "{place}"' if place else "")
    made = load_project(str(tmp_path))
    yield made
    stop_server(made.home)


class Followed:
    """Server-sent events of one path, as they come; for LONGEST_S at most, whatever keeps the connection alive."""

    def __init__(self, server: LocalServer, path: str) -> None:
        self._link = http.client.HTTPConnection(server.url.rpartition("/")[2], timeout=60)
        self._link.request("GET", path, headers={"Fairway-Token": server.token, "Accept": "text/event-stream"})
        self._timer = threading.Timer(LONGEST_S, self._link.sock.shutdown, [socket.SHUT_RDWR])
        self._timer.daemon = True
        self._timer.start()
        self._events = parse_events(self._link.getresponse())

    def until(self, wanted: Any) -> list[Any]:
        found: list[Any] = []
        for _, _, data in self._events:
            found.append(data)
            if wanted(data):
                return found
        raise AssertionError(found)

    def close(self) -> None:
        self._timer.cancel()
        self._link.close()


def run_flow(project: Project) -> subprocess.Popen[bytes]:
    words = [sys.executable, "-m", "fairway.cli", "run", "flow.py", "--path", f"{project.root}/gate"]
    return subprocess.Popen(words, cwd=project.root, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def test_a_commands_run_is_followed_from_its_start_to_its_end(project: Project) -> None:
    server = ensure_server(project)
    runs = Followed(server, "/api/v1/events")
    command = run_flow(project)
    row = runs.until(lambda row: row["counts"].get("running"))[-1]
    run = row["run"]
    assert ask(server, "GET", f"/api/v1/runs/{run}")["driven"] is True
    (task,) = ask(server, "GET", f"/api/v1/runs/{run}/tasks")["items"]
    attempt = ask(server, "GET", f"/api/v1/runs/{run}/tasks/{task['task']}")["attempts"][0]["id"]
    log = Followed(server, f"/api/v1/runs/{run}/attempts/{attempt}/log")
    log.until(lambda line: line.get("text") == "ready")
    Path(project.root, "gate").write_text("now\n")
    log.until(lambda line: line.get("text") == "went on now")
    assert runs.until(lambda row: row["status"] != "running")[-1]["status"] == "succeeded"
    assert command.wait(60) == 0
    log.close()
    runs.close()


def test_pages_hear_of_a_commands_run_and_nobody_wakes_while_nothing_happens(project: Project) -> None:
    server = ensure_server(project)
    page, first = Followed(server, "/live?topic=runs"), Followed(server, "/api/v1/events")
    page.until(lambda opened: "runs" in opened)
    command = run_flow(project)
    page.until(lambda news: "runs" in news)
    run = first.until(lambda row: row["counts"].get("running"))[-1]["run"]
    first.close()
    one = Followed(server, f"/live?topic=run:{run}&topic=runs")
    head = one.until(lambda opened: opened[f"run:{run}"])[-1][f"run:{run}"]
    wait_until_still(server.pid)
    Path(project.root, "gate").write_text("now\n")
    one.until(lambda news: news.get(f"run:{run}", 0) > head)
    page.until(lambda news: "runs" in news)
    assert command.wait(60) == 0
    while ask(server, "GET", f"/api/v1/runs/{run}/summary")["status"] != "succeeded":
        one.until(lambda news: True)
    one.close()
    page.close()


def wait_until_still(pid: int) -> None:
    """Until no thread of the process has run for half a second. Fails if that never comes."""
    for _ in range(120):
        before = _turns(pid)
        time.sleep(0.5)
        if _turns(pid) == before:
            return
    raise AssertionError("the server never rests")


def _turns(pid: int) -> list[str]:
    """How often each thread of a process has been given the processor."""
    found: list[str] = []
    for thread in sorted(os.listdir(f"/proc/{pid}/task")):
        with suppress(FileNotFoundError, ProcessLookupError):  # it has ended just now
            lines = Path(f"/proc/{pid}/task/{thread}/status").read_text().splitlines()
            found += [thread, *(line for line in lines if "ctxt_switches" in line)]
    return found


def test_a_command_that_was_killed_is_news_and_its_run_can_be_gone_on_with(project: Project) -> None:
    server = ensure_server(project)
    runs = Followed(server, "/api/v1/events")
    command = run_flow(project)
    run = runs.until(lambda row: row["counts"].get("running"))[-1]["run"]
    page = Followed(server, f"/live?topic=run:{run}")
    command.kill()
    command.wait()
    page.until(lambda news: True)
    while ask(server, "GET", f"/api/v1/runs/{run}")["driven"]:
        page.until(lambda news: True)
    assert b'data-state="interrupted"' in exchange(server, "GET", "/runs")[1], "the list of runs says so"
    ask(server, "POST", f"/api/v1/runs/{run}/resume", {})
    assert b'data-state="interrupted"' not in exchange(server, "GET", "/runs")[1]
    assert ask(server, "GET", f"/api/v1/runs/{run}")["driven"] is True
    Path(project.root, "gate").write_text("again\n")
    assert runs.until(lambda row: row["status"] != "running")[-1]["status"] == "succeeded"
    page.close()
    runs.close()


def test_a_wish_that_a_command_writes_into_the_journal_is_heard_by_the_server(project: Project, tmp_path: Path) -> None:
    server = ensure_server(project)
    (tmp_path / "more").mkdir()
    path, step = gate(tmp_path / "more")
    ask(server, "POST", "/api/v1/runs", started(RUN, step))
    path.with_name("gate.begun").read_text()
    follow = Followed(server, f"/api/v1/runs/{RUN}/events?after=0")
    theirs = open_journal(project.journal)
    run_now(theirs.send(RUN, "cancel", {"at": 1.0, "by": "ann", "reason": "enough"}))
    ended = follow.until(lambda event: event["type"] == "RunEnded")[-1]
    assert ended["event"]["status"] == "cancelled"
    follow.close()
