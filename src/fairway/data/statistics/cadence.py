"""When the rows of a table come: period, jitter, gaps, duplicates, order, phase, hours; over all rows, or within groups."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from fairway.data.batch import Values
from fairway.data.statistics.counting import Frequent, Smallest
from fairway.data.statistics.packing import pack, unpack
from fairway.data.statistics.quantiles import Quantiles, cdf_of, quantile_of

TOLERANCE = 0.1
GAP = 1.5
_KEPT = 100
_SHOWN = 20
_TIMES = 1024
_BINS_PER_E = 50  # a bin of the logarithms of the differences is 2 % wide
_HOUR = 3_600_000_000
_WEEK = 168


@dataclass(frozen=True, slots=True)
class Gap:
    """From the row before to row `row`: times as text, and the seconds between."""

    row: int
    begin: str
    end: str
    seconds: float


@dataclass(slots=True)
class _Group:
    """The first and last time of a group, the row of the first, and how many rows it has."""

    label: str
    first: int
    last: int
    first_row: int
    rows: int


@dataclass(eq=False)
class Cadence:
    """The rhythm of one time column, in the order of the rows; where `by` names columns, of each group's rows among themselves.

    Exact: `rows` (with a time), `duplicates` (rows at the same time as the one before), `backwards` (rows before the one before them),
    `hours`, `weekdays`, first and last time, the largest gaps. `period_s`, `jitter_s` and `gap_count` come from sketches of the differences
    (period exact where one difference makes up half of all, else within 2 %; ranks within `steps.rank_error`).
    """

    column: str
    arrow: str
    by: tuple[str, ...] = ()
    rows: int = 0
    duplicates: int = 0
    backwards: int = 0
    low: int | None = None
    high: int | None = None
    week: np.ndarray = field(default_factory=lambda: np.zeros(_WEEK, np.int64))  # by hour since Thursday 0:00, as 1970-01-01 was one
    exact: Frequent = field(default_factory=lambda: Frequent(256, np.int64))  # of the differences
    steps: Quantiles = field(default_factory=lambda: Quantiles(1024))
    bins: dict[int, int] = field(default_factory=dict)  # of the logarithms of the differences
    times: Smallest = field(default_factory=lambda: Smallest(_TIMES))  # a sample, by hash
    sampled: dict[int, int] = field(default_factory=dict)  # their times
    largest: np.ndarray = field(default_factory=lambda: np.empty((0, 3), np.int64))  # row, time before, time; the widest first
    firsts: dict[str, list[int]] = field(default_factory=lambda: {"duplicates": [], "backwards": []})
    ends: dict[int, _Group] = field(default_factory=dict)
    limit: int = 10_000
    ungrouped: int = 0  # rows of groups beyond `limit`

    @property
    def zone(self) -> str:
        """Of the column, as Arrow names it; "" of a wall clock."""
        return self.arrow.split(", ")[1].rstrip("]") if ", " in self.arrow else ""

    @property
    def groups(self) -> int:
        """How many there are; those beyond the budget are left out, with their rows."""
        return len(self.ends) if self.by else 0

    def group_rows(self) -> dict[str, int]:
        """Rows of each group, by its label."""
        return {one.label: one.rows for one in self.ends.values()} if self.by else {}

    @property
    def first_at(self) -> str | None:
        """The earliest time."""
        return self._plain(self.low)

    @property
    def last_at(self) -> str | None:
        return self._plain(self.high)

    def _plain(self, time: int | None) -> str | None:
        return None if time is None else Values("timestamp", self.arrow, np.array([time], np.int64)).value(0)

    @cached_property
    def _period(self) -> float:
        """Microseconds; nan without differences above 0."""
        if not self.bins:
            return math.nan
        held = self.exact
        positive = np.flatnonzero(held.keys > 0)
        if len(positive):
            best = positive[np.argmax(held.seen[positive])]
            if held.seen[best] * 2 > self.differences:
                return float(held.keys[best])
        count = {place: sum(self.bins.get(place + by, 0) for by in (-2, -1, 0, 1, 2)) for place in self.bins}
        top = max(count, key=lambda place: (count[place], -place))
        low, high = math.exp((top - 2) / _BINS_PER_E), math.exp((top + 3) / _BINS_PER_E)
        view = self.steps.view()
        inside = cdf_of(view, np.array([low, high]))
        middle = float(quantile_of(view, np.array([inside.mean()]))[0])
        return middle if low <= middle <= high else math.sqrt(low * high)

    @property
    def differences(self) -> int:
        """Differences above 0."""
        return sum(self.bins.values())

    @property
    def period_s(self) -> float:
        """The most frequent difference between rows; nan of fewer than two times."""
        return self._period / 1e6

    @property
    def period_share(self) -> float:
        """Share of all differences (also 0 and backwards) that are within ± 10 % of the period."""
        every = self.differences + self.duplicates + self.backwards
        if not self.differences:
            return 0.0
        low, high = cdf_of(self.steps.view(), np.array([self._period * (1 - TOLERANCE), self._period * (1 + TOLERANCE)]))
        return float(high - low) * self.differences / every

    @property
    def jitter_s(self) -> float:
        """The median distance of the differences to the period, of those within half a period of it."""
        if not self.differences:
            return math.nan
        values, upto = self.steps.view()
        weights = np.diff(upto, prepend=0)
        away = np.abs(values - self._period)
        near = away < self._period / 2
        if not near.any():
            return math.nan
        order = np.argsort(away[near])
        upto = np.cumsum(weights[near][order])
        return float(away[near][order][np.searchsorted(upto, upto[-1] / 2)]) / 1e6

    @property
    def largest_gap_s(self) -> float:
        """The largest difference; 0 where there is none."""
        return float(self.largest[0, 2] - self.largest[0, 1]) / 1e6 if len(self.largest) else 0.0

    @property
    def gap_count(self) -> int:
        """Differences above 1.5 periods (counted in bins of 2 %)."""
        limit = _place(self._period * GAP) if self.bins else 0
        return sum(count for place, count in self.bins.items() if place > limit)

    @property
    def gaps(self) -> tuple[Gap, ...]:
        """The largest, at most twenty, in the order of their size."""
        wide = [row for row in self.largest[: _SHOWN if self.bins else 0].tolist() if _place(row[2] - row[1]) > _place(self._period * GAP)]
        return tuple(Gap(row, self._plain(begin) or "", self._plain(end) or "", (end - begin) / 1e6) for row, begin, end in wide)

    @property
    def first_duplicates(self) -> tuple[int, ...]:
        """Rows at the time of the one before, the first few."""
        return tuple(self.firsts["duplicates"])

    @property
    def first_backwards(self) -> tuple[int, ...]:
        """Rows that are earlier than the one before, the first few."""
        return tuple(self.firsts["backwards"])

    @property
    def phase_s(self) -> float:
        """Where in the period the rows are, from 0 to the period: the circular mean of a sample's times modulo the period."""
        if not self.sampled or not self._period > 0:
            return math.nan
        times = np.fromiter(self.sampled.values(), np.int64)
        period = round(self._period)
        turns = np.exp(2j * np.pi * (times % period) / period)
        return float(np.angle(turns.mean()) / (2 * np.pi) % 1) * period / 1e6

    @property
    def phase_spread(self) -> float:
        """How far the times stray from one phase: 0 all at the same, 1 anywhere."""
        if not self.sampled or not self._period > 0:
            return math.nan
        period = round(self._period)
        times = np.fromiter(self.sampled.values(), np.int64)
        return float(1 - abs(np.exp(2j * np.pi * (times % period) / period).mean()))

    @property
    def hours(self) -> tuple[int, ...]:
        """Rows by hour of the day: of UTC where `zone` names one, else of the wall clock."""
        return tuple(self.week.reshape(7, 24).sum(axis=0).tolist())

    @property
    def weekdays(self) -> tuple[int, ...]:
        """Rows by weekday, from Monday."""
        return tuple(np.roll(self.week.reshape(7, 24).sum(axis=1), 3).tolist())

    # folding

    def add(self, values: Values, first_row: int, keys: np.ndarray | None, label: Callable[[int], str]) -> None:
        """Rows that follow those before; `keys`: the hash of each row's group, `label` names the group of a row of the batch."""
        held = np.arange(len(values)) if values.valid is None else np.flatnonzero(values.valid)
        if not len(held):
            return
        self.__dict__.pop("_period", None)
        times = values.data if values.valid is None else values.data[held]
        self.rows += len(times)
        self.low = int(times.min()) if self.low is None else min(self.low, int(times.min()))
        self.high = int(times.max()) if self.high is None else max(self.high, int(times.max()))
        self.week += np.bincount((times // _HOUR) % _WEEK, minlength=_WEEK)
        self._sample(times, values.hashes() if values.valid is None else values.hashes()[held])
        keys = np.zeros(len(times), np.uint64) if keys is None else keys[held]
        if self.by:
            order = np.argsort(keys, kind="stable")
            keys, times, held = keys[order], times[order], held[order]
        self._follow(keys, times, held + first_row, lambda row: label(int(held[row])))

    def _follow(self, keys: np.ndarray, times: np.ndarray, rows: np.ndarray, label: Callable[[int], str]) -> None:
        """Rows group by group: the differences within this batch, and from the last row of each group before."""
        same = keys[1:] == keys[:-1]
        starts = [0, *(np.flatnonzero(~same) + 1).tolist()]
        before, joints = list[int](), list[int]()
        for start, end in zip(starts, [*starts[1:], len(keys)], strict=True):
            key, group = int(keys[start]), self.ends.get(int(keys[start]))
            if group is not None:
                before.append(group.last)
                joints.append(start)
                group.last, group.rows = int(times[end - 1]), group.rows + end - start
            elif len(self.ends) < self.limit:
                self.ends[key] = _Group(
                    label(start) if self.by else "", int(times[start]), int(times[end - 1]), int(rows[start]), end - start
                )
            else:
                self.ungrouped += end - start
        inside = np.flatnonzero(same)
        later = np.concatenate([inside + 1, np.array(joints, np.int64)])
        earlier = np.concatenate([times[inside], np.array(before, np.int64)])
        self._steps(times[later] - earlier, rows[later], earlier)

    def _sample(self, times: np.ndarray, hashes: np.ndarray) -> None:
        self.times.add(hashes)
        low = hashes < self.times.limit
        if low.any():
            self.sampled |= dict(zip(hashes[low].tolist(), times[low].tolist(), strict=True))
            if len(self.sampled) > 2 * _TIMES:
                self._forget()

    def _forget(self) -> None:
        held = set(self.times.hashes.tolist())
        self.sampled = {one: time for one, time in self.sampled.items() if one in held}

    def _steps(self, steps: np.ndarray, rows: np.ndarray, before: np.ndarray) -> None:
        for name, found in (("duplicates", steps == 0), ("backwards", steps < 0)):
            count = int(np.count_nonzero(found))
            if count:
                setattr(self, name, getattr(self, name) + count)
                self.firsts[name] = sorted([*self.firsts[name], *np.sort(rows[found])[:10].tolist()])[:10]
        ahead = steps > 0
        if not ahead.all():
            steps, rows, before = steps[ahead], rows[ahead], before[ahead]
        if not len(steps):
            return
        ordered = np.sort(steps)
        first = np.flatnonzero(np.concatenate([[True], ordered[1:] != ordered[:-1]]))
        keys, counts = ordered[first], np.diff(np.append(first, len(ordered)))
        self.exact.add(keys, counts)
        self.steps.add_sorted(ordered.astype(np.float64))
        places = _places(keys)
        starts = np.flatnonzero(np.concatenate([[True], places[1:] != places[:-1]]))
        for place, count in zip(places[starts].tolist(), np.add.reduceat(counts, starts).tolist(), strict=True):
            self.bins[place] = self.bins.get(place, 0) + count
        least = int(self.largest[-1, 2] - self.largest[-1, 1]) if len(self.largest) >= _KEPT else 0
        if int(ordered[-1]) > least:
            edge = int(ordered[-min(_KEPT, len(ordered))])
            wide = np.flatnonzero(steps > max(least, edge))
            if edge > least:  # of equal ones the first
                equal = np.flatnonzero(steps == edge)
                wide = np.concatenate([wide, equal[np.argsort(rows[equal])][:_KEPT]])
            self._widest(np.stack([rows[wide], before[wide], before[wide] + steps[wide]], axis=1))

    def _widest(self, more: np.ndarray) -> None:
        every = np.concatenate([self.largest, more])
        self.largest = every[np.lexsort((every[:, 0], every[:, 1] - every[:, 2]))][:_KEPT]

    def merge(self, other: Cadence, rows: int) -> None:
        """Take in rows that follow after `rows` rows: from the last time here to the first there is a difference as any other."""
        self.__dict__.pop("_period", None)
        for name in ("duplicates", "backwards", "rows", "ungrouped"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        for name in self.firsts:
            self.firsts[name] = sorted([*self.firsts[name], *(one + rows for one in other.firsts[name])])[:10]
        lows, highs = ([one for one in pair if one is not None] for pair in ((self.low, other.low), (self.high, other.high)))
        self.low, self.high = min(lows, default=None), max(highs, default=None)
        self.week = self.week + other.week
        self.exact.merge(other.exact)
        self.steps.merge(other.steps)
        for place, count in other.bins.items():
            self.bins[place] = self.bins.get(place, 0) + count
        self.times.merge(other.times)
        self.sampled |= other.sampled
        self._forget()
        self._widest(other.largest + np.array([rows, 0, 0]))
        joints = list[tuple[int, int, int]]()
        for key, group in other.ends.items():
            mine = self.ends.get(key)
            if mine is not None:
                joints.append((group.first - mine.last, group.first_row + rows, mine.last))
                mine.last, mine.rows = group.last, mine.rows + group.rows
            elif len(self.ends) < self.limit:
                self.ends[key] = _Group(group.label, group.first, group.last, group.first_row + rows, group.rows)
            else:
                self.ungrouped += group.rows
        if joints:
            self._steps(*(np.array(part, np.int64) for part in zip(*joints, strict=True)))

    def copy(self) -> Cadence:
        return Cadence.from_record(self.to_record())

    def to_record(self) -> dict[str, Any]:
        self._forget()
        made: dict[str, Any] = {name: getattr(self, name) for name in _PLAIN}
        made |= {"by": list(self.by), "week": self.week.tolist(), "firsts": self.firsts, "bins": [list(one) for one in self.bins.items()]}
        made |= {"exact": self.exact.to_record(), "steps": self.steps.to_record(), "times": self.times.to_record()}
        made["sampled"] = [pack(np.fromiter(part, kind)) for part, kind in ((self.sampled, np.uint64), (self.sampled.values(), np.int64))]
        made["largest"] = self.largest.tolist()
        made["ends"] = [[str(key), one.label, one.first, one.last, one.first_row, one.rows] for key, one in self.ends.items()]
        return made

    @classmethod
    def from_record(cls, record: dict[str, Any]) -> Cadence:
        """KeyError, TypeError or ValueError where it is damaged."""
        made = cls(by=tuple(record["by"]), **{name: record[name] for name in _PLAIN})
        made.week = np.array(record["week"], np.int64).reshape(_WEEK)
        made.firsts = {name: [int(one) for one in record["firsts"][name]] for name in made.firsts}
        made.bins = {int(place): int(count) for place, count in record["bins"]}
        made.exact, made.steps = Frequent.from_record(record["exact"]), Quantiles.from_record(record["steps"])
        made.times = Smallest.from_record(record["times"])
        hashes, times = (unpack(part, kind).tolist() for part, kind in zip(record["sampled"], (np.uint64, np.int64), strict=True))
        made.sampled = dict(zip(hashes, times, strict=True))
        made.largest = np.array(record["largest"], np.int64).reshape(-1, 3)
        made.ends = {int(key): _Group(label, *(int(one) for one in rest)) for key, label, *rest in record["ends"]}
        return made


_PLAIN = ("column", "arrow", "rows", "duplicates", "backwards", "low", "high", "limit", "ungrouped")


def _place(step: float) -> int:
    return math.floor(math.log(step) * _BINS_PER_E)


def _places(steps: np.ndarray) -> np.ndarray:
    return np.floor(np.log(steps.astype(np.float64)) * _BINS_PER_E).astype(np.int64)
