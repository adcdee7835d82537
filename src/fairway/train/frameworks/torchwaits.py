"""What a rank has to do with the others inside PyTorch: how long it waits for them, that it goes on when a collective has ended, and
whether it has heard of them at all. It is seen where PyTorch itself waits, in its own process, at microseconds each.

Every collective of Python that blocks ends in `Work.wait`, those of DTensor in `wait_tensor`. DistributedDataParallel waits in C++; it
measures some iterations by itself, and what of their communication lay behind the computation stands for those between. NCCL lets the
device wait instead of the process: there only what DistributedDataParallel measures is seen.
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable, Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

from fairway.step import pulse

_AFTER = "torch.nn.parallel.distributed"  # `import torch` loads it last of what is needed
_FUNCTIONAL = "torch.distributed._functional_collectives"  # comes with DTensor
_EVERY = 10  # iterations of DistributedDataParallel on CPUs, of which one is measured
_EVERY_ON_DEVICES = 100  # as PyTorch does it by itself: there a measurement waits for the device


def watch() -> None:
    """Count from now on, or as soon as PyTorch is imported."""
    for name, interpose in ((_AFTER, _interpose), (_FUNCTIONAL, _interpose_functional)):
        if name in sys.modules:
            interpose(sys.modules[name])
        elif not any(isinstance(finder, _Finder) and finder.name == name for finder in sys.meta_path):
            sys.meta_path.insert(0, _Finder(name, interpose))


class _Finder:
    """Interposes when the module comes, and never looks for anything else."""

    def __init__(self, name: str, interpose: Callable[[Any], None]) -> None:
        self.name, self._interpose = name, interpose

    def find_spec(self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None) -> ModuleSpec | None:
        if name != self.name:
            return None
        sys.meta_path.remove(self)  # type: ignore[arg-type]
        spec = importlib.util.find_spec(name)
        if spec is not None and spec.loader is not None:
            load, interpose = spec.loader.exec_module, self._interpose

            def exec_module(module: ModuleType) -> None:
                load(module)
                interpose(module)

            spec.loader.exec_module = exec_module  # type: ignore[method-assign]
        return spec


def _interpose(module: Any) -> None:
    """`module` has DistributedDataParallel."""
    torch: Any = sys.modules["torch"]
    if not torch.distributed.is_available():
        return
    work = torch._C._distributed_c10d.Work
    parallel = module.DistributedDataParallel
    if work.wait.__name__ != "counted":
        work.wait = pulse.counting("network", work.wait)
        if hasattr(parallel, "_get_ddp_logging_data") and hasattr(parallel, "_set_ddp_runtime_logging_sample_rate"):
            parallel.forward = _sampled(parallel.forward)
    if parallel.forward.__name__ == "sampled":  # else ranks that do train together might not be seen
        pulse.look_for_company()


def _interpose_functional(module: Any) -> None:
    """Its collectives block in C++, when what they bring is first used."""
    torch: Any = sys.modules["torch"]
    wait = getattr(module, "wait_tensor", None)
    if wait is None or wait.__name__ == "counted" or not hasattr(torch.compiler, "is_compiling"):
        return
    seen = pulse.counting("network", wait)

    def counted(tensor: Any) -> Any:
        return wait(tensor) if torch.compiler.is_compiling() else seen(tensor)  # a compiler that looks in must find PyTorch's own

    module.wait_tensor = counted


def _sampled(forward: Any) -> Any:
    """Around each forward pass: the rank goes on, for the backward pass before it has waited for all; and now and then the exposed
    communication of the last one is looked at."""

    def sampled(self: Any, *args: Any, **options: Any) -> Any:
        pulse.go_on()
        seen = self.__dict__.get("_fairway_seen")
        if seen is None:
            on_device = getattr(self, "device_type", "cpu") != "cpu"
            seen = self.__dict__["_fairway_seen"] = [_EVERY_ON_DEVICES if on_device else _EVERY, 0, 0]  # how often, iterations, until when
            if not on_device:
                self._set_ddp_runtime_logging_sample_rate(_EVERY)
        result = forward(self, *args, **options)
        seen[1] += 1
        if seen[1] >= seen[2] + seen[0]:
            told = self._get_ddp_logging_data()
            behind_ns = int(told.get("backward_comm_time", 0)) - int(told.get("backward_compute_comm_overlap_time", 0))
            pulse.waited("network", max(0, behind_ns) / 1e9 * (seen[1] - seen[2]))
            seen[2] = seen[1]
        return result

    return sampled
