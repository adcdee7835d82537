"""Concept drift: what a model's errors say, once feedback tells the truth. Three detectors that take one error at a time, and a monitor.

Page and Hinkley's test (1954), DDM (Gama et al. 2004) and ADWIN (Bifet and Gavaldà 2007), as River has them.
"""

from __future__ import annotations

import datetime as dt
import math
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Protocol

from fairway.data.drift.alarm import Alarm


class Detector(Protocol):
    """Takes errors one at a time: 0 or 1, or any bounded number."""

    def add(self, error: float) -> bool:
        """Whether errors changed with this one. The detector then begins anew (ADWIN: forgets what was before)."""
        ...


@dataclass
class PageHinkley:
    """Errors' cumulated deviation from their mean, up and down."""

    fewest: int = 30
    delta: float = 0.005
    threshold: float = 50.0
    forgetting: float = 1 - 0.0001
    count: int = 0
    mean: float = 0.0
    up: float = 0.0
    down: float = 0.0
    lowest: float = math.inf
    highest: float = -1.0

    def add(self, error: float) -> bool:
        self.count += 1
        self.mean += (error - self.mean) / self.count
        deviation = error - self.mean
        self.up = self.forgetting * self.up + deviation - self.delta
        self.down = self.forgetting * self.down + deviation + self.delta
        self.lowest, self.highest = min(self.lowest, self.up), max(self.highest, self.down)
        changed = self.count >= self.fewest and max(self.up - self.lowest, self.highest - self.down) > self.threshold
        if changed:
            self.count, self.mean, self.up, self.down, self.lowest, self.highest = 0, 0.0, 0.0, 0.0, math.inf, -1.0
        return changed


@dataclass
class DDM:
    """The rate of errors (0 or 1) against the lowest it has been: a warning at two standard deviations, drift at three."""

    fewest: int = 30
    warn_at: float = 2.0
    drift_at: float = 3.0
    count: int = 0
    rate: float = 0.0
    least_rate: float = math.inf
    least_spread: float = math.inf
    warns: bool = False

    def add(self, error: float) -> bool:
        self.count += 1
        self.rate += (error - self.rate) / self.count
        spread = math.sqrt(max(self.rate * (1 - self.rate), 0.0) / self.count)
        self.warns = False
        if self.count <= self.fewest:
            return False
        if self.rate + spread <= self.least_rate + self.least_spread:
            self.least_rate, self.least_spread = self.rate, spread
        over = self.rate + spread
        if over > self.least_rate + self.drift_at * self.least_spread:
            self.count, self.rate, self.least_rate, self.least_spread = 0, 0.0, math.inf, math.inf
            return True
        self.warns = over > self.least_rate + self.warn_at * self.least_spread
        return False


@dataclass
class ADWIN:
    """A window of recent errors, as long as its two halves, cut anywhere, have one mean; an older part that has another is dropped. Kept in
    at most 5 buckets of each power of two, so memory grows with the logarithm of the window. `delta`: the chance of a false cut."""

    delta: float = 0.002
    clock: int = 32
    buckets: int = 5
    shortest: int = 5
    grace: int = 10
    width: int = 0
    total: float = 0.0
    squares: float = 0.0
    """sum of squared deviations from the window's mean"""
    ticks: int = 0
    rows: list[deque[tuple[float, float]]] = field(default_factory=lambda: [deque[tuple[float, float]]()])
    """row i holds (sum, squared deviations) of buckets of 2**i errors, the oldest first"""
    dropped: tuple[int, float] = (0, 0.0)
    """errors that the last cut dropped, and their mean"""

    @property
    def mean(self) -> float:
        return self.total / self.width if self.width else 0.0

    def add(self, error: float) -> bool:
        if self.width:
            self.squares += self.width * (error - self.mean) ** 2 / (self.width + 1)
        self.width += 1
        self.total += error
        self.rows[0].append((error, 0.0))
        self._compress()
        self.ticks += 1
        if self.ticks % self.clock or self.width <= self.grace:
            return False
        gone, lost = 0, 0.0
        while self._has_cut():
            size, value = self._drop_oldest()
            gone, lost = gone + size, lost + value
        if gone:
            self.dropped = (gone, lost / gone)
        return gone > 0

    def _compress(self) -> None:
        place = 0
        while len(self.rows[place]) > self.buckets:
            size = 1 << place
            (one, spread), (other, more) = self.rows[place].popleft(), self.rows[place].popleft()
            if place + 1 == len(self.rows):
                self.rows.append(deque())
            self.rows[place + 1].append((one + other, spread + more + (one - other) ** 2 / (2 * size)))
            place += 1

    def _has_cut(self) -> bool:
        """Whether the window falls into two parts, at the end of a bucket, whose means differ more than chance lets them."""
        variance = self.squares / self.width
        log = math.log(2 * math.log(self.width) / self.delta)
        before, held = 0, 0.0
        for place in range(len(self.rows) - 1, -1, -1):
            size = 1 << place
            for value, _ in self.rows[place]:
                before, held = before + size, held + value
                after = self.width - before
                if after < self.shortest:
                    return False
                if before < self.shortest:
                    continue
                apart = 1 / (before - self.shortest + 1) + 1 / (after - self.shortest + 1)
                bound = math.sqrt(2 * apart * variance * log) + 2 / 3 * log * apart
                if abs(held / before - (self.total - held) / after) > bound:
                    return True
        return False

    def _drop_oldest(self) -> tuple[int, float]:
        while not self.rows[-1]:
            self.rows.pop()
        size = 1 << (len(self.rows) - 1)
        value, spread = self.rows[-1].popleft()
        self.width -= size
        self.total -= value
        self.squares -= spread + size * self.width * (value / size - self.mean) ** 2 / (size + self.width)
        self.squares = max(self.squares, 0.0)
        while len(self.rows) > 1 and not self.rows[-1]:
            self.rows.pop()
        return size, value


class ConceptMonitor:
    """A model's errors as feedback comes in; an alarm when they grow, cleared when they are as before again (or after `patience` errors
    without a further change: the new level is then the usual one)."""

    def __init__(self, name: str = "errors", *, delta: float = 0.0002, patience: int = 5_000) -> None:
        self.name, self.patience = name, patience
        self.window = ADWIN(delta=delta)
        self.usual: float | None = None
        self.worst, self.since, self.raised = 0.0, 0, 0
        self.active = False

    def add(self, errors: Iterable[float], at: dt.datetime | None = None) -> list[Alarm]:
        """Errors in the order of their requests: 0 and 1 for a classifier, absolute errors scaled to 0 … 1 for a number."""
        moment = at or dt.datetime.now(dt.UTC)
        made: list[Alarm] = []
        for error in errors:
            self.since += 1
            if not self.window.add(float(error)):
                if self.active and self.since >= self.patience:
                    made.append(self._cleared(moment, "have stayed at"))
                continue
            before, now = self.window.dropped[1], self.window.mean
            self.since = 0
            if not self.active and now > before:
                self.usual, self.active, self.raised = before, True, self.raised + 1
                made.append(self._alarm(moment, f"the model's {self.name} rose: {before:.3g} → {now:.3g}", now, "raised"))
            elif self.active and self.usual is not None and now <= self.usual + 0.25 * (self.worst - self.usual):
                made.append(self._cleared(moment, "are back at"))
            self.worst = max(self.worst, now) if self.active else 0.0
        return made

    def _cleared(self, at: dt.datetime, words: str) -> Alarm:
        self.active = False
        return self._alarm(at, f"the model's {self.name} {words} {self.window.mean:.3g}", self.window.mean, "cleared")

    def _alarm(self, at: dt.datetime, message: str, value: float, state: Any) -> Alarm:
        return Alarm(f"concept:{self.name}:{self.raised}", at, "concept", "", "error", message, value, self.usual or 0.0, state)

    def state(self) -> dict[str, Any]:
        window = self.window
        return {
            "window": [window.width, window.total, window.squares, window.ticks, [list(row) for row in window.rows], window.dropped],
            "usual": self.usual, "worst": self.worst, "since": self.since, "raised": self.raised, "active": self.active,
        }  # fmt: skip

    def restore(self, state: dict[str, Any]) -> None:
        window = self.window
        window.width, window.total, window.squares, window.ticks, rows, dropped = state["window"]
        window.rows = [deque((float(value), float(spread)) for value, spread in row) for row in rows]
        window.dropped = (int(dropped[0]), float(dropped[1]))
        self.usual, self.worst, self.since, self.raised, self.active = (
            state[name] for name in ("usual", "worst", "since", "raised", "active")
        )
