"""What a gang's leader listens to: what ranks print, by a FIFO for each, and the ends of processes."""

from __future__ import annotations

import os
import select
import time
from typing import TYPE_CHECKING

from fairway.step.gangcrew import Child
from fairway.step.gangtags import Sorter
from fairway.step.pump import LogPump

if TYPE_CHECKING:
    from fairway.spec.ports import StreamStore

_REST_S = 0.01  # lines gather: one wake-up for many, and the ranks keep their cores


class Wires:
    """`logs` and `writers` (what ranks print into) are by rank. The leader keeps the writing ends, so that no FIFO is ever at its end."""

    def __init__(self, streams: StreamStore, secrets: tuple[str, ...]) -> None:
        self._streams, self._secrets = streams, secrets
        self._poller = select.poll()
        self._by_fd: dict[int, int | Child | None] = {}
        self._resting: dict[int, float] = {}  # reading end -> until when
        self.logs: dict[int, LogPump | Sorter] = {}
        self.writers: dict[int, int] = {}

    def open_log(self, rank: int, stream: str, fifo: str) -> None:
        """Carry what is printed into `fifo` to the stream from now on."""
        self.logs[rank] = self._pump(self._open_fifo(rank, fifo), stream)

    def open_sorted(self, launched: int, prefix: str, fifo: str, tag: str, *, all_ranks: bool) -> None:
        """Carry what a launcher prints into `fifo` to its ranks' streams; with `all_ranks` also to those of other machines, which write
        none of their own."""
        own, others = self._pump(-1, f"{prefix}/log"), dict[int, LogPump]()

        def log_of(rank: int) -> LogPump:
            known = self.logs.get(rank)
            if isinstance(known, LogPump):
                return known
            if rank not in others:
                others[rank] = self._pump(-1, f"{prefix}/log.{rank}") if all_ranks else own
            return others[rank]

        self.logs[launched] = Sorter(self._open_fifo(launched, fifo), tag, own, log_of)

    def _pump(self, fd: int, stream: str) -> LogPump:
        return LogPump(fd, stream, self._streams, self._secrets)

    def _open_fifo(self, rank: int, fifo: str) -> int:
        os.mkfifo(fifo, 0o600)
        reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        self.writers[rank] = os.open(fifo, os.O_WRONLY | os.O_CLOEXEC)
        self.watch(reader, rank)
        return reader

    def watch(self, fd: int, what: int | Child | None) -> None:
        """Have `wait` tell of `what` when there is something at the descriptor."""
        self._by_fd[fd] = what
        self._poller.register(fd, select.POLLIN)

    def forget(self, fd: int) -> None:
        """Not watched = fine."""
        if self._by_fd.pop(fd, fd) != fd:
            self._poller.unregister(fd)

    def wait(self, patience_s: float | None) -> list[int | Child | None]:
        """What has something to tell, at the latest after `patience_s`: ranks whose lines were carried over, and whatever is watched."""
        patience = [patience_s] if patience_s is not None else []
        if self._resting:
            patience.append(min(self._resting.values()) - time.monotonic())
        ready = self._poller.poll(max(0.0, min(patience)) * 1000 + 0.5 if patience else None)
        found: list[int | Child | None] = []
        for fd, _ in ready:
            what = self._by_fd.get(fd)
            if isinstance(what, int):
                log = self.logs[what]
                log.pump()
                if not log.busy:
                    self._poller.unregister(fd)
                    self._resting[fd] = time.monotonic() + _REST_S
                if isinstance(log, Sorter):
                    found += log.spoke - {what}
                    log.spoke.clear()
            found.append(what)
        now = time.monotonic()
        for fd in [fd for fd, until in self._resting.items() if until <= now]:
            del self._resting[fd]
            self._poller.register(fd, select.POLLIN)
        return found

    def descriptors(self) -> list[int]:
        """All that are not meant for a child."""
        return [*self._by_fd, *self.writers.values()]

    def close(self) -> None:
        """Carry over what is left, and let go."""
        for log in self.logs.values():
            log.drain()
            log.close()
        for fd in self.writers.values():
            os.close(fd)
