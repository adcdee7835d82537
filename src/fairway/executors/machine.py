"""What this machine has: cores, memory, accelerators, as far as this process may use them."""

from __future__ import annotations

import os
import sys

from fairway.spec.resources import Resources


def find_total() -> Resources:
    """Cores by affinity and control group, memory by control group or all, NVIDIA and AMD devices by their device files."""
    return Resources(cpu=_count_cpus(), memory_bytes=_find_memory(), disk_bytes=0, accelerators=_count_accelerators())


def _count_cpus() -> float:
    cores = float(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)
    try:
        with open("/sys/fs/cgroup/cpu.max", encoding="ascii") as file:
            quota, period = file.read().split()
        return max(1.0, min(cores, int(quota) / int(period))) if quota != "max" else cores
    except (OSError, ValueError):
        return cores


def _find_memory() -> int:
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    for path in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        try:
            with open(path, encoding="ascii") as file:
                text = file.read().strip()
        except OSError:
            continue
        if text.isdigit():
            total = min(total, int(text))
    return total


def _count_accelerators() -> dict[str, int]:
    found: dict[str, int] = {}
    if sys.platform != "linux":
        return found
    try:
        names = os.listdir("/dev")
    except OSError:
        return found
    nvidia = sum(name.startswith("nvidia") and name[6:].isdigit() for name in names)
    if nvidia:
        found["nvidia.com/gpu"] = nvidia
    if "kfd" in names:
        try:
            amd = sum(name.startswith("renderD") for name in os.listdir("/dev/dri"))
        except OSError:
            amd = 0
        if amd:
            found["amd.com/gpu"] = amd
    return found
