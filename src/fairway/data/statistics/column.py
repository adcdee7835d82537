"""What is known of one column: exact counts, sketches, and what they say."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from fairway.data.batch import Kind, Values
from fairway.data.statistics.budget import Budget
from fairway.data.statistics.counting import Frequent, Registers, Smallest
from fairway.data.statistics.moments import Moments
from fairway.data.statistics.quantiles import Quantiles, cdf_of, quantile_of
from fairway.data.statistics.texts import EncodingCounts, reads_as, shape_of

NUMBERS: frozenset[str] = frozenset({"float", "integer", "decimal", "boolean"})
TIMES: frozenset[str] = frozenset({"timestamp", "date", "time", "duration"})
TEXTS: frozenset[str] = frozenset({"string", "binary"})
SHOWN = 100
TEXT_BYTES = 512


@dataclass(frozen=True, slots=True)
class Top:
    """A value that came at least `count` and at most `count + error` times. `is_cut`: only the beginning of a long text."""

    value: Any
    count: int
    error: int = 0
    is_cut: bool = False


@dataclass(slots=True, eq=False)
class ColumnStatistics:
    """Statistics of one column; `fairway.data.statistics.folding.fold` adds values, `merge` other parts.

    Exact: `rows`, `nulls`, `nans`, `infinities`, `zeros`, `negatives`, `whole` (every finite number is whole), `unlike` (values of another
    kind than the column's, which count nowhere else), `low` and `high` (of finite values, as `Values.data` holds them; texts as bytes),
    `encoding`, and the moments but for rounding. Times are microseconds, dates days, as in `Values`.
    """

    name: str
    kind: Kind
    arrow: str
    registers: Registers
    smallest: Smallest
    frequent: Frequent
    ranks: Quantiles
    rows: int = 0
    nulls: int = 0
    nans: int = 0
    infinities: int = 0
    zeros: int = 0
    negatives: int = 0
    unlike: int = 0
    whole: bool = True
    low: Any = None
    high: Any = None
    moments: Moments = field(default_factory=Moments)
    encoding: EncodingCounts = field(default_factory=EncodingCounts)
    texts: dict[int, bytes] = field(default_factory=dict)  # of the hashes that `smallest` and `frequent` hold
    lengths: ColumnStatistics | None = None
    elements: ColumnStatistics | None = None

    @classmethod
    def empty(cls, name: str, kind: Kind, arrow: str, budget: Budget) -> ColumnStatistics:
        """Of no rows yet."""
        keys = np.uint64 if kind in TEXTS else np.float64 if kind in ("float", "decimal") else np.int64
        seed = int.from_bytes(name.encode()[:64].ljust(8, b"\0"), "little") & 0xFFFFFFFF
        sketches = Registers(budget.registers), Smallest(budget.kept), Frequent(budget.top, keys), Quantiles(budget.quantiles, seed)
        return cls(name, kind, arrow, *sketches)

    # what is asked

    @property
    def present(self) -> int:
        """Rows with a value of this kind; NaN is one."""
        return self.rows - self.nulls - self.unlike

    @property
    def finite(self) -> int:
        """Rows with a value that is neither NaN nor infinite."""
        return self.present - self.nans - self.infinities

    @property
    def distinct(self) -> float:
        """Distinct values; NaN and the infinities are none. Exact up to the budget's `kept`, else within `distinct_error`."""
        if self.smallest.is_whole:
            return self.smallest.distinct()
        if self._repeats_error < self.registers.error:
            return self.finite * len(self.smallest.counts) / float(self.smallest.counts.sum())
        return min(float(self.finite), self.registers.estimate())

    @property
    def distinct_is_exact(self) -> bool:
        return self.smallest.is_whole

    @property
    def distinct_error(self) -> float:
        """Relative standard error of `distinct`."""
        return 0.0 if self.smallest.is_whole else min(self.registers.error, self._repeats_error)

    @property
    def _repeats_error(self) -> float:
        """Of the rows divided by how often a distinct value comes, which is exact where all come equally often. Where the sample does so by
        chance, three more that do not are what it may have missed."""
        counts = self.smallest.counts
        return float(counts.std() / counts.mean() / math.sqrt(len(counts))) + 1.5 / len(counts) if len(counts) else 1.0

    @property
    def unique_share(self) -> float:
        """Share of the rows with a value whose value comes in no other row; exact where `distinct` is, else an estimate from a sample of
        the distinct values (standard error of their share at most 0.5 / sqrt(kept))."""
        return min(1.0, self.smallest.once() * self.distinct / self.finite) if self.finite else 0.0

    @property
    def minimum(self) -> Any:
        """The least finite value; of texts the first in the order of their UTF-8; None where there is none."""
        return self.plain(self.low)

    @property
    def maximum(self) -> Any:
        return self.plain(self.high)

    @property
    def mean(self) -> float:
        """Of finite values; nan where there is none."""
        return self.moments.average

    @property
    def std(self) -> float:
        return self.moments.std

    @property
    def skewness(self) -> float:
        return self.moments.skewness

    @property
    def kurtosis(self) -> float:
        """The excess over the normal distribution's."""
        return self.moments.kurtosis

    @property
    def has_ranks(self) -> bool:
        """Whether `quantile`, `cdf` and `histogram` have an answer: numbers and times of which there is at least one."""
        return self.kind in NUMBERS | TIMES and self.ranks.count > 0

    @property
    def rank_error(self) -> float:
        """Largest error of a rank, as a share of all values, at 99 % confidence."""
        return 0.0 if self.top_is_complete else self.ranks.rank_error

    def ranked(self) -> tuple[np.ndarray, np.ndarray]:
        """(values ascending, how many are at or below each), finite values only."""
        if self.top_is_complete and self.kind in NUMBERS | TIMES:
            return self.frequent.keys.astype(np.float64), np.cumsum(self.frequent.seen)
        return self.ranks.view()

    def quantile(self, q: float | Sequence[float] | np.ndarray) -> Any:
        """The least value that a share `q` of all is at or below; nan of no values. An array for an array."""
        asked = np.asarray(q, np.float64)
        if not self.has_ranks:
            return np.full(asked.shape, np.nan) if asked.ndim else math.nan
        made = quantile_of(self.ranked(), np.atleast_1d(asked))
        made[np.atleast_1d(asked) <= 0] = self.low
        made[np.atleast_1d(asked) >= 1] = self.high
        return made if asked.ndim else float(made[0])

    def cdf(self, x: Sequence[float] | np.ndarray) -> np.ndarray:
        """Share of the finite values at or below each of `x`."""
        asked = np.atleast_1d(np.asarray(x, np.float64))
        if not self.has_ranks:
            return np.full(len(asked), np.nan)
        made = cdf_of(self.ranked(), asked)
        made[asked < self.low] = 0.0
        made[asked >= self.high] = 1.0
        return made

    def edges(self, bins: int) -> np.ndarray:
        """Edges of so many equally wide bins from the least to the largest value."""
        low, high, part = float(self.low), float(self.high), np.arange(bins + 1) / bins
        return low * (1 - part) + high * part if high > low else low - 0.5 + part

    def histogram(self, edges: int | Sequence[float] | np.ndarray = 20) -> np.ndarray:
        """How many finite values lie in each bin: above its lower edge, at or below its upper one (the first takes its lower edge too).
        A number asks for so many equally wide bins, at `edges(number)`. Each count is within `2 * rank_error` of all values."""
        if not self.has_ranks:
            return np.zeros(edges if isinstance(edges, int) else max(0, len(edges) - 1))
        asked = self.edges(edges) if isinstance(edges, int) else np.asarray(edges, np.float64)
        values, counts = self.ranked()
        counts = np.concatenate([[0], counts])
        upto = counts[np.searchsorted(values, asked, side="right")]
        upto[asked < self.low], upto[asked >= self.high] = 0, counts[-1]
        if isinstance(edges, int):
            upto[-1] = counts[-1]  # an edge that was computed may lie a hair below
        if len(asked):
            upto[0] = 0 if asked[0] <= self.low else counts[np.searchsorted(values, asked[0], side="left")]
        return np.diff(upto).astype(np.float64)

    @property
    def top_is_complete(self) -> bool:
        """Whether `frequent` holds every value with its exact count."""
        return self.frequent.is_complete and self.kind not in ("list", "null")

    @property
    def top(self) -> tuple[Top, ...]:
        """The most frequent values, at most a hundred. Where there are more than the sketch holds, those that came more often
        than they can have been missed."""
        return self.most_frequent(SHOWN)

    def most_frequent(self, limit: int) -> tuple[Top, ...]:
        """`top` of any length."""
        held, made = self.frequent, list[Top]()
        for place in held.ranked()[: limit if held.is_complete else 2 * limit].tolist():
            seen, error = int(held.seen[place]), int(held.error[place])
            if held.is_complete or seen > error:
                value, cut = self._keyed(held.keys[place])
                made.append(Top(value, seen, error, cut))
        return tuple(sorted(made[:limit], key=lambda top: (-top.count, top.value)))

    @property
    def shapes(self) -> tuple[Top, ...]:
        """How texts are built, the most frequent first: "A" capitals, "a" small letters, "9" digits, runs as one. Exact where `distinct`
        is, else an estimate from a sample of the distinct values."""
        counts: dict[str, float] = {}
        for text, weight in self.weighed_texts():
            shape = shape_of(text)
            counts[shape] = counts.get(shape, 0) + weight
        ranked = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
        return tuple(Top(shape, round(count)) for shape, count in ranked[:SHOWN])

    @property
    def numeric_texts(self) -> float:
        """Share of the texts that read as numbers."""
        return self._reading("number")

    @property
    def date_texts(self) -> float:
        """Share of the texts that read as dates or times."""
        return self._reading("date")

    def _reading(self, what: str) -> float:
        weighed = self.weighed_texts()
        every = sum(weight for _, weight in weighed)
        return sum(weight for text, weight in weighed if reads_as(text) == what) / every if every else 0.0

    def weighed_texts(self) -> list[tuple[str, float]]:
        """(text, rows that it stands for): all of them where `distinct` is exact; else the frequent ones and a sample of the others."""
        if self.kind != "string":
            return []
        counts = {int(key): float(seen) for key, seen, error in zip(*self._held(), strict=True) if seen > 20 * error}
        rest = [(int(one), int(n)) for one, n in zip(self.smallest.hashes, self.smallest.counts, strict=True) if int(one) not in counts]
        factor = max(0.0, self.present - sum(counts.values())) / (sum(n for _, n in rest) or 1)
        counts |= {one: n * factor for one, n in rest}
        return [(self.texts[one].decode("utf-8", "replace"), weight) for one, weight in counts.items() if one in self.texts]

    def _held(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        return self.frequent.keys, self.frequent.seen, self.frequent.error

    def _keyed(self, key: Any) -> tuple[Any, bool]:
        if self.kind not in TEXTS:
            return self.plain(key.item()), False
        text = self.texts.get(int(key), b"")
        return self.plain(text), len(text) >= TEXT_BYTES

    def plain(self, value: Any) -> Any:
        """A value as `Values.value` gives it."""
        if value is None:
            return None
        if self.kind == "string":
            return value.decode("utf-8", "replace")
        if self.kind == "boolean":
            return bool(value)
        if self.kind in TIMES:
            return Values(self.kind, self.arrow, np.array([int(value)], np.int64)).value(0)
        return value

    # parts

    def merge(self, other: ColumnStatistics) -> None:
        """Take in the statistics of other rows."""
        self.adopt(other.kind, other.arrow)
        self.rows += other.rows
        self.nulls += other.nulls
        self.unlike += other.unlike
        if not self.is_like(other.kind):
            self.unlike += other.present
            return
        for name in ("nans", "infinities", "zeros", "negatives"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.whole &= other.whole
        self.bounds(other.low, other.high)
        self.moments = self.moments.merged(other.moments)
        self.encoding = self.encoding.merged(other.encoding)
        self.registers.merge(other.registers)
        self.smallest.merge(other.smallest)
        self.frequent.merge(other.frequent)
        self.ranks.merge(other.ranks)
        self.texts = other.texts | self.texts
        self.forget_texts()
        for name in ("lengths", "elements"):
            mine, theirs = getattr(self, name), getattr(other, name)
            if mine is not None and theirs is not None:
                mine.merge(theirs)
            elif theirs is not None:
                setattr(self, name, theirs.copy())

    def adopt(self, kind: Kind, arrow: str) -> None:
        """Become the kind of more values: of nulls anything, of whole numbers floats."""
        if self.kind == "null" and kind != "null":
            self.kind, self.arrow = kind, arrow
            self.frequent = ColumnStatistics.empty("", kind, arrow, Budget(top=self.frequent.capacity)).frequent
        elif self.kind == "integer" and kind in ("float", "decimal"):
            self.kind, self.arrow = kind, arrow
            self.frequent.keys = self.frequent.keys.astype(np.float64)
            self.low, self.high = (None if one is None else float(one) for one in (self.low, self.high))

    def is_like(self, kind: Kind) -> bool:
        """Whether values of a kind count in this column."""
        return kind in (self.kind, "null") or (self.kind in ("float", "decimal") and kind in ("integer", "float", "decimal"))

    def bounds(self, low: Any, high: Any) -> None:
        """Stretch `low` and `high`."""
        if low is not None:
            self.low = low if self.low is None else min(self.low, low)
            self.high = high if self.high is None else max(self.high, high)

    def forget_texts(self) -> None:
        """Drop the texts of hashes that no sketch holds any more."""
        if self.texts:
            held = {*self.frequent.keys.tolist(), *self.smallest.hashes.tolist()}
            self.texts = {one: text for one, text in self.texts.items() if one in held}

    def copy(self) -> ColumnStatistics:
        made = ColumnStatistics(
            self.name, self.kind, self.arrow, self.registers.copy(), self.smallest.copy(), self.frequent.copy(), self.ranks.copy()
        )
        for name in _COUNTS:
            setattr(made, name, getattr(self, name))
        made.low, made.high, made.moments, made.encoding, made.texts = self.low, self.high, self.moments, self.encoding, dict(self.texts)
        made.lengths = None if self.lengths is None else self.lengths.copy()
        made.elements = None if self.elements is None else self.elements.copy()
        return made

    def to_record(self) -> dict[str, Any]:
        """As JSON holds it."""
        self.forget_texts()
        made: dict[str, Any] = {"name": self.name, "kind": self.kind, "arrow": self.arrow}
        made |= {name: getattr(self, name) for name in _COUNTS}
        made |= {"low": _spell(self.low), "high": _spell(self.high), "moments": self.moments.to_record()}
        made |= {name: getattr(self, name).to_record() for name in _SKETCHES}
        if self.kind in TEXTS:
            made["encoding"] = {name: getattr(self.encoding, name) for name in EncodingCounts.__slots__}
            made["texts"] = {f"{one:016x}": _spell(text) for one, text in self.texts.items()}
        for name in ("lengths", "elements"):
            if (one := getattr(self, name)) is not None:
                made[name] = one.to_record()
        return made

    @classmethod
    def from_record(cls, record: dict[str, Any]) -> ColumnStatistics:
        """KeyError, TypeError or ValueError where it is damaged."""
        sketches = (kind.from_record(record[name]) for name, kind in _SKETCHES.items())
        made = cls(str(record["name"]), record["kind"], str(record["arrow"]), *sketches)
        for name in _COUNTS:
            setattr(made, name, type(getattr(made, name))(record[name]))
        made.low, made.high = _read(record["low"]), _read(record["high"])
        made.moments = Moments.from_record(record["moments"])
        if made.kind in TEXTS:
            made.encoding = EncodingCounts(**record["encoding"])
            made.texts = {int(one, 16): _read(text) for one, text in record["texts"].items()}
        for name in ("lengths", "elements"):
            if name in record:
                setattr(made, name, cls.from_record(record[name]))
        return made


_COUNTS = ("rows", "nulls", "nans", "infinities", "zeros", "negatives", "unlike", "whole")
_SKETCHES: dict[str, Any] = {"registers": Registers, "smallest": Smallest, "frequent": Frequent, "ranks": Quantiles}


def _spell(value: Any) -> Any:
    return {"bytes": value.decode("latin-1")} if isinstance(value, bytes) else value


def _read(value: Any) -> Any:
    return value["bytes"].encode("latin-1") if isinstance(value, dict) else value
