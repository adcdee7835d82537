"""A real collective library under a gang: what it says when a rank dies is no cause, and a wait in native code is seen through."""

from __future__ import annotations

import pytest

pytest.importorskip("torch")

import fairway as fw
from tests.semantics.conftest import rig
from tests.semantics.rig import Rig, error_of, events, outputs

__all__ = ["rig"]

SOURCE = """
import os, signal, time
import torch
import torch.distributed as dist

@fw.step(gang=fw.gang(replicas=2, framework="torch", restarts=1, stall_timeout=8, backend="gloo"))
def fit(how: str) -> list:
    dist.init_process_group()
    rank, n = dist.get_rank(), fw.context().n
    done, x = fw.checkpoint.load(default=(0, torch.ones(1)))
    begun = done
    while done < 4:
        if done == 2 and rank == 1 and n == 1:
            if how == "kill":
                os.kill(os.getpid(), signal.SIGKILL)
            if how == "raise":
                raise ValueError("a bad batch")
            if how == "hang":
                read_batch()
        dist.all_reduce(x)
        done += 1
        fw.log(x=float(x), step=done)
        fw.checkpoint.save(done, (done, x))
        fw.checkpoint.wait()
        dist.barrier()
    return [n, begun, float(x)]

def read_batch():
    time.sleep(1000)

@fw.pipeline
def main(how: str):
    return fit(how)
"""


def run(rig: Rig, how: str) -> fw.Run:
    (rig.root / "fairway.toml").write_text("[targets.local]\ncpu = 2\n")
    return rig.run(SOURCE, {"how": how})


def test_a_killed_rank_is_named_and_training_goes_on_from_the_checkpoint(rig: Rig) -> None:
    found = run(rig, "kill")
    assert outputs(found) == {"result": [2, 2, 16.0]}
    error = events(found, "AttemptEnded")[0].outcome.items[0].error
    assert error.kind == "crash"
    assert error.message.startswith("rank 1 of 2 failed first: the step's process was killed by SIGKILL")


def test_an_exception_is_named_and_not_what_gloo_says_of_it(rig: Rig) -> None:
    found = run(rig, "raise")
    error = error_of(found)
    assert (error.kind, error.message) == ("ValueError", "rank 1 of 2 failed first: a bad batch")
    assert len(events(found, "AttemptPlanned")) == 1


def test_a_hang_is_found_and_the_rank_that_waits_for_nobody_named(rig: Rig) -> None:
    found = run(rig, "hang")
    assert outputs(found) == {"result": [2, 2, 16.0]}
    first = events(found, "AttemptPlanned")[0].attempt
    error = events(found, "AttemptEnded")[0].outcome.items[0].error
    assert error.kind == "stall"
    assert "rank 1 of 2 stopped first in read_batch" in error.message
    stacks = [found.workspace.streams.read(f"{found.id}/{first}/stacks.{rank}").decode() for rank in range(2)]
    assert "all_reduce" in stacks[0]
    assert "read_batch" in stacks[1]
