"""The server as a process: starts, ends, dies at any moment, and is there again."""

from __future__ import annotations

import hashlib
import http.client
import json
import os
import selectors
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from fairway.errors import ConfigError, StoreUnavailable
from fairway.spec.event import RunStarted
from fairway.spec.graph import Expr, Graph, Node, Port, StepDef
from fairway.spec.ports import run_now
from fairway.spec.record import to_plain
from fairway.spec.target import TargetSettings
from fairway.store.sqlite import SqliteJournal
from fairway.web.options import python_of, read_options
from tests.waiting import await_true
from tests.web.process import ServerProcess

RUN = "20261124-081503-x7kq3"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ServerProcess]:
    made = ServerProcess(tmp_path / "server")
    made.start()
    yield made
    made.kill()


def shell(name: str, script: str, **inputs: Expr) -> tuple[StepDef, Node]:
    """A command step: it needs no code of anybody's."""
    ports = tuple(Port(port) for port in inputs)
    return StepDef(name, kind="command", argv=("sh", "-c", script), inputs=ports, outputs=()), Node(name, name, dict(inputs))


def started(run: str, *made: tuple[StepDef, Node]) -> dict[str, Any]:
    graph = Graph("flow", steps={step.name: step for step, _ in made}, nodes=tuple(node for _, node in made))
    return {"started": to_plain(RunStarted(run, graph, {}, "", 1.0))}


def gate(folder: Path, name: str = "gate") -> tuple[Path, tuple[StepDef, Node]]:
    """A step that says that it has begun, and ends when the gate (a FIFO) is opened."""
    path = folder / name
    os.mkfifo(path)
    begun = folder / f"{name}.begun"
    os.mkfifo(begun)
    return path, shell(name, f"echo $$ > {begun}; read line < {path}")


def open_gate(path: Path) -> None:
    path.write_text("go\n")


def await_begun(path: Path) -> int:
    """The process id of the step behind the gate, as soon as it runs."""
    with open(os.open(path.with_name(f"{path.name}.begun"), os.O_RDONLY | os.O_NONBLOCK), encoding="ascii") as file:
        with selectors.DefaultSelector() as selector:
            selector.register(file, selectors.EVENT_READ)
            assert selector.select(60), "the step does not begin"
        os.set_blocking(file.fileno(), True)
        return int(file.readline())


def test_a_server_listens_says_where_and_ends_in_order(server: ServerProcess) -> None:
    assert server.api.get("/health")["status"] == "ok"
    children = psutil.Process(server.process.pid).children(recursive=True)  # type: ignore[union-attr]
    assert children, "the blob process and the worker"
    assert server.stop() == 0
    assert not psutil.wait_procs(children, timeout=60)[1], "nothing is left behind"


def test_what_a_killed_server_started_ends_with_it(server: ServerProcess) -> None:
    children = psutil.Process(server.process.pid).children(recursive=True)  # type: ignore[union-attr]
    server.kill()
    assert not psutil.wait_procs(children, timeout=60)[1]


def test_a_run_goes_on_after_the_server_was_killed_and_what_succeeded_is_not_run_twice(server: ServerProcess, tmp_path: Path) -> None:
    count = tmp_path / "count"
    path, step = gate(tmp_path)
    first = shell("first", f"echo x >> {count}; echo 1")
    after = (step[0], Node("gate", "gate", after=("first",)))
    server.api.send("POST", "/runs", started(RUN, first, after))
    pid = await_begun(path)
    server.kill()
    await_true(lambda: not psutil.pid_exists(pid), "what it started has not ended with it")
    server.start()
    assert RUN in server.api.get("/health")["problems"] or server.api.get(f"/runs/{RUN}")["driven"]
    await_begun(path)
    open_gate(path)
    events = server.follow(RUN, "RunEnded")
    assert events[-1]["event"]["status"] == "succeeded"
    assert count.read_text() == "x\n"
    assert [event["type"] for event in events].count("RunStarted") == 1


@pytest.mark.parametrize("moment", [2, 5])
def test_wherever_a_server_is_killed_the_run_ends_as_an_undisturbed_one(server: ServerProcess, tmp_path: Path, moment: int) -> None:
    made = [shell(f"s{n}", f"echo {n} >> {tmp_path}/ran; echo {n}") for n in range(4)]
    chain = [(step, Node(node.id, node.step, after=(f"s{n - 1}",) if n else ())) for n, (step, node) in enumerate(made)]
    server.api.send("POST", "/runs", started(RUN, *chain))
    server.api.call("GET", f"/runs/{RUN}/events", query={"after": moment, "wait": 10}, timeout_s=70)  # as soon as so much is recorded
    server.kill()
    server.start()
    events = server.follow(RUN, "RunEnded")
    assert events[-1]["event"]["status"] == "succeeded"
    ended = [event["event"]["attempt"] for event in events if event["type"] == "AttemptEnded"]
    assert len(ended) == len(set(ended)) == 4


def test_a_dead_blob_process_is_replaced_on_the_same_port(server: ServerProcess) -> None:
    port = server.api.get("/target")["blobs_port"]
    child = next(
        one
        for one in psutil.Process(server.process.pid).children()
        if "fairway.web.blobs" in one.cmdline()  # type: ignore[union-attr]
    )
    child.send_signal(signal.SIGKILL)
    psutil.wait_procs([child], timeout=60)
    data = b"x" * 100_000
    digest = hashlib.sha256(data).hexdigest()
    key = f"sha256/{digest[:2]}/{digest[2:]}"
    url = server.api.send("POST", "/blobs", {"get": [], "put": [[key, len(data)]]})["put"][key]
    answer = server.api.link.call("PUT", f"http://127.0.0.1:{port}{url}", body=data, fine=(201,))
    assert answer.status == 201
    assert "the process for blobs ended" in server.said


def test_strangers_are_told_nothing(server: ServerProcess) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
    for path, status in (
        ("/api/v1/runs", 401),
        ("/api/v1/target", 401),
        ("/worker/v1/runtime.zip", 401),
        ("/livez", 200),
        ("/readyz", 200),
    ):
        connection.request("GET", path)
        answer = connection.getresponse()
        answer.read()
        assert (path, answer.status) == (path, status)


def test_a_server_without_a_key_says_what_is_missing(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "fairway.web", "--target", "local", "--home", str(tmp_path), "--secrets", str(tmp_path), "--port", "0"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr.startswith("error: there is no signing-key in")
    assert "Traceback" not in done.stderr


def test_a_servers_journal_is_its_own(tmp_path: Path) -> None:
    first = SqliteJournal(tmp_path / "fairway.db", exclusive=True)
    run_now(first.append("r1", 0, [], "b"))
    second = SqliteJournal(tmp_path / "fairway.db", busy_timeout_s=0.01)
    with pytest.raises(StoreUnavailable):
        run_now(second.head("r1"))
    run_now(first.close())
    assert run_now(second.head("r1")) == 0
    run_now(second.close())


def test_options_come_from_variables_and_flags_beat_them(tmp_path: Path) -> None:
    target = TargetSettings("campus", "kubernetes", image="python:3.12-slim", queue="gpu")
    variables = {"FAIRWAY_HOME": str(tmp_path), "FAIRWAY_TARGET": json.dumps(to_plain(target)), "FAIRWAY_NAMESPACE": "ml"}
    found = read_options([], variables)
    assert (found.target, found.host, found.port, found.blobs_port, found.namespace) == (target, "0.0.0.0", 8080, 8081, "ml")
    assert read_options([], {**variables, "POD_IP": "fd00::1"}).host == "::"
    local = read_options(["--target", "local", "--port=0", "--host", "127.0.0.2"], variables)
    assert (local.local, local.port, local.host) == (True, 0, "127.0.0.2")


@pytest.mark.parametrize(
    ("words", "variables", "message"),
    [
        ([], {}, "needs a home"),
        (["--home", "x", "--colour", "red"], {}, "knows no '--colour'"),
        (["--home", "x", "--port", "99999"], {}, "no port"),
        (["--home", "x", "--target", "campus"], {}, "cannot be started for 'campus' by hand"),
        (["--home", "x"], {"FAIRWAY_TARGET": "{"}, "not a target's settings"),
    ],
)
def test_options_that_cannot_be_are_refused(words: list[str], variables: dict[str, str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        read_options(words, variables)


def test_the_python_of_cache_keys_is_that_of_the_steps_image() -> None:
    own = f"{sys.version_info.major}.{sys.version_info.minor}"
    cluster = {"name": "campus", "kind": "kubernetes"}
    assert python_of(TargetSettings()) == own
    assert python_of(TargetSettings(**cluster, image="python:3.13-slim")) == own, "a server in that image is what runs there"
    assert python_of(TargetSettings(**cluster, image="python:3.13-slim", server_image="r/fairway:1")) == "3.13"
    assert python_of(TargetSettings(**cluster, image="r/team/python:3.12", server_image="r/fairway:1")) == "3.12"
    assert python_of(TargetSettings(**cluster, image="r/own:1", server_image="r/fairway:1", python="3.14")) == "3.14"
