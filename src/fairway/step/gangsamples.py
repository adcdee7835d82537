"""What each rank uses and waits for, once a second: lines `[time, resident bytes, CPU seconds, {…}]` in the streams "samples.RANK"."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from fairway.errors import FairwayError
from fairway.step import processes
from fairway.step.gpu import find_devices, visible
from fairway.step.pulse import Pulses

if TYPE_CHECKING:
    from fairway.spec.ports import StreamStore

_EVERY_S = 1.0
_encode = json.JSONEncoder(separators=(",", ":")).encode


class Sampler:
    """`due_at`: when the next samples are (monotonic). `peak_bytes`: the most that each rank was seen with. `environment`: a rank's, which
    says which devices it may use."""

    def __init__(
        self, prefix: str, streams: StreamStore, pulses: Pulses, environment: Callable[[int], Mapping[str, str]] | None = None
    ) -> None:
        self._prefix, self._streams, self._pulses = prefix, streams, pulses
        self._environment = environment
        self._devices: dict[int, list[int]] = {}
        self.due_at = time.monotonic() + _EVERY_S
        self.peak_bytes: dict[int, int] = {}

    def sample(self, pids: Mapping[int, int]) -> None:
        """One line for each rank (its number -> its process). What cannot be kept is no failure."""
        self.due_at = time.monotonic() + _EVERY_S
        for rank, pid in pids.items():
            used = processes.measure(pid)
            if used is None:
                continue
            self.peak_bytes[rank] = max(self.peak_bytes.get(rank, 0), used.rss_bytes)
            line = [round(time.time(), 3), used.rss_bytes, round(used.cpu_s, 2), self._counts(rank)]
            try:
                self._streams.append(f"{self._prefix}/samples.{rank}", (_encode(line) + "\n").encode())
            except FairwayError:
                continue

    def _counts(self, rank: int) -> dict[str, Any]:
        counts: dict[str, Any] = self._pulses.counts(rank)
        devices = find_devices() if self._environment is not None else None
        if devices is not None:
            if rank not in self._devices:
                self._devices[rank] = visible(self._environment(rank) if self._environment is not None else {}, devices)
            counts["gpu"] = devices.sample(self._devices[rank])
        return counts
