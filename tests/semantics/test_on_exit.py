"""The exit handler: it runs however the run ended, and is told how."""

from __future__ import annotations

import json

import pytest

import fairway as fw
from fairway.errors import DefinitionError, TaskFailed
from tests.semantics.rig import Rig, outputs, statuses

HANDLED = """
import json
import threading
from pathlib import Path

@fw.step
def note(status: str, error: str, run: str, started_at: float, folder: str, kind: str = "default") -> None:
    Path(folder, "noted").write_text(json.dumps([status, error, run, started_at > 0, kind]))

@fw.step
def work(n: int) -> int:
    if n < 0:
        raise ValueError(f"{n} is negative")
    if n > 9:
        threading.Event().wait()
    return n

@fw.pipeline(on_exit=note, timeout="2m")
def main(folder: str, n: int = 1):
    return work(n)
"""


def noted(rig: Rig) -> list:
    return json.loads((rig.root / "noted").read_text())


def test_the_handler_of_a_run_that_succeeded(rig: Rig) -> None:
    run = rig.run(HANDLED, {"folder": str(rig.root)})
    assert noted(rig) == ["succeeded", None, run.id, True, "default"]
    assert outputs(run) == {"result": 1}
    assert statuses(run)["note"] == "succeeded"


def test_the_handler_of_a_run_that_failed_gets_its_error(rig: Rig) -> None:
    run = rig.run(HANDLED, {"folder": str(rig.root), "n": -1})
    assert run.status == "failed"
    assert noted(rig)[:2] == ["failed", "work: ValueError: -1 is negative"]


def test_the_handler_of_a_run_that_took_too_long(rig: Rig) -> None:
    run = rig.run(HANDLED, {"folder": str(rig.root), "n": 10}, timeout="2s")
    assert run.status == "timeout"
    status, error, *_ = noted(rig)
    assert status == "timeout"
    assert "longer than its timeout of 2 s" in error
    assert statuses(run) == {"work": "cancelled", "note": "succeeded"}


def test_the_handler_of_a_run_that_was_cancelled(rig: Rig) -> None:
    source = HANDLED.replace("def work(n: int) -> int:", "def work(n: int, up: str) -> int:").replace(
        "return work(n)", 'return work(n, folder + "/up")'
    )
    bell = rig.bell("up")
    path = rig.write(source.replace("threading.Event().wait()", 'Path(up).write_text("here"); threading.Event().wait()'))
    process = rig.start("run", path, "--folder", str(rig.root), "--n", "10")
    bell.wait()
    assert rig.fairway("cancel", "last").returncode == 0
    process.communicate(timeout=60)
    assert noted(rig)[0] == "cancelled"
    assert rig.last().status == "cancelled"


def test_a_handler_that_fails_fails_the_run_and_hides_nothing(rig: Rig) -> None:
    source = HANDLED.replace('Path(folder, "noted")', 'Path(folder, "no", "where")')
    run = rig.run(source, {"folder": str(rig.root)})
    assert run.status == "failed"
    assert outputs(run, status="failed") == {"result": 1}
    first = rig.run(source, {"folder": str(rig.root), "n": -1})
    assert first.state().first_failure()[0] == "work"


def test_several_handlers_run_and_the_last_resort_runs_again_after_a_resume(rig: Rig) -> None:
    mark = rig.root / "mark"
    source = f"""
        from pathlib import Path

        def append(word):
            with open({str(rig.root / "log")!r}, "a") as file:
                file.write(word + "\\n")

        @fw.step
        def one(status: str) -> None:
            append("one " + status)

        @fw.step
        def two(status: str) -> None:
            append("two " + status)

        @fw.step
        def work() -> None:
            if not Path({str(mark)!r}).exists():
                raise ValueError("not yet")

        @fw.pipeline(on_exit=[one, two])
        def main():
            work()
    """
    run = rig.run(source)
    mark.touch()
    run.resume()
    assert sorted((rig.root / "log").read_text().split("\n")[:-1]) == ["one failed", "one succeeded", "two failed", "two succeeded"]


def test_a_handler_that_wants_what_nobody_gives_is_refused_with_what_there_is(rig: Rig) -> None:
    with pytest.raises(DefinitionError, match="takes `outcome`, which nothing gives it") as caught:
        rig.run(HANDLED.replace("status: str, error", "outcome: str, status: str, error"), {"folder": "x"})
    assert "status, error, run" in caught.value.hint


def test_the_clients_error_is_the_steps_and_not_the_handlers(rig: Rig) -> None:
    with pytest.raises(TaskFailed, match="work: ValueError: -1 is negative"):
        fw.run(rig.load(HANDLED), folder=str(rig.root), n=-1)
