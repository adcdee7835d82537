"""A gang that stands still is found in time, with every rank's stack and the one that stopped first."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from fairway.cli.app import app
from fairway.step import gangstall
from fairway.step.gangrank import STACK_SIGNAL
from fairway.step.gangreport import Folder
from tests.semantics.rig import error_of, events, outputs
from tests.train.gangs.conftest import MEETING, GangRig
from tests.train.gangs.test_running import stream, words

HANG = (
    MEETING
    + """
import ctypes, os, threading

def stand_still(how):
    if how == "native":  # holds the interpreter's lock, as native code may, and waits on after the signal that asks for stacks
        ctypes.PyDLL(None).read(os.pipe()[0], ctypes.create_string_buffer(1), 1)
    if how == "sleep":
        threading.Event().wait()

@fw.step(gang=fw.gang(replicas=3, restarts=0, stall_timeout=1.5))
def train(how: str) -> float:
    peers = Peers()
    for step in range(4):
        fw.log(found=peers.sum(1.0), step=step)
        if step == 2 and fw.context().rank == 1:
            stand_still(how)
    return 1.0

@fw.pipeline
def main(how: str):
    return train(how)
"""
)


@pytest.mark.parametrize("how", ["sleep", "native"])
def test_the_rank_that_stopped_first_is_named_with_its_line_and_all_stacks_are_kept(rig: GangRig, how: str) -> None:
    run = rig.run(HANG, {"how": how})
    error = error_of(run)
    assert (error.kind, error.code) == ("stall", "FW-TASK-STALLED")
    assert error.message.startswith("no rank has reported progress for 1.5 s; rank 1 of 3 stopped first in stand_still (")
    assert [frame.function for frame in error.frames] == ["train", "stand_still"]
    assert error.frames[-1].source.startswith("ctypes" if how == "native" else "threading")
    for rank in range(3):
        kept = stream(run, f"stacks.{rank}")
        assert "in train" in kept
        assert ("stand_still" in kept) == (rank == 1)
    assert error.traceback.startswith("rank 1 of 3, innermost first:")
    assert "rank 2 of 3, innermost first:" in error.traceback
    assert events(run, "AttemptEnded")[0].outcome.usage.wall_s >= 1.5, "not before its time"
    assert any("stopped first" in line for line in words(run, "log"))
    shown = CliRunner().invoke(app, ["-C", str(rig.root), "logs", "last", "train"], catch_exceptions=False).output
    assert [shown.count(f"rank {rank} of 3, innermost first:") for rank in range(3)] == [1, 1, 1], "the log has them already"
    assert shown.rstrip().endswith(error.message)
    assert rig.left() == []


def test_a_rank_that_waits_for_a_core_in_the_middle_of_its_answer_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gangstall, "_DUMP_S", 60.0)
    folder = Folder(str(tmp_path))
    os.makedirs(folder.path)
    first, rest = '  File "a.py", line 1 in inner', '  File "a.py", line 2 in <module>'
    code = f"""if True:
        import signal, sys, threading
        def answer(*_):
            for part in ("Thread 0x1 (most recent call first):", {first!r}, {rest!r}):
                with open(sys.argv[1], "a") as file:
                    print(part, file=file)
                threading.Event().wait(0.2)
        signal.signal(int(sys.argv[2]), answer)
        print("ready", flush=True)
        threading.Event().wait()
    """
    words = [sys.executable, "-c", code, folder.stack(0), str(int(STACK_SIGNAL))]
    with subprocess.Popen(words, stdout=subprocess.PIPE) as rank:
        assert rank.stdout is not None and rank.stdout.readline() == b"ready\n"
        found = gangstall.collect_stacks({0: rank.pid}, folder)
        rank.kill()
    assert found[0].splitlines()[1:] == [first, rest]


def test_it_starts_again_from_its_checkpoint(rig: GangRig) -> None:
    run = rig.run("""
        import threading

        @fw.step(gang=fw.gang(replicas=2, restarts=1, stall_timeout=1.5))
        def train() -> list[int]:
            done = fw.checkpoint.load(default=0)
            if fw.context().n == 1:
                if fw.context().rank == 0:
                    fw.checkpoint.save(7, 7)
                    fw.checkpoint.wait()
                threading.Event().wait()
            return [fw.context().n, done]

        @fw.pipeline
        def main():
            return train()
    """)
    assert outputs(run) == {"result": [2, 7]}


def test_who_reports_progress_does_not_stall_nor_does_one_that_has_returned(rig: GangRig) -> None:
    run = rig.run("""
        import time

        @fw.step(gang=fw.gang(replicas=2, restarts=0, stall_timeout=3))
        def train() -> int:
            if fw.context().rank == 1:
                return 1
            until = time.monotonic() + 4
            while time.monotonic() < until:
                fw.progress(1, 2)
            return 1

        @fw.pipeline
        def main():
            return train()
    """)
    assert outputs(run) == {"result": 1}


def test_ranks_whose_collectives_end_do_not_stall_though_they_report_nothing(rig: GangRig) -> None:
    run = rig.run(
        MEETING
        + """
@fw.step(gang=fw.gang(replicas=2, restarts=0, stall_timeout=3))
def train() -> int:
    from fairway.step import pulse

    all_reduce = pulse.counting("network", Peers().sum)
    until = time.monotonic() + 4
    while all_reduce(float(time.monotonic() < until)) == 2.0:
        pass
    return 1

@fw.pipeline
def main():
    return train()
"""
    )
    assert outputs(run) == {"result": 1}


def test_a_program_reports_progress_by_printing(rig: GangRig) -> None:
    run = rig.run("""
        talk = fw.command(["sh", "-c", "for i in 1 2 3 4 5 6; do echo $i; sleep 0.5; done"], gang=fw.gang(replicas=2, stall_timeout=2))
        hang = fw.command(["sh", "-c", "echo up; exec sleep 1000"], gang=fw.gang(replicas=2, restarts=0, stall_timeout=0.3))

        @fw.pipeline
        def main():
            hang().after(talk())
    """)
    assert run.tasks["sh-2"].status == "succeeded"
    assert error_of(run).kind == "stall"
    assert rig.left() == []


def test_a_rank_that_never_comes_ends_the_wait_for_it(rig: GangRig) -> None:
    run = rig.run("""
        import os, threading

        threading.Thread(target=threading.Event().wait, daemon=True).start()  # a library that bears no fork
        if os.environ.get("RANK") == "1":
            threading.Event().wait()

        @fw.step(gang=fw.gang(replicas=2, restarts=0, start_timeout=5))
        def train() -> int:
            threading.Event().wait()

        @fw.pipeline
        def main():
            return train()
    """)
    error = error_of(run)
    assert (error.kind, error.code) == ("stall", "FW-TASK-STALLED")
    assert error.message.startswith("rank 1 of 2 has not reached the step's function within 5 s; it is in <module> (")
    assert "start_timeout" in error.hint
    assert rig.left() == []
