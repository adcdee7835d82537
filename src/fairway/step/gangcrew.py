"""The processes of a gang as their leader sees them: ranks, the programs beside them, a launcher. Started, signalled, reaped.

Each is a process group of its own and dies with the leader; orphans of theirs come to the leader, which adopts them.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import NoReturn

from fairway.spec.gang import Place
from fairway.step import processes

RANK, SERVICE, LAUNCHER = "rank", "service", "launcher"
_PACKAGE = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
PYTHON_PATH = "PYTHONPATH"


class Child:
    """One process. `ours` False: a launcher has started it, and how it ended is not told, only that it has."""

    def __init__(self, kind: str, place: Place, pid: int, *, name: str = "", ours: bool = True) -> None:
        self.kind, self.place, self.pid, self.name, self.ours = kind, place, pid, name, ours
        self.running = True
        self.status: int | None = None
        self.ended_at = 0.0
        self.used = processes.Use(0, 0.0)
        self.pidfd = -1
        try:
            self.pidfd = os.pidfd_open(pid) if hasattr(os, "pidfd_open") else -1
        except ProcessLookupError:
            self.running, self.ended_at = False, time.time()

    def reap(self) -> bool:
        """True if it has ended by now; never waits."""
        if not self.running:
            return True
        if self.ours:
            pid, status, used = os.wait4(self.pid, os.WNOHANG)
            if not pid:
                return False
            self.status = status
            self.used = processes.Use(used.ru_maxrss * 1024, used.ru_utime + used.ru_stime)
        elif processes.measure(self.pid) is not None and not _is_dead(self.pid):
            return False
        self.running, self.ended_at = False, time.time()
        return True

    def signal(self, number: int) -> None:
        """To its whole group (only to itself if it is not ours)."""
        if self.running:
            processes.signal_quietly(self.pid, number, group=self.ours)

    def close(self) -> None:
        """Forget it. What it has left in its group is killed."""
        if self.ours:
            processes.signal_quietly(self.pid, processes.SIGKILL, group=True)
        if self.pidfd >= 0:
            os.close(self.pidfd)
            self.pidfd = -1


def fork(become: Callable[[], NoReturn], log: int, inherited: Sequence[int]) -> int:
    """Fork a process that reads nothing, prints into `log` and becomes something; returns its pid. `inherited`: what it must not hold."""
    me = os.getpid()
    pid = os.fork()
    if pid == 0:
        try:
            processes.die_with_parent(me)
            os.setpgid(0, 0)
            quiet = os.open(os.devnull, os.O_RDONLY)  # a group in the background that reads from the terminal would be stopped by it
            os.dup2(quiet, 0)
            os.dup2(log, 1)
            os.dup2(log, 2)
            for fd in {*inherited, log, quiet} - {0, 1, 2}:
                os.close(fd)
            become()
        finally:
            os._exit(70)
    with suppress(OSError):
        os.setpgid(pid, pid)  # whoever comes first: a signal to the group must find it
    return pid


def execute(argv: Sequence[str], environ: Mapping[str, str], folder: str = "") -> NoReturn:
    """Become a program (in a working folder of its own); if there is none, say so and end."""
    try:
        if folder:
            os.makedirs(folder, exist_ok=True)
            os.chdir(folder)
        os.execvpe(argv[0], list(argv), dict(environ))
    except OSError as error:
        os.write(2, f"fairway: cannot start {argv[0]!r}: {error.strerror}\n".encode())
        os._exit(127)


def with_paths(environ: Mapping[str, str], root: str) -> dict[str, str]:
    """`environ` with the bundle's folder, and Fairway where the interpreter would not find it by itself, on PYTHONPATH."""
    given = environ.get(PYTHON_PATH, "")
    ours = [] if "site-packages" in _PACKAGE else [_PACKAGE]
    return {**environ, PYTHON_PATH: os.pathsep.join(path for path in (root, given, *ours) if path)}


def _is_dead(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return file.read().rpartition(b")")[2].split()[0] in (b"Z", b"X")
    except OSError:
        return True
