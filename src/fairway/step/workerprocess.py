"""The worker as its driver sees it: a process at the other end of a socket, started when needed, buried without leaving anything."""

from __future__ import annotations

import os
import socket
import sys
import time
from typing import Any

from fairway.step import processes
from fairway.step.wire import Channel

_WORKER = "import sys; sys.path.append(sys.argv[4]); from fairway.step.__main__ import main; main(sys.argv[1:4])"
_MARK = "FAIRWAY_WORKER"
_CLOSE_S = 10.0
_ENVIRON = {
    "PYTHONHASHSEED": "0",  # the same set is written in the same order by every attempt
    # Threads that spin while they wait starve the attempts beside them: two gradient boostings took ten times as long.
    "OMP_WAIT_POLICY": "PASSIVE",
}


class WorkerProcess:
    """One worker for a home. `channel` is None while there is none. Not for several threads at once."""

    def __init__(self, home: str) -> None:
        self.home = home
        self.channel: Channel | None = None
        self._pid = 0
        self._mark = ""

    def start(self) -> Channel:
        """Start it unless it runs."""
        if self.channel is not None:
            return self.channel
        ours, theirs = socket.socketpair()
        self._mark = f"{os.getpid()}-{os.urandom(6).hex()}"
        package = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
        argv = [sys.executable, "-P", "-c", _WORKER, "worker", "100", self.home, package]
        environ = {**_ENVIRON, **os.environ, _MARK: self._mark}
        actions = [(os.POSIX_SPAWN_DUP2, theirs.fileno(), 100)]
        self._pid = os.posix_spawn(sys.executable, argv, environ, file_actions=actions)
        theirs.close()
        ours.setblocking(False)
        self.channel = Channel(ours)
        return self.channel

    def send(self, frame: dict[str, Any]) -> None:
        """Queue a frame, starting the worker if need be."""
        self.start().send(frame)

    def receive(self) -> list[dict[str, Any]] | None:
        """What the worker has said; None if it is gone (it is buried then, and the next `send` starts another)."""
        assert self.channel is not None
        self.channel.flush()
        frames = self.channel.receive()
        if frames is None:
            self.close()
        return frames

    def close(self) -> None:
        """Hang up, and wait until the worker and all that it started are gone."""
        if self.channel is not None:
            self.channel.close()
            self.channel = None
            self._bury()

    def _bury(self) -> None:
        """Reap the worker, and kill whatever it left (it leaves nothing unless it was killed itself)."""
        end = time.monotonic() + _CLOSE_S
        status = -1
        while status < 0:
            pid, found = os.waitpid(self._pid, os.WNOHANG)
            if pid:
                status = found
            elif time.monotonic() > end:
                processes.signal_quietly(self._pid, processes.SIGKILL)
                status = os.waitpid(self._pid, 0)[1]
            else:
                time.sleep(0.001)
        while status and time.monotonic() < end:
            left = processes.find_marked(f"{_MARK}={self._mark}")
            if not left:
                break
            for pid in left:
                processes.signal_quietly(pid, processes.SIGKILL)
            time.sleep(0.002)
