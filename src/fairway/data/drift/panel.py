"""All facets of a monitor side by side: one row of bins, so that a window's measures are computed for all of them at once."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from fairway.data.drift.baseline import Track


class Panel:
    """The bins of some tracks one after the other. `starts`: the first bin of each track; `bins`: how many there are in all."""

    def __init__(self, tracks: Sequence[Track]) -> None:
        self.tracks = tuple(tracks)
        sizes = np.array([len(one.frame.counts) for one in tracks], np.int64)
        self.bins = int(sizes.sum())
        self.starts = np.cumsum(sizes) - sizes
        self._reference = np.concatenate([one.frame.shares(one.frame.counts) for one in tracks]) if tracks else np.zeros(0)
        counts = np.array([len(one.frame.starts) for one in tracks], np.int64)
        self._group_starts = np.cumsum(counts) - counts
        self._groups = np.concatenate(
            [one.frame.starts + start for one, start in zip(tracks, self.starts, strict=True)] or [np.zeros(0, int)]
        )
        self._even = np.repeat(counts, counts).astype(np.float64)
        rows = np.repeat(np.array([one.frame.rows for one in tracks]), counts)
        if tracks:
            grouped = np.add.reduceat(self._reference, self._groups)
            self._expected = (grouped * rows + 0.5) / (rows + 0.5 * self._even)
        self._ordered = np.array([one.frame.shape == "number" for one in tracks], bool)

    def part(self, flat: np.ndarray, number: int) -> np.ndarray:
        """The bins of one track, of the last axis."""
        start = int(self.starts[number])
        return flat[..., start : start + len(self.tracks[number].frame.counts)]

    def psi(self, windows: np.ndarray) -> np.ndarray:
        """(windows × tracks) of (windows × bins) counts; what `Frame.psi` gives for each."""
        rows = self._rows(windows)
        window = float(rows.mean())
        shares = np.add.reduceat(windows, self._groups, axis=-1) / rows
        shares *= window
        shares += 0.5
        shares /= window + 0.5 * self._even
        # as in `measures.psi`
        low, high = np.maximum(self._expected, 1e-6), np.maximum(shares, 1e-6)
        return np.add.reduceat((high - low) * np.log(high / low), self._group_starts, axis=-1)

    def largest(self, windows: np.ndarray) -> np.ndarray:
        """(windows × tracks): the Kolmogorov-Smirnov distance of each number, the largest difference of one bin of each category."""
        apart = self._reference - windows / self._rows(windows)
        most = np.maximum.reduceat(np.abs(apart), self.starts, axis=-1)
        if self._ordered.any():
            # both shares of a track sum to 1, so that what is cumulated is 0 again where the next begins
            sums = np.maximum.reduceat(np.abs(np.cumsum(apart, axis=-1)), self.starts, axis=-1)
            most = np.where(self._ordered, np.minimum(sums, 1.0), most)
        return most

    def _rows(self, windows: np.ndarray) -> np.ndarray:
        """Every facet counts every row of a window."""
        first = len(self.tracks[0].frame.counts)
        return np.maximum(windows[:, :first].sum(-1, keepdims=True), 1e-300)
