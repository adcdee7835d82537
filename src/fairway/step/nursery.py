"""The worker's zygotes: one per interpreter, bundle and variables, started when first needed."""

from __future__ import annotations

import os
import socket
import sys
from typing import Any

from fairway.spec.layout import BUNDLES
from fairway.step import processes
from fairway.step.wire import Channel

_CAN_FORK = sys.platform == "linux" and hasattr(os, "pidfd_open")
_START = "import sys; from fairway.step.__main__ import main; main(sys.argv[1:])"


class Warm:
    """One zygote. `single`: it becomes the one attempt it is given. `modules`: what it has imported; `proven`: it has answered; `early`: it
    began before its attempts' code was known; `waiting`: (attempt, frame, log) not handed over."""

    def __init__(self, key: str, channel: Channel, pid: int, *, single: bool) -> None:
        self.key, self.channel, self.pid, self.single = key, channel, pid, single
        self.modules: set[str] = set()
        self.importing = self.proven = self.early = False
        self.waiting: list[tuple[str, dict[str, Any], int]] = []

    def is_ready_for(self, frame: dict[str, Any]) -> bool:
        """Has it imported the module of the attempt? If not, it is told to."""
        if self.single or frame["module"] in self.modules:
            return True
        if not self.importing:
            self.importing = True
            self.channel.send({"op": "import", "module": frame["module"], "root": frame["root"]})
        return False


class Nursery:
    """Starts and ends zygotes. Those of the worker's own interpreter are forks of the worker, others are started."""

    def __init__(self, home: str, bell: int) -> None:
        self._home, self._bell = home, bell
        self._warm: dict[str, Warm] = {}
        self._singles: set[Warm] = set()
        self._must_be_single: set[str] = set()
        self._ahead: tuple[Warm, dict[str, Any]] | None = None

    def pids(self) -> set[int]:
        """Of all zygotes alive."""
        ahead = (self._ahead[0],) if self._ahead is not None else ()
        return {warm.pid for warm in (*self._warm.values(), *self._singles, *ahead)}

    def find(self, frame: dict[str, Any]) -> Warm | None:
        """The zygote that serves such attempts, if there is one to share."""
        frame["root"] = f"{self._home}/{BUNDLES}/{frame['bundle']}" if frame["bundle"] else frame.get("source", "")
        warm = self._warm.get(_key(frame))
        if warm is not None and frame["op"] == "warm":
            warm.is_ready_for(frame)
        return warm

    def start(self, frame: dict[str, Any]) -> Warm:
        """A new one for such attempts."""
        key = _key(frame)
        single = key in self._must_be_single or not _CAN_FORK
        warm = self._adopt(frame, single) or self._start(frame, single)
        warm.key = key
        if single:
            self._singles.add(warm)
        else:
            self._warm[key] = warm
            if frame["op"] == "warm":
                warm.is_ready_for(frame)
        return warm

    def start_ahead(self, frame: dict[str, Any]) -> None:
        """One that imports libraries although its bundle is not known yet. The first attempt takes it over if it is of the module that
        will import them, or of a bundle that has this module, and wants the same variables; otherwise it ends."""
        if _CAN_FORK and self._ahead is None:
            self._ahead = self._start(frame, False), frame
            self._ahead[0].early = True
            self._ahead[0].channel.send({"op": "ahead", "imports": frame["imports"]})

    def _adopt(self, frame: dict[str, Any], single: bool) -> Warm | None:
        if self._ahead is None:
            return None
        (warm, wanted), self._ahead = self._ahead, None
        file = f"{frame['root']}/{wanted['module'].replace('.', '/')}.py"
        named = frame["module"].rpartition(".")[2] == wanted["module"].rpartition(".")[2]
        same = (named or os.path.isfile(file)) and frame.get("environ", {}) == wanted["environ"]
        alive = os.waitid(os.P_PID, warm.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None
        if same and alive and not single and not frame.get("python"):
            return warm
        processes.signal_quietly(warm.pid, processes.SIGKILL)
        self.end(warm)
        return None

    def _start(self, frame: dict[str, Any], single: bool) -> Warm:
        ours, theirs = socket.socketpair()
        if frame.get("python") or single:
            pid = self._spawn(frame, theirs, single)
        else:
            pid = os.fork()
            if pid == 0:
                self._be_zygote(frame, theirs)
        theirs.close()
        ours.setblocking(False)
        return Warm("", Channel(ours), pid, single=single)

    def forbid_forks(self, warm: Warm) -> None:
        """Attempts like those of `warm` get a fresh interpreter each from now on."""
        self._must_be_single.add(warm.key)

    def end(self, warm: Warm) -> tuple[int, processes.Use]:
        """Hang up and reap; returns the wait status and what it used."""
        self._warm.pop(warm.key, None) if not warm.single else self._singles.discard(warm)
        warm.channel.close()
        try:
            _, status, used = os.wait4(warm.pid, 0)
        except ChildProcessError:
            return processes.SIGKILL, processes.Use(0, 0.0)
        return status, processes.Use(used.ru_maxrss * 1024, used.ru_utime + used.ru_stime)

    def kill(self) -> None:
        """All of them, now."""
        for pid in self.pids():
            processes.signal_quietly(pid, processes.SIGKILL)

    def _spawn(self, frame: dict[str, Any], theirs: socket.socket, single: bool) -> int:
        python = frame.get("python") or sys.executable
        environ = {**os.environ, **frame.get("environ", {})}
        actions = [(os.POSIX_SPAWN_DUP2, theirs.fileno(), 100), (os.POSIX_SPAWN_DUP2, self._bell, 101)]
        mode = "single" if single else "fork"
        argv = [python, "-P", "-c", _START, "zygote", "100", "101", self._home, str(os.getpid()), mode]
        return os.posix_spawn(python, argv, environ, file_actions=actions)

    def _be_zygote(self, frame: dict[str, Any], theirs: socket.socket) -> None:
        from fairway.step.zygote import Zygote

        processes.die_with_parent(os.getppid())
        processes.adopt_orphans()
        for name in os.listdir("/proc/self/fd"):
            fd = int(name)
            if fd > 2 and fd not in (theirs.fileno(), self._bell):
                try:
                    os.close(fd)
                except OSError:
                    continue  # the listing's own
        os.environ.update(frame.get("environ", {}))
        Zygote(Channel(theirs), self._bell, self._home, forks=True).serve()


def _key(frame: dict[str, Any]) -> str:
    return repr((frame.get("python", ""), frame["root"], sorted(frame.get("environ", {}).items())))
