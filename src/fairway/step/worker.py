"""The worker: one small process that starts attempts from warm zygotes, pumps their output, ends what must end, and reports.

It never imports user code and never decides what runs: the driver hands it attempts for which there is room. When the driver's end of
the socket closes, or the driver is gone, everything is killed and the worker leaves. It must not be killed at once when the driver dies, as
zygotes and attempts are with their parents: what a step has started would have nobody left to end it.
"""

from __future__ import annotations

import os
import select
import socket
import time
from typing import Any, NoReturn

from fairway.errors import StoreUnavailable
from fairway.spec.layout import BLOBS, LOCKS, SCRATCH, STREAMS
from fairway.spec.outcome import Outcome, Usage, outcome_key
from fairway.step import attempt as attempts
from fairway.step import processes
from fairway.step.errors_report import Origin, locate
from fairway.step.folder import FolderArtifactStore, FolderStreamStore
from fairway.step.nursery import Nursery, Warm
from fairway.step.pump import LogPump
from fairway.step.verdict import Evidence, explain_death
from fairway.step.wire import Channel

_SAMPLE_EVERY_S = 1.0
_LOG_REST_S = 0.01
_GRACE_S = 10.0


class Running:
    """One attempt the worker has taken. `pid` is 0 until it has begun; `reported` once the driver knows that its outcome is there."""

    __slots__ = (
        "began_at",
        "cpu_s",
        "deadline",
        "forced",
        "frame",
        "grace_s",
        "kill_at",
        "log",
        "name",
        "next_sample",
        "oom_before",
        "peak_bytes",
        "pid",
        "reported",
        "stopped",
        "warm",
    )  # fmt: skip

    def __init__(self, frame: dict[str, Any], log: LogPump, warm: Warm) -> None:
        self.frame, self.log, self.warm = frame, log, warm
        self.name: str = frame["id"]
        self.pid = 0
        self.began_at = self.deadline = self.kill_at = self.next_sample = 0.0
        self.peak_bytes, self.cpu_s = 0, 0.0
        self.oom_before = -1
        self.stopped = ""
        self.forced = self.reported = False
        self.grace_s = _GRACE_S


class Worker:
    """See the module. One thread, one poll loop; every method returns quickly."""

    def __init__(self, driver: Channel, home: str, parent: int = 0) -> None:
        self._driver = driver
        self._parent = os.pidfd_open(parent) if parent and hasattr(os, "pidfd_open") else -1
        self._home = home
        self._store = FolderArtifactStore(f"{home}/{BLOBS}")
        self._streams = FolderStreamStore(f"{home}/{STREAMS}")
        self._running: dict[str, Running] = {}
        self._logs: dict[int, Running] = {}
        self._resting: list[Running] = []
        self._ended: list[str] = []
        self._scratch_prefix = f"w{os.getpid()}-{os.urandom(4).hex()}"
        self._free_scratch: list[str] = []
        self._scratch_made = 0
        self._poller = select.poll()
        self._bell, bell_end = os.pipe()
        os.set_blocking(self._bell, False)
        self._rung = b""
        self._nursery = Nursery(home, bell_end)
        self._oom_kills = processes.OomKills()
        self._channels: dict[int, Warm] = {}
        self._watch(driver.fileno())
        self._watch(self._bell)
        if self._parent >= 0:
            self._watch(self._parent)

    def serve(self) -> NoReturn:
        """Until the driver hangs up."""
        while True:
            for fd, _ in self._poller.poll(self._patience_ms()):
                if fd == self._bell:
                    self._hear()
                elif fd in self._logs:
                    self._pump(fd)
                elif fd in self._channels:
                    self._serve_zygote(self._channels[fd])
                elif fd == self._driver.fileno():
                    self._serve_driver()
                elif fd == self._parent:
                    self._leave()
            self._look_at_clock()
            if self._ended:
                self._driver.send({"op": "ended", "ids": self._ended})
                self._ended = []
            self._set_interests()

    # The driver

    def _serve_driver(self) -> None:
        frames = self._driver.receive()
        if frames is None:
            self._leave()
        for frame in frames:
            match frame["op"]:
                case "start":
                    self._start(frame)
                case "warm":
                    self._warm(frame)
                case "ahead":
                    self._nursery.start_ahead(frame)
                case "cancel":
                    self._stop(self._running.get(frame["id"]), "cancelled", frame["grace_s"])
                case _:
                    self._leave()

    def _start(self, frame: dict[str, Any]) -> None:
        if frame["id"] in self._running:
            return
        warm = self._warm(frame)
        reader, writer = os.pipe()
        os.set_blocking(reader, False)
        log = LogPump(reader, f"{frame['run']}/{frame['id']}/log", self._streams, tuple(frame.get("secrets", {}).values()))
        running = Running(frame, log, warm)
        self._running[running.name] = running
        self._logs[reader] = running
        self._watch(reader)
        frame["scratch"] = self._take_scratch()
        warm.waiting.append((running.name, frame, writer))
        self._feed(warm)

    def _take_scratch(self) -> str:
        """A working folder for an attempt. They are used again: making and removing one costs more than a small attempt's own work."""
        if self._free_scratch:
            return self._free_scratch.pop()
        self._scratch_made += 1
        return f"{self._scratch_prefix}-{self._scratch_made}"

    def _warm(self, frame: dict[str, Any]) -> Warm:
        warm = self._nursery.find(frame)
        if warm is None:
            warm = self._nursery.start(frame)
            self._channels[warm.channel.fileno()] = warm
            self._watch(warm.channel.fileno())
        return warm

    def _feed(self, warm: Warm) -> None:
        """Hand over what waits, as far as the zygote has imported what it needs."""
        while warm.waiting and warm.is_ready_for(warm.waiting[0][1]):
            _, frame, writer = warm.waiting.pop(0)
            warm.channel.send({**frame, "op": "start"}, (writer,))
            os.close(writer)

    # Zygotes and attempts

    def _serve_zygote(self, warm: Warm) -> None:
        frames = warm.channel.receive()
        if frames is None:
            self._lose_zygote(warm)
            return
        for frame in frames:
            if frame["op"] == "ready":
                warm.modules.add(frame["module"])
                warm.importing = False
                warm.proven = True
                if not frame["forks"]:
                    self._go_single(warm)
                    return
                self._feed(warm)
            elif frame["op"] == "unfit":
                self._replace(warm)
                return
            elif frame["op"] == "exit":
                self._hear()
                self._conclude(self._running.get(frame["id"]), frame["status"], processes.Use(frame["rss"] * 1024, frame["cpu"]))

    def _go_single(self, warm: Warm) -> None:
        """This zygote must not be forked: what waits for it gets fresh interpreters."""
        self._nursery.forbid_forks(warm)
        self._replace(warm)

    def _replace(self, warm: Warm) -> None:
        self._retire(warm)
        for _, frame, writer in warm.waiting:
            self._move(frame, writer)
        warm.waiting.clear()

    def _move(self, frame: dict[str, Any], writer: int) -> None:
        running = self._running[frame["id"]]
        running.warm = self._warm(frame)
        running.warm.waiting.append((running.name, frame, writer))
        self._feed(running.warm)

    def _lose_zygote(self, warm: Warm) -> None:
        """Its process is gone: a single one has ended, a shared one was killed, or the user's module crashed it while being imported."""
        status, used = self._retire(warm)
        self._hear()
        waiting = {name for name, _, _ in warm.waiting}
        for running in [r for r in self._running.values() if r.warm is warm and r.name not in waiting]:
            if warm.single:
                self._conclude(running, status, used)
            else:
                self._conclude(running, processes.SIGKILL)
        processes.kill_children(self._nursery.pids())
        if not warm.proven and not warm.early:  # an early one may have died before it knew the code: the next one shows
            self._nursery.forbid_forks(warm)  # whatever it is, it then happens in the attempt and is reported as its end
        waiting_frames, warm.waiting = warm.waiting, []
        for _, frame, writer in waiting_frames:
            self._move(frame, writer)

    def _retire(self, warm: Warm) -> tuple[int, processes.Use]:
        fd = warm.channel.fileno()
        del self._channels[fd]
        self._poller.unregister(fd)
        return self._nursery.end(warm)

    def _hear(self) -> None:
        """Attempts that have begun or written their outcomes."""
        try:
            data = os.read(self._bell, 1 << 16)
        except BlockingIOError:
            return
        *lines, self._rung = (self._rung + data).split(b"\n")
        for line in lines:
            name, _, pid = line[1:].decode().partition(" ")
            running = self._running.get(name)
            if running is None:
                continue
            if line[:1] == b"+":
                self._begin(running, int(pid))
            elif not running.frame.get("hold"):
                self._report(running)

    def _begin(self, running: Running, pid: int) -> None:
        now = time.monotonic()
        running.pid, running.began_at = pid, now
        running.next_sample = now + _SAMPLE_EVERY_S
        running.oom_before = self._oom_kills.read(_SAMPLE_EVERY_S)
        if running.frame.get("timeout_s"):
            running.deadline = now + running.frame["timeout_s"]
        if running.stopped:
            self._signal(running)

    def _report(self, running: Running) -> None:
        if not running.reported:
            running.reported = True
            running.log.drain()
            self._ended.append(running.name)

    def _conclude(self, running: Running | None, status: int, used: processes.Use | None = None) -> None:
        """The process is gone. If it left no outcome, say what happened."""
        if running is None:
            return
        del self._running[running.name]
        if not running.reported:
            running.log.drain()
            if self._store.stat(outcome_key(running.frame["run"], running.name)) is None:
                self._write_verdict(running, status, used or processes.Use(0, 0.0))
        if status == 0:
            self._free_scratch.append(running.frame["scratch"])
        else:
            processes.signal_quietly(running.pid, processes.SIGKILL, group=True) if running.pid else None
            attempts.remove_scratch(f"{self._home}/{SCRATCH}/{running.frame['scratch']}")
            attempts.remove_file(attempts.items_path(self._home, running.name))
        self._report(running)
        self._forget_log(running)

    def _write_verdict(self, running: Running, status: int, used: processes.Use) -> None:
        frame, seen = running.frame, Evidence(status, running.log.tail)
        seen.stopped, seen.forced, seen.grace_s, seen.timeout_s = (
            running.stopped,
            running.forced,
            running.grace_s,
            frame.get("timeout_s", 0.0),
        )
        seen.peak_bytes = max(running.peak_bytes, used.rss_bytes)
        seen.limit_bytes = frame.get("machine_bytes", 0)
        if status & 0x7F == processes.SIGKILL and running.oom_before >= 0:
            seen.oom_kills = self._oom_kills.read(0.0) - running.oom_before
        now = time.time()
        began = now - (time.monotonic() - running.began_at) if running.began_at else now
        usage = Usage(now - began, max(running.cpu_s, used.cpu_s), seen.peak_bytes, frame.get("queued_at", 0.0), began, ended_at=now)
        usage.host = os.uname().nodename
        items = tuple(attempts.read_items(attempts.items_path(self._home, running.name)))
        error = explain_death(seen)
        if error.frames:
            origin = Origin(frame["root"], frame.get("source", ""), frame.get("secrets", {}).values())
            error.frames = tuple(locate(each, origin) for each in error.frames)
            error.traceback = origin.show_all(error.traceback)
        for secret in frame.get("secrets", {}).values():
            error.message = error.message.replace(secret, "***") if secret else error.message
        outcome = Outcome(running.name, "failed", items, error, usage, worker=f"{usage.host}:{running.pid}")
        try:
            attempts.put_outcome(
                self._store, outcome_key(frame["run"], running.name), outcome, f"{self._home}/{SCRATCH}/{frame['scratch']}"
            )
        except StoreUnavailable as full:  # the driver meets the same obstacle, and says so
            os.write(2, f"fairway: how {frame['run']}/{running.name} ended is not kept: {full}\n".encode())

    # Ending attempts

    def _stop(self, running: Running | None, reason: str, grace_s: float) -> None:
        if running is None or running.stopped:
            return
        running.stopped, running.grace_s = reason, grace_s
        warm = running.warm
        for entry in warm.waiting:
            if entry[0] == running.name:  # it has not begun
                warm.waiting.remove(entry)
                os.close(entry[2])
                self._conclude(running, processes.SIGTERM)
                return
        if running.pid:
            self._signal(running)

    def _signal(self, running: Running) -> None:
        processes.signal_quietly(running.pid, processes.SIGTERM, group=True)
        running.kill_at = time.monotonic() + running.grace_s

    def _kill(self, running: Running) -> None:
        running.forced = True
        running.kill_at = 0.0
        processes.signal_quietly(running.pid, processes.SIGKILL, group=True)

    def _leave(self) -> NoReturn:
        for running in self._running.values():
            if running.pid:
                processes.signal_quietly(running.pid, processes.SIGKILL, group=True)
        self._nursery.kill()
        processes.kill_children()
        for running in self._running.values():
            running.log.drain()
        for name in [*self._free_scratch, *(running.frame["scratch"] for running in self._running.values())]:
            attempts.remove_scratch(f"{self._home}/{SCRATCH}/{name}")
        os._exit(0)

    # Output and time

    def _pump(self, fd: int) -> None:
        running = self._logs[fd]
        if not running.log.pump():
            self._poller.unregister(fd)
            del self._logs[fd]
            return
        if running.log.busy:
            return
        running.log.rests_until = time.monotonic() + _LOG_REST_S  # let lines gather: one wake-up for many
        self._poller.unregister(fd)
        self._resting.append(running)

    def _forget_log(self, running: Running) -> None:
        fd = running.log.fd
        if self._logs.pop(fd, None) is not None:
            if running in self._resting:
                self._resting.remove(running)
            else:
                self._poller.unregister(fd)
        running.log.close()

    def _patience_ms(self) -> float | None:
        moments = [r.log.rests_until for r in self._resting]
        for running in self._running.values():
            moments += [moment for moment in (running.deadline, running.kill_at, running.next_sample) if moment]
        return max(0.0, min(moments) - time.monotonic()) * 1000 + 0.5 if moments else None

    def _look_at_clock(self) -> None:
        now = time.monotonic()
        if self._resting:
            for running in [r for r in self._resting if r.log.rests_until <= now]:
                self._resting.remove(running)
                self._watch(running.log.fd)
        for running in list(self._running.values()):
            if running.kill_at and now >= running.kill_at:
                self._kill(running)
            if running.deadline and now >= running.deadline:
                running.deadline = 0.0
                self._stop(running, "timeout", running.frame.get("grace_s", _GRACE_S))
            if running.next_sample and now >= running.next_sample:
                self._sample(running, now)

    def _sample(self, running: Running, now: float) -> None:
        running.next_sample = now + _SAMPLE_EVERY_S
        used = processes.measure(running.pid)
        if used is None:
            return
        running.cpu_s = max(running.cpu_s, used.cpu_s)
        running.peak_bytes = max(running.peak_bytes, used.rss_bytes)
        line = f"[{time.time():.3f},{used.rss_bytes},{used.cpu_s:.2f}]\n"
        attempts.append_quietly(self._streams, f"{running.frame['run']}/{running.name}/samples", line.encode())

    def _watch(self, fd: int) -> None:
        self._poller.register(fd, select.POLLIN)

    def _set_interests(self) -> None:
        """Wait for room where frames could not be sent whole."""
        for channel in [self._driver, *(warm.channel for warm in self._channels.values())]:
            if channel.pending:
                self._poller.modify(channel.fileno(), select.POLLIN if channel.flush() else select.POLLIN | select.POLLOUT)


def main(fd: int, home: str) -> NoReturn:
    """Serve the driver on the inherited socket `fd`."""
    parent = os.getppid()
    os.setsid()
    processes.adopt_orphans()
    os.set_inheritable(fd, False)
    sock = socket.socket(fileno=fd)
    sock.setblocking(False)
    for folder in (BLOBS, STREAMS, LOCKS, SCRATCH):
        try:
            os.makedirs(f"{home}/{folder}", exist_ok=True)
        except OSError:  # the driver meets the same obstacle, and says so
            break
    from fairway.step import zygote

    zygote.prepare(home)
    Worker(Channel(sock), home, parent).serve()
