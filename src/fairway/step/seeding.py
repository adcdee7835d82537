"""Random generators are seeded by the task, whichever library it uses and whenever it imports it.

Importing `random` or NumPy only to seed them would cost every step; so what is imported is seeded now, and the rest when it is imported.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

_seed = 0


def _seed_random(module: Any) -> None:
    module.seed(_seed)


def _seed_numpy(module: Any) -> None:
    module.seed(_seed % 2**32)


def _seed_torch(module: Any) -> None:
    module.manual_seed(_seed % 2**63)


_SEEDERS: dict[str, Callable[[Any], None]] = {"random": _seed_random, "numpy.random": _seed_numpy, "torch": _seed_torch}


def seed_everything(seed: int) -> None:
    """Seed `random`, NumPy's global generator and PyTorch with `seed`: now if imported, else as soon as they are."""
    global _seed
    _seed = seed
    for name, seeder in _SEEDERS.items():
        module = sys.modules.get(name)
        if module is not None and _is_ready(module):
            seeder(module)
    if not any(isinstance(finder, _SeedingFinder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _SeedingFinder())


def _is_ready(module: Any) -> bool:
    spec = getattr(module, "__spec__", None)
    return not getattr(spec, "_initializing", False) and hasattr(module, "seed" if "random" in module.__name__ else "manual_seed")


class _SeedingFinder:
    """Finds nothing itself; makes the loader of the modules above seed them once they are loaded."""

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        """Contract of `sys.meta_path`."""
        seeder = _SEEDERS.get(name)
        if seeder is None:
            return None
        for finder in sys.meta_path:
            if finder is self or not hasattr(finder, "find_spec"):
                continue
            spec = finder.find_spec(name, path, target)
            if spec is not None and spec.loader is not None:
                _seed_after(spec.loader, seeder)
                return spec
        return None


def _seed_after(loader: Any, seeder: Callable[[Any], None]) -> None:
    execute = loader.exec_module

    def exec_module(module: Any) -> None:
        execute(module)
        seeder(module)

    loader.exec_module = exec_module
