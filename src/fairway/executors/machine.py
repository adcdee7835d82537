"""What this machine has: cores, memory, accelerators, as far as this process may use them."""

from __future__ import annotations

import os
import sys

from fairway.spec.resources import Resources

_GROUPS, _OWN = "/sys/fs/cgroup", "/proc/self/cgroup"


def find_total() -> Resources:
    """Cores by affinity and control group, memory by control group or all, NVIDIA and AMD devices by their device files."""
    cores = float(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    limits = find_limits()
    return Resources(
        cpu=max(1.0, min(cores, limits.cpu or cores)),
        memory_bytes=min(memory, limits.memory_bytes or memory),
        disk_bytes=0,
        accelerators=_count_accelerators(),
    )


def find_limits(groups: str = _GROUPS, own: str = _OWN) -> Resources:
    """The least that this process's control groups, of version 1 or 2, and those above them allow; 0 where none sets a limit."""
    cores: list[float] = []
    memory: list[int] = []
    for folder in _find_folders(groups, own):
        text = _read(f"{folder}/cpu.max").split()
        if len(text) == 2 and text[0].isdigit():
            cores.append(int(text[0]) / int(text[1]))
        quota, period = _read(f"{folder}/cpu.cfs_quota_us"), _read(f"{folder}/cpu.cfs_period_us")
        if quota.isdigit() and period.isdigit():
            cores.append(int(quota) / int(period))
        memory += [int(text) for text in (_read(f"{folder}/{name}") for name in ("memory.max", "memory.limit_in_bytes")) if text.isdigit()]
    return Resources(cpu=min(cores, default=0.0), memory_bytes=min(memory, default=0))


def _find_folders(groups: str, own: str) -> set[str]:
    """The control groups that hold for this process, from the roots down to its own."""
    folders = {groups, f"{groups}/memory", f"{groups}/cpu"}
    for line in _read(own).splitlines():
        _, controllers, path = line.split(":", 2)
        mounts = [name for name in controllers.split(",") if name in ("memory", "cpu")] if controllers else [""]
        for mount in mounts:
            folder = f"{groups}/{mount}".rstrip("/")
            for part in path.strip("/").split("/"):
                folder = f"{folder}/{part}"
                folders.add(folder)
    return folders


def _read(path: str) -> str:
    try:
        with open(path, encoding="ascii") as file:
            return file.read().strip()
    except (OSError, ValueError):
        return ""


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
