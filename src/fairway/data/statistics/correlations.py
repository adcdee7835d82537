"""Correlations of all pairs of numeric columns, each over the rows where both have a finite value."""

from __future__ import annotations

from typing import Any

import numpy as np

from fairway.data.batch import Values
from fairway.data.statistics.packing import pack, unpack

_LARGEST = 1e100
"""Beyond this, products of values leave the range of a float: such values count as missing."""
_FIGURES = ("count", "mean", "square", "product")


class Pairs:
    """For columns i and j, over the rows where both are there: how many, the mean of i, its sum of squared distances, and the sum of
    products of the distances of both. Merged without loss (Chan et al.)."""

    __slots__ = (*_FIGURES, "names")

    def __init__(self, names: tuple[str, ...]) -> None:
        self.names = names
        self.count, self.mean, self.square, self.product = (np.zeros((len(names), len(names))) for _ in _FIGURES)

    def add(self, columns: list[Values]) -> None:
        """One batch's columns, in the order of `names`."""
        rows = len(columns[0])
        table = np.empty((len(columns), rows))
        missing = np.zeros((len(columns), rows), bool)
        shift = np.empty(len(columns))
        for place, column in enumerate(columns):
            with np.errstate(over="ignore"):
                table[place] = column.data
            if column.valid is not None:
                missing[place] = ~column.valid
            if column.data.dtype.kind == "f" or column.data.dtype == np.uint64:
                missing[place] |= ~(np.abs(table[place]) <= _LARGEST)
            shift[place] = table[place][:256][~missing[place][:256]].mean() if not missing[place][:256].all() else 0.0
            table[place] -= shift[place]
        self._fold(table, missing, shift)

    def _fold(self, table: np.ndarray, missing: np.ndarray, shift: np.ndarray) -> None:
        made = Pairs(self.names)
        if missing.any():
            table[missing] = 0.0
            there = (~missing).astype(np.float64)
            made.count = there @ there.T
            total, square, product = table @ there.T, (table * table) @ there.T, table @ table.T
        else:
            made.count[:] = table.shape[1]
            product = table @ table.T
            total = np.repeat(table.sum(axis=1)[:, None], len(table), axis=1)
            square = np.repeat(np.diag(product)[:, None], len(table), axis=1)
        count = np.maximum(made.count, 1)
        made.mean = total / count
        made.square = np.maximum(square - total * made.mean, 0)
        made.product = product - total * total.T / count
        made.mean += shift[:, None]
        self.merge(made)

    def merge(self, other: Pairs) -> None:
        """Take in the same columns of other rows; of other columns, those that both have are kept."""
        if other.names != self.names:
            names = tuple(name for name in self.names if name in other.names)
            self._only(names)
            other = other.copy()
            other._only(names)
        count = self.count + other.count
        safe = np.maximum(count, 1)
        apart = other.mean - self.mean
        part = self.count * other.count / safe
        self.square = self.square + other.square + apart * apart * part
        self.product = self.product + other.product + apart * apart.T * part
        self.mean = np.where(self.count == 0, other.mean, self.mean + apart * other.count / safe)
        self.count = count

    def _only(self, names: tuple[str, ...]) -> None:
        places = [self.names.index(name) for name in names]
        for figure in _FIGURES:
            setattr(self, figure, getattr(self, figure)[np.ix_(places, places)])
        self.names = names

    def coefficients(self) -> dict[tuple[str, str], float]:
        """Pearson's, of each pair in which both vary over at least three common rows."""
        made: dict[tuple[str, str], float] = {}
        for i, one in enumerate(self.names):
            for j in range(i + 1, len(self.names)):
                spread = np.sqrt(self.square[i, j]) * np.sqrt(self.square[j, i])
                tiny = 1e-14 * (1 + abs(self.mean[i, j])) * (1 + abs(self.mean[j, i])) * self.count[i, j]
                if self.count[i, j] >= 3 and np.isfinite(spread) and spread > tiny * 1e-10 and spread > 0:
                    made[one, self.names[j]] = float(np.clip(self.product[i, j] / spread, -1, 1))
        return made

    def copy(self) -> Pairs:
        made = Pairs(self.names)
        for figure in _FIGURES:
            setattr(made, figure, getattr(self, figure).copy())
        return made

    def to_record(self) -> dict[str, Any]:
        return {"names": list(self.names)} | {figure: pack(getattr(self, figure)) for figure in _FIGURES}

    @classmethod
    def from_record(cls, record: dict[str, Any]) -> Pairs:
        made = cls(tuple(str(name) for name in record["names"]))
        for figure in _FIGURES:
            setattr(made, figure, unpack(record[figure], np.float64).reshape(len(made.names), len(made.names)))
        return made
