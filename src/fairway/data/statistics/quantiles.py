"""Quantiles of a stream within a stated error of rank: KLL (Karnin, Lang, Liberty 2016), whose parts are whole sorted batches."""

from __future__ import annotations

import itertools
import random
from typing import Any

import numpy as np

from fairway.data.statistics.packing import pack, unpack

_SHRINK = 2 / 3
_LEAST = 16


class Quantiles:
    """Sorted values in levels; a value of level h stands for 2 ** h values. Merging is what adding is, so any order of merges has the same
    error: `rank_error`, at 99 % confidence, as a share of all values, for any one question."""

    __slots__ = ("_chance", "_view", "count", "k", "levels")

    def __init__(self, k: int, seed: int = 0) -> None:
        self.k, self.count = k, 0
        self.levels: list[np.ndarray] = [np.empty(0)]
        self._chance = random.Random(seed)
        self._view: tuple[np.ndarray, np.ndarray] | None = None

    def add_sorted(self, values: np.ndarray) -> None:
        """Finite float64s in ascending order."""
        self.count += len(values)
        self._view = None
        while len(values):
            height = max(0, (len(values) - 1).bit_length() - self.k.bit_length() + 1)
            whole = len(values) >> height << height
            part = values[:whole].reshape(-1, 1 << height)[:, self._chance.randrange(1 << height)]
            self._put(height, part)
            values = values[whole:]
        self._compact()

    def merge(self, other: Quantiles) -> None:
        """Take in what another one holds; the smaller `k` is kept."""
        self.count += other.count
        self.k = min(self.k, other.k)
        self._view = None
        for height, level in enumerate(other.levels):
            self._put(height, level)
        self._compact()

    def _put(self, height: int, values: np.ndarray) -> None:
        while len(self.levels) <= height:
            self.levels.append(np.empty(0))
        held = self.levels[height]
        self.levels[height] = np.sort(np.concatenate([held, values])) if len(held) else np.array(values, np.float64)

    def _compact(self) -> None:
        height = 0
        while height < len(self.levels):
            level = self.levels[height]
            if len(level) > max(_LEAST, int(2 * self.k * _SHRINK ** (len(self.levels) - 1 - height) / 2)) + (
                self.k if self.is_top(height) else 0
            ):
                odd = len(level) & 1
                even = level[: len(level) - odd]
                self.levels[height] = level[len(level) - odd :]
                self._put(height + 1, even[self._chance.randrange(2) :: 2])
            height += 1

    def is_top(self, height: int) -> bool:
        return height == len(self.levels) - 1

    @property
    def rank_error(self) -> float:
        """Largest error of a rank, as a share of all values, at 99 % confidence; 0 while every value is held."""
        return 0.0 if self.is_exact else 2.296 / self.k**0.9021

    @property
    def is_exact(self) -> bool:
        return not any(len(level) for level in self.levels[1:])

    def view(self) -> tuple[np.ndarray, np.ndarray]:
        """(values ascending, how many values are at or below each)."""
        if self._view is None:
            values = np.concatenate(self.levels)
            weights = np.concatenate([np.full(len(level), 1 << height, np.int64) for height, level in enumerate(self.levels)])
            order = np.argsort(values, kind="stable")
            self._view = values[order], np.cumsum(weights[order])
        return self._view

    def copy(self) -> Quantiles:
        made = Quantiles(self.k)
        made.count, made.levels = self.count, [level.copy() for level in self.levels]
        made._chance.setstate(self._chance.getstate())
        return made

    def to_record(self) -> dict[str, Any]:
        return {"k": self.k, "count": self.count, "sizes": [len(one) for one in self.levels], "values": pack(np.concatenate(self.levels))}

    @classmethod
    def from_record(cls, record: dict[str, Any]) -> Quantiles:
        made = cls(int(record["k"]), seed=int(record["count"]))
        made.count = int(record["count"])
        ends = np.cumsum([0, *record["sizes"]])
        values = unpack(record["values"], np.float64)
        made.levels = [values[start:end].copy() for start, end in itertools.pairwise(ends.tolist())]
        return made


def quantile_of(view: tuple[np.ndarray, np.ndarray], q: np.ndarray) -> np.ndarray:
    """The least value such that at least a share `q` of all is at or below it."""
    values, upto = view
    places = np.searchsorted(upto, np.ceil(np.clip(q, 0, 1) * upto[-1]), side="left")
    return values[np.minimum(places, len(values) - 1)]


def cdf_of(view: tuple[np.ndarray, np.ndarray], x: np.ndarray) -> np.ndarray:
    """Share of values at or below each of `x`."""
    values, upto = view
    return np.concatenate([[0], upto])[np.searchsorted(values, x, side="right")] / upto[-1]
