"""When measures become alarms: how often chance may raise one, and how many windows it takes to raise and to clear."""

from __future__ import annotations

import datetime as dt
import math
from dataclasses import dataclass, field
from typing import Any

_DAY_S = 86_400.0


@dataclass(frozen=True)
class Hysteresis:
    """Raised when `raise_windows` of the last `of_windows` are over the threshold or one is far over; cleared after `clear_windows` in a
    row that are not."""

    raise_windows: int = 2
    of_windows: int = 3
    clear_windows: int = 3

    def step(self, signal: Signal, *, over: bool, far: bool) -> str:
        """One window more: "raised", "cleared" or "" (no change)."""
        signal.recent = [*signal.recent, over][-self.of_windows :]
        signal.calm = 0 if over else signal.calm + 1
        if not signal.active and (far or sum(signal.recent) >= self.raise_windows):
            signal.active, signal.raised = True, signal.raised + 1
            return "raised"
        if signal.active and signal.calm >= self.clear_windows:
            signal.active, signal.recent = False, []
            return "cleared"
        return ""


@dataclass
class Signal:
    """One facet's recent windows."""

    recent: list[bool] = field(default_factory=list[bool])
    calm: int = 0
    active: bool = False
    raised: int = 0

    @property
    def is_quiet(self) -> bool:
        return not self.active and not any(self.recent)

    def to_json(self) -> list[Any]:
        return [self.recent, self.calm, self.active, self.raised]

    @classmethod
    def from_json(cls, document: list[Any]) -> Signal:
        return cls([bool(one) for one in document[0]], int(document[1]), bool(document[2]), int(document[3]))


@dataclass
class Budget:
    """False alarms that unchanged data may raise: one in `one_in` windows, or `per_day` however many windows a day has. Half of them are
    spent on single windows far over their threshold, half on several windows."""

    one_in: float = 1_000.0
    per_day: float | None = None
    _windows_per_day: float = 0.0
    _last_at: float = 0.0

    def note(self, at: dt.datetime, ended: int) -> None:
        """Windows have ended: how many there are a day is learnt from the time between them."""
        moment = at.timestamp()
        if self._last_at and moment > self._last_at:
            rate = ended * _DAY_S / (moment - self._last_at)
            known = self._windows_per_day
            self._windows_per_day = known**0.95 * rate**0.05 if known else rate
        self._last_at = max(moment, self._last_at)

    def windows_per_false_alarm(self) -> float:
        if self.per_day is None:
            return self.one_in
        return min(max(self._windows_per_day / self.per_day, 100.0), 1e6) if self._windows_per_day else self.one_in

    def alphas(self, tests: int, hysteresis: Hysteresis, *, independent: bool) -> tuple[float, float]:
        """The chance that one test of one window may have to be (far over, over) its threshold. Where windows do not tell the same chance
        twice (`independent`), k of n of them are far less likely than one."""
        share = 0.5 / self.windows_per_false_alarm() / tests
        if not independent or hysteresis.raise_windows < 2:
            return share, share
        ways = math.comb(hysteresis.of_windows - 1, hysteresis.raise_windows - 1)
        # a facet's two measures may be over in different windows: twice the tests, squared
        return share, min(0.02, (share / ways / 2) ** (1 / hysteresis.raise_windows))

    def to_json(self) -> list[float]:
        return [self._windows_per_day, self._last_at]

    def restore(self, document: list[float]) -> None:
        self._windows_per_day, self._last_at = (float(one) for one in document)
