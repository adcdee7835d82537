"""A gang that stands still is found in time, with every rank's stack and the one that stopped first."""

from __future__ import annotations

import pytest

from tests.semantics.rig import error_of, events, outputs
from tests.train.gangs.conftest import MEETING, GangRig
from tests.train.gangs.test_running import stream, words

HANG = (
    MEETING
    + """
import ctypes, threading

def stand_still(how):
    if how == "native":
        ctypes.PyDLL(None).pause()  # holds the interpreter's lock, as native code may
    if how == "sleep":
        threading.Event().wait()

@fw.step(gang=fw.gang(replicas=3, restarts=0, stall_timeout=0.5))
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
    assert error.message.startswith("no rank has reported progress for 0.5 s; rank 1 of 3 stopped first in stand_still (")
    assert [frame.function for frame in error.frames] == ["train", "stand_still"]
    assert error.frames[-1].source.startswith("ctypes" if how == "native" else "threading")
    for rank in range(3):
        kept = stream(run, f"stacks.{rank}")
        assert "in train" in kept
        assert ("stand_still" in kept) == (rank == 1)
    assert error.traceback.startswith("rank 1 of 3, innermost first:")
    assert "rank 2 of 3, innermost first:" in error.traceback
    ended = events(run, "AttemptEnded")[0].outcome.usage
    assert 0.5 <= ended.ended_at - ended.running_at < 2.5 if ended.running_at else True
    assert ended.wall_s < 0.5 + 2 + 1, "it is found within its timeout and two seconds"
    assert any("stopped first" in line for line in words(run, "log"))
    assert rig.left() == []


def test_it_starts_again_from_its_checkpoint(rig: GangRig) -> None:
    run = rig.run("""
        import threading

        @fw.step(gang=fw.gang(replicas=2, restarts=1, stall_timeout=0.3))
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

        @fw.step(gang=fw.gang(replicas=2, restarts=0, stall_timeout=0.4))
        def train() -> int:
            if fw.context().rank == 1:
                return 1
            until = time.monotonic() + 1.2
            while time.monotonic() < until:
                fw.progress(1, 2)
            return 1

        @fw.pipeline
        def main():
            return train()
    """)
    assert outputs(run) == {"result": 1}


def test_a_program_reports_progress_by_printing(rig: GangRig) -> None:
    run = rig.run("""
        talk = fw.command(["sh", "-c", "for i in 1 2 3 4 5 6; do echo $i; sleep 0.2; done"], gang=fw.gang(replicas=2, stall_timeout=0.7))
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

        @fw.step(gang=fw.gang(replicas=2, restarts=0, start_timeout=1.5))
        def train() -> int:
            threading.Event().wait()

        @fw.pipeline
        def main():
            return train()
    """)
    error = error_of(run)
    assert (error.kind, error.code) == ("stall", "FW-TASK-STALLED")
    assert error.message.startswith("rank 1 of 2 has not reached the step's function within 1.5 s; it is in <module> (")
    assert "start_timeout" in error.hint
    assert rig.left() == []
