"""PyTorch over the pods of a gang: the collective's result is that of all ranks, and that of a laptop."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

import fairway as fw
from tests.kube.emulator import Node
from tests.kube.semantics.projects import project
from tests.kube.semantics.rig import Campus, ClusterRig

pytest.importorskip("torch")

SOURCE = """
@fw.step(gang=fw.gang(replicas=2, framework="torch", backend="gloo"), cpu=0.1)
def fit(steps: int) -> list[float]:
    import torch
    import torch.distributed as dist
    torch.set_num_threads(1)
    dist.init_process_group("gloo")
    torch.manual_seed(0)
    model = torch.nn.parallel.DistributedDataParallel(torch.nn.Linear(1, 1))
    adam = torch.optim.SGD(model.parameters(), lr=0.1)
    x = torch.full((4, 1), float(dist.get_rank() + 1))
    for _ in range(steps):
        adam.zero_grad()
        ((model(x) - 2 * x - 1) ** 2).mean().backward()
        adam.step()
    seen = torch.tensor([float(dist.get_rank())])
    dist.all_reduce(seen)
    dist.destroy_process_group()
    weight, bias = (float(one.detach()) for one in model.module.parameters())
    return [seen.item(), round(weight, 5), round(bias, 5)]

@fw.pipeline
def main():
    return fit(60)
"""


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[ClusterRig]:
    campus = Campus(tmp_path / "campus", nodes=(Node("n1"), Node("n2")))
    (tmp_path / "work").mkdir()
    with project(tmp_path / "work", campus) as made:
        yield made
    campus.close()


def test_ddp_over_two_pods_learns_what_both_ranks_have_seen(rig: ClusterRig) -> None:
    pipeline = rig.load(SOURCE)
    there, here = (fw.run(pipeline, on=target).outputs["result"].load() for target in ("campus", "local"))
    assert there == here
    total, weight, bias = there
    assert total == 0 + 1
    assert abs(weight + bias - 3) < 0.3, "what rank 0 saw"
    assert abs(2 * weight + bias - 5) < 0.3, "what rank 1 saw"
