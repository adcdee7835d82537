"""Trainers of others train in gangs with no line of Fairway in their loop, and go on from their own checkpoints after a rank was killed."""

from __future__ import annotations

import textwrap
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from tests.frameworks.gang_bench import train

torch: Any = import_module("torch")
for needed in ("lightning", "transformers", "ignite"):
    assert find_spec(needed), "pip install -r tests/frameworks/requirements.txt"

EPOCHS, ROWS, BATCH = 3, 32, 8  # what all ranks together take in a step
COMMON = """
    import os
    import signal

    import fairway as fw
    import torch

    def rows():
        torch.manual_seed(7)
        return torch.rand(32, 4), torch.rand(32, 1)

    def layer():
        torch.manual_seed(1)
        return torch.nn.Linear(4, 1)

    def maybe_die(step):
        # rank 1, in the middle of the second epoch: the checkpoint of the first one is there
        if step == 6 and os.environ["RANK"] == "1" and fw.context().n == 1:
            os.kill(os.getpid(), signal.SIGKILL)

    def told(net, begun):
        return {"world": int(os.environ["WORLD_SIZE"]), "try": fw.context().n, "begun": begun,
                "weights": torch.cat([p.detach().flatten() for p in net.parameters()]).tolist()}
"""
LIGHTNING = """
    import lightning as L
    from lightning.pytorch.callbacks import ModelCheckpoint
    from torch.utils.data import DataLoader, DistributedSampler, TensorDataset

    class Net(L.LightningModule):
        def __init__(self):
            super().__init__()
            self.layer, self.begun = layer(), 0

        def training_step(self, batch, number):
            x, y = batch
            return torch.nn.functional.mse_loss(self.layer(x), y)

        def configure_optimizers(self):
            return torch.optim.SGD(self.parameters(), lr=0.1)

        def train_dataloader(self):
            data = TensorDataset(*rows())
            return DataLoader(data, batch_size=4, sampler=DistributedSampler(data, shuffle=False))  # Lightning's own shuffles

        def on_train_start(self):
            self.begun = self.global_step

        def on_train_batch_start(self, batch, number):
            maybe_die(self.global_step)

    @fw.step(gang=fw.gang(replicas=2, framework="torch"))
    def fit() -> dict:
        trainer = L.Trainer(
            max_epochs=3, accelerator="cpu", strategy="ddp", num_nodes=2, devices=1,
            callbacks=[ModelCheckpoint(fw.checkpoint.dir, save_last=True)],
            logger=False, enable_progress_bar=False, enable_model_summary=False,
        )
        net = Net()
        trainer.fit(net, ckpt_path="last")
        return told(net, net.begun)
"""
TRANSFORMERS = """
    from pathlib import Path

    from transformers import Trainer, TrainerCallback, TrainingArguments

    class Net(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = layer()

        def forward(self, x, labels):
            found = self.layer(x)
            return {"loss": torch.nn.functional.mse_loss(found, labels), "logits": found}

    class Watch(TrainerCallback):
        def on_train_begin(self, args, state, control, **more):
            self.begun = state.global_step

        def on_step_begin(self, args, state, control, **more):
            maybe_die(state.global_step)

    @fw.step(gang=fw.gang(replicas=2, framework="torch"))
    def fit() -> dict:
        folder, watch, net = fw.checkpoint.dir, Watch(), Net()
        arguments = TrainingArguments(
            str(folder), use_cpu=True, num_train_epochs=3, per_device_train_batch_size=4, train_sampling_strategy="sequential",
            optim="sgd", learning_rate=0.1, lr_scheduler_type="constant", max_grad_norm=0, save_strategy="epoch",
            ddp_find_unused_parameters=False, report_to="none", disable_tqdm=True,
        )
        whole = [found.parent for found in folder.glob("checkpoint-*/trainer_state.json")]
        newest = max(whole, key=lambda one: int(one.name.rpartition("-")[2]), default=None)
        data = [{"x": x, "labels": y} for x, y in zip(*rows())]
        Trainer(net, arguments, train_dataset=data, callbacks=[watch]).train(resume_from_checkpoint=newest and str(newest))
        return told(net, watch.begun)
"""
IGNITE = """
    import ignite.distributed as idist
    from ignite.engine import Engine, Events
    from ignite.handlers import Checkpoint, DiskSaver
    from torch.utils.data import TensorDataset

    @fw.step(gang=fw.gang(replicas=2, framework="torch"))
    def fit() -> dict:
        idist.initialize("gloo")
        net = idist.auto_model(layer())
        optimizer = idist.auto_optim(torch.optim.SGD(net.parameters(), lr=0.1))
        batches = idist.auto_dataloader(TensorDataset(*rows()), batch_size=8, shuffle=False)

        def update(engine, batch):
            x, y = batch
            optimizer.zero_grad()
            torch.nn.functional.mse_loss(net(x), y).backward()
            optimizer.step()

        trainer = Engine(update)
        kept = {"net": net, "optimizer": optimizer, "trainer": trainer}
        saver = DiskSaver(str(fw.checkpoint.dir), require_empty=False)
        keep = Checkpoint(kept, saver, n_saved=2, global_step_transform=lambda engine, event: engine.state.epoch)
        trainer.add_event_handler(Events.EPOCH_COMPLETED, keep)
        trainer.add_event_handler(Events.ITERATION_STARTED, lambda engine: maybe_die(engine.state.iteration - 1))
        newest = max(fw.checkpoint.dir.glob("checkpoint_*.pt"), key=lambda one: int(one.stem.rpartition("_")[2]), default=None)
        if newest:
            Checkpoint.load_objects(kept, checkpoint=newest)
        begun = trainer.state.iteration
        trainer.run(batches, max_epochs=3)
        idist.finalize()
        return told(net, begun)
"""
SHARDED = """
    import torch.distributed as dist
    import torch.distributed.checkpoint as dcp
    from torch.distributed.checkpoint.state_dict import get_state_dict, set_state_dict
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard
    from torch.distributed.tensor import Replicate
    from torch.distributed.tensor.parallel import RowwiseParallel, parallelize_module

    # divided

    @fw.step(gang=fw.gang(replicas=2, framework="torch"))
    def fit() -> dict:
        dist.init_process_group()
        net, rows_of = divided(layer())
        optimizer = torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.5)
        x, y = rows()
        begun = newest = max((int(one.parent.name) for one in fw.checkpoint.dir.glob("*/.metadata")), default=0)
        if newest:
            weights, state = get_state_dict(net, optimizer)
            kept = {"weights": weights, "optimizer": state}
            dcp.load(kept, checkpoint_id=fw.checkpoint.dir / str(newest))
            set_state_dict(net, optimizer, model_state_dict=kept["weights"], optim_state_dict=kept["optimizer"])
        for step in range(begun, 12):
            maybe_die(step)
            mine = rows_of(step % 4 * 8)
            optimizer.zero_grad()
            torch.nn.functional.mse_loss(net(x[mine]), y[mine]).backward()
            optimizer.step()
            if step % 4 == 3:
                weights, state = get_state_dict(net, optimizer)
                dcp.save({"weights": weights, "optimizer": state}, checkpoint_id=fw.checkpoint.dir / str(step + 1))
        assert net.weight.to_local().numel() == share(dist.get_rank())
        whole = torch.nn.Linear(4, 1)
        whole.load_state_dict({name: one.full_tensor() for name, one in net.state_dict().items()})
        return told(whole, begun)
"""
PIPELINE = """
    @fw.pipeline
    def gang():
        return fit()
"""


@cache
def alone(momentum: float = 0.0) -> list[float]:
    """What one process comes to with the whole of each batch."""
    torch.manual_seed(7)
    x, y = torch.rand(ROWS, 4), torch.rand(ROWS, 1)
    torch.manual_seed(1)
    net = torch.nn.Linear(4, 1)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1, momentum=momentum)
    for begin in list(range(0, ROWS, BATCH)) * EPOCHS:
        optimizer.zero_grad()
        torch.nn.functional.mse_loss(net(x[begin : begin + BATCH]), y[begin : begin + BATCH]).backward()
        optimizer.step()
    return torch.cat([each.detach().flatten() for each in net.parameters()]).tolist()


def trained(folder: Path, source: str) -> dict[str, Any]:
    return train(folder, "\n".join(textwrap.dedent(part) for part in (COMMON, source, PIPELINE)))


@pytest.mark.parametrize("source", [LIGHTNING, TRANSFORMERS, IGNITE], ids=["Lightning", "Hugging Face", "Ignite"])
def test_a_trainer_comes_to_what_one_process_would_though_a_rank_is_killed(tmp_path: Path, source: str) -> None:
    found = trained(tmp_path, source)
    assert found["world"] == 2
    assert (found["try"], found["begun"]) == (2, ROWS // BATCH), "it went on from the checkpoint of the first epoch"
    assert found["weights"] == pytest.approx(alone(), abs=1e-6)


FSDP = """
    def divided(net):
        fully_shard(net)  # of each tensor a rank has some rows: of this one's single row rank 1 has none
        rank = dist.get_rank()
        return net, lambda begin: slice(begin + 4 * rank, begin + 4 * rank + 4)

    def share(rank):
        return 0 if rank else 4
"""
DTENSOR = """
    def divided(net):
        # each rank has half of the columns, and takes whole batches
        parallelize_module(net, init_device_mesh("cpu", (2,)), RowwiseParallel(input_layouts=Replicate()))
        return net, lambda begin: slice(begin, begin + 8)

    def share(rank):
        return 2
"""


@pytest.mark.parametrize("divide", [FSDP, DTENSOR], ids=["FSDP2", "DTensor"])
def test_divided_weights_are_kept_by_pytorch_itself(tmp_path: Path, divide: str) -> None:
    found = trained(tmp_path, textwrap.dedent(SHARDED).replace("# divided", textwrap.dedent(divide)))
    assert (found["try"], found["begun"]) == (2, ROWS // BATCH)
    assert found["weights"] == pytest.approx(alone(momentum=0.5), abs=1e-6)
