"""How long ranks wait for each other inside PyTorch is measured: in its collectives, and in DistributedDataParallel."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

import pytest

from tests.frameworks.gang_bench import train

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
