"""The programs beside ranks, each in its own process: the agent that stands in for ssh, the workers of joblib, and doors."""

from __future__ import annotations

import contextlib
import os
import queue
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairway.errors import TaskFailed
from fairway.train.beside.doors import open_door, wait_at
from fairway.train.beside.jobs import gang_backend
from fairway.train.beside.wire import LARGE_BYTES, Sent, pickle_task, unpickle_task

KEY = "a secret of the gang's"
DEADLINE_S = 20.0


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        return sock.getsockname()[1]


def await_true(condition: Callable[[], object], what: str) -> None:
    until = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < until, what
        time.sleep(0.005)


@contextlib.contextmanager
def program(*words: str, **variables: str) -> Generator[subprocess.Popen[str]]:
    """A module of the room, until the block ends."""
    argv = [sys.executable, "-m", f"fairway.train.beside.{words[0]}", *words[1:]]
    with subprocess.Popen(argv, env={**os.environ, "FAIRWAY_GANG_KEY": KEY, **variables}, stderr=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


# The agent


def rsh(port: int, *words: str, key: str = KEY, host: str = "elsewhere") -> subprocess.Popen[str]:
    argv = [sys.executable, "-m", "fairway.train.beside.mpi", "rsh", host, *words]
    told = {**os.environ, "FAIRWAY_GANG_KEY": key, "FAIRWAY_MPI_AGENTS": f"elsewhere=127.0.0.1:{port}"}
    return subprocess.Popen(argv, env=told, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.fixture(scope="module")
def agent() -> Generator[int]:
    port = free_port()
    with program("mpi", "serve", "127.0.0.1", str(port), WHERE="there"):
        yield port


def test_an_agent_runs_a_command_line_as_ssh_would(agent: int) -> None:
    done = rsh(agent, "echo", "$WHERE;", "echo oops >&2;", "exit 7")
    assert (*done.communicate(timeout=DEADLINE_S), done.returncode) == ("there\n", "oops\n", 7)


def test_an_agent_serves_several_at_once(agent: int, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")  # each waits for the other
    first, second = rsh(agent, f"echo met > {tmp_path}/fifo"), rsh(agent, f"cat {tmp_path}/fifo")
    assert second.communicate(timeout=DEADLINE_S)[0] == "met\n"
    assert first.wait(DEADLINE_S) == 0
    first.communicate()


def test_what_a_signal_ends_says_so_by_its_status(agent: int) -> None:
    done = rsh(agent, "kill -TERM $$")
    done.communicate(timeout=DEADLINE_S)
    assert done.returncode == 128 + signal.SIGTERM


def test_a_command_ends_with_its_caller(agent: int, tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    caller = rsh(agent, f"echo $$ > {pid}; sleep 600 & wait")
    await_true(lambda: pid.exists() and pid.read_text().strip(), "the command did not start")
    caller.kill()
    caller.communicate()
    number = int(pid.read_text())
    await_true(lambda: not Path(f"/proc/{number}").exists(), "the command outlived its caller")


def test_an_agent_does_nothing_for_who_does_not_know_the_key(tmp_path: Path) -> None:
    port = free_port()
    with program("mpi", "serve", "127.0.0.1", str(port)) as served:
        caller = rsh(port, f"touch {tmp_path}/done", key="a guess")
        assert "has no agent of this gang" in caller.communicate(timeout=DEADLINE_S)[1]
        assert caller.returncode == 255
        assert served.stderr is not None
        assert "does not know the gang's key" in served.stderr.readline()
        after = rsh(port, f"ls {tmp_path}")
        assert after.communicate(timeout=DEADLINE_S)[0] == ""
    assert not (tmp_path / "done").exists()


def test_an_agent_that_is_ended_lets_its_commands_take_their_leave(tmp_path: Path) -> None:
    port = free_port()
    os.mkfifo(tmp_path / "fifo")
    with program("mpi", "serve", "127.0.0.1", str(port)) as served:
        caller = rsh(port, f"echo here > {tmp_path}/fifo; cat {tmp_path}/fifo; exit 5")
        assert (tmp_path / "fifo").read_text() == "here\n"
        served.terminate()
        (tmp_path / "fifo").write_text("bye")
        assert (caller.communicate(timeout=DEADLINE_S)[0], caller.returncode) == ("bye", 5)
        assert served.wait(DEADLINE_S) == 0


def test_a_host_without_an_agent_is_named() -> None:
    caller = rsh(1, "true", host="nowhere")
    assert "no agent is known for nowhere: there are elsewhere" in caller.communicate(timeout=DEADLINE_S)[1]
    assert caller.returncode == 255


# joblib's workers


@contextlib.contextmanager
def workers(count: int = 2) -> Generator[list[subprocess.Popen[str]]]:
    ports = [free_port() for _ in range(count)]
    with contextlib.ExitStack() as stack:
        told = [(("jobworker", "127.0.0.1", str(port), "1"), str(rank)) for rank, port in enumerate(ports)]
        started = [stack.enter_context(program(*words, FAIRWAY_RANK=rank)) for words, rank in told]
        stack.enter_context(gang_backend([f"127.0.0.1:{port}" for port in ports], KEY))
        yield started


def test_tasks_run_in_the_workers_and_results_come_in_order(tmp_path: Path) -> None:
    def work(number: int) -> tuple[int, str, int]:
        rank = os.environ["FAIRWAY_RANK"]
        (tmp_path / rank).touch()
        while len(os.listdir(tmp_path)) < 2:  # until the other has come
            time.sleep(0.001)
        return number, rank, os.getpid()

    with workers() as started:
        found: Any = joblib.Parallel()(joblib.delayed(work)(number) for number in range(50))
        assert joblib.effective_n_jobs(-1) == 2
        assert joblib.effective_n_jobs(64) == 2
        assert joblib.Parallel(n_jobs=1)(joblib.delayed(os.getpid)() for _ in range(2)) == [os.getpid()] * 2
    assert [number for number, _, _ in found] == list(range(50))
    assert {pid for _, _, pid in found} == {process.pid for process in started}


def test_what_a_task_raises_is_raised_with_the_workers_own_words() -> None:
    with workers():
        with pytest.raises(ValueError, match="invalid literal") as raised:
            joblib.Parallel()(joblib.delayed(int)(text) for text in ("1", "one", "2"))
        assert any("in the gang's worker" in note for note in raised.value.__notes__)
        assert joblib.Parallel()(joblib.delayed(int)(text) for text in ("1", "2")) == [1, 2], "the workers are there for the next"
        with pytest.raises(TypeError, match="cannot be sent back"):
            joblib.Parallel()(joblib.delayed(lambda: open(os.devnull))() for _ in range(2))
        lock = queue.SimpleQueue[int]()
        with pytest.raises(TypeError, match="pickle"):
            joblib.Parallel()(joblib.delayed(id)(lock) for _ in range(2))


def test_a_worker_that_dies_is_an_error_and_no_wait_for_ever() -> None:
    with workers() as started, pytest.raises(TaskFailed, match=r"joblib worker at .* has gone"):
        joblib.Parallel()(joblib.delayed(os.kill)(started[0].pid, signal.SIGKILL) for _ in range(4))


def test_a_worker_works_for_nobody_without_the_key() -> None:
    port = free_port()
    with program("jobworker", "127.0.0.1", str(port), "1") as served:
        wait_at("127.0.0.1", port, "worker", DEADLINE_S)
        with pytest.raises(TaskFailed, match="no worker of this gang"), gang_backend([f"127.0.0.1:{port}"], "a guess"):
            pytest.fail("it let us in")
        assert served.stderr is not None
        assert "does not know the gang's key" in served.stderr.readline()


@given(st.lists(st.sampled_from(["large", "small", "text", "again"]), max_size=8))
def test_large_arrays_travel_once_and_all_arrives_as_it_was(kinds: list[str]) -> None:
    large = np.arange(LARGE_BYTES, dtype=np.uint8)
    task: list[Any] = []
    for kind in kinds:
        task.append({"large": large.copy(), "small": np.arange(3), "text": "x" * 100, "again": large}[kind])
    sent = Sent()
    data, numbers = pickle_task(task, sent)
    again, same = pickle_task(task, sent)
    assert (same, len(again)) == (numbers, len(data))
    assert len(numbers) == kinds.count("large") + ("again" in kinds)
    assert len(data) < LARGE_BYTES
    arrived = unpickle_task(data, dict(enumerate(sent.kept)))
    assert all(np.array_equal(a, b) for a, b in zip(arrived, task, strict=True))


# Doors


def test_a_door_is_waited_for() -> None:
    port = free_port()
    with pytest.raises(TaskFailed, match=r"the tracker at 127\.0\.0\.1 did not come in 0 s"):
        wait_at("127.0.0.1", port, "tracker", 0.05)
    with open_door("127.0.0.1", port):
        for _ in range(20):
            wait_at("127.0.0.1", port, "tracker", 0.05)
