"""Rows into bins, many windows at once: what a monitor spends its time on."""

from __future__ import annotations

from typing import Any

import numpy as np

from fairway.data.batch import Batch, Values
from fairway.data.drift import text
from fairway.data.drift.facets import Facet, reduced, shared_texts
from fairway.data.drift.frames import Frame

_NUMERIC = {"float", "integer", "decimal", "duration", "boolean"}
_TIMES = {"timestamp", "date", "time"}


class Coder:
    """Counts the rows of a facet into the bins of its frame."""

    def __init__(self, facet: Facet, frame: Frame) -> None:
        self.facet, self.frame, self.bins = facet, frame, len(frame.counts)
        self.edges = frame.edges
        order = np.argsort(frame.keys)
        self._keys = frame.keys[order]
        self._places = order.astype(np.int64) + 1

    def counted(self, batch: Batch, places: np.ndarray, windows: int, caches: dict[str, dict[str, Any]]) -> np.ndarray:
        """(windows × bins): row i belongs to window places[i]. Rows of a batch without the column are null in it."""
        values = batch.columns.get(self.facet.column)
        codes = np.zeros(batch.rows, np.int64) if values is None else self.codes(values, caches.setdefault(self.facet.column, {}))
        if windows > 1:
            codes = codes + places * self.bins
        return np.bincount(codes, minlength=windows * self.bins).reshape(windows, self.bins).astype(np.float64)

    def codes(self, values: Values, cache: dict[str, Any]) -> np.ndarray:
        """The bin of every row; a column of another kind than the baseline's is NaN, or beyond what is listed, throughout."""
        if values.kind == "null":
            return np.zeros(len(values), np.int64)
        made = self._numbers(values, cache) if self.frame.shape == "number" else self._categories(values, cache)
        if values.valid is not None:
            made[~values.valid] = 0
        return made

    def _numbers(self, values: Values, cache: dict[str, Any]) -> np.ndarray:
        if not _fits(self.facet, values):
            return np.ones(len(values), np.int64)
        data = reduced(cache, self.facet, _whole(values))
        if data.dtype == bool:
            return data.astype(np.int64) + 3
        made = np.searchsorted(self.edges, data.astype(np.float64, copy=False)).astype(np.int64, copy=False)
        made += 2
        if data.dtype.kind == "f":
            ends = (made == self.bins - 1) | (made == 2)
            if ends.any():
                made[ends & ~np.isfinite(data)] = 1
        return made

    def _categories(self, values: Values, cache: dict[str, Any]) -> np.ndarray:
        if self.facet.name == "shape" and values.kind == "string":
            hashes = text.shapes(shared_texts(cache, _whole(values))).hashes()
        elif self.facet.name:
            return np.full(len(values), self.bins - 1)
        else:
            hashes = values.hashes()
        if not len(self._keys):
            return np.full(len(values), self.bins - 1)
        found = np.minimum(np.searchsorted(self._keys, hashes), len(self._keys) - 1)
        return np.where(self._keys[found] == hashes, self._places[found], self.bins - 1)


def _whole(values: Values) -> Values:
    """The same with whatever stands where there is none."""
    return values if values.valid is None else Values(values.kind, values.arrow, values.data, None, values.offsets, values.child)


def _fits(facet: Facet, values: Values) -> bool:
    """Whether the column is still of a kind that the facet can be taken of."""
    kind = values.kind
    if facet.kind in ("number", "boolean"):
        return kind in _NUMERIC and (facet.kind == "number" or kind == "boolean")
    if facet.kind == "time":
        return kind in _TIMES and (facet.name == "weekday" or kind != "date") and (facet.name == "hour" or kind != "time")
    if facet.kind == "text":
        return kind == "string" or (facet.name == "length" and kind == "binary")
    return kind == ("binary" if facet.kind == "image" else "list")
