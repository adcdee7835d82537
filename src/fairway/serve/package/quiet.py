"""Loading a model with one OpenMP thread: what has run with several does not survive a fork.

XGBoost and LightGBM use OpenMP while they read a file. In a child forked afterwards GNU's OpenMP waits for threads that only the parent
had, for ever. With one thread none are started.
"""

from __future__ import annotations

import contextlib
import ctypes
from collections.abc import Generator
from importlib import import_module
from pathlib import Path

_MAPS = Path("/proc/self/maps")


@contextlib.contextmanager
def one_thread(*modules: str) -> Generator[None]:
    """Import `modules`, then let every OpenMP that is loaded use one thread until the end of the block."""
    for module in modules:
        import_module(module)
    found = [ctypes.CDLL(path) for path in _openmp_libraries()]
    before = [library.omp_get_max_threads() for library in found]
    for library in found:
        library.omp_set_num_threads(1)
    try:
        yield
    finally:
        for library, threads in zip(found, before, strict=True):
            library.omp_set_num_threads(threads)


def _openmp_libraries() -> list[str]:
    """Paths of the OpenMP libraries in this process; none where they cannot be told (macOS, where nothing is forked)."""
    if not _MAPS.exists():
        return []
    lines = _MAPS.read_text(encoding="utf-8", errors="replace").splitlines()
    paths = {parts[5] for line in lines if "omp" in line and len(parts := line.split(maxsplit=5)) == 6}  # of thousands, a few
    return sorted(path for path in paths if Path(path).name.startswith(("libgomp", "libomp", "libiomp")))
