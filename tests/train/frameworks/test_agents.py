"""The programs beside ranks, each in its own process: the agent that stands in for ssh, the workers of joblib, and doors."""

from __future__ import annotations

import contextlib
import os
import queue
import select
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Generator
from multiprocessing.connection import Listener
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairway.errors import TaskFailed
from fairway.step.freeports import free_ports
from fairway.train.beside.calls import reach
from fairway.train.beside.doors import open_door, wait_at
from fairway.train.beside.jobs import gang_backend
from fairway.train.beside.wire import LARGE_BYTES, Sent, pickle_task, unpickle_task

KEY = "a secret of the gang's"
DEADLINE_S = 60


def free_port() -> int:
    return free_ports(1)[0]


def await_end(pid: int, what: str) -> None:
    with contextlib.suppress(ProcessLookupError):
        descriptor = os.pidfd_open(pid)
        try:
            assert select.select([descriptor], [], [], DEADLINE_S)[0], what
        finally:
            os.close(descriptor)


@contextlib.contextmanager
def program(*words: str, cwd: Path | None = None, **variables: str) -> Generator[subprocess.Popen[str]]:
    """A module of the room, until the block ends."""
    argv = [sys.executable, "-m", f"fairway.train.beside.{words[0]}", *words[1:]]
    told = {**os.environ, "FAIRWAY_GANG_KEY": KEY, **variables}
    with subprocess.Popen(argv, env=told, cwd=cwd, stderr=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


# The agent


def rsh(port: int, *words: str, key: str = KEY, host: str = "elsewhere", cwd: Path | None = None) -> subprocess.Popen[str]:
    argv = [sys.executable, "-m", "fairway.train.beside.mpi", "rsh", host, *words]
    told = {**os.environ, "FAIRWAY_GANG_KEY": key, "FAIRWAY_MPI_AGENTS": f"elsewhere=127.0.0.1:{port}"}
    return subprocess.Popen(argv, env=told, cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.fixture(scope="module")
def agent() -> Generator[int]:
    port = free_port()
    with program("mpi", "serve", "127.0.0.1", str(port), WHERE="there"):
        yield port


def test_an_agent_of_a_pod_with_an_address_of_ipv6_is_reached() -> None:
    port = free_port()
    with program("mpi", "serve", "::1", str(port)):
        told = {**os.environ, "FAIRWAY_GANG_KEY": KEY, "FAIRWAY_MPI_AGENTS": f"fd00::1=[::1]:{port}"}
        argv = [sys.executable, "-m", "fairway.train.beside.mpi", "rsh", "fd00::1", "echo", "here"]
        done = subprocess.run(argv, check=False, env=told, capture_output=True, text=True, timeout=DEADLINE_S)
        assert (done.stdout, done.stderr, done.returncode) == ("here\n", "", 0)


def test_an_agent_runs_a_command_line_as_ssh_would(agent: int) -> None:
    done = rsh(agent, "echo", "$WHERE;", "echo oops >&2;", "exit 7")
    assert (*done.communicate(timeout=DEADLINE_S), done.returncode) == ("there\n", "oops\n", 7)


def test_programs_find_the_files_of_mpirun_s_folder_in_that_of_the_agent(tmp_path: Path) -> None:
    port, there = free_port(), tmp_path / "there"
    there.mkdir()
    (there / "given").write_text("a mesh")
    with program("mpi", "serve", "127.0.0.1", str(port), cwd=there), reach(f"127.0.0.1:{port}", KEY, DEADLINE_S) as caller:
        folder = tmp_path / "of-mpirun" / "rank-0"
        caller.send((f"cat {folder}/given", str(folder)))
        assert [caller.recv(), caller.recv()] == [("out", b"a mesh"), ("end", 0)]


def test_an_agent_is_told_the_folder_of_its_caller(tmp_path: Path) -> None:
    told: queue.Queue[Any] = queue.Queue()

    def listen(listener: Listener) -> None:
        with listener.accept() as caller:
            told.put(caller.recv())
            caller.send(("end", 0))

    port = free_port()
    with Listener(("127.0.0.1", port), authkey=KEY.encode()) as listener:
        threading.Thread(target=listen, args=(listener,), daemon=True).start()
        caller = rsh(port, "echo", "hello", cwd=tmp_path)
        assert told.get(timeout=DEADLINE_S) == ("echo hello", str(tmp_path))
        assert (caller.communicate(timeout=DEADLINE_S)[1], caller.returncode) == ("", 0)


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
    os.mkfifo(tmp_path / "pid")
    caller = rsh(agent, f"echo $$ > {tmp_path}/pid; sleep 600 & wait")
    number = int((tmp_path / "pid").read_text())
    caller.kill()
    caller.communicate()
    await_end(number, "the command outlived its caller")


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
    for rank in range(2):
        os.mkfifo(tmp_path / str(rank))

    def work(number: int) -> tuple[int, str, int]:
        rank = int(os.environ["FAIRWAY_RANK"])
        signal.alarm(60)
        os.open(tmp_path / str(rank), os.O_RDWR)  # stays open
        os.close(os.open(tmp_path / str(1 - rank), os.O_RDONLY))  # which waits until the other has come so far
        signal.alarm(0)
        return number, str(rank), os.getpid()

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


# The relay


@pytest.fixture
def relay() -> Generator[tuple[int, subprocess.Popen[str]]]:
    port = free_port()
    with program("relay", "127.0.0.1", str(port)) as served:
        wait_at("127.0.0.1", port, "relay", DEADLINE_S)
        yield port, served


def call(port: int, hello: str) -> socket.socket:
    made = socket.create_connection(("127.0.0.1", port), timeout=DEADLINE_S)
    made.sendall(f"{hello}\n".encode())
    return made


def test_a_relay_joins_a_step_with_the_worker_of_the_rank_that_it_names(relay: tuple[int, Any]) -> None:
    port, _ = relay
    steps = [call(port, f"{KEY} step {rank}") for rank in (0, 1)]  # who comes first does not matter
    others = [call(port, f"{KEY} worker {rank}") for rank in (1, 0)]
    for step, worker in zip(steps, reversed(others), strict=True):
        assert step.recv(1) == b"."
        step.sendall(b"x" * 1_000_000)
        assert worker.makefile("rb").read(1_000_000) == b"x" * 1_000_000
        worker.sendall(str(worker.getsockname()).encode())
        assert step.recv(100).decode() == str(worker.getsockname())
    steps[0].close()
    assert others[1].recv(1) == b"", "it leaves with the step"
    others[0].close()
    assert steps[1].recv(1) == b"", "and the step with it"
    again = call(port, f"{KEY} worker 0"), call(port, f"{KEY} step 0")
    assert again[1].recv(1) == b"."


def test_a_relay_lets_nobody_in_who_does_not_know_the_key(relay: tuple[int, Any]) -> None:
    port, served = relay
    worker = call(port, f"{KEY} worker 0")
    with call(port, "a guess step 0") as guessing:
        assert guessing.recv(1) == b""
    assert "does not know the gang's key" in served.stderr.readline()
    step = call(port, f"{KEY} step 0")
    assert step.recv(1) == b"."
    step.sendall(b"work")
    assert worker.recv(4) == b"work"


# Doors


def test_a_door_is_waited_for() -> None:
    port = free_port()
    with pytest.raises(TaskFailed, match=r"the tracker at 127\.0\.0\.1 did not come in 0 s"):
        wait_at("127.0.0.1", port, "tracker", 0.05)
    with open_door("127.0.0.1", port):
        for _ in range(20):
            wait_at("127.0.0.1", port, "tracker", 0.05)
