"""Two ranks meet, write down when, and part: run by torchrun, and by Fairway as a command."""

import os
import time
from pathlib import Path

import torch.distributed as dist

dist.init_process_group()
Path(os.environ["MARKS"], os.environ["RANK"]).write_text(repr(time.time()))
dist.destroy_process_group()
