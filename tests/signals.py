"""Signals as the kernel may give them: to any thread of a process that does not block them, not only to the main one, which alone runs
Python's handlers."""

from __future__ import annotations

import ctypes
import os


def signal_another_thread(pid: int, number: int) -> None:
    """Send it to a thread of a process that is not the main one."""
    others = [int(name) for name in os.listdir(f"/proc/{pid}/task") if int(name) != pid]
    assert ctypes.CDLL(None).tgkill(pid, others[-1], number) == 0
