"""A network trained by all ranks: the same function under torchrun (this file as a script) and in a step."""

import json
import os
import time
from collections.abc import Callable
from pathlib import Path

import torch
import torch.distributed as dist
from torch.nn.parallel import DistributedDataParallel

WIDTH, BATCH, WARM = 512, 256, 20


def train(steps: int, report: Callable[[int, float], None]) -> None:
    """Rank 0 writes seconds and samples of all steps but the first ones."""
    dist.init_process_group()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    net = torch.nn.Sequential(
        torch.nn.Linear(64, WIDTH), torch.nn.ReLU(), torch.nn.Linear(WIDTH, WIDTH), torch.nn.ReLU(), torch.nn.Linear(WIDTH, 10)
    )
    shared = DistributedDataParallel(net)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.05)
    features = torch.randn(4096, 64, generator=torch.Generator().manual_seed(dist.get_rank()))
    labels = features[:, :10].argmax(dim=1)
    begun = 0.0
    for step in range(steps + WARM):
        if step == WARM:
            dist.barrier()
            begun = time.perf_counter()
        at = step * BATCH % 4096
        optimizer.zero_grad()
        loss = torch.nn.functional.cross_entropy(shared(features[at : at + BATCH]), labels[at : at + BATCH])
        loss.backward()
        optimizer.step()
        report(step, loss.item())
    dist.barrier()
    took = time.perf_counter() - begun
    if dist.get_rank() == 0:
        found = {"seconds": took, "samples": steps * BATCH * dist.get_world_size(), "loss": loss.item()}
        Path(os.environ["FOUND"]).write_text(json.dumps(found))
    dist.destroy_process_group()


if __name__ == "__main__":
    losses = list[float]()
    train(int(os.environ["STEPS"]), lambda _, loss: losses.append(loss))
