"""What the framework itself needs before it can train: imports, a meeting of two, a network. Started twice with torchrun's variables."""

import torch
import torch.distributed as dist
from torch.nn.parallel import DistributedDataParallel

WIDTH = 1600

dist.init_process_group()
torch.set_num_threads(1)
net = DistributedDataParallel(torch.nn.Sequential(torch.nn.Linear(WIDTH, WIDTH), torch.nn.ReLU(), torch.nn.Linear(WIDTH, WIDTH)))
features = torch.randn(16, WIDTH)
optimizer = torch.optim.SGD(net.parameters(), lr=0.01)
(net(features) - features).square().mean().backward()
optimizer.step()
print("trained", flush=True)
dist.destroy_process_group()
