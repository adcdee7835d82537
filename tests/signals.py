"""Signals as the kernel may give them: to any thread of a process that does not block them, not only to the main one, which alone runs
Python's handlers."""

from __future__ import annotations

import ctypes
import os
from pathlib import Path


def signal_another_thread(pid: int, number: int) -> None:
    """Send it to the thread of a process that has run the longest after the main one: of those that come and go, one that ends before
    it has run again takes the signal with it."""
    others = sorted((_began(pid, int(name)), int(name)) for name in os.listdir(f"/proc/{pid}/task") if int(name) != pid)
    assert ctypes.CDLL(None).tgkill(pid, others[0][1], number) == 0


def _began(pid: int, thread: int) -> int:
    """When it began, in the kernel's ticks since the machine's start (proc(5): `starttime`); later than any for one that has ended."""
    try:
        line = Path(f"/proc/{pid}/task/{thread}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return 1 << 62
    return int(line.rpartition(")")[2].split()[19])
