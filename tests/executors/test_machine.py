"""What a machine has is what its control groups leave of it."""

from __future__ import annotations

import os
from pathlib import Path

from fairway.executors.machine import find_limits, find_total
from fairway.spec.resources import Resources

GIB = 1 << 30


class Groups:
    """A tree of control groups, and the file that says which are this process's."""

    def __init__(self, folder: Path, own: str) -> None:
        self.root = folder / "cgroup"
        self.own = folder / "own"
        self.own.write_text(own)
        self.root.mkdir()

    def write(self, path: str, text: str) -> None:
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text + "\n")

    def limits(self) -> Resources:
        return find_limits(str(self.root), str(self.own))


def test_without_control_groups_there_are_no_limits(tmp_path: Path) -> None:
    assert find_limits(str(tmp_path / "none"), str(tmp_path / "nothing")) == Resources(cpu=0.0)


def test_a_container_sees_its_own_group_as_the_root(tmp_path: Path) -> None:
    groups = Groups(tmp_path, "0::/\n")
    groups.write("memory.max", str(2 * GIB))
    groups.write("cpu.max", "150000 100000")
    assert groups.limits() == Resources(cpu=1.5, memory_bytes=2 * GIB)


def test_a_limit_of_a_group_above_counts_too(tmp_path: Path) -> None:
    groups = Groups(tmp_path, "0::/user.slice/session.scope\n")
    groups.write("user.slice/memory.max", str(GIB))
    groups.write("user.slice/cpu.max", "max 100000")
    groups.write("user.slice/session.scope/memory.max", "max")
    groups.write("user.slice/session.scope/cpu.max", "200000 100000")
    groups.write("other.slice/memory.max", "1")
    assert groups.limits() == Resources(cpu=2.0, memory_bytes=GIB)


def test_groups_of_version_1_are_read_by_controller(tmp_path: Path) -> None:
    groups = Groups(tmp_path, "9:name=systemd:/\n4:memory:/jobs/7\n2:cpu,cpuacct:/jobs\n0::/\n")
    groups.write("memory/memory.limit_in_bytes", "9223372036854771712")
    groups.write("memory/jobs/7/memory.limit_in_bytes", str(3 * GIB))
    groups.write("cpu/jobs/cpu.cfs_quota_us", "300000")
    groups.write("cpu/jobs/cpu.cfs_period_us", "100000")
    groups.write("cpu/cpu.cfs_quota_us", "-1")
    groups.write("cpu/cpu.cfs_period_us", "100000")
    assert groups.limits() == Resources(cpu=3.0, memory_bytes=3 * GIB)


def test_this_machine_has_at_least_a_core_and_no_more_than_it_has() -> None:
    total = find_total()
    assert 1 <= total.cpu <= (os.cpu_count() or 1)
    assert 0 < total.memory_bytes <= os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
