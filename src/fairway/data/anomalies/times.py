"""Times of batches: as microseconds, their steps backwards, and which steps look like a change of time zone."""

from __future__ import annotations

import datetime as dt
from itertools import pairwise
from threading import Lock
from typing import Any, NamedTuple

import numpy as np

from fairway.data.batch import Values
from fairway.data.schema.model import CadenceRule

QUARTER_S = 900.0
_LONGEST_S = 26 * 3600.0
_MOST = 20
_DAY_US = 86_400_000_000
_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)


class Jump(NamedTuple):
    """From the time of the row before to that of `row`, in microseconds."""

    row: int
    begin: int
    end: int

    @property
    def seconds(self) -> float:
        return (self.end - self.begin) / 1e6

    def spelt(self, arrow: str) -> str:
        """The time before."""
        return str(Values("timestamp", arrow, np.array([self.begin], np.int64)).value(0))[:19].replace("T", " ")


class Jumps:
    """The largest steps backwards in one column over all batches, whichever order these come in."""

    def __init__(self, column: str) -> None:
        self.column = column
        self._inside: list[Jump] = []
        self._ends: list[tuple[int, int, int, int]] = []
        self._lock = Lock()

    def add(self, values: Values, first_row: int) -> None:
        times = times_of(values)
        if times is None:
            return
        held = np.arange(len(times.data)) if times.valid is None else np.flatnonzero(times.valid)
        if not len(held):
            return
        data = times.data[held] if times.valid is not None else times.data
        steps = np.diff(data)
        back = np.flatnonzero(steps < 0)
        if len(back) > _MOST:
            back = back[np.argsort(steps[back], kind="stable")[:_MOST]]
        found = [Jump(int(held[one + 1]) + first_row, int(data[one]), int(data[one + 1])) for one in back.tolist()]
        with self._lock:
            self._inside = sorted([*self._inside, *found], key=lambda one: one.seconds)[:_MOST]
            self._ends.append((first_row, int(held[0]) + first_row, int(data[0]), int(data[-1])))

    def following(self) -> Jumps:
        """For the batches after these."""
        made = Jumps(self.column)
        made._ends = self._ends[-1:]
        return made

    def state(self) -> list[Any]:
        """What a restarted process needs to go on: JSON."""
        return [[list(one) for one in self._inside], [list(one) for one in self._ends]]

    def restore(self, state: list[Any]) -> None:
        """Goes on where `state()` was taken."""
        inside, ends = state
        self._inside = [Jump(*one) for one in inside]
        self._ends = [(first, row, low, high) for first, row, low, high in ends]

    def backwards(self) -> list[Jump]:
        """At most twenty, in the order of the rows."""
        ends = sorted(self._ends)
        between = [Jump(row, last, first) for (_, _, _, last), (_, row, first, _) in pairwise(ends) if first < last]
        return sorted(sorted([*self._inside, *between], key=lambda one: one.seconds)[:_MOST], key=lambda one: one.row)


def is_zone_jump(seconds: float, rule: CadenceRule, period_s: float | None = None) -> bool:
    """Is a step a difference of time zones (quarters of an hour, up to 26 hours), more or less one period (the rule's, if not another)?"""
    period = (rule.period_s if period_s is None else period_s) or 0.0
    moved = seconds - period
    near = max(3 * (rule.jitter_s or 0.0), 0.25 * period, 0.5)
    quarters = round(moved / QUARTER_S)
    return near < QUARTER_S / 8 and quarters != 0 and abs(moved) <= _LONGEST_S and abs(moved - quarters * QUARTER_S) <= near


def times_of(values: Values) -> Values | None:
    """A column of times as microseconds: timestamps, dates, ISO 8601 texts; None where it holds no times."""
    if values.kind == "timestamp":
        return values
    if values.kind == "date":
        return Values("timestamp", "timestamp[us]", values.data.astype(np.int64) * _DAY_US, values.valid)
    if values.kind != "string":
        return None
    texts = values.values(range(len(values)))
    named = next((text for text in texts if text), "")
    zone = named.endswith(("Z", "z")) or named[19:].count("+") > 0 or "-" in named[19:]
    made = np.zeros(len(texts), np.int64)
    valid = np.zeros(len(texts), bool)
    for place, text in enumerate(texts):
        ticks = _ticks(text) if text else None
        if ticks is not None:
            made[place], valid[place] = ticks, True
    if not valid.any():
        return None
    return Values("timestamp", "timestamp[us, UTC]" if zone else "timestamp[us]", made, None if valid.all() else valid)


def _ticks(text: str) -> int | None:
    try:
        made = dt.datetime.fromisoformat(text)
    except ValueError:
        return None
    made = made if made.tzinfo is not None else made.replace(tzinfo=dt.UTC)
    return (made - _EPOCH) // dt.timedelta(microseconds=1)
