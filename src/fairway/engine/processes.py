"""Which process is meant: a number alone is given to another one some day."""

from __future__ import annotations

import os


def identify_process(pid: int) -> str:
    """What tells the process from every other that has the same number, before or after; "" if there is none."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            began = file.read().rpartition(b")")[2].split()[19].decode()
        with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
            return f"{file.read().strip()}:{began}"
    except OSError:
        return "" if os.path.exists("/proc/self/stat") else _ask_ps(pid)


def is_process(pid: int, identity: str) -> bool:
    """Is this process still there?"""
    return bool(identity) and identify_process(pid) == identity


def signal_process(pid: int, identity: str, name: str) -> bool:
    """Send SIG`name` to this very process; False if it is gone. Raises PermissionError."""
    import signal

    number = getattr(signal, f"SIG{name}")
    opener = getattr(os, "pidfd_open", None)
    try:
        held = opener(pid) if opener is not None else -1  # whoever has the number now keeps it while we look
    except OSError:
        held = -1
    try:
        if not is_process(pid, identity):
            return False
        if held >= 0:
            signal.pidfd_send_signal(held, number)
        else:
            os.kill(pid, number)
    except ProcessLookupError:
        return False
    finally:
        if held >= 0:
            os.close(held)
    return True


def _ask_ps(pid: int) -> str:
    import subprocess

    done = subprocess.run(["ps", "-o", "lstart=", "-p", str(pid)], capture_output=True, text=True, check=False)
    return done.stdout.strip()
