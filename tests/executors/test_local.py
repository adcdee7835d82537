"""The local executor over real processes: slots, use, death of its worker, several at once; nothing is ever left behind."""

from __future__ import annotations

import contextlib
import os
import signal
from pathlib import Path

import pytest

from fairway.errors import UnschedulableError
from fairway.executors.machine import find_total
from fairway.spec.environment import Environment
from fairway.spec.ports import run_now
from fairway.spec.record import replace
from fairway.spec.resources import Resources
from tests.executors.rig import DEADLINE_S, Bench, result_of
from tests.waiting import await_true

GPU = "nvidia.com/gpu"

SOURCE = """
import os, signal, subprocess, sys, threading

def double(x):
    return x * 2

def where(x):
    return os.getcwd()

def variables(x):
    return {name: os.environ.get(name, "") for name in x}

def block(x):
    print("blocking", flush=True)
    threading.Event().wait()

def block_with_children(x):
    for _ in range(3):
        subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"], start_new_session=True)
    print("blocking", flush=True)
    threading.Event().wait()

def meet(x):
    \"\"\"Wait until the other one is here too: two fifos, opened for writing and reading in turn.\"\"\"
    folder, me, other = x
    def say():
        with open(f"{folder}/{me}", "w") as pipe:
            pipe.write("here")
    thread = threading.Thread(target=say)
    thread.start()
    with open(f"{folder}/{other}") as pipe:
        heard = pipe.read()
    thread.join()
    return heard

def use(x):
    held = bytearray(x)
    for start in range(0, x, 4096):
        held[start] = 1
    total = 0
    for n in range(2_000_000):
        total += n
    return len(held)

def die_using(x):
    use(x)
    os.kill(os.getpid(), signal.SIGKILL)

def die(x):
    os.kill(os.getppid(), signal.SIGKILL)
    threading.Event().wait()
"""


@pytest.fixture
def bench(bench: Bench) -> Bench:
    bench.write(SOURCE)
    return bench


def test_two_attempts_run_at_once_where_there_is_room_for_two(bench: Bench, tmp_path: Path) -> None:
    for name in ("a", "b"):
        os.mkfifo(tmp_path / name)
    first = bench.spec("meet", [str(tmp_path), "a", "b"], name="m1")
    second = bench.spec("meet", [str(tmp_path), "b", "a"], name="m2")
    bench.submit(first, second)
    assert [result_of(bench.wait(spec).items[0]) for spec in (first, second)] == ["here", "here"]


def test_one_waits_for_the_other_where_there_is_room_for_one(bench: Bench) -> None:
    bench.settings["cpu"] = 1.0
    first, second = bench.spec("block", 1, name="b1"), bench.spec("double", 2)
    bench.submit(first, second)
    bench.read_until(first, "blocking")
    seen = run_now(bench.executor.observe([first.id, second.id]))
    assert (seen[first.id].phase, seen[second.id].phase) == ("running", "queued")
    assert "waits for free cores" in seen[second.id].reason
    run_now(bench.executor.cancel(first.id, 0.2))
    assert result_of(bench.wait(second).items[0]) == 4


def test_parts_of_a_core_run_beside_each_other(bench: Bench, tmp_path: Path) -> None:
    bench.settings["cpu"] = 1.0
    for name in ("a", "b"):
        os.mkfifo(tmp_path / name)
    half = Resources(cpu=0.5)
    first = bench.spec("meet", [str(tmp_path), "a", "b"], name="m1", resources=half)
    second = bench.spec("meet", [str(tmp_path), "b", "a"], name="m2", resources=half)
    bench.submit(first, second)
    assert [result_of(bench.wait(spec).items[0]) for spec in (first, second)] == ["here", "here"]


def test_more_than_the_machine_has_is_refused_naming_both(bench: Bench) -> None:
    bench.settings["memory"] = 2 << 30
    for wanted, words in [
        (Resources(cpu=5.0), "asks for 5 cores, and this machine has 4"),
        (Resources(memory_bytes=3 << 30), "asks for 3.0 GiB of memory, and this machine has 2.0 GiB"),
        (Resources(accelerators={GPU: 1}), "asks for 1 of nvidia.com/gpu, and this machine has 0"),
    ]:
        with pytest.raises(UnschedulableError, match=words):
            bench.submit(bench.spec("double", 1, resources=wanted))


def test_an_attempt_sees_only_its_own_devices(bench: Bench) -> None:
    bench.settings["accelerators"] = {GPU: 2}
    one = Resources(cpu=1.0, accelerators={GPU: 1})
    first, second = bench.spec("block", 1, name="b1", resources=one), bench.spec("variables", ["CUDA_VISIBLE_DEVICES"], resources=one)
    bench.submit(first, second)
    assert result_of(bench.wait(second).items[0]) == {"CUDA_VISIBLE_DEVICES": "1"}
    inventory = run_now(bench.executor.inventory())
    assert (inventory.total.accelerators, inventory.free.accelerators) == ({GPU: 2}, {GPU: 1})
    assert bench.value("variables", ["CUDA_VISIBLE_DEVICES"], name="none") == {"CUDA_VISIBLE_DEVICES": ""}
    assert "GPU" in bench.executor.capabilities


def test_the_inventory_is_the_machine_and_what_is_free_of_it(bench: Bench) -> None:
    bench.settings.clear()
    inventory = run_now(bench.executor.inventory())
    machine = find_total()
    assert inventory.total == inventory.largest == inventory.free == machine
    assert machine.cpu >= 1 and machine.memory_bytes > 1 << 28
    spec = bench.spec("block", 1, resources=Resources(cpu=0.5, memory_bytes=1 << 20))
    bench.submit(spec)
    free = run_now(bench.executor.inventory()).free
    assert (free.cpu, free.memory_bytes) == (machine.cpu - 0.5, machine.memory_bytes - (1 << 20))


def test_each_attempt_says_what_it_used(bench: Bench) -> None:
    big = bench.run("use", 64 << 20).usage
    small = bench.run("use", 1 << 20, name="small").usage
    assert 64 << 20 <= big.peak_memory_bytes < 400 << 20
    assert big.peak_memory_bytes - small.peak_memory_bytes > 32 << 20, "the memory of one is not counted for the other"
    for usage in (big, small):
        assert 0 < usage.cpu_s <= DEADLINE_S and usage.wall_s > 0
        assert usage.queued_at <= usage.started_at <= usage.running_at <= usage.writing_at <= usage.ended_at
        assert usage.host == os.uname().nodename


def test_what_was_used_is_known_of_an_attempt_that_was_killed(bench: Bench) -> None:
    outcome = bench.run("die_using", 48 << 20)
    assert outcome.status == "failed"
    assert outcome.usage.peak_memory_bytes >= 48 << 20
    assert outcome.usage.cpu_s > 0 and outcome.usage.started_at > 0


def test_variables_of_the_environment_reach_the_step_and_no_other(bench: Bench) -> None:
    environment = Environment(variables={"COLOUR": "blue"})
    assert bench.value("variables", ["COLOUR"], environment=environment) == {"COLOUR": "blue"}
    assert bench.value("variables", ["COLOUR"], name="other") == {"COLOUR": ""}


def test_a_prewarmed_zygote_serves_the_first_attempt(bench: Bench, tmp_path: Path) -> None:
    marker = tmp_path / "imported"
    bench.write(f"open({str(marker)!r}, 'x').close()  # fails the second time\n{SOURCE}")
    bench.executor.prewarm(bench.bundle, bench.module)
    await_true(marker.exists, "the module was not imported before there was an attempt")
    assert bench.value("double", 4) == 8


def test_a_killed_worker_is_replaced_and_its_attempts_are_lost_with_all_their_children(bench: Bench) -> None:
    lost = [bench.spec("block_with_children", n, name=f"b{n}") for n in range(2)]
    bench.submit(*lost)
    for spec in lost:
        bench.read_until(spec, "blocking")
    before = set(bench.left())
    assert len(before) >= 9
    os.kill(worker_of(before), signal.SIGKILL)
    for spec in lost:
        error = bench.wait(spec).error
        assert error is not None
        assert (error.kind, error.code, error.retryable) == ("lost", "FW-LOST", True)
    assert not before & set(bench.left()), "what it started is gone"
    assert bench.value("double", 5) == 10


def test_a_killed_zygote_takes_its_attempts_and_nothing_else(bench: Bench) -> None:
    outcome = bench.run("die", 1)
    assert outcome.error is not None
    assert (outcome.status, outcome.error.kind) == ("failed", "crash")
    assert bench.value("double", 5) == 10


def test_an_attempt_whose_outcome_is_there_when_the_worker_dies_is_not_lost(bench: Bench) -> None:
    first, second = bench.spec("double", 5), bench.spec("block", 1)
    bench.submit(first)
    bench.wait(first)
    bench.submit(replace(first), second)
    bench.read_until(second, "blocking")
    os.kill(worker_of(set(bench.left())), signal.SIGKILL)
    bench.wait(first)
    assert result_of(bench.outcome(first).items[0]) == 10


def test_closing_ends_what_runs_with_its_children(bench: Bench) -> None:
    spec = bench.spec("block_with_children", 1)
    bench.submit(spec)
    bench.read_until(spec, "blocking")
    run_now(bench.executor.close())
    await_true(lambda: not bench.left(), "a process outlived its executor")


def test_several_executors_share_a_home(bench: Bench) -> None:
    executors = [bench.executor, bench.another(), bench.another()]
    specs = [bench.spec("double", n, name=f"d{n}") for n in range(6)]
    for n, spec in enumerate(specs):
        run_now(executors[n % 3].submit([spec]))
    for n, spec in enumerate(specs):
        assert result_of(bench.wait(spec, executors[n % 3]).items[0]) == 2 * n


def test_the_same_attempt_in_two_executors_is_executed_once(bench: Bench, tmp_path: Path) -> None:
    bench.write(
        """
        def count(x):
            with open(x, "a") as file:
                file.write("x")
            return 1
        """
    )
    other = bench.another() if bench.executor else None
    assert other is not None
    counts = tmp_path / "counts"
    for n in range(5):
        spec = bench.spec("count", str(counts), n=n + 1)
        run_now(bench.executor.submit([spec]))
        run_now(other.submit([spec]))
        assert result_of(bench.wait(spec).items[0]) == 1
        assert bench.wait(spec, other) == bench.outcome(spec)
    assert counts.read_text() == "x" * 5


def worker_of(pids: set[int]) -> int:
    """The one whose parent is this process."""
    for pid in pids:
        with contextlib.suppress(OSError), open(f"/proc/{pid}/stat") as file:  # an attempt that waited may have ended since
            if int(file.read().rpartition(")")[2].split()[1]) == os.getpid():
                return pid
    raise AssertionError("there is no worker")
