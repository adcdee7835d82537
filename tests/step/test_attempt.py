"""One attempt: executed once, never after it was given up; a batch keeps what it has; the outcome is the last thing written."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fairway.spec.outcome import ItemOutcome, Outcome, outcome_key
from fairway.spec.ports import run_now
from fairway.step.attempt import Claim, items_path, read_items
from fairway.step.errors_report import Origin, describe_exception
from fairway.step.foreground import run_here
from fairway.testing.memory import json_text
from tests.executors.rig import Bench, result_of

COUNTING = """
import os, signal

def count(x):
    with open(x, "a") as file:
        file.write("x")
    return 1

def slow_count(x):
    path, gate = x
    with open(path, "a") as file:
        file.write("x")
    print("counted", flush=True)
    with open(gate) as pipe:
        pipe.read()
    return 1

def batch(x):
    path, number, fatal = x
    with open(path, "a") as file:
        file.write(str(number))
    if number == fatal:
        os.kill(os.getpid(), signal.SIGSEGV)
    return number
"""


def run_in_a_process(bench: Bench, spec_file: Path) -> subprocess.Popen[str]:
    argv = [sys.executable, "-m", "fairway.step", "run", str(spec_file), "--home", str(bench.home)]
    return subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_the_same_attempt_in_two_processes_is_one_execution(bench: Bench, tmp_path: Path) -> None:
    bench.write(COUNTING)
    count, gate = tmp_path / "count", tmp_path / "gate"
    os.mkfifo(gate)
    spec = bench.spec("slow_count", [str(count), str(gate)])
    spec_file = tmp_path / "spec.json"
    spec_file.write_text(json_text(spec))
    first, second = run_in_a_process(bench, spec_file), run_in_a_process(bench, spec_file)
    with open(gate, "w"):  # opens once one of them is in the step
        pass
    ends = [process.communicate(timeout=180) for process in (first, second)]
    assert (first.returncode, second.returncode) == (0, 0), ends
    outcomes = {out.splitlines()[-1] for out, _ in ends}
    assert len(outcomes) == 1 and json.loads(outcomes.pop())["status"] == "ended"
    assert count.read_text() == "x"


def test_an_abandoned_attempt_never_runs(bench: Bench, tmp_path: Path) -> None:
    bench.write(COUNTING)
    count = tmp_path / "count"
    spec = bench.spec("count", str(count))
    bench.store.put(outcome_key(spec.run, spec.id), json_text(Outcome(spec.id, "abandoned")).encode())
    assert run_here(spec, str(bench.home)).status == "abandoned"
    bench.submit(spec)
    assert bench.wait(spec).status == "abandoned"
    assert not count.exists()


def test_a_late_result_does_not_replace_what_was_decided(bench: Bench, tmp_path: Path) -> None:
    bench.write(COUNTING)
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    spec = bench.spec("slow_count", [str(tmp_path / "count"), str(gate)])
    bench.submit(spec)
    bench.read_until(spec, "counted")
    bench.store.put(outcome_key(spec.run, spec.id), json_text(Outcome(spec.id, "abandoned")).encode())
    with open(gate, "w"):
        pass
    assert bench.wait(spec).status == "abandoned"


def test_a_batch_that_crashes_reports_the_items_that_had_ended(bench: Bench, tmp_path: Path) -> None:
    bench.write(COUNTING)
    count = str(tmp_path / "count")
    spec = bench.spec("batch", *[[count, number, 2] for number in range(5)])
    bench.submit(spec)
    outcome = bench.wait(spec)
    assert (outcome.status, [result_of(item) for item in outcome.items]) == ("failed", [0, 1])
    assert outcome.error is not None and outcome.error.kind == "crash"
    assert Path(count).read_text() == "012"
    assert not os.path.exists(items_path(str(bench.home), spec.id))


def test_a_batch_whose_worker_died_goes_on_behind_the_items_that_had_ended(bench: Bench, tmp_path: Path) -> None:
    bench.write(COUNTING)
    count = tmp_path / "count"
    spec = bench.spec("batch", *[[str(count), number, -1] for number in range(4)])
    done = json_text(run_here(bench.spec("count", str(tmp_path / "other")), str(bench.home)).items[0])
    with open(items_path(str(bench.home), spec.id), "w") as file:
        file.write(done + "\n" + done[:-9])  # the second line was cut by the kill
    bench.submit(spec)
    outcome = bench.wait(spec)
    assert [result_of(item) for item in outcome.items] == [1, 1, 2, 3], "the first is the one that was kept"
    assert count.read_text() == "123"


@given(
    st.lists(
        st.builds(ItemOutcome, st.sampled_from(["succeeded", "skipped"]), reason=st.text(st.characters(codec=None), max_size=20)),
        max_size=6,
    ),
    st.integers(0, 400),
)
@settings(max_examples=40, deadline=None)
def test_items_cut_anywhere_are_read_up_to_the_last_whole_one(
    tmp_path_factory: pytest.TempPathFactory, items: list[ItemOutcome], cut: int
) -> None:
    home = str(tmp_path_factory.mktemp("home"))
    with Claim(home, "a-1") as claim:
        claim.read()
        for item in items:
            claim.add(item)
        path = Path(items_path(home, "a-1"))
        data = path.read_bytes()[:cut]
        path.write_bytes(data)
        found = read_items(str(path))
    assert len(found) == data.count(b"\n")
    assert [item.status for item in found] == [item.status for item in items[: len(found)]]


def test_a_batch_ends_item_by_item_whatever_one_of_them_raises(bench: Bench) -> None:
    bench.write(
        """
        import sys

        class Odd(Exception):
            def __str__(self):
                raise RuntimeError("no words")

        def end(x):
            if x == 1:
                sys.exit(3)
            if x == 2:
                raise KeyboardInterrupt
            if x == 3:
                raise Odd
            if x == 4:
                raise GeneratorExit
            return x
        """
    )
    items = bench.run("end", 0, 1, 2, 3, 4, 5).items
    assert [item.status for item in items] == ["succeeded", "failed", "failed", "failed", "failed", "succeeded"]
    kinds = [item.error.kind for item in items if item.error is not None]
    assert kinds == ["exit:3", "KeyboardInterrupt", "Odd", "GeneratorExit"]


def test_memory_that_is_not_there_is_an_error_of_kind_oom(bench: Bench) -> None:
    bench.write(
        """
        import resource

        def eat(x):
            resource.setrlimit(resource.RLIMIT_AS, (1 << 30, 1 << 30))
            return len(bytearray(8 << 30))
        """
    )
    error = bench.run("eat").items[0].error
    assert error is not None
    assert (error.kind, error.code) == ("oom", "FW-TASK-OOM")
    assert "memory=" in error.hint


def test_a_value_that_has_no_stored_format_is_an_error_of_the_output(bench: Bench) -> None:
    bench.write("def give(x):\n    return lambda: 1\n")
    error = bench.run("give").items[0].error
    assert error is not None
    assert (error.kind, error.code) == ("output", "FW-DEFINITION")


def test_sigterm_runs_the_steps_own_cleaning_up(bench: Bench, tmp_path: Path) -> None:
    bench.settings["grace"] = 30.0
    bench.write(
        """
        import threading

        def tidy(x):
            try:
                print("ready", flush=True)
                threading.Event().wait()
            finally:
                open(x, "w").close()
        """
    )
    mark = tmp_path / "tidied"
    spec = bench.spec("tidy", str(mark))
    bench.submit(spec)
    bench.read_until(spec, "ready")
    run_now(bench.executor.cancel(spec.id, 30.0))
    error = bench.wait(spec).error
    assert error is not None
    assert (error.kind, error.message) == ("cancelled", "cancelled")
    assert mark.exists()


def test_the_foreground_program_says_how_it_ended(bench: Bench, tmp_path: Path) -> None:
    bench.write("def fail(x):\n    raise ValueError('no')\n")
    spec_file = tmp_path / "spec.json"
    spec_file.write_text(json_text(bench.spec("fail", 1)))
    done = run_in_a_process(bench, spec_file)
    out, err = done.communicate(timeout=180)
    assert done.returncode == 3, err
    outcome = json.loads(out.splitlines()[-1])
    assert outcome["items"][0]["error"]["kind"] == "ValueError"


def test_the_program_refuses_what_it_does_not_know() -> None:
    done = subprocess.run([sys.executable, "-m", "fairway.step", "dance"], check=False, capture_output=True, text=True, timeout=180)
    assert done.returncode == 2
    assert "python -m fairway.step" in done.stderr


def test_a_process_group_outside_a_gang_of_its_framework_is_told_how_to_be_in_one() -> None:
    said = "Error initializing torch.distributed using env:// rendezvous: environment variable MASTER_ADDR expected, but not set"
    assert 'framework="torch"' in describe_exception(ValueError(said), Origin("")).hint
    assert describe_exception(ValueError("not set"), Origin("")).hint == ""
