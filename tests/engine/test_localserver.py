"""The local server of a home as its starters see it: one at a time, found by all, ended by its owner alone, whatever was killed when."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psutil
import pytest

from fairway.engine.localserver import LocalServer, ask, ensure_server, find_server, list_driven, stop_server
from fairway.engine.processes import identify_process, is_process, signal_process
from fairway.engine.project import Project, load_project
from fairway.errors import ConflictError, InfraError, StoreUnavailable
from tests.web.test_server import gate, open_gate, started

FLOW = """
import fairway as fw

@fw.step
def wait(path: str) -> int:
    open(path + ".begun", "w").close()
    return len(open(path).read())

@fw.pipeline
def flow(path: str):
    return wait(path)
"""
RUN = "20261128-081503-x7kq3"


class Homes:
    """Projects, whose servers end with the test."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._made: list[Project] = []
        self._pids: set[int] = set()

    def make(self, name: str = "shop", settings: str = "") -> Project:
        root = self._folder / name
        root.mkdir(exist_ok=True)
        (root / "fairway.toml").write_text(settings)
        self._made.append(load_project(str(root)))
        return self._made[-1]

    def ensure(self, project: Project, **more: Any) -> LocalServer:
        found = ensure_server(project, **more)
        self._pids.add(found.pid)
        return found

    def close(self) -> None:
        for project in self._made:
            stop_server(project.home)
        for pid in self._pids:
            await_end(pid)


@pytest.fixture
def homes(tmp_path: Path) -> Iterator[Homes]:
    made = Homes(tmp_path)
    yield made
    made.close()


def await_end(pid: int) -> None:
    """Servers that tests start are children of theirs, or orphans, which are there no more once they have ended."""
    with contextlib.suppress(psutil.NoSuchProcess):
        psutil.Process(pid).wait(60)


def kill(server: LocalServer) -> None:
    os.kill(server.pid, signal.SIGKILL)
    await_end(server.pid)


def status(server: LocalServer, path: str = "/api/v1/runs", token: str | None = None) -> int:
    link = http.client.HTTPConnection(server.url.rpartition("/")[2], timeout=60)
    link.request("GET", path, headers={"Fairway-Token": server.token if token is None else token})
    return link.getresponse().status


def record(project: Project) -> Path:
    return Path(project.home) / "server" / "server.json"


def edit(path: Path, **changes: Any) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def hold(server: LocalServer, folder: Path) -> Path:
    """Have the server drive a run until the gate is opened."""
    path, step = gate(folder)
    ask(server, "POST", "/api/v1/runs", started(RUN, step))
    assert list_driven(server) == [RUN]
    return path


def test_a_server_is_started_once_and_lets_its_owner_in_alone(homes: Homes) -> None:
    project = homes.make()
    assert find_server(project.home) is None
    server = homes.ensure(project)
    assert server.is_new
    assert status(server) == 200
    assert status(server, token="") == 401
    again = homes.ensure(project)
    assert (again.is_new, again.pid, again.url) == (False, server.pid, server.url)
    assert find_server(project.home) == again
    folder = Path(project.home) / "server"
    assert folder.stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o077 for path in folder.iterdir()} == {0}, "nobody else may read a thing in it"
    assert ask(server, "GET", "/api/v1/target")["user"] == ask(server, "GET", "/api/v1/target")["user"] != ""


def test_many_who_start_it_at_once_get_the_same_one(homes: Homes) -> None:
    project = homes.make()
    code = (
        "import sys; from fairway.engine.localserver import ensure_server; from fairway.engine.project import load_project\n"
        "server = ensure_server(load_project(sys.argv[1])); print(server.pid, int(server.is_new))"
    )
    callers = [subprocess.Popen([sys.executable, "-c", code, project.root], stdout=subprocess.PIPE, text=True) for _ in range(3)]
    with ThreadPoolExecutor() as pool:
        ours = [(server.pid, int(server.is_new)) for server in pool.map(lambda _: homes.ensure(project), range(3))]
    theirs = [tuple(map(int, caller.communicate(timeout=60)[0].split())) for caller in callers]
    assert len({pid for pid, _ in [*ours, *theirs]}) == 1
    assert sum(new for _, new in [*ours, *theirs]) == 1


def test_each_home_has_its_own(homes: Homes) -> None:
    one, two = homes.ensure(homes.make("one")), homes.ensure(homes.make("two"))
    assert one.pid != two.pid
    assert status(one, token=two.token) == 401


def test_after_a_kill_the_next_is_at_the_same_place_and_knows_its_owner(homes: Homes) -> None:
    project = homes.make()
    first = homes.ensure(project)
    kill(first)
    assert record(project).exists(), "what a killed one left says that it lives"
    assert find_server(project.home) is None
    second = homes.ensure(project)
    assert (second.is_new, second.url, second.token) == (True, first.url, first.token)
    assert second.pid != first.pid


def test_a_run_of_a_killed_server_is_taken_up_and_a_commands_is_left_alone(homes: Homes, tmp_path: Path) -> None:
    project = homes.make()
    Path(project.root, "flow.py").write_text(FLOW)
    os.mkfifo(tmp_path / "theirs")
    os.mkfifo(tmp_path / "theirs.begun")
    first = homes.ensure(project)
    path = hold(first, tmp_path)
    words = [sys.executable, "-m", "fairway.cli", "run", "flow.py", "--path", str(tmp_path / "theirs")]
    theirs = subprocess.Popen(words, cwd=project.root, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    (tmp_path / "theirs.begun").read_text()
    kill(first)
    theirs.kill()
    theirs.wait()
    second = homes.ensure(project)
    assert list_driven(second) == [RUN], "the other one is for its user to go on with"
    runs = {row["run"]: row for row in ask(second, "GET", "/api/v1/runs")["items"]}
    dead = next(run for run in runs if run != RUN)
    assert ask(second, "GET", f"/api/v1/runs/{dead}")["driven"] is False
    assert runs[dead]["status"] == "running"
    (path.with_name("gate.begun")).read_text()
    open_gate(path)
    after = 0
    while (page := ask(second, "GET", f"/api/v1/runs/{RUN}/events?after={after}&wait=4"))["items"]:
        after = page["head"]
        if page["items"][-1]["type"] == "RunEnded":
            break
    assert page["items"][-1]["event"]["status"] == "succeeded"


def test_a_stranger_with_the_number_of_a_dead_server_is_left_alone(homes: Homes) -> None:
    project = homes.make()
    server = homes.ensure(project)
    kill(server)
    stranger = subprocess.Popen(["sleep", "600"])
    try:
        edit(record(project), pid=stranger.pid)
        assert find_server(project.home) is None
        assert stop_server(project.home) is None
        assert homes.ensure(project).pid != stranger.pid
        assert stranger.poll() is None
        mine = identify_process(stranger.pid)
        assert not is_process(stranger.pid, mine + "0")
        assert not signal_process(stranger.pid, mine + "0", "KILL")
        assert stranger.poll() is None
        assert signal_process(stranger.pid, mine, "TERM")
        assert stranger.wait(60) == -signal.SIGTERM
        assert not signal_process(stranger.pid, mine, "TERM")
        assert identify_process(stranger.pid) == ""
    finally:
        stranger.kill()


def test_stop_ends_it_in_order_and_once(homes: Homes) -> None:
    project = homes.make()
    server = homes.ensure(project, keep=True)
    assert find_server(project.home).kept  # type: ignore[union-attr]
    assert stop_server(project.home).pid == server.pid  # type: ignore[union-attr]
    await_end(server.pid)
    assert not record(project).exists()
    assert find_server(project.home) is None
    assert stop_server(project.home) is None
    assert not homes.ensure(project).kept, "who stops it does not want it to stay"


def test_a_server_that_hears_no_sigterm_is_killed(homes: Homes) -> None:
    project = homes.make()
    server = homes.ensure(project)
    os.kill(server.pid, signal.SIGSTOP)
    assert stop_server(project.home, patience_s=0.2).pid == server.pid  # type: ignore[union-attr]
    await_end(server.pid)


def test_one_of_another_fairway_is_replaced_unless_it_is_at_work(homes: Homes, tmp_path: Path) -> None:
    project = homes.make()
    first = homes.ensure(project, keep=True)
    edit(record(project), version="0.0.9", made_with="0.0.9 python")
    second = homes.ensure(project)
    assert (second.is_new, second.kept) == (True, True)
    assert second.pid != first.pid
    path = hold(second, tmp_path)
    edit(record(project), version="0.0.9", made_with="0.0.9 python")
    with pytest.raises(ConflictError, match=r"of Fairway 0\.0\.9, or with other settings drives " + RUN) as caught:
        homes.ensure(project)
    assert "fairway down --on local" in caught.value.hint
    path.with_name("gate.begun").read_text()
    open_gate(path)


def test_other_settings_are_in_force_with_the_next_look(homes: Homes) -> None:
    first = homes.ensure(homes.make(settings="[targets.local]\ncpu = 1\n"))
    second = homes.ensure(homes.make(settings="[targets.local]\ncpu = 2\n"))
    assert second.pid != first.pid
    assert ask(second, "GET", "/api/v1/target")["settings"]["limits"]["cpu"] == 2.0


def test_a_port_that_is_taken_is_no_matter_unless_it_was_asked_for(homes: Homes) -> None:
    project = homes.make()
    first = homes.ensure(project)
    port = int(first.url.rpartition(":")[2])
    stop_server(project.home)
    with socket.create_server(("127.0.0.1", port)):
        with pytest.raises(InfraError, match=f"cannot listen on 127.0.0.1:{port}"):
            homes.ensure(project, port=port)
        second = homes.ensure(project)
        assert second.url != first.url
    moved = homes.ensure(project, port=port)
    assert (moved.url, moved.is_new) == (first.url, True)


def test_a_home_that_cannot_be_written_is_said_and_what_to_do(homes: Homes) -> None:
    project = homes.make(settings='home = "/proc/fairway"\n')
    with pytest.raises(StoreUnavailable, match="cannot make the folder /proc/fairway") as caught:
        ensure_server(project)
    assert "FAIRWAY_HOME" in caught.value.hint
    assert find_server(project.home) is None


def test_why_a_server_does_not_start_is_said(homes: Homes) -> None:
    project = homes.make()
    Path(project.home).mkdir()
    Path(project.journal).write_bytes(b"this is no database" * 100)
    with pytest.raises(InfraError, match=r"did not start: .*damaged, or not a journal at all") as caught:
        homes.ensure(project)
    assert caught.value.hint.endswith("server/log")


@pytest.mark.parametrize("take_away", [shutil.rmtree, lambda home: home.rename(home.with_name("elsewhere"))])
def test_a_server_whose_home_is_gone_ends(homes: Homes, take_away: Callable[[Path], object]) -> None:
    project = homes.make()
    server = homes.ensure(project)
    assert status(server) == 200
    take_away(Path(project.home))
    await_end(server.pid)


def test_a_server_outlives_the_starter_that_was_killed_while_it_started(homes: Homes) -> None:
    project = homes.make()
    code = (
        "import os, sys; from fairway.engine import localserver; from fairway.engine.project import load_project\n"
        "localserver._read_line = lambda reader: os.kill(os.getpid(), 9)\n"
        "localserver.ensure_server(load_project(sys.argv[1]))"
    )
    killed = subprocess.run([sys.executable, "-c", code, project.root], check=False, timeout=60)
    assert killed.returncode == -signal.SIGKILL
    server = homes.ensure(project)
    assert status(server) == 200
