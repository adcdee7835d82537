"""What the script does, as a step in Python; its library is imported where a user would import it."""

import os
import time
from pathlib import Path

import torch.distributed as dist

import fairway as fw


@fw.step(gang=fw.gang(replicas=2, framework="torch"), cache=False)
def fit() -> int:
    dist.init_process_group()
    Path(os.environ["MARKS"], os.environ["RANK"]).write_text(repr(time.time()))
    dist.destroy_process_group()
    return 1


@fw.pipeline
def launch_step():
    return fit()
