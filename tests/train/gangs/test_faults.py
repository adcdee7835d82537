"""Processes of a gang are killed at every moment: the run ends as an undisturbed one would, and nothing is left."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

import pytest

from tests.semantics.rig import events, outputs
from tests.train.gangs.conftest import MEETING, GangRig

TRAIN = (
    MEETING
    + """
@fw.step(gang=fw.gang(replicas=2), cpu=0.25)
def train(case: list, folder: str) -> list:
    who, moment = case
    context = fw.context()
    rank, dies = context.rank, context.n == 1 and context.rank == who
    if dies and moment == "start":
        die()
    if dies and moment == "rendezvous":
        if rank == 0:
            socket.create_server((context.place.hosts[0], context.place.ports[0][0])).accept()
        else:
            Peers()
        die()
    peers = Peers()
    begun = peers.sum(len(fw.checkpoint.load(default=[])) if rank == 0 else 0)
    done = [float(n) for n in range(int(begun))]
    for step in range(int(begun), 4):
        if dies and moment == "step" and step == 2:
            die()
        done.append(peers.sum(step / 2))
        if rank == 0:
            fw.checkpoint.save(step, done)
        if dies and moment == "checkpoint" and step == 2:
            die()
        fw.checkpoint.wait()
        peers.sum(0)
    if dies and moment == "end":
        die()
    return [done, context.n, begun]

@fw.pipeline
def main(folder: str):
    return train(fw.each([[who, moment] for who in range(2) for moment in ("start", "rendezvous", "step", "checkpoint", "end")]), folder)
"""
)


def test_sigkill_of_each_rank_at_each_moment_costs_no_more_than_an_interval(rig: GangRig) -> None:
    run = rig.run(TRAIN, {"folder": str(rig.root)})
    found = outputs(run)["result"]
    assert [done for done, _, _ in found] == [[0.0, 1.0, 2.0, 3.0]] * 10
    assert [n for _, n, _ in found] == [2] * 10, "each was tried again once"
    for who in (0, 5):
        start, rendezvous, step, checkpoint, end = (begun for _, _, begun in found[who : who + 5])
        assert (start, rendezvous) == (0.0, 0.0), "nothing had been saved"
        assert step == 2.0, "from the newest checkpoint"
        assert checkpoint in (2.0, 3.0), "the torn one is not loaded, a whole one is"
        assert end == 4.0, "all steps were done"
    assert rig.left() == []


HALTED = """
import os, signal, threading

@fw.step(gang=fw.gang(replicas=2))
def train() -> int:
    if fw.context().n == 1:
        if signal.HOW == signal.SIGKILL:
            import subprocess
            subprocess.Popen(["setsid", "sleep", "1000"])
        if fw.context().rank == 1:
            os.kill(os.getWHOM(), signal.HOW)
        threading.Event().wait()
    return fw.context().n

@fw.pipeline
def main():
    return train()
"""


@pytest.mark.parametrize(("whom", "how"), [("ppid", "SIGKILL"), ("ppid", "SIGTERM"), ("pid", "SIGTERM")])
def test_a_leader_or_rank_that_is_ended_from_outside_takes_the_others_along_and_the_gang_starts_again(
    rig: GangRig, whom: str, how: str
) -> None:
    run = rig.run(HALTED.replace("WHOM", whom).replace("HOW", how))
    assert outputs(run) == {"result": 2}
    if how == "SIGTERM":
        ended = events(run, "AttemptEnded")[0].outcome
        error = ended.error or ended.items[0].error
        assert error.kind == "crash"
        assert error.message.endswith("the step's process was ended by SIGTERM, from outside")
    assert rig.left() == []


def test_a_leader_that_is_ended_from_outside_kills_ranks_that_do_not_listen(rig: GangRig) -> None:
    rig.settings('[targets.local]\ncpu = 4\ngrace = "300ms"\n')
    run = rig.run("""
        import os, signal, threading
        from pathlib import Path

        @fw.step(gang=fw.gang(replicas=2))
        def train(folder: str) -> int:
            rank, n = fw.context().rank, fw.context().n
            if n == 1:
                signal.signal(signal.SIGTERM, signal.SIG_IGN)
                Path(folder, f"deaf-{rank}").touch()
                while not Path(folder, f"deaf-{1 - rank}").exists():
                    pass
                os.kill(os.getppid(), signal.SIGTERM)
                threading.Event().wait()
            return n

        @fw.pipeline
        def main(folder: str):
            return train(folder)
    """, {"folder": str(rig.root)})  # fmt: skip
    assert outputs(run) == {"result": 2}
    assert rig.left() == []


WAITS = """
import os, signal, subprocess, threading, time
from pathlib import Path

@fw.step(gang=fw.gang(replicas=2))
def train(folder: str) -> int:
    rank = fw.context().rank
    if rank == 0:
        count = fw.checkpoint.load(default=0) + 1
        fw.checkpoint.save(count, count)
        fw.checkpoint.wait()
    subprocess.Popen(["setsid", "sleep", "1000"])
    if not Path(folder, "go").exists():
        try:
            Path(folder, f"up-{rank}").touch()
            threading.Event().wait()
        finally:
            Path(folder, f"cleaned-{rank}").touch()
            if Path(folder, "stubborn").exists():
                signal.pause()
    return fw.checkpoint.load(default=0)

@fw.pipeline
def main(folder: str):
    return train(folder)
"""


def start(rig: GangRig) -> subprocess.Popen[str]:
    """A run in a process of its own, both ranks of which have come."""
    process = rig.start("run", rig.write(WAITS), "--folder", str(rig.root), FAIRWAY_TEST_MARK=rig.mark)
    rig.await_true(lambda: all((rig.root / f"up-{rank}").exists() for rank in range(2)), "the ranks have not come")
    return process


def command_of(pid: int) -> bytes:
    """Its words; none of a process that has ended meanwhile."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return b""


def test_the_driver_is_killed_and_the_run_resumed(rig: GangRig) -> None:
    process = start(rig)
    process.kill()
    process.wait()
    rig.await_gone()
    (rig.root / "go").touch()
    run = rig.last()
    run.resume()
    assert outputs(run) == {"result": 2}, "what the first try had saved was found"
    assert rig.left() == []


def test_a_worker_that_is_killed_takes_its_gang_along_and_the_run_goes_on(rig: GangRig) -> None:
    process = start(rig)
    worker = next(pid for pid in rig.left() if b"\0worker\0" in command_of(pid))
    (rig.root / "go").touch()
    os.kill(worker, signal.SIGKILL)
    assert process.wait(60) == 0
    assert outputs(rig.last()) == {"result": 2}
    rig.await_gone()


def test_ctrl_c_lets_ranks_clean_up(rig: GangRig) -> None:
    process = start(rig)
    os.killpg(process.pid, signal.SIGINT)
    process.wait(60)
    assert rig.last().status == "cancelled"
    assert [(rig.root / f"cleaned-{rank}").exists() for rank in range(2)] == [True, True]
    rig.await_gone()


def test_ctrl_c_twice_waits_for_nobody(rig: GangRig) -> None:
    (rig.root / "stubborn").touch()
    process = start(rig)
    os.killpg(process.pid, signal.SIGINT)
    rig.await_true(lambda: (rig.root / "cleaned-0").exists() and (rig.root / "cleaned-1").exists(), "they were not told")
    os.killpg(process.pid, signal.SIGINT)
    process.wait(60)
    rig.await_gone()


def test_preemption_does_not_count(rig: GangRig) -> None:
    run = rig.run("""
        import os

        @fw.step(gang=fw.gang(replicas=2, restarts=0))
        def train() -> int:
            if fw.context().n < 3 and fw.context().rank == 1:
                os._exit(75)  # the attempt could not be finished: its machine is at fault
            return fw.context().n

        @fw.pipeline
        def main():
            return train()
    """)
    assert outputs(run) == {"result": 3}
    assert [e.outcome.items[0].error.kind for e in events(run, "AttemptEnded")[:2]] == ["lost", "lost"]


TWO = """
import os, signal
from pathlib import Path

@fw.step(gang=fw.gang(replicas=2, restarts=RESTARTS), cpu=2)
def train(name: str, folder: str) -> str:
    context = fw.context()
    if context.rank == 0:
        with Path(folder, "began").open("a") as file:
            file.write(f"{name}-{context.n} ")
    if context.rank == 1 and name == "one" and context.n == 1:
        while not Path(folder, "began").exists() or not Path(folder, "began").stat().st_size:
            pass
        os.kill(os.getpid(), signal.SIGKILL)
    return name

@fw.pipeline
def main(folder: str):
    return train(fw.each(["one", "two"]), folder)
"""


def test_of_two_gangs_that_want_the_same_slots_the_killed_one_goes_on_first(rig: GangRig) -> None:
    run = rig.run(TWO.replace("RESTARTS", "1"), {"folder": str(rig.root)})
    assert run.status == "succeeded"
    assert (rig.root / "began").read_text() == "one-1 one-2 two-1 "


def test_a_gang_that_does_not_start_again_leaves_its_slots_at_once(rig: GangRig) -> None:
    run = rig.run(TWO.replace("RESTARTS", "0"), {"folder": str(rig.root)})
    assert run.status == "failed"
    assert (rig.root / "began").read_text() == "one-1 two-1 "
    ended, other = [event.outcome.usage for event in events(run, "AttemptEnded")]
    assert other.started_at - ended.ended_at < 4, "and not when what is kept for a restart is let go"
