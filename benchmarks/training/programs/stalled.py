"""Rank 1 waits for ever, rank 0 for rank 1."""

import os
import time
from pathlib import Path

import torch
import torch.distributed as dist

import fairway as fw


@fw.step(gang=fw.gang(replicas=2, framework="torch", restarts=0, stall_timeout=2), cache=False)
def fit() -> int:
    dist.init_process_group()
    total = torch.ones(1)
    for step in range(20):
        dist.all_reduce(total)
        fw.log(total=float(total), step=step)
    Path(os.environ["MARKS"], str(fw.context().rank)).write_text(repr(time.time()))
    if dist.get_rank() == 1:
        read_batch()
    dist.all_reduce(total)
    return 1


def read_batch() -> None:
    time.sleep(1000)


@fw.pipeline
def stalled():
    return fit()
