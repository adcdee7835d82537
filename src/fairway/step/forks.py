"""Which processes may be forked: the table of libraries, and what the threads of a process say."""

from __future__ import annotations

import os
import sys
import time

UNSAFE_TO_FORK = ("polars", "grpc", "tensorflow", "jax", "ray", "pyspark")
"""Libraries that start threads when imported or hold locks that a forked child would wait for: their attempts are fresh interpreters."""

BEARS_FORK = (
    "catboost",
    "datasets",
    "lightgbm",
    "lightning",
    "matplotlib",
    "numpy",
    "optuna",
    "pandas",
    "pyarrow",
    "scipy",
    "seaborn",
    "sklearn",
    "statsmodels",
    "sympy",
    "torch",
    "torchvision",
    "transformers",
    "xgboost",
)
"""Libraries that take long to import, do nothing but define things meanwhile, and may be forked afterwards."""

_HARMLESS_THREADS = ("jemalloc_bg_thd",)  # Arrow's allocator stops it before a fork and starts it again in the child


def bears_fork() -> bool:
    """Can this process be forked after what it has imported? Threads that survive the libraries' own fork handlers say no."""
    if any(name in sys.modules for name in UNSAFE_TO_FORK):
        return False
    if has_opened_gpu():
        return False
    if count_threads() > 1:  # OpenBLAS ends its threads before a fork and starts new ones when needed; OpenMP and others do not
        pid = os.fork()
        if pid == 0:
            os._exit(0)
        os.waitpid(pid, 0)
        for _ in range(20):
            if count_threads() == 1:
                return True
            time.sleep(0.001)
        return False
    return True


def has_opened_gpu() -> bool:
    """Does this process hold a GPU that PyTorch has initialised?"""
    cuda = getattr(sys.modules.get("torch"), "cuda", None)
    return cuda is not None and cuda.is_initialized()


def count_threads() -> int:
    """Threads of this process, without those that a fork is known not to harm."""
    count = 0
    try:
        for task in os.listdir("/proc/self/task"):
            with open(f"/proc/self/task/{task}/comm", encoding="ascii", errors="replace") as file:
                count += file.read().strip() not in _HARMLESS_THREADS
    except OSError:
        return max(count, 1)
    return count
