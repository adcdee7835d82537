"""Timeouts of a step and of a run."""

from __future__ import annotations

import os

import pytest

import fairway as fw
from fairway.errors import DefinitionError, TaskTimeout
from tests.semantics.rig import Rig, error_of, outputs, statuses

SLOW = """
import os
import signal
import subprocess
import threading
from pathlib import Path

@fw.step(timeout="{timeout}"{settings})
def slow(folder: str) -> int:
    {body}
    return fw.context().n

@fw.step
def quick() -> int:
    return 1

@fw.pipeline
def main(folder: str):
    quick()
    return slow(folder)
"""


def run_slow(rig: Rig, body: str, settings: str = "", timeout: str = "2s"):
    """`timeout`: long enough for what the step does before it waits, on a busy machine as well."""
    return rig.run(SLOW.format(body=body, settings=settings, timeout=timeout), {"folder": str(rig.root)})


def is_alive(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_a_step_that_takes_too_long_is_ended_and_says_so(rig: Rig) -> None:
    run = run_slow(rig, "threading.Event().wait()", timeout="300ms")
    assert run.status == "failed"
    error = error_of(run)
    assert (error.kind, error.code) == ("timeout", "FW-TASK-TIMEOUT")
    assert "longer than its timeout of 0.3 s" in error.message
    assert "timeout=" in error.hint
    assert statuses(run) == {"quick": "succeeded", "slow": "failed"}


def test_its_children_end_with_it(rig: Rig) -> None:
    run_slow(rig, 'child = subprocess.Popen(["sleep", "1000"]); Path(folder, "pid").write_text(str(child.pid)); child.wait()')
    assert not is_alive(int((rig.root / "pid").read_text()))


def test_its_finally_blocks_run(rig: Rig) -> None:
    run_slow(rig, 'try:\n        threading.Event().wait()\n    finally:\n        Path(folder, "tidied").touch()')
    assert (rig.root / "tidied").exists()


def test_a_timeout_may_be_tried_again(rig: Rig) -> None:
    run = run_slow(rig, "fw.context().n > 1 or threading.Event().wait()", ', retry=fw.retry(2, backoff=0, on="timeout")')
    assert outputs(run) == {"result": 2}


def test_the_time_in_which_a_task_waits_for_a_slot_does_not_count(rig: Rig) -> None:
    run = rig.run(
        """
        import time

        @fw.step(timeout="3s")
        def busy(n: int) -> int:
            end = time.monotonic() + 0.6
            while time.monotonic() < end:
                pass
            return n

        @fw.pipeline
        def main():
            return busy(fw.each(range(6), max_parallel=6))
    """,
        max_parallel=1,
    )
    assert outputs(run) == {"result": list(range(6))}


RUN = """
import threading

@fw.step
def forever() -> int:
    threading.Event().wait()

@fw.step
def then(n: int) -> int:
    return n

@fw.pipeline(timeout="2s")
def main():
    return then(forever())
"""


def test_a_run_that_takes_too_long_is_stopped_and_says_so(rig: Rig) -> None:
    run = rig.run(RUN)
    assert run.status == "timeout"
    assert statuses(run) == {"forever": "cancelled", "then": "skipped"}
    assert run.state().error.message == "the run took longer than its timeout of 2 s"
    with pytest.raises(TaskTimeout):
        fw.run(rig.load(RUN), timeout="300ms")


def test_the_command_lines_timeout_beats_the_pipelines(rig: Rig) -> None:
    path = rig.write(RUN.replace('timeout="2s"', 'timeout="1h"'))
    done = rig.fairway("run", path, "--timeout", "300ms")
    assert done.returncode == 3
    assert "longer than its timeout of 0.3 s" in done.stderr
    assert "fairway resume" in done.stderr


def test_a_resumed_run_has_its_time_anew(rig: Rig) -> None:
    mark = rig.root / "mark"
    source = RUN.replace(
        "    threading.Event().wait()", f"    import os\n    os.path.exists({str(mark)!r}) or threading.Event().wait()\n    return 1"
    )
    run = rig.run(source.replace('timeout="2s"', 'timeout="3s"'))
    assert run.status == "timeout"
    mark.touch()
    assert run.resume().status == "succeeded"


@pytest.mark.parametrize("text", ["soon", "0", "-1s", "10 parsecs", ""])
def test_what_is_no_duration_is_refused_with_the_way_to_write_one(rig: Rig, text: str) -> None:
    with pytest.raises(DefinitionError, match="duration") as caught:
        rig.load(f"@fw.step(timeout={text!r})\ndef a(): ...\n\n@fw.pipeline\ndef main():\n    a()\n")
    assert '"10m"' in caught.value.hint
    assert os.path.basename(caught.value.where).startswith("flow_")
