"""`fw.checkpoint` and `fw.shard` in real runs: gangs whose ranks are killed, full disks, steps that end while a save is written."""

from __future__ import annotations

import pytest

from fairway.step.saved import find_saved
from tests.semantics.rig import Rig, error_of, outputs

GANG = """
import contextlib
import os
import signal
import numpy as np

def meet(step):
    '''As a collective does: no rank goes on before the other has come as far.'''
    now = fw.context()
    door = fw.checkpoint.dir / f"met-{now.n}-{step}"  # a FIFO, which opens for two
    with contextlib.suppress(FileExistsError):
        os.mkfifo(door)
    open(door, "wb" if now.rank else "rb").close()

@fw.step(gang=fw.gang(replicas=2, restarts=2))
def train(sharded: bool) -> list:
    now = fw.context()
    fw.checkpoint.keep(last=2)
    data = fw.shard(list(range(40)), batch=2)
    state = fw.checkpoint.load({"seen": [], "data": None})
    begun = fw.checkpoint.step
    data.resume(state["data"])
    seen = list(state["seen"])
    for batch in data:
        seen += batch
        kept = {"seen": seen, "data": data, "weights": np.full(200_000, data.steps)}
        fw.checkpoint.save(data.steps, kept, sharded=sharded)
        meet(data.steps)
        if now.n == 1 and now.rank == 1 and data.steps == 5:
            fw.checkpoint.wait()
            os.kill(os.getpid(), signal.SIGKILL)
    return [begun, len(seen), len(set(seen))]

@fw.pipeline
def main(sharded: bool = True):
    return train(sharded)
"""


@pytest.mark.parametrize("sharded", [True, False])
def test_a_gang_goes_on_from_the_newest_checkpoint_of_all_its_ranks(rig: Rig, sharded: bool) -> None:
    run = rig.run(GANG, {"sharded": sharded})
    begun, seen, different = outputs(run)["result"]
    newest = 5 if sharded else 6  # rank 0, which alone saves what all have in common, may be a step ahead of the one that is killed
    assert 4 <= begun <= newest and seen == different == 20
    assert "not whole" not in run.logs(), "what was dropped was whole"


@pytest.mark.parametrize("rank", [0, 1])
def test_parts_that_some_ranks_never_saved_are_said_when_the_step_ends(rig: Rig, rank: int) -> None:
    run = rig.run(f"""
        @fw.step(gang=fw.gang(replicas=3), cpu=0.1)
        def train() -> int:
            fw.checkpoint.save(3, 3, sharded=True)
            if fw.context().rank == {rank}:
                fw.checkpoint.save(4, 4, sharded=True)
            return 1

        @fw.pipeline
        def main():
            return train()
    """)
    assert outputs(run) == {"result": 1}
    others = "ranks 1 and 2" if rank == 0 else "ranks 0 and 2"
    (said,) = [line for line in run.logs().splitlines() if "not whole" in line]
    assert said.endswith(
        f"fairway: the checkpoint of step 4 is not whole: {others} never saved their part of it; "
        "with sharded=True every rank calls fw.checkpoint.save"
    )


def test_a_step_ends_when_what_it_saved_is_on_disk(rig: Rig) -> None:
    run = rig.run("""
        import numpy as np

        @fw.step
        def train() -> str:
            fw.checkpoint.save(1, {"weights": np.ones(4_000_000)})
            return str(fw.checkpoint.dir)

        @fw.step(retry=fw.retry(2, backoff=0))
        def fails() -> int:
            if fw.context().n == 2:
                return fw.checkpoint.load()["weights"].size
            fw.checkpoint.save(1, {"weights": np.ones(4_000_000)})
            raise ValueError("again")

        @fw.pipeline
        def main():
            return {"folder": train(), "size": fails()}
    """)
    found = outputs(run)
    assert [one.complete for one in find_saved(found["folder"])] == [True]
    assert found["size"] == 4_000_000


def test_a_disk_that_is_full_is_the_steps_failure_though_it_saves_no_more(rig: Rig) -> None:
    run = rig.run("""
        import resource
        import signal
        import numpy as np

        @fw.step(cache=False)
        def train() -> int:
            fw.checkpoint.save(1, "small")
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))
            fw.checkpoint.save(2, {"weights": np.ones(4_000_000)})
            return 1

        @fw.pipeline
        def main():
            return train()
    """)
    assert run.status == "failed"
    assert error_of(run).message.startswith("the checkpoint of step 2 cannot be written: ")
