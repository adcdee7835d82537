"""PyTorch trains in gangs: ranks that Fairway starts, in processes of Python and as commands, and those of a `torchrun` in each replica."""

from __future__ import annotations

import json
from importlib import import_module
from pathlib import Path

import pytest

from tests.frameworks.gang_bench import train

import_module("torch")

DDP = """
    import fairway as fw
    import torch
    import torch.distributed as dist
    from torch.nn.parallel import DistributedDataParallel

    def fitted(net, x, y):
        optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
        for _ in range(5):
            optimizer.zero_grad()
            torch.nn.functional.mse_loss(net(x), y).backward()
            optimizer.step()
        return torch.cat([p.detach().flatten() for p in net.parameters()])

    @fw.step(gang=fw.gang(replicas=2, framework="torch"{options}))
    def fit() -> dict:
        dist.init_process_group()
        rank, world = dist.get_rank(), dist.get_world_size()
        total = torch.tensor([rank + 1.0])
        dist.all_reduce(total)
        torch.manual_seed(7)
        x, y = torch.rand(32, 4), torch.rand(32, 1)
        torch.manual_seed(rank)  # DistributedDataParallel sends rank 0's parameters to all
        net = torch.nn.Linear(4, 1)
        mine = fitted(DistributedDataParallel(net), x[rank::world], y[rank::world])
        torch.manual_seed(0)
        alone = fitted(torch.nn.Linear(4, 1), x, y)
        both = [torch.empty_like(mine) for _ in range(world)]
        dist.all_gather(both, mine)
        import listening
        return {{
            "wide": listening.wide(), "sum": total.item(), "world": world, "threads": torch.get_num_threads(),
            "backend": dist.group.WORLD._get_backend(torch.device("cpu")).name(),
            "apart": (both[0] - both[1]).abs().max().item(), "off": (mine - alone).abs().max().item(),
        }}

    @fw.pipeline
    def gang():
        return fit()
"""


def test_ranks_train_one_network_as_one_process_would_on_the_whole_batch(tmp_path: Path) -> None:
    found = train(tmp_path, DDP.format(options=""))
    assert (found["world"], found["sum"]) == (2, 3.0)
    assert found["apart"] == 0.0
    assert len(found["wide"]) == 1, "PyTorch's store, at rank 0, as the guide says"
    assert found["off"] < 1e-6
    assert found["backend"] == "gloo"
    assert found["threads"] == 1, "a rank uses the cores that its replica asked for"


SCRIPT = """
    import json, os, sys
    import torch
    import torch.distributed as dist

    dist.init_process_group()
    total = torch.tensor([dist.get_rank() + 1.0])
    dist.all_reduce(total)
    names = ("LOCAL_RANK", "GROUP_RANK", "GROUP_WORLD_SIZE", "MASTER_ADDR")
    seen = [None] * dist.get_world_size()
    dist.all_gather_object(seen, [os.environ[name] for name in names])
    if os.environ["LOCAL_RANK"] == "0":
        with open(sys.argv[1], "w") as file:
            json.dump({"sum": total.item(), "world": dist.get_world_size(), "seen": seen}, file)
    dist.destroy_process_group()
"""
COMMAND = """
    import fairway as fw

    fit = fw.command([{words}, "script.py", fw.Out("seen")], name="fit", gang=fw.gang(framework="torch", {options}))

    @fw.pipeline
    def gang():
        return fit().seen
"""


@pytest.mark.parametrize(
    ("words", "options", "replicas", "each"),
    [
        ('"python"', "replicas=1, processes=2", 1, 2),  # Fairway starts every rank
        ('"torchrun"', "replicas=2", 2, 1),  # a launcher in each replica, told which one it is
        ('"torchrun"', "replicas=2, processes=2, rdzv='c10d'", 2, 2),  # elastic: the two launchers agree who is which
    ],
)
def test_commands_are_ranks_and_those_that_torchrun_starts(tmp_path: Path, words: str, options: str, replicas: int, each: int) -> None:
    made = train(tmp_path, COMMAND.format(words=words, options=options), script_py=SCRIPT)
    found = json.loads(Path(made).read_text())
    world = replicas * each
    assert (found["world"], found["sum"]) == (world, world * (world + 1) / 2)
    ranks = [[str(rank % each), str(rank // each), str(replicas), "127.0.0.1"] for rank in range(world)]
    assert sorted(found["seen"], key=lambda one: (one[1], one[0])) == ranks


def test_a_backend_is_asked_for_by_its_name(tmp_path: Path) -> None:
    import fairway as fw

    with pytest.raises(fw.errors.TaskError, match="MPI"):
        train(tmp_path, DDP.format(options=', backend="mpi", restarts=0'))
