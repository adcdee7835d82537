"""What ranks have to do with each other inside PyTorch is seen: how long they wait in its collectives and in DistributedDataParallel, that
they go on when one has ended, and whether they have heard of each other."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

import pytest

from tests.frameworks.gang_bench import train
from tests.semantics.conftest import rig
from tests.semantics.rig import Rig

__all__ = ["rig"]
import_module("torch")

SLOW = """
    import fairway as fw
    {above}

    @fw.step(gang=fw.gang(replicas=2, framework="torch"))
    def fit() -> list[float]:
        import time
        import torch
        import torch.distributed as dist
        from fairway.step import pulse
        dist.init_process_group("gloo")
        me = dist.get_rank()
        net = torch.nn.parallel.DistributedDataParallel(torch.nn.Linear(50, 50)) if {ddp} else None
        dist.barrier()
        before = pulse._cells[pulse._WAITED + 2]
        for _ in range(60):
            if me == 1:
                time.sleep(0.02)  # the work of a slow rank: the other one waits for it
            if net is not None:
                net(torch.ones(4, 50)).sum().backward()
            else:
                dist.all_reduce(torch.ones(4))
        mine = torch.tensor([pulse._cells[pulse._WAITED + 2] - before])
        both = [torch.empty(1), torch.empty(1)]
        dist.all_gather(both, mine)
        return [one.item() for one in both]

    @fw.pipeline
    def gang():
        return fit()
"""


@pytest.mark.parametrize("above", ["import torch", ""])
@pytest.mark.parametrize("ddp", [False, True])
def test_the_rank_that_is_waited_for_is_the_one_that_hardly_waits(tmp_path: Path, above: str, ddp: bool) -> None:
    fast, slow = train(tmp_path, SLOW.format(above=above, ddp=ddp))
    assert fast >= 0.7  # 60 times 20 ms, and what a busy machine adds, to both
    assert fast - slow >= 0.3


PROGRESS = """
    import fairway as fw
    {above}

    @fw.step(gang=fw.gang(replicas=2, framework="torch"))
    def fit() -> dict:
        import torch
        import torch.distributed as dist
        from torch.distributed._functional_collectives import all_reduce
        from torch.distributed.device_mesh import init_device_mesh
        from torch.distributed.fsdp import fully_shard
        from torch.distributed.tensor import Shard, distribute_tensor
        from fairway.step import pulse

        dist.init_process_group()
        mesh = init_device_mesh("cpu", (2,))
        ddp = torch.nn.parallel.DistributedDataParallel(torch.nn.Linear(8, 8))
        fsdp = fully_shard(torch.nn.Linear(8, 8), mesh=mesh)
        divided = distribute_tensor(torch.ones(8), mesh, [Shard(0)])
        whole = torch.compile(lambda x: all_reduce(x, "sum", mesh) + 1, backend="eager", fullgraph=True)
        work = {{
            "all_reduce": lambda: dist.all_reduce(torch.ones(4)),
            "asynchronous": lambda: dist.all_reduce(torch.ones(4), async_op=True).wait(),
            "objects": lambda: dist.all_gather_object([None, None], "word"),
            "barrier": lambda: dist.barrier(),
            "DistributedDataParallel": lambda: ddp(torch.ones(4, 8)).sum().backward(),
            "FSDP2": lambda: fsdp(torch.ones(4, 8)).sum().backward(),
            "DTensor": lambda: divided.full_tensor(),
        }}
        found = {{"compiled": whole(torch.ones(4)).tolist()}}
        for name, do in work.items():
            pulse._cells[pulse._BEAT_AT] = 0.0
            do()
            found[name] = pulse._cells[pulse._BEAT_AT] > 0
        return found | {{"steps": pulse._cells[pulse._BEATS]}}

    @fw.pipeline
    def gang():
        return fit()
"""


@pytest.mark.parametrize("above", ["import torch.distributed.tensor", ""])
def test_what_ends_between_ranks_is_progress_and_no_step(tmp_path: Path, above: str) -> None:
    found = train(tmp_path, PROGRESS.format(above=above))
    assert (found.pop("compiled"), found.pop("steps")) == ([3.0] * 4, 0)
    assert set(found.values()) == {True}, found


APART = """
    {above}

    @fw.step(gang=fw.gang(replicas=2, framework="torch"))
    def fit():
        import torch
        net = torch.nn.Linear(4, 1)
        optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
        if {meets} is not None:
            torch.distributed.init_process_group()
            if {meets}:
                all_reduce(torch.ones(1))
            torch.distributed.destroy_process_group()
        net(torch.ones(2, 4)).sum().backward()
        optimizer.step()

    @fw.pipeline
    def gang():
        fit()
"""


@pytest.mark.parametrize(
    ("above", "meets", "is_told"),
    [("", None, True), ("import torch", False, True), ("from torch.distributed import all_reduce", True, False)],
)
def test_ranks_that_never_heard_of_each_other_are_told_so(rig: Rig, above: str, meets: bool | None, is_told: bool) -> None:
    (rig.root / "fairway.toml").write_text("[targets.local]\ncpu = 2\n")
    run = rig.run(APART.format(above=above, meets=meets))
    assert run.status == "succeeded"
    assert run.logs().count("none of the 2 ranks has called a collective of PyTorch") == is_told
