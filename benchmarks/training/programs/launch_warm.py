"""Gangs one after the other, so that all but the first find a warm worker. Each has the time at which the one before it ended."""

import os
import time
from pathlib import Path

import torch.distributed as dist

import fairway as fw


@fw.step(gang=fw.gang(replicas=2, framework="torch"), cache=False)
def fit(number: int, before: int) -> int:
    dist.init_process_group()
    Path(os.environ["MARKS"], f"{number}-{os.environ['RANK']}").write_text(repr(time.time()))
    dist.destroy_process_group()
    return number


@fw.pipeline
def launch_warm():
    last = 0
    for number in range(int(os.environ["GANGS"])):
        last = fit(number, last)
    return last
