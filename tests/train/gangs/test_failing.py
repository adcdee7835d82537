"""One rank fails: which and why is said, the others are ended, and nothing is left of them."""

from __future__ import annotations

from typing import Any

import pytest

import fairway as fw
from tests.semantics.rig import error_of, events, outputs
from tests.train.gangs.conftest import MEETING, GangRig
from tests.train.gangs.test_running import words

FAIL = (
    MEETING
    + """
@fw.step(gang=fw.gang(replicas=4, restarts=0), cpu=1)
def train(who: int, how: str) -> float:
    rank = fw.context().rank
    peers = Peers()
    for step in range(3):
        found = peers.sum(1.0)
        if rank == who and step == 1:
            print("about to fail", flush=True)
            if how == "kill":
                die()
            if how == "raise":
                raise ValueError("the loss is not a number")
            if how == "silent":
                raise KeyboardInterrupt
            if how == "abort":
                os.abort()
            if how == "exit":
                os._exit(3)
            if how == "return":
                return found
    return found

@fw.pipeline
def main(how: str, who: int = 2):
    return train(who, how)
"""
)


def failed(rig: GangRig, how: str, who: int = 2) -> tuple[fw.Run, Any]:
    run = rig.run(FAIL, {"how": how, "who": who})
    rig.await_gone()
    assert run.status == "failed"
    return run, error_of(run)


@pytest.mark.parametrize("who", range(4))
def test_the_rank_that_was_killed_is_named_not_those_that_lost_their_connections(rig: GangRig, who: int) -> None:
    run, error = failed(rig, "kill", who)
    assert (error.kind, error.code) == ("crash", "FW-TASK-CRASHED")
    assert error.message == f"rank {who} of 4 failed first: the step's process was killed by SIGKILL, from outside"
    assert f"rank {who} of 4 printed last:\n  about to fail" in error.traceback
    assert any(line.startswith(f"fairway: rank {who} of 4 was ended by SIGKILL") for line in words(run, "log"))


def test_an_exception_is_shown_with_the_user_s_own_frames(rig: GangRig) -> None:
    run, error = failed(rig, "raise")
    assert (error.kind, error.message) == ("ValueError", "rank 2 of 4 failed first: the loss is not a number")
    assert error.frames[-1].own
    assert error.frames[-1].source == 'raise ValueError("the loss is not a number")'
    assert "about to fail" in error.traceback
    (said,) = [line for line in words(run, "log") if "raised" in line]
    assert said.startswith("fairway: rank 2 of 4 raised ValueError: the loss is not a number")


def test_an_exception_is_not_tried_again_unless_retries_say_so(rig: GangRig) -> None:
    run = rig.run(FAIL.replace("restarts=0", "restarts=3"), {"how": "raise"})
    assert len(events(run, "AttemptPlanned")) == 1
    run = rig.run(FAIL.replace("restarts=0)", "restarts=0), retries=1"), {"how": "raise"})
    assert len(events(run, "AttemptPlanned")) == 2


@pytest.mark.parametrize(
    ("how", "kind", "says"),
    [
        ("abort", "crash", "rank 2 of 4 failed first: native code crashed the step's process (SIGABRT) in train"),
        ("exit", "exit:3", "rank 2 of 4 failed first: the step ended its process with exit code 3 before it returned: about to fail"),
    ],
)
def test_a_process_that_goes_without_a_word(rig: GangRig, how: str, kind: str, says: str) -> None:
    _, error = failed(rig, how)
    assert (error.kind, error.message) == (kind, says)
    assert error.traceback.endswith("rank 2 of 4 printed last:\n  about to fail\n")  # where it crashed is said once, above


def test_a_child_that_comes_back_from_the_step_is_not_the_rank(rig: GangRig) -> None:
    run = rig.run("""
        import os

        @fw.step(gang=fw.gang(replicas=2, restarts=0), cpu=0.1)
        def fit() -> int:
            child = os.fork()
            if child:
                os.waitpid(child, 0)
            elif fw.context().rank:
                raise ValueError("of the child")
            return child and 1

        @fw.pipeline
        def main():
            return fit()
    """)
    assert outputs(run) == {"result": 1}
    assert "fairway: a process that the step had forked returned there: a child ends by os._exit()" in words(run, "log.0")
    assert "ValueError: of the child" in words(run, "log.1")


def test_an_error_without_words_needs_none(rig: GangRig) -> None:
    _, error = failed(rig, "silent")
    assert error.message == "rank 2 of 4 failed first"


def test_a_rank_that_returns_too_early_is_found_out(rig: GangRig) -> None:
    _, error = failed(rig, "return")
    assert error.message == "rank 0 of 4 failed first: Connection closed by peer"
    assert error.hint.startswith("rank 2 had returned before")


def test_what_ranks_have_started_ends_with_them(rig: GangRig) -> None:
    run = rig.run("""
        import os, subprocess, threading
        from pathlib import Path

        @fw.step(gang=fw.gang(replicas=2, restarts=0))
        def train(folder: str) -> int:
            rank = fw.context().rank
            subprocess.Popen(["setsid", "sleep", "1000"])
            subprocess.Popen(["sh", "-c", "trap '' TERM; sleep 1000 & wait"])
            if rank == 1:
                while not Path(folder, "up").exists():
                    pass
                raise ValueError("enough")
            try:
                Path(folder, "up").touch()
                threading.Event().wait()
            finally:
                Path(folder, "cleaned").touch()

        @fw.pipeline
        def main(folder: str):
            return train(folder)
    """, {"folder": str(rig.root)})  # fmt: skip
    assert error_of(run).message == "rank 1 of 2 failed first: enough"
    assert (rig.root / "cleaned").exists(), "the other one's `finally` has run"
    assert rig.left() == []


def test_one_that_does_not_listen_is_killed(rig: GangRig) -> None:
    run = rig.run("""
        import ctypes, signal
        from pathlib import Path

        @fw.step(gang=fw.gang(replicas=2, restarts=0))
        def train(folder: str) -> int:
            if fw.context().rank == 0:
                Path(folder, "deaf").touch()
                while True:
                    ctypes.PyDLL(None).pause()  # Python's own handlers never run
            while not Path(folder, "deaf").exists():
                pass
            raise ValueError("enough")

        @fw.pipeline
        def main(folder: str):
            return train(folder)
    """, {"folder": str(rig.root)})  # fmt: skip
    assert error_of(run).message == "rank 1 of 2 failed first: enough"
    assert rig.left() == []


def test_it_starts_again_as_often_as_it_may(rig: GangRig) -> None:
    run = rig.run(FAIL.replace("restarts=0", "restarts=2"), {"how": "kill"})
    assert run.status == "failed"
    assert len(events(run, "AttemptPlanned")) == 3


@pytest.mark.parametrize("restarts", [0, 1])
def test_a_taken_port_is_no_reason_to_give_up(rig: GangRig, restarts: int) -> None:
    run = rig.run("""
        import socket
        from pathlib import Path

        @fw.step(gang=fw.gang(replicas=2, restarts=1))
        def train(folder: str) -> list[int]:
            place = fw.context().place
            if place.rank:
                return []
            first = place.n == 1
            other = socket.create_server((place.hosts[0], place.ports[0][0])) if first else None
            Path(folder, "ports").open("a").write(f"{place.ports[0][0]}\\n")
            socket.create_server((place.hosts[0], place.ports[0][0]))
            return [place.n]

        @fw.pipeline
        def main(folder: str):
            return train(folder)
    """.replace("restarts=1", f"restarts={restarts}"), {"folder": str(rig.root)})  # fmt: skip
    assert outputs(run) == {"result": [2]}
    first, second = (rig.root / "ports").read_text().split()
    assert first != second
    (ended, _) = events(run, "AttemptEnded")
    error = ended.outcome.items[0].error
    assert (error.kind, error.code) == ("port", "FW-PORT-TAKEN")


def test_a_timeout_ends_all(rig: GangRig) -> None:
    run = rig.run("""
        import threading

        @fw.step(gang=fw.gang(replicas=2), timeout=0.3)
        def train() -> int:
            threading.Event().wait()

        @fw.pipeline
        def main():
            return train()
    """)
    assert error_of(run).kind == "timeout"
    assert rig.left() == []
