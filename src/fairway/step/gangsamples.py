"""What each rank uses and waits for, once a second: lines `[time, resident bytes, CPU seconds, {…}]` in the streams "samples.RANK"."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NamedTuple

from fairway.errors import FairwayError
from fairway.step import processes
from fairway.step.gpu import find_devices, visible
from fairway.step.pulse import Pulses

if TYPE_CHECKING:
    from fairway.spec.ports import StreamStore

_EVERY_S = 1.0
_encode = json.JSONEncoder(separators=(",", ":")).encode


class Ended(NamedTuple):
    """When a rank's process ended (epoch seconds), what it had used, which it was."""

    at: float
    used: processes.Use
    pid: int


class Sampler:
    """`due_at`: when the next samples are (monotonic). `peak_bytes`: the most that each rank was seen with. `environment`: a rank's, which
    says which devices it may use."""

    def __init__(
        self, prefix: str, streams: StreamStore, pulses: Pulses, environment: Callable[[int], Mapping[str, str]] | None = None
    ) -> None:
        self._prefix, self._streams, self._pulses = prefix, streams, pulses
        self._environment = environment
        self._devices: dict[int, list[int]] = {}
        self._last: dict[int, list[Any]] = {}
        self._seen: set[int] = set()
        self._host = os.environ.get("FAIRWAY_NODE") or os.uname().nodename
        self.due_at = time.monotonic() + _EVERY_S
        self.peak_bytes: dict[int, int] = {}

    def sample(self, pids: Mapping[int, int]) -> None:
        """One line for each rank (its number -> its process), and a last one for each that has ended. What cannot be kept is no failure."""
        self.due_at = time.monotonic() + _EVERY_S
        for rank in [rank for rank in self._last if rank not in pids]:
            _, rss_bytes, cpu_s, counts = self._last.pop(rank)
            still = {name: count for name, count in counts.items() if name != "gpu"}
            self._keep(rank, [round(time.time(), 3), rss_bytes, cpu_s, {**still, **self._pulses.counts(rank), "ended": True}])
        for rank, pid in pids.items():
            used = processes.measure(pid)
            if used is None:
                continue
            self._seen.add(rank)
            self.peak_bytes[rank] = max(self.peak_bytes.get(rank, 0), used.rss_bytes)
            self._last[rank] = [round(time.time(), 3), used.rss_bytes, round(used.cpu_s, 2), self._counts(rank, pid)]
            self._keep(rank, self._last[rank])

    def end(self, ended: Mapping[int, Ended]) -> None:
        """A last line for each rank (its number -> how it ended) that has had batches since its last one, as of the moment of its last: how
        far it came is known, and how fast. Of the CPU seconds since the last line it has its share. One that was gone before the first
        samples has its only one: who looks for it finds it."""
        for rank, (ended_at, used, pid) in ended.items():
            used_s = used.cpu_s
            if rank not in self._seen:
                counts = {**self._pulses.counts(rank), "host": self._host, "pid": pid, "ended": True}
                self._keep(rank, [round(ended_at, 3), used.rss_bytes, round(used_s, 2), counts])
            if rank not in self._last:
                continue
            at, rss_bytes, before_s, counts = self._last.pop(rank)
            now = self._pulses.counts(rank)
            if now.get("batches", 0) > counts.get("batches", 0):
                last_at = max(at, round(time.time() - time.monotonic() + self._pulses.beat_at(rank), 3))
                share = min(1.0, (last_at - at) / max(ended_at - at, 0.001))
                cpu_s = before_s + share * max(0.0, used_s - before_s)
                self._keep(rank, [last_at, rss_bytes, round(cpu_s, 4), {**counts, **now}])

    def _keep(self, rank: int, line: list[Any]) -> None:
        with suppress(FairwayError):
            self._streams.append(f"{self._prefix}/samples.{rank}", (_encode(line) + "\n").encode())

    def _counts(self, rank: int, pid: int) -> dict[str, Any]:
        counts: dict[str, Any] = {**self._pulses.counts(rank), "host": self._host, "pid": pid}
        delay_s = processes.measure_delay(pid)
        if delay_s is not None:
            counts["core"] = round(delay_s, 3)
        devices = find_devices() if self._environment is not None else None
        if devices is not None:
            if rank not in self._devices:
                self._devices[rank] = visible(self._environment(rank) if self._environment is not None else {}, devices)
            counts["gpu"] = devices.sample(self._devices[rank], pid)
        return counts
