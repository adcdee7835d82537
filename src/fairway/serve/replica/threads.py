"""How many threads numeric libraries get in a model process, and how they wait."""

from __future__ import annotations

import math
import os
from pathlib import Path

NAMES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
"""Variables that libraries read when they are imported."""
_WAITING = {"OMP_WAIT_POLICY": "passive", "KMP_BLOCKTIME": "0"}
_CGROUP = Path("/sys/fs/cgroup")


def limit_threads(workers: int) -> None:
    """Give each worker its share of the cores that the front leaves, before a numeric library asks how many there are. What the user set
    stays. Threads sleep while they wait for each other: those that spin keep the one that they wait for from its core as soon as anything
    else runs, and answers take a hundred times as long."""
    share = str(share_cores(count_cores(), workers))
    for name in NAMES:
        os.environ.setdefault(name, share)
    for name, value in _WAITING.items():
        os.environ.setdefault(name, value)


def share_cores(cores: int, workers: int) -> int:
    """Threads for each of the workers; the front and the gateway have one core."""
    return max(1, (cores - 1) // max(1, workers))


def count_cores(cgroup: Path = _CGROUP) -> int:
    """Cores that this process may use: those it is bound to, and what its container is allowed of them."""
    from fairway.step.processes import count_cores as count

    return max(1, min(count(), math.ceil(_read_quota(cgroup))))


def _read_quota(cgroup: Path) -> float:
    """Of the control group, in cores; a very large number for no limit."""
    for names in (("cpu.max",), ("cpu/cpu.cfs_quota_us", "cpu/cpu.cfs_period_us")):
        try:
            quota, period = " ".join((cgroup / name).read_text(encoding="ascii") for name in names).split()
            if quota != "max" and int(quota) > 0:
                return int(quota) / int(period)
        except (OSError, ValueError, ZeroDivisionError):
            continue
    return float(1 << 16)
