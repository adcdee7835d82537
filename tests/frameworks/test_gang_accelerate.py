"""Accelerate trains in gangs: `Accelerator()` in a step, and in a script under `accelerate launch`."""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path

from tests.frameworks.gang_bench import train

assert find_spec("accelerate"), "pip install accelerate"

STEP = """
    import fairway as fw

    @fw.step(gang=fw.gang(replicas=2, framework="accelerate", mixed_precision="no"))
    def fit() -> dict:
        import torch
        from accelerate import Accelerator
        from torch.utils.data import DataLoader, TensorDataset

        def fitted(net, batches, prepared, backward):
            optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
            net, optimizer, batches = prepared(net, optimizer, batches)
            for x, y in batches:
                optimizer.zero_grad()
                backward(torch.nn.functional.mse_loss(net(x), y))
                optimizer.step()
            return torch.cat([p.detach().flatten() for p in net.parameters()])

        accelerator = Accelerator()
        torch.manual_seed(7)
        data, weights = TensorDataset(torch.rand(32, 4), torch.rand(32, 1)), torch.nn.Linear(4, 1).state_dict()

        def net():
            made = torch.nn.Linear(4, 1)
            made.load_state_dict(weights)
            return made

        mine = fitted(net(), DataLoader(data, batch_size=4), accelerator.prepare, accelerator.backward)
        alone = fitted(net(), DataLoader(data, batch_size=8), lambda *all: all, lambda loss: loss.backward())
        both = accelerator.gather(mine[None])
        total = accelerator.reduce(torch.tensor([accelerator.process_index + 1.0]), "sum")
        import listening
        return {"wide": listening.wide(),
                "sum": total.item(), "world": accelerator.num_processes, "type": str(accelerator.distributed_type),
                "apart": (both[0] - both[1]).abs().max().item(), "off": (mine - alone).abs().max().item()}

    @fw.pipeline
    def gang():
        return fit()
"""


def test_ranks_train_one_network_as_one_process_would_on_batches_of_both(tmp_path: Path) -> None:
    found = train(tmp_path, STEP)
    assert (found["world"], found["sum"], found["type"]) == (2, 3.0, "DistributedType.MULTI_CPU")
    assert found["apart"] == 0.0
    assert len(found["wide"]) == 1, "PyTorch's store, at rank 0, as the guide says"
    assert found["off"] < 1e-6


SCRIPT = """
    import json, sys
    import torch
    from accelerate import Accelerator

    accelerator = Accelerator()
    total = accelerator.reduce(torch.tensor([accelerator.process_index + 1.0]), "sum")
    if accelerator.is_local_main_process:
        with open(sys.argv[1], "w") as file:
            json.dump({"sum": total.item(), "world": accelerator.num_processes}, file)
    accelerator.end_training()  # else PyTorch aborts now and then while the process exits, on a busy machine in every third
"""
COMMAND = """
    import fairway as fw

    fit = fw.command(["accelerate", "launch", "script.py", fw.Out("seen")], name="fit", gang=fw.gang(replicas=2, framework="accelerate"))

    @fw.pipeline
    def gang():
        return fit().seen
"""


def test_its_own_launcher_is_told_what_is_missing(tmp_path: Path) -> None:
    found = json.loads(Path(train(tmp_path, COMMAND, script_py=SCRIPT)).read_text())
    assert found == {"sum": 3.0, "world": 2}
