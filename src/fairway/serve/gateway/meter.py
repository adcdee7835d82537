"""What is counted of the traffic of one revision: a window that is taken each second, and totals since the start."""

from __future__ import annotations

import math
from typing import Any

_PER_DOUBLING = 4
_LEAST_MS = 0.125
BOUNDS_MS = tuple(_LEAST_MS * 2 ** (n / _PER_DOUBLING) for n in range(20 * _PER_DOUBLING + 1))
"""Upper bounds of the latencies that are counted together: 0.125 ms to 131 s, four for each doubling (percentiles are right to 19 %)."""


def find_bound(latency_ms: float) -> int:
    """The index of the bound that a latency is counted under."""
    if latency_ms <= _LEAST_MS:
        return 0
    index = math.ceil(math.log2(latency_ms / _LEAST_MS) * _PER_DOUBLING - 1e-9)
    return min(index, len(BOUNDS_MS) - 1)


class Meter:
    """Requests of one revision at one endpoint (revision 0: those that never got to one)."""

    __slots__ = (
        "_area", "_begun", "_peak", "_since", "_was_busy", "by_class", "errors", "held", "in_flight", "latencies", "latency_sum_s",
        "refused", "replicas", "requests", "total_latencies", "total_refusals", "waited_s", "waiting",
    )  # fmt: skip

    def __init__(self, now: float) -> None:
        self.requests = self.errors = self.refused = self.held = 0
        self.waited_s = 0.0
        self.latencies: dict[int, int] = {}
        self.replicas: dict[str, int] = {}
        self.in_flight = self.waiting = 0
        self.by_class = [0, 0, 0, 0, 0, 0]  # totals: 1xx … 5xx
        self.total_refusals: dict[int, int] = {}
        self.total_latencies: dict[int, int] = {}
        self.latency_sum_s = 0.0
        self._area, self._peak = 0.0, 0
        self._since = self._begun = now
        self._was_busy = False

    def begin(self, now: float) -> None:
        """A request is on its way to a replica."""
        self._area += self.in_flight * (now - self._since)
        self._since = now
        self.in_flight += 1
        if self.in_flight > self._peak:
            self._peak = self.in_flight

    def leave(self, now: float) -> None:
        """It no longer is."""
        self._area += self.in_flight * (now - self._since)
        self._since = now
        self.in_flight -= 1

    def count(self, status: int, latency_s: float, replica: str) -> None:
        """One was answered by a replica, or failed at one."""
        self.requests += 1
        self.by_class[min(status // 100, 5)] += 1
        if replica:
            self.replicas[replica] = self.replicas.get(replica, 0) + 1
        if status >= 500:
            self.errors += 1
        elif status >= 400:
            self.refused += 1
        index = find_bound(latency_s * 1000)
        self.latencies[index] = self.latencies.get(index, 0) + 1
        self.latency_sum_s += latency_s

    def count_refusal(self, status: int) -> None:
        """One was refused here and never got to a replica."""
        self.requests += 1
        self.by_class[min(status // 100, 5)] += 1
        if status >= 500:
            self.errors += 1
        else:
            self.refused += 1
        self.total_refusals[status] = self.total_refusals.get(status, 0) + 1

    def count_wait(self, waited_s: float) -> None:
        """One has waited for a replica."""
        self.held += 1
        self.waited_s += waited_s

    def take(self, now: float) -> dict[str, Any] | None:
        """The window since the last one; None if nothing happened and nothing changed."""
        self._area += self.in_flight * (now - self._since)
        self._since = now
        is_busy = bool(self.requests or self.in_flight or self.waiting or self.held or self._peak)
        if not is_busy and not self._was_busy:
            self._begun = now
            return None
        window: dict[str, Any] = {
            "span_s": round(now - self._begun, 4), "requests": self.requests, "errors": self.errors, "refused": self.refused,
            "in_flight": self.in_flight, "in_flight_seconds": round(self._area, 6), "peak": self._peak, "waiting": self.waiting,
            "held": self.held, "waited_s": round(self.waited_s, 4),
            "latency_ms": [[round(BOUNDS_MS[n], 4), self.latencies[n]] for n in sorted(self.latencies)],
            "replicas": self.replicas,
        }  # fmt: skip
        for index, count in self.latencies.items():
            self.total_latencies[index] = self.total_latencies.get(index, 0) + count
        self.requests = self.errors = self.refused = self.held = 0
        self.waited_s, self._area, self._peak, self._begun = 0.0, 0.0, self.in_flight, now
        self.latencies, self.replicas = {}, {}
        self._was_busy = is_busy
        return window

    def histogram(self) -> tuple[list[tuple[float, int]], int]:
        """(upper bound in seconds, requests up to it) for each doubling, and how many there were in all."""
        counts = dict(self.total_latencies)
        for index, count in self.latencies.items():
            counts[index] = counts.get(index, 0) + count
        reached, made = 0, list[tuple[float, int]]()
        for index in range(len(BOUNDS_MS)):
            reached += counts.get(index, 0)
            if index % _PER_DOUBLING == 0:
                made.append((BOUNDS_MS[index] / 1000, reached))
        return made, reached
