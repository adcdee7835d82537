"""DeepSpeed trains in gangs: `deepspeed.initialize()` in a step, and a script under its own launcher. On CPUs, over gloo."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.frameworks.gang_bench import train

assert find_spec("deepspeed"), "pip install deepspeed"

# Its kernel for sums in shared memory would be compiled first, for a minute: without it gloo is taken.
FITTING = """
    import os, torch
    import deepspeed

    deepspeed.ops.__compatible_ops__ = {}

    def fitted(make):
        torch.manual_seed(7)
        x, y, net = torch.rand(32, 4), torch.rand(32, 1), torch.nn.Linear(4, 1)
        net, optimizer, part = make(net, torch.optim.SGD(net.parameters(), lr=0.1))
        for _ in range(5):
            loss = torch.nn.functional.mse_loss(net(x[part]), y[part])
            if optimizer is None:
                net.backward(loss)
                net.step()
            else:
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
        return torch.cat([p.detach().flatten() for p in net.parameters()])

    def shared(net, optimizer):
        settings = {"train_batch_size": 32, "train_micro_batch_size_per_gpu": 16, "gradient_clipping": 0.0}
        rank, world = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
        return deepspeed.initialize(model=net, optimizer=optimizer, config=settings)[0], None, slice(rank, None, world)

    def told():
        import torch.distributed as dist
        mine, alone = fitted(shared), fitted(lambda net, optimizer: (net, optimizer, slice(None)))
        both = [torch.empty_like(mine) for _ in range(dist.get_world_size())]
        dist.all_gather(both, mine)
        return {"world": len(both), "backend": dist.get_backend(), "apart": (both[0] - both[1]).abs().max().item(),
                "off": (mine - alone).abs().max().item()}
"""
STEP = """
    import fairway as fw

    @fw.step(gang=fw.gang(replicas=2, framework="deepspeed"))
    def fit() -> dict:
        import fitting
        return fitting.told()

    @fw.pipeline
    def gang():
        return fit()
"""
COMMAND = """
    import fairway as fw

    words = ["deepspeed", "--no_local_rank", "script.py", fw.Out("seen", dict)]
    fit = fw.command(words, name="fit", gang=fw.gang(replicas=2, framework="deepspeed"))

    @fw.pipeline
    def gang():
        return fit().seen
"""
SCRIPT = """

    import json, sys

    found = told()
    with open(sys.argv[1], "w") as file:
        json.dump(found, file)
    torch.distributed.destroy_process_group()  # else PyTorch aborts now and then while the process exits, on a busy machine
"""


@pytest.mark.parametrize("text", [STEP, COMMAND], ids=["step", "launcher"])
def test_ranks_train_as_one_process_would_on_the_whole_batch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv("DS_ACCELERATOR", "cpu")
    found = train(tmp_path, text, fitting_py=FITTING, script_py=FITTING + SCRIPT)
    assert (found["world"], found["backend"], found["apart"]) == (2, "gloo", 0.0)
    assert found["off"] < 1e-6
