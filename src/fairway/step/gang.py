"""A gang on this machine: one leader, the attempt's own process, and a process for each rank that this machine runs.

The leader imports nothing of the user's and computes nothing, so that ranks can be forked from it whatever their libraries bear. It pumps
what ranks print into a stream of each ("RUN/ATTEMPT/log.RANK"), waits, and when the first of them fails ends the others: that one says why.
"""

from __future__ import annotations

import json
import os
import select
import signal
import sys
import time
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Any, NoReturn

from fairway.spec.gang import LOOPBACK, PORTS_EACH, Gang, Place, World, here, places_of
from fairway.spec.outcome import ErrorInfo, ItemOutcome
from fairway.spec.record import from_plain, to_plain
from fairway.step import processes
from fairway.step.pump import LogPump
from fairway.step.verdict import Evidence, explain_death

if TYPE_CHECKING:
    from fairway.spec.ports import StreamStore

_GRACE_S = 3.0
_encode = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False).encode


class Rank:
    """One process of the gang, as its leader sees it."""

    def __init__(self, place: Place, pid: int, pidfd: int, log: LogPump, report: str) -> None:
        self.place, self.pid, self.pidfd, self.log, self.report = place, pid, pidfd, log, report
        self.status: int | None = None
        self.ended_at = 0.0
        self.used = processes.Use(0, 0.0)

    @property
    def running(self) -> bool:
        """It has not been reaped."""
        return self.status is None

    def outcome(self) -> ItemOutcome | None:
        """What it has reported; None if it died without a word."""
        try:
            with open(self.report, encoding="utf-8") as file:
                return from_plain(ItemOutcome, json.load(file))
        except (OSError, ValueError):
            return None


def alone(gang: Gang) -> World:
    """The world of a gang whose replicas are all on this machine."""
    return World((LOOPBACK,) * gang.replicas, tuple(free_ports(gang.processes * PORTS_EACH) for _ in range(gang.replicas)))


def free_ports(count: int) -> tuple[int, ...]:
    """Ports that nobody listens at now."""
    import socket

    sockets = [socket.socket() for _ in range(count)]
    try:
        for sock in sockets:
            sock.bind((LOOPBACK, 0))
        return tuple(sock.getsockname()[1] for sock in sockets)
    finally:
        for sock in sockets:
            sock.close()


class GangRun:
    """One item of a gang's attempt. `work(place)` is what a rank does in its own process; `scratch` is where ranks report."""

    def __init__(self, gang: Gang, world: World, *, run: str, attempt: str, n: int, scratch: str, streams: StreamStore) -> None:
        self._gang = gang
        self._places = here(places_of(gang, world, attempt, n), world)
        self._framework = _get_framework(gang.framework)
        self._prefix, self._scratch, self._streams = f"{run}/{attempt}", f"{scratch}/.gang", streams
        self._ranks: list[Rank] = []
        self.first: Rank | None = None

    def run(self, work: Callable[[Place], ItemOutcome]) -> ItemOutcome:
        """Until all have ended: the outcome of this machine's first rank, or that of the rank that failed first."""
        os.makedirs(self._scratch, exist_ok=True)
        try:
            for place in self._places:
                self._ranks.append(self._start(place, work))
            self._await()
        finally:
            self._end_all(0.0)
        if self.first is not None:
            return self._explain(self.first)
        outcome = self._ranks[0].outcome()
        assert outcome is not None  # a rank that ends well has reported
        return outcome

    def _start(self, place: Place, work: Callable[[Place], ItemOutcome]) -> Rank:
        reader, writer = os.pipe()
        os.set_blocking(reader, False)
        report = f"{self._scratch}/rank-{place.rank}.json"
        me = os.getpid()
        sys.stdout.flush()
        sys.stderr.flush()
        pid = os.fork()
        if pid == 0:
            processes.die_with_parent(me)
            os.close(reader)
            _be_rank(lambda: work(place), self._framework.environment(place, self._gang), writer, report)
        os.close(writer)
        return Rank(place, pid, os.pidfd_open(pid), LogPump(reader, f"{self._prefix}/log.{place.rank}", self._streams), report)

    def _await(self) -> None:
        poller = select.poll()
        for rank in self._ranks:
            poller.register(rank.pidfd, select.POLLIN)
            poller.register(rank.log.fd, select.POLLIN)
        by_pidfd = {rank.pidfd: rank for rank in self._ranks}
        by_log = {rank.log.fd: rank for rank in self._ranks}
        kill_at = 0.0
        while any(rank.running for rank in self._ranks):
            patience = None if not kill_at else max(0.0, kill_at - time.monotonic()) * 1000
            for fd, _ in poller.poll(patience):
                if fd in by_log:
                    if not by_log[fd].log.pump():
                        poller.unregister(fd)
                        del by_log[fd]
                elif by_pidfd[fd].running:
                    poller.unregister(fd)
                    self._reap(by_pidfd[fd])
            if self.first is not None and not kill_at:
                kill_at = time.monotonic() + _GRACE_S
                self._signal_all(processes.SIGTERM)
            elif kill_at and time.monotonic() >= kill_at:
                self._signal_all(processes.SIGKILL)

    def _reap(self, rank: Rank) -> None:
        _, status, used = os.wait4(rank.pid, 0)
        rank.status, rank.ended_at = status, time.time()
        rank.used = processes.Use(used.ru_maxrss * 1024, used.ru_utime + used.ru_stime)
        rank.log.drain()
        outcome = rank.outcome()
        if self.first is None and (status != 0 or outcome is None or outcome.status == "failed"):
            self.first = rank

    def _signal_all(self, number: int) -> None:
        for rank in self._ranks:
            if rank.running:
                processes.signal_quietly(rank.pid, number, group=True)

    def _end_all(self, grace_s: float) -> None:
        self._signal_all(processes.SIGKILL)
        for rank in self._ranks:
            if rank.running:
                self._reap(rank)
            rank.log.close()
            os.close(rank.pidfd)

    def _explain(self, rank: Rank) -> ItemOutcome:
        outcome = rank.outcome()
        if outcome is not None and outcome.error is not None:
            error = outcome.error
        else:
            error = explain_death(Evidence(rank.status or 0, rank.log.tail))
        error.message = f"rank {rank.place.rank} of {rank.place.world_size} failed first: {error.message}"
        return ItemOutcome("failed", error=error)


def _be_rank(work: Callable[[], ItemOutcome], variables: Any, log: int, report: str) -> NoReturn:
    """Be one rank: a group of its own, output into `log`; report, and end the process."""
    status = 70
    try:
        os.setpgid(0, 0)
        os.dup2(log, 1)
        os.dup2(log, 2)
        os.close(log)
        os.environ.update(variables)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        outcome = work()
        partial = f"{report}.part"
        with open(partial, "w", encoding="utf-8", errors="replace") as file:
            file.write(_encode(to_plain(outcome)))
        os.rename(partial, report)
        status = 0
    except BaseException as error:  # noqa: BLE001 - must never unwind into the leader's own loop
        import traceback

        os.write(2, ("fairway: the rank could not be finished\n" + "".join(traceback.format_exception(error))).encode("utf-8", "replace"))
    finally:
        for stream in (sys.stdout, sys.stderr):
            try:
                stream.flush()
            except (OSError, ValueError):
                continue
        os._exit(status)


def _get_framework(name: str) -> Any:
    """The rendezvous table is above this room: it is found as a plugin is."""
    return import_module("fairway.train.frameworks").get_framework(name)


def failed(message: str, hint: str = "", kind: str = "lost") -> ItemOutcome:
    """An item that did not begin."""
    return ItemOutcome("failed", error=ErrorInfo(kind, "FW-TASK-FAILED", message, hint=hint))


__all__: Sequence[str] = ("GangRun", "Rank", "alone", "failed", "free_ports")
