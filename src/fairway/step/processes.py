"""Processes and their descendants: who they are, what they use, and how to end them all.

On Linux an attempt adopts its orphans (subreaper) and dies with its parent (parent-death signal), so nothing a step starts can outlive it.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable

SIGTERM, SIGKILL = 15, 9
SIGSTOP = 19 if sys.platform == "linux" else 17
_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE, _PR_SET_CHILD_SUBREAPER = 1, 4, 36
_ON_LINUX = sys.platform == "linux"
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
_TICKS = os.sysconf("SC_CLK_TCK")


def _prctl_caller() -> Callable[[int, int], int]:
    """`prctl` of the C library. `_ctypes` alone costs a quarter of what importing `ctypes` does, and every run pays it."""
    try:
        import _ctypes

        address = _ctypes.dlsym(_ctypes.dlopen(None, 0), "prctl")  # type: ignore[attr-defined]
        return lambda option, value: _ctypes.call_function(address, (option, value, 0, 0, 0))  # type: ignore[attr-defined]
    except (ImportError, AttributeError, OSError):
        import ctypes

        library = ctypes.CDLL(None)
        return lambda option, value: library.prctl(option, value, 0, 0, 0)


if _ON_LINUX:
    _prctl = _prctl_caller()


def die_with_parent(parent: int) -> None:
    """Be killed when the parent dies (Linux; a no-op elsewhere). Ends at once if the parent is already another one than `parent`."""
    if _ON_LINUX:
        _prctl(_PR_SET_PDEATHSIG, SIGKILL)
        if os.getppid() != parent:
            os._exit(1)


def adopt_orphans() -> None:
    """Become the parent of descendants whose own parent dies (Linux; a no-op elsewhere)."""
    if _ON_LINUX:
        _prctl(_PR_SET_CHILD_SUBREAPER, 1)


def hide() -> None:
    """Keep other processes of this user from reading our memory and the variables we were started with (Linux; a no-op elsewhere)."""
    if _ON_LINUX:
        _prctl(_PR_SET_DUMPABLE, 0)


def find_children(pid: int) -> list[int]:
    """Direct children; [] if the process is gone or the system does not tell."""
    found: list[int] = []
    try:
        for task in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{task}/children", "rb") as file:
                found += map(int, file.read().split())
    except OSError:
        return found
    return found


def count_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def has_children() -> bool:
    """Has this process a child, alive or not reaped? Orphans of the dead ones count, where it adopts them."""
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return False
    return True


def find_descendants(pid: int) -> list[int]:
    """Children, their children, and so on, parents first."""
    found = find_children(pid)
    for child in found:  # grows while it is walked
        found.extend(find_children(child))
    return found


def signal_quietly(pid: int, number: int, *, group: bool = False) -> None:
    """Send a signal; nobody there is fine."""
    try:
        if group:
            os.killpg(pid, number)
        else:
            os.kill(pid, number)
    except (ProcessLookupError, PermissionError):
        return


def kill_children(keep: frozenset[int] | set[int] = frozenset(), deadline_s: float = 5.0) -> int:
    """Kill and reap every descendant of this process except the direct children in `keep` (and what they started). Returns how many there
    were.

    Orphans of the killed come to us, as subreaper, and are killed in turn until there are none. A fork bomb loses because all of it is
    stopped before any of it is killed.
    """
    if not has_children():
        return 0
    me, killed = os.getpid(), 0
    end = time.monotonic() + deadline_s
    while True:
        mine = [pid for pid in find_children(me) if pid not in keep]
        if not mine:
            return killed
        stopped: set[int] = set()
        while time.monotonic() < end:
            running = {below for pid in mine for below in (pid, *find_descendants(pid))} - stopped
            if not running:
                break
            for pid in running:
                signal_quietly(pid, SIGSTOP)
            stopped |= running
            mine = [pid for pid in find_children(me) if pid not in keep]
        for pid in stopped.union(mine):
            signal_quietly(pid, SIGKILL)
        for pid in mine:
            try:
                killed += os.waitpid(pid, 0)[0] == pid
            except ChildProcessError:
                continue
        if time.monotonic() > end:
            return killed


class Use:
    """What a process tree uses now: resident bytes and CPU seconds so far."""

    __slots__ = ("cpu_s", "rss_bytes")

    def __init__(self, rss_bytes: int, cpu_s: float) -> None:
        self.rss_bytes = rss_bytes
        self.cpu_s = cpu_s


def measure(pid: int) -> Use | None:
    """The process and its descendants together (Linux); None if it is gone or the system does not tell."""
    rss, cpu, seen = 0, 0.0, False
    for each in [pid, *find_descendants(pid)]:
        try:
            with open(f"/proc/{each}/stat", "rb") as file:
                fields = file.read().rpartition(b")")[2].split()
        except OSError:
            continue
        seen = True
        rss += int(fields[21]) * _PAGE_BYTES
        cpu += sum(map(int, fields[11:15])) / _TICKS
    return Use(rss, cpu) if seen else None


def measure_delay(pid: int) -> float | None:
    """Seconds that its main thread could have computed and had no core (Linux); None if the system does not tell."""
    try:
        with open(f"/proc/{pid}/schedstat", "rb") as file:
            return int(file.read().split()[1]) / 1e9
    except (OSError, ValueError, IndexError):
        return None


def find_marked(marker: str) -> list[int]:
    """Processes of ours whose starting environment contains `marker` ("NAME=value"): all that a worker started, whatever became of it."""
    wanted, found = marker.encode() + b"\0", []
    try:
        entries = os.listdir("/proc")
    except OSError:
        return []
    for name in entries:
        if not name.isdigit() or int(name) == os.getpid():
            continue
        try:
            with open(f"/proc/{name}/environ", "rb") as file:
                if wanted in file.read():
                    found.append(int(name))
        except OSError:
            continue
    return found


class OomKills:
    """`count_oom_kills`, read again only when it is older than asked for: it costs half a millisecond."""

    def __init__(self) -> None:
        self._count = -1
        self._read_at = -1e9

    def read(self, max_age_s: float) -> int:
        """The count as it was at most `max_age_s` ago."""
        now = time.monotonic()
        if now - self._read_at >= max_age_s:
            self._count, self._read_at = count_oom_kills(), now
        return self._count


def count_oom_kills() -> int:
    """How often the kernel has killed a process of this machine or control group for memory; -1 if it does not say."""
    total = -1
    for path, name in _oom_counters():
        try:
            with open(path, "rb") as file:
                for line in file:
                    if line.startswith(name):
                        total = max(total, 0) + int(line.split()[-1])
        except (OSError, ValueError):
            continue
    return total


def _oom_counters() -> list[tuple[str, bytes]]:
    counters = [("/proc/vmstat", b"oom_kill ")]
    try:
        with open("/proc/self/cgroup", encoding="utf-8") as file:
            for line in file:
                _, controllers, path = line.rstrip("\n").split(":", 2)
                if not controllers:
                    counters.append((f"/sys/fs/cgroup{path}/memory.events", b"oom_kill "))
    except OSError:
        return counters
    return counters
