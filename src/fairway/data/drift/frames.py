"""A frame: the bins that a baseline gives a facet, into which every window's rows are counted. Counts are all that later steps need."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from fairway.data.drift import measures
from fairway.data.drift.chance import Dependence, Draw, Ladder, simulate
from fairway.data.drift.readings import Counts, Numbers

FINE = 64
_GROUPS = 10
_BIG = 0.005

Shape = Literal["number", "category"]


@dataclass(frozen=True)
class Frame:
    """Bins of one facet and how often the baseline met each.

    A number's: null, NaN, below the minimum, (edges[i], edges[i + 1]] …, above the maximum. A category's: null, each frequent value
    (largest first), each rarer one, and the rest: values not listed, or never seen. `starts`: the first bin of each group; PSI is taken
    over groups, since bins that expect next to nothing would drown it.
    """

    shape: Shape
    counts: np.ndarray
    starts: np.ndarray
    edges: np.ndarray
    """a number's; empty for a category"""
    keys: np.ndarray
    """a category's values' hashes, by bin; empty for a number"""
    labels: tuple[str, ...]
    complete: bool
    unseen: float
    """rows that the rest's bin stands for under no change, where the baseline met none of them"""
    error: float
    spread: float
    """a number's standard deviation"""
    mean: float

    @property
    def rows(self) -> float:
        return float(self.counts.sum())

    def shares(self, counts: np.ndarray) -> np.ndarray:
        return counts / np.maximum(counts.sum(-1, keepdims=True), 1e-300)

    def expected(self) -> np.ndarray:
        """Shares under no change: empty bins get the little that the baseline's size cannot exclude."""
        made = self.counts.copy()
        if self.shape == "category" and self.complete:
            made[-1] = max(made[-1], self.unseen, 0.5)
        elif self.shape == "number":
            for end in (2, len(made) - 1):
                made[end] = max(made[end], 1.0)
        return made / made.sum()

    def psi(self, p: np.ndarray, q: np.ndarray, window: float) -> np.ndarray:
        """Over the groups, each share moved by half a row towards even, so that an empty group is finite; `window`: rows behind q."""
        groups = len(self.starts)
        return measures.psi(
            _eased(np.add.reduceat(p, self.starts, axis=-1), self.rows, groups),
            _eased(np.add.reduceat(q, self.starts, axis=-1), window, groups),
        )

    def distances(self, p: np.ndarray, q: np.ndarray, window: float, which: str) -> np.ndarray:
        if which == "psi":
            return self.psi(p, q, window)
        if which == "ks":
            return measures.kolmogorov_smirnov(p, q)
        if which == "js":
            return measures.jensen_shannon(np.add.reduceat(p, self.starts, axis=-1), np.add.reduceat(q, self.starts, axis=-1))
        return measures.l_infinity(p, q)

    @property
    def deciding(self) -> tuple[str, ...]:
        """The measures that are held to thresholds."""
        return ("ks", "psi") if self.shape == "number" else ("linf", "psi")

    def ladders(self, window: float, dependence: Dependence | None = None, error: float = 0.0, also: str = "") -> dict[str, Ladder]:
        """What chance does to the deciding measures (and to `also`) between the baseline and a window of so many rows. `error`: that of the
        window's sketch."""
        noise = math.hypot(self.error, error) / 2.6 if self.shape == "number" else 0.0
        draw = Draw(self.expected(), max(window, 1.0), max(self.rows, 1.0), noise, dependence)
        names = dict.fromkeys((*self.deciding, also) if also else self.deciding)
        return simulate(draw, {name: lambda p, q, name=name: self.distances(p, q, window, name) for name in names})

    def quantile(self, counts: np.ndarray, q: float) -> float:
        """Of a number's counts, by the edges."""
        inside = counts[2:]
        total = inside.sum()
        if not total or not len(self.edges):
            return math.nan
        sums = np.cumsum(inside) / total
        place = int(np.searchsorted(sums, q))
        if place == 0:
            return float(self.edges[0])
        if place >= len(self.edges):
            return float(self.edges[-1])
        before, low, high = float(sums[place - 1]), float(self.edges[place - 1]), float(self.edges[place])
        share = float(sums[place]) - before
        if self.atomic or (self.edges[1:] == np.round(self.edges[1:])).all():
            return high
        return low + (high - low) * (q - before) / share if share > 0 else high

    def around(self, counts: np.ndarray, q: float) -> tuple[float, float]:
        """The ends of the bin in which the quantile is: counts know it no better. The same value twice where it is known."""
        inside = counts[2:]
        place = int(np.searchsorted(np.cumsum(inside) / max(float(inside.sum()), 1e-300), q))
        low, high = (float(self.edges[min(max(at, 0), len(self.edges) - 1)]) for at in (place - 1, place))
        alone = self.atomic or (high - low == 1 and bool((self.edges[1:] == np.round(self.edges[1:])).all()))
        return (high, high) if alone else (low, high)

    @property
    def atomic(self) -> bool:
        """Whether each bin of the number is one value."""
        return self.shape == "number" and bool(self.labels)


def _eased(shares: np.ndarray, rows: float, groups: int) -> np.ndarray:
    return (shares * rows + 0.5) / (rows + 0.5 * groups)


def frame_numbers(numbers: Numbers, fine: int = FINE) -> Frame:
    """Bins at quantiles, or one for each value where there are few."""
    present = max(numbers.rows - numbers.nulls - numbers.nans, 0)
    atoms = numbers.atoms() if present else np.zeros(0)
    if atoms is not None:
        inner = atoms
    else:
        inner = np.unique(numbers.quantile(np.linspace(0, 1, fine + 1)[1:-1]))
        inner = np.append(inner[inner < numbers.maximum], numbers.maximum)
    below = np.nextafter(numbers.minimum, -math.inf)
    edges = np.concatenate([[below], inner]) if len(inner) else np.array([0.0])
    counts = count_numbers(edges, numbers)
    starts = _number_groups(counts)
    labels = tuple(f"{value:g}" for value in atoms) if atoms is not None else ()
    return Frame(
        "number", counts, starts, edges, np.zeros(0, np.uint64), labels, True, 0.0, numbers.error, float(numbers.std), float(numbers.mean)
    )


def count_numbers(edges: np.ndarray, numbers: Numbers) -> np.ndarray:
    """Rows in each bin of a frame with these edges."""
    present = max(numbers.rows - numbers.nulls - numbers.nans, 0)
    if not present:
        return np.concatenate([[numbers.nulls, numbers.nans], np.zeros(len(edges) + 1)]).astype(np.float64)
    sums = np.clip(numbers.cdf(edges), 0.0, 1.0)
    sums[edges >= numbers.maximum] = 1.0
    sums[edges < numbers.minimum] = 0.0
    sums = np.maximum.accumulate(sums)
    parts = np.diff(np.concatenate([[0.0], sums, [1.0]])) * present
    return np.concatenate([[numbers.nulls, numbers.nans], parts])


def _number_groups(counts: np.ndarray) -> np.ndarray:
    """Null and NaN are one group; the others are joined until each holds about a tenth of the present rows."""
    present = counts[2:].sum()
    starts, held = [0, 2], 0.0
    for place in range(2, len(counts)):
        if held >= present / _GROUPS * 0.95 and counts[place:].sum() >= present / _GROUPS * 0.5:
            starts.append(place)
            held = 0.0
        held += counts[place]
    return np.array(starts)


def frame_counts(counts: Counts) -> Frame:
    """A bin for each listed value (in a column whose values are not all listed: for each frequent one)."""
    order = np.argsort(-counts.counts, kind="stable")
    shares = counts.counts[order] / max(counts.rows, 1)
    if not counts.complete:
        order = order[shares >= _BIG]
        shares = shares[shares >= _BIG]
    kept = counts.counts[order]
    rest = max(counts.rows - counts.nulls - kept.sum(), 0.0)
    big = int(np.count_nonzero(shares >= _BIG * 2))
    made = np.concatenate([[counts.nulls], kept, [rest]]).astype(np.float64)
    starts = np.arange(0, big + 2)
    labels = tuple(counts.labels[place] for place in order)
    return Frame(
        "category", made, starts, np.zeros(0), counts.keys[order].astype(np.uint64), labels, counts.complete, counts.singles, 0.0, 0.0, 0.0
    )


def count_counts(keys: np.ndarray, counts: Counts) -> np.ndarray:
    """Rows in each bin of a frame with these keys."""
    known = {int(key): float(count) for key, count in zip(counts.keys, counts.counts, strict=True)}
    listed = np.array([known.get(int(key), 0.0) for key in keys])
    rest = max(counts.rows - counts.nulls - float(listed.sum()), 0.0)
    return np.concatenate([[counts.nulls], listed, [rest]])


def frame_json(frame: Frame) -> dict[str, Any]:
    made: dict[str, Any] = {"shape": frame.shape, "counts": [round(float(c), 2) for c in frame.counts], "starts": frame.starts.tolist()}
    if frame.shape == "number":
        made |= {"edges": frame.edges.tolist(), "error": frame.error, "spread": frame.spread, "mean": frame.mean}
    else:
        made |= {"keys": [f"{int(key):016x}" for key in frame.keys], "complete": frame.complete, "unseen": frame.unseen}
    if frame.labels:
        made["labels"] = list(frame.labels)
    return made


def frame_from(document: dict[str, Any]) -> Frame:
    """What `frame_json` gave. Raises ValueError where its parts do not fit together."""
    made = Frame(
        shape=document["shape"],
        counts=np.array(document["counts"], np.float64),
        starts=np.array(document["starts"], np.int64),
        edges=np.array(document.get("edges", []), np.float64),
        keys=np.array([int(key, 16) for key in document.get("keys", [])], np.uint64),
        labels=tuple(document.get("labels", ())),
        complete=document.get("complete", True),
        unseen=document.get("unseen", 0.0),
        error=document.get("error", 0.0),
        spread=document.get("spread", 0.0),
        mean=document.get("mean", 0.0),
    )
    bins, is_number = len(made.counts), made.shape == "number"
    fits = bins == len(made.edges) + 3 if is_number else made.shape == "category" and bins == len(made.keys) + 2
    fits = fits and len(made.labels) in ((0, len(made.edges) - 1) if is_number else (len(made.keys),))
    fits = fits and len(made.starts) > 0 and made.starts[0] == 0 and made.starts[-1] < bins and bool((np.diff(made.starts) > 0).all())
    if not fits or not (np.isfinite(made.counts).all() and (made.counts >= 0).all() and made.rows > 0) or (np.diff(made.edges) < 0).any():
        raise ValueError("the bins of a frame do not fit together")
    return made
