"""What chance alone does to a measure: simulated from the baseline's own counts, kept as a short ladder of tail quantiles.

Two samples of one distribution, the baseline's and the window's, are drawn many times over its bins: Poisson in the small bins, normal in
the large ones, both brought to their total (which makes them multinomial). Where rows depend on those before them, what the baseline's
own consecutive windows differ beyond that is drawn too (the block multiplier bootstrap, with Student's tails for the number of windows).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import numpy as np

LEVELS = (0.5, 0.2, 0.1, 0.05, 0.02, 0.01, 5e-3, 2e-3, 1e-3, 5e-4, 2e-4, 1e-4, 1e-5, 1e-6)
_LOGS = -np.log(LEVELS)
_ROUNDS = 4_000
_TAIL = 0.03
_SMALL = 20.0


@dataclass(frozen=True)
class Ladder:
    """A measure's quantiles under chance at `LEVELS` of the chance to be larger; between them the logarithm of the chance is linear."""

    values: tuple[float, ...]

    def threshold(self, alpha: float) -> float:
        """What chance alone exceeds with probability `alpha`."""
        return float(np.interp(-math.log(max(alpha, LEVELS[-1])), _LOGS, self.values))

    def chance(self, value: float) -> float:
        """The probability that chance alone is larger, not told below the ladder's last level."""
        steps = np.maximum.accumulate(np.asarray(self.values) + np.arange(len(LEVELS)) * 1e-15)
        if value <= steps[0]:
            return 1.0
        if value > steps[-1]:
            return LEVELS[-1] / 10
        return float(np.exp(-np.interp(value, steps, _LOGS)))


def ladder_of(values: np.ndarray) -> Ladder:
    """From simulated values: their own quantiles, and beyond the last `_TAIL` of them a generalised Pareto tail (no lighter than
    exponential, so that the far quantiles err towards fewer alarms)."""
    made = np.sort(values.astype(np.float64))
    count = len(made)
    cut = int(count * (1 - _TAIL))
    base, above = made[cut], made[cut:] - made[cut]
    scale = float(above.mean()) or 1e-12
    weights = 1 - (np.arange(len(above)) + 0.65) / len(above)
    weighted = float((weights * above).mean()) or 1e-12
    shape = min(max(2 - scale / (scale - 2 * weighted), 0.0), 0.3) if scale > 2 * weighted else 0.0
    width = scale * (1 - shape)
    quantiles = []
    for level in LEVELS:
        if level >= _TAIL:
            quantiles.append(float(made[round((count - 1) * (1 - level))]))
        else:
            ratio = level / _TAIL
            quantiles.append(float(base + (width / shape * (ratio**-shape - 1) if shape > 0.01 else -width * math.log(ratio))))
    return Ladder(tuple(np.maximum.accumulate(quantiles).tolist()))


def fitted(values: np.ndarray) -> Ladder:
    """From a few observed values: their own quantiles where these are sure, and those of a gamma distribution with their mean and variance
    (Wilson and Hilferty), widened for how few they are and how alike neighbours."""
    mean, variance = max(float(values.mean()), 1e-9), max(float(values.var(ddof=1)), 1e-18)
    centred = values - values.mean()
    alike = min(max(float(centred[1:] @ centred[:-1] / max(centred @ centred, 1e-18)), 0.0), 0.9)
    count = max(len(values) * (1 - alike) / (1 + alike), 4.0)
    shape = mean**2 / variance
    made: list[float] = []
    for level in LEVELS:
        z = normal_quantile(level)
        wide = z + (z**3 + z) / (4 * count)
        gamma = mean * max(1 - 1 / (9 * shape) + wide / (3 * math.sqrt(shape)), 0.0) ** 3
        made.append(max(gamma, float(np.quantile(values, 1 - level))))
    return Ladder(tuple(np.maximum.accumulate(made).tolist()))


def normal_quantile(tail: float) -> float:
    """z that a normal variable exceeds with probability `tail` (bisection: as exact as erfc is)."""
    low, high = -40.0, 40.0
    for _ in range(80):
        middle = (low + high) / 2
        low, high = (middle, high) if 0.5 * math.erfc(middle / math.sqrt(2)) > tail else (low, middle)
    return high


@dataclass(frozen=True)
class Dependence:
    """What consecutive rows share, so that windows of them differ more than chance alone explains."""

    factors: np.ndarray
    """(factors × bins): principal parts of the deviation of a window's counts beyond chance, divided by √rows"""
    freedom: float
    """windows that they were learnt from, less one"""
    excess: float
    """by how much windows differ more than independent rows would (1 = no more)"""
    window_rows: float = 0.0
    """rows of the windows behind `observed`"""
    observed: dict[str, Ladder] = field(default_factory=dict[str, Ladder])
    """what the deciding measures are between the baseline and its own windows"""

    def covers(self, window: float) -> bool:
        """Whether `observed` tells of windows of so many rows."""
        return bool(self.observed) and 0.8 * self.window_rows <= window <= 1.5 * self.window_rows


@dataclass(frozen=True)
class Draw:
    """How a window and its baseline come about by chance alone."""

    shares: np.ndarray
    """of each bin, under no change"""
    window: float
    baseline: float
    """rows of the two"""
    noise: float = 0.0
    """standard error of a cumulated share as the sketches know it, both taken together"""
    dependence: Dependence | None = None
    """None: rows are independent"""


def simulate(draw: Draw, measures: dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray]]) -> dict[str, Ladder]:
    """The ladder of each measure of (baseline's shares, window's shares). The same for the same input."""
    generator = np.random.default_rng(7)
    current = _drawn(draw, draw.window, 0, generator)
    reference = _drawn(draw, draw.baseline, 1, generator)
    made = {name: _widened(ladder_of(np.asarray(measure(reference, current)))) for name, measure in measures.items()}
    if draw.dependence is not None and draw.dependence.covers(draw.window):
        for name, ladder in draw.dependence.observed.items():
            made[name] = Ladder(tuple(max(pair) for pair in zip(ladder.values, made[name].values, strict=True))) if name in made else ladder
    return made


def _widened(ladder: Ladder) -> Ladder:
    """By what single precision may be off: what can only have one value, as a constant's measure, is not beyond it by a rounding."""
    return Ladder(tuple(value * (1 + 1e-4) + 1e-7 for value in ladder.values))


@cache
def _normals(bins: int, which: int) -> np.ndarray:
    return np.random.default_rng(1000 + which).standard_normal((_ROUNDS, bins), np.float32)


def _drawn(draw: Draw, rows: float, which: int, generator: np.random.Generator) -> np.ndarray:
    """(rounds × bins) shares, in single precision: what they are compared by is only known to a few percent."""
    bins, expected = len(draw.shares), draw.shares * rows
    width = 16 * -(-bins // 16)  # few shapes are kept
    made = _normals(width, which)[:, :bins] * np.sqrt(expected).astype(np.float32)
    made += expected.astype(np.float32)
    few = np.flatnonzero(expected < _SMALL)
    if len(few):
        made[:, few] = generator.poisson(expected[few], (_ROUNDS, len(few)))
    if draw.dependence is not None:
        made += math.sqrt(rows) * _dependent(draw.dependence, generator).astype(np.float32)
    np.maximum(made, 1e-9, out=made)
    made /= made.sum(-1, keepdims=True)
    if draw.noise:
        made += np.diff(_normals(width + 16, 2 + which)[:, : bins + 1], axis=-1) * np.float32(draw.noise / math.sqrt(2))
        np.maximum(made, 1e-9, out=made)
        made /= made.sum(-1, keepdims=True)
    return made


def _dependent(dependence: Dependence, generator: np.random.Generator) -> np.ndarray:
    weights = generator.standard_normal((_ROUNDS, len(dependence.factors)))
    weights *= np.sqrt(dependence.freedom / generator.chisquare(dependence.freedom, (_ROUNDS, 1)))
    return weights @ dependence.factors


def ladder_json(ladder: Ladder) -> list[float]:
    return [float(f"{value:.5g}") for value in ladder.values]


def ladder_from(document: Any) -> Ladder:
    if len(document) != len(LEVELS):
        raise ValueError(f"{len(document)} thresholds, where there are {len(LEVELS)} levels")
    return Ladder(tuple(float(value) for value in document))
