"""A network that is saved every so many steps; each rank writes a line for each step, for somebody who kills one of them."""

import os
import time
from pathlib import Path

import torch
import torch.distributed as dist
from torch.nn.parallel import DistributedDataParallel

import fairway as fw

WIDTH = 1600


@fw.step(gang=fw.gang(replicas=2, framework="torch", restarts=2), cache=False)
def fit(steps: int, every: int) -> int:
    begun = time.time()
    dist.init_process_group()
    torch.set_num_threads(1)
    met = time.time()
    net = torch.nn.Sequential(torch.nn.Linear(WIDTH, WIDTH), torch.nn.ReLU(), torch.nn.Linear(WIDTH, WIDTH))
    state = fw.checkpoint.load(default=None)
    if state:
        net.load_state_dict(state["net"])
    loaded = time.time()
    first = state["step"] + 1 if state else 0
    shared = DistributedDataParallel(net)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.01)
    features = torch.randn(16, WIDTH)
    name = f"{fw.context().n}-{fw.context().rank}"
    with Path(os.environ["MARKS"], name).open("w", buffering=1) as marks:
        marks.write(f"{os.getpid()} {first} {begun} {met} {loaded}\n")
        for step in range(first, steps):
            optimizer.zero_grad()
            (shared(features) - features).square().mean().backward()
            optimizer.step()
            marks.write(f"{step} {time.time()}\n")
            if (step + 1) % every == 0:
                fw.checkpoint.save(step, {"net": net.state_dict(), "step": step})
    dist.destroy_process_group()
    return first


@fw.pipeline
def killed(steps: int = 200, every: int = 20):
    return fit(steps, every)
