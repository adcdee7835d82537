"""What a facet's values were, of rows at hand or of statistics: numbers with their quantiles, or values with their counts."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Protocol

import numpy as np

from fairway.data.batch import Values, values_of


class Numbers(Protocol):
    """Numbers of which quantiles and shares can be asked."""

    rows: int
    nulls: int
    nans: int
    minimum: float
    maximum: float
    mean: float
    std: float
    error: float
    """bound of the error of a share (sketches), 0 when exact"""

    def quantile(self, q: np.ndarray) -> np.ndarray: ...

    def cdf(self, x: np.ndarray) -> np.ndarray:
        """Share of the present numbers that are at most x."""
        ...

    def atoms(self) -> np.ndarray | None:
        """The values, ascending, where there are few and all are known."""
        ...


@dataclass
class ExactNumbers:
    """Numbers at hand; what is not finite counts as NaN; `nulls` are beside them."""

    given: np.ndarray
    nulls: int = 0
    error: float = 0.0
    sorted: np.ndarray = field(init=False, repr=False)

    def __post_init__(self) -> None:
        wide = np.asarray(self.given, np.float64)
        finite = wide[np.isfinite(wide)]
        self.nans, self.rows = len(wide) - len(finite), len(wide) + self.nulls
        self.sorted = np.sort(finite)
        some = self.sorted if len(finite) else np.zeros(1)
        self.minimum, self.maximum = float(some[0]), float(some[-1])
        self.mean, self.std = float(some.mean()), float(some.std())

    def quantile(self, q: np.ndarray) -> np.ndarray:
        if not len(self.sorted):
            return np.zeros(len(q))
        return self.sorted[np.minimum((q * len(self.sorted)).astype(np.int64), len(self.sorted) - 1)]

    def cdf(self, x: np.ndarray) -> np.ndarray:
        return np.searchsorted(self.sorted, x, side="right") / max(len(self.sorted), 1)

    def atoms(self) -> np.ndarray | None:
        found = np.unique(self.sorted)
        return found if len(found) <= 48 else None


@dataclass
class StatedNumbers:
    """The numbers of a `ColumnStatistics`."""

    column: Any

    def __post_init__(self) -> None:
        of = self.column
        self.rows, self.nulls, self.nans = int(of.rows), int(of.nulls), int(of.nans + of.infinities + of.unlike)
        self.minimum, self.maximum = _plain(of.low), _plain(of.high)
        self.mean, self.std = _plain(of.mean), _plain(of.std)
        self.error = float(of.rank_error)

    @cached_property
    def _tops(self) -> tuple[np.ndarray, np.ndarray] | None:
        if not self.column.top_is_complete or len(self.column.top) > 48:
            return None
        pairs = sorted((float(one.value), float(one.count)) for one in self.column.top if isinstance(one.value, int | float))
        if not pairs:
            return None
        values, counts = np.array(pairs).T
        self.error = 0.0
        return values, np.cumsum(counts) / counts.sum()

    def quantile(self, q: np.ndarray) -> np.ndarray:
        return np.asarray(self.column.quantile(q), np.float64)

    def cdf(self, x: np.ndarray) -> np.ndarray:
        if self._tops is not None:
            values, shares = self._tops
            places = np.searchsorted(values, x, side="right")
            return np.concatenate([[0.0], shares])[places]
        return np.asarray(self.column.cdf(np.asarray(x, np.float64)), np.float64)

    def atoms(self) -> np.ndarray | None:
        return None if self._tops is None else self._tops[0]


def _plain(value: Any) -> float:
    return float(value) if isinstance(value, int | float) and value == value else 0.0


@dataclass
class Counts:
    """Values by their hash with how often each came. `rest`: rows of values not listed; `complete`: there are none such; `singles`: rows of
    values that came once (what chance may show next time for the first time)."""

    keys: np.ndarray
    labels: tuple[str, ...]
    counts: np.ndarray
    rows: int
    nulls: int
    rest: float = 0.0
    complete: bool = True
    singles: float = 0.0


def counts_of_values(values: Values) -> Counts:
    """Of a column at hand: its hundred most frequent values."""
    hashes = values.hashes()
    present = np.arange(len(values)) if values.valid is None else np.flatnonzero(values.valid)
    keys, first, counts = np.unique(hashes[present], return_index=True, return_counts=True)
    order = np.argsort(-counts, kind="stable")[:100]
    labels = tuple(label_of(one) for one in values.values(present[first[order]]))
    singles = float(np.count_nonzero(counts == 1))
    rest = float(counts.sum() - counts[order].sum())
    return Counts(keys[order], labels, counts[order].astype(np.float64), len(values), values.nulls, rest, rest == 0, singles)


def counts_of_tops(top: Any, rows: int, nulls: int, complete: bool) -> Counts:
    """Of the most frequent values that statistics list."""
    kept = [one for one in top if one.count > 0 and not one.is_cut]
    values = [one.value for one in kept]
    counts = np.array([float(one.count) for one in kept])
    keys = np.array([int(_hash_of(value)) for value in values], np.uint64)
    rest = max(0.0, float(rows - nulls) - float(counts.sum())) if len(counts) else float(rows - nulls)
    whole = complete and rest <= 0
    return Counts(keys, tuple(label_of(v) for v in values), counts, rows, nulls, rest, whole, float((counts == 1).sum()) if whole else 0.0)


def _hash_of(value: Any) -> int:
    return int(values_of([value]).hashes()[0])


def label_of(value: Any) -> str:
    """A value as the name of its bar."""
    text = "true" if value is True else "false" if value is False else str(value)
    return text if len(text) <= 60 else text[:57] + "…"
