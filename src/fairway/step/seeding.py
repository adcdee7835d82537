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


def _read_random(module: Any, *, fresh: bool) -> Any:
    return (module.Random(_seed) if fresh else module).getstate()


def _read_numpy(module: Any, *, fresh: bool) -> Any:
    kind, keys, *rest = (module.RandomState(_seed % 2**32) if fresh else module).get_state()
    return kind, keys.tobytes(), *rest


def _read_torch(module: Any, *, fresh: bool) -> Any:
    generator = module.Generator().manual_seed(_seed % 2**63) if fresh else module.default_generator
    return generator.get_state().numpy().tobytes()


_SEEDERS: dict[str, Callable[[Any], None]] = {"random": _seed_random, "numpy.random": _seed_numpy, "torch": _seed_torch}
_READERS: dict[str, Callable[..., Any]] = {"random": _read_random, "numpy.random": _read_numpy, "torch": _read_torch}


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


def read_generators() -> dict[str, Any]:
    """The states of those generators that are imported."""
    return {name: read(module, fresh=False) for name, read in _READERS.items() if (module := sys.modules.get(name)) and _is_ready(module)}


def have_drawn(before: dict[str, Any]) -> bool:
    """Has anything drawn random numbers since `read_generators()` gave `before`, or from a generator that was imported after that?"""
    now = read_generators()
    return any(state != (before.get(name) or _READERS[name](sys.modules[name], fresh=True)) for name, state in now.items())


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
        spec = find_after(self, name, path, target)
        if spec is not None and spec.loader is not None:
            _seed_after(spec.loader, seeder)
            return spec
        return None


def find_after(finder: Any, name: str, path: Any, target: Any) -> Any:
    """What the finders of `sys.meta_path` after this one say. Those before it may have asked it, and would again."""
    for other in sys.meta_path[sys.meta_path.index(finder) + 1 :]:
        spec = other.find_spec(name, path, target) if hasattr(other, "find_spec") else None
        if spec is not None:
            return spec
    return None


def _seed_after(loader: Any, seeder: Callable[[Any], None]) -> None:
    execute = loader.exec_module

    def exec_module(module: Any) -> None:
        execute(module)
        seeder(module)

    loader.exec_module = exec_module
