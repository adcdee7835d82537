"""The daily cycle: a part of a day is held to the same times of the baseline's days, not to whole days that it cannot be like."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from fairway.data.batch import Batch, Values
from fairway.data.drift.chance import Dependence
from fairway.data.drift.coding import Coder
from fairway.data.drift.facets import Rows
from fairway.data.drift.frames import Frame

SLOTS = 96
"""Quarters of an hour of a day."""
_SLOT_US = 900_000_000
TWICE, ENOUGH_DAYS = 1.9, 7.0
"""Days that a baseline must span for a cycle to be told from chance, and for days to be known well."""
_EXPLAINED = 0.5
_UNSEEN = 0.05


@dataclass(frozen=True)
class Cycle:
    """What a facet is like at each time of the day."""

    time: str
    """the column of times"""
    counts: np.ndarray
    """(SLOTS × bins)"""
    dependence: Dependence | None
    """what consecutive rows share beyond the time of the day; None: nothing"""

    def frame(self, frame: Frame, rows: Rows) -> Frame | None:
        """What the baseline would be if its rows had come at the times of day of these; None where it knows too few of them."""
        values = rows.sample(self.time) if self.time in rows.names() and rows.kind(self.time) == "timestamp" else None
        if values is None or not len(values):
            return None
        weights = np.bincount(_slots(values), minlength=SLOTS + 1)[:SLOTS].astype(np.float64)
        known = self.counts.sum(-1)
        weights /= max(weights.sum(), 1.0)
        if weights[known > 0].sum() < 1 - _UNSEEN:
            return None
        weights = np.where(known > 0, weights, 0.0) / weights[known > 0].sum()
        behind = 1 / float((weights**2 / np.maximum(known, 1.0)).sum())
        return replace(frame, counts=weights @ _profile(self.counts) * min(behind, frame.rows))


def time_of(rows: Rows) -> tuple[str, float]:
    """The first column of times that has some, and the days that it spans; "" and 0 where there is none."""
    for name in rows.names():
        if rows.kind(name) == "timestamp" and rows.sample(name) is not None:
            return name, rows.span_days(name)
    return "", 0.0


class Days:
    """Counts rows by their time of the day, like a Coder, and on the way what each of `coders` finds at each."""

    bins = SLOTS + 1

    def __init__(self, time: str, coders: Sequence[Coder]) -> None:
        self.time, self._coders = time, coders
        self.counts = [np.zeros((SLOTS, coder.bins)) for coder in coders]

    def counted(self, batch: Batch, places: np.ndarray, windows: int, caches: dict[str, dict[str, Any]]) -> np.ndarray:
        """(windows × bins): the last bin is of rows without a time."""
        values = batch.columns.get(self.time)
        slots = _slots(values) if values is not None and values.kind == "timestamp" else np.full(batch.rows, SLOTS)
        for counts, coder in zip(self.counts, self._coders, strict=True):
            counts += coder.counted(batch, slots, SLOTS + 1, caches)[:SLOTS]
        codes = slots + places * self.bins if windows > 1 else slots
        return np.bincount(codes, minlength=windows * self.bins).reshape(windows, self.bins).astype(np.float64)


def beyond_the_day(counts: np.ndarray, pieces: np.ndarray, slots: np.ndarray, days: float) -> np.ndarray:
    """The counts of pieces without what their time of the day explains. What is explained was learnt from the same few days, of each of
    which it has taken in a part: the rest is made so much larger."""
    rows = np.maximum(pieces.sum(-1, keepdims=True), 1.0)
    times = slots[:, :SLOTS] / np.maximum(slots[:, :SLOTS].sum(-1, keepdims=True), 1.0)
    rest = pieces / rows - times @ _profile(counts)
    return rows * (pieces.sum(0) / pieces.sum() + rest * math.sqrt(days / max(days - 1, 0.5)))


def is_explained(whole: Dependence, rest: Dependence | None) -> bool:
    """Whether the time of the day is what most of the dependence was."""
    return rest is None or rest.excess < _EXPLAINED * whole.excess


def _profile(counts: np.ndarray) -> np.ndarray:
    return counts / np.maximum(counts.sum(-1, keepdims=True), 1.0)


def _slots(values: Values) -> np.ndarray:
    made = values.data.astype(np.int64) // _SLOT_US % SLOTS
    return made if values.valid is None else np.where(values.valid, made, SLOTS)
