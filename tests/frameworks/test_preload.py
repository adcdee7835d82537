"""What a zygote imports for its attempts leaves it a process that may be forked, and attempts as they would be without."""

from __future__ import annotations

import subprocess
import sys
from importlib.util import find_spec

import pytest

from fairway.step.forks import BEARS_FORK
from tests.executors.rig import Bench
from tests.executors.rig import bench as bench

CODE = """
import sys
import matplotlib, numpy, pandas, pyarrow, sklearn.tree
from fairway.step.serializers.preload import NEEDS, preload
from fairway.step.forks import bears_fork

assert preload([part for part, _, _ in NEEDS])
assert not preload([part for part, _, _ in NEEDS])
print("skops.io" in sys.modules, "torch" in sys.modules, bears_fork())
"""

FORKED = "import {name}; from fairway.step.forks import bears_fork; print(bears_fork())"

TRAINING = """
import sys
import torch

def fit(x):
    had = "torch._dynamo" in sys.modules
    net = torch.nn.Linear(3, 1)
    optimizer = torch.optim.Adam(net.parameters())
    for _ in range(3):
        optimizer.zero_grad()
        net(torch.ones(2, 3)).square().sum().backward()
        optimizer.step()
    return [had, torch.rand(1).item(), [each.tolist() for each in net.parameters()]]
"""


def test_all_that_is_imported_ahead_bears_a_fork_also_with_torch() -> None:
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["True", "True", "True"]


@pytest.mark.parametrize("name", [*(name for name in BEARS_FORK if find_spec(name)), "torch._dynamo"])
def test_a_library_of_the_table_bears_a_fork(name: str) -> None:
    done = subprocess.run([sys.executable, "-c", FORKED.format(name=name)], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["True"]


def test_what_the_first_optimizer_loads_is_loaded_once_and_changes_no_result(bench: Bench) -> None:
    bench.write(TRAINING)
    first, second, third = (bench.value("fit", n, name=f"fit{n}") for n in range(3))
    assert [each[0] for each in (first, second, third)] == [False, True, True]
    assert first[1:] == second[1:] == third[1:]
