"""Distances between two distributions over the same bins. Pure, symmetric, zero on equal input; all but chi-square take arrays of many
distributions too (the last axis is the bins)."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

_TINY = 1e-6


def psi(p: np.ndarray, q: np.ndarray, floor: float = _TINY) -> np.ndarray:
    """Population stability index of two arrays of shares: Σ (q - p) ln(q / p); shares below `floor` count as `floor`. 0 to about 28."""
    low, high = np.maximum(p, floor), np.maximum(q, floor)
    return ((high - low) * np.log(high / low)).sum(-1)


def jensen_shannon(p: np.ndarray, q: np.ndarray) -> np.ndarray:
    """Jensen-Shannon divergence in bits, 0 (equal) to 1 (nothing in common)."""
    middle = (p + q) / 2
    return np.clip((_relative(p, middle) + _relative(q, middle)) / 2, 0.0, 1.0)


def _relative(p: np.ndarray, q: np.ndarray) -> np.ndarray:
    with np.errstate(divide="ignore", invalid="ignore"):
        parts = np.where(p > 0, p * np.log2(p / q), 0.0)
    return parts.sum(-1)


def kolmogorov_smirnov(p: np.ndarray, q: np.ndarray) -> np.ndarray:
    """The largest difference of the two cumulated shares over ordered bins, 0 to 1."""
    return np.clip(np.abs(np.cumsum(p - q, axis=-1)).max(-1), 0.0, 1.0)


def l_infinity(p: np.ndarray, q: np.ndarray) -> np.ndarray:
    """The largest difference of one bin's shares, 0 to 1."""
    return np.abs(p - q).max(-1)


def wasserstein(p: np.ndarray, q: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Wasserstein's distance (earth mover's) of two distributions on the same ascending `points`, in their unit."""
    moved = np.abs(np.cumsum(p - q, axis=-1))[..., :-1]
    return (moved * np.diff(points)).sum(-1)


@dataclass(frozen=True)
class ChiSquare:
    """Pearson's test that two rows of counts are of one distribution."""

    statistic: float
    freedom: int
    p_value: float


def chi_square(counts: np.ndarray, others: np.ndarray) -> ChiSquare:
    """Of two arrays of counts over the same bins (bins empty in both are left out)."""
    table = np.vstack([counts, others]).astype(np.float64)
    table = table[:, table.sum(0) > 0]
    rows, columns, total = table.sum(1, keepdims=True), table.sum(0, keepdims=True), table.sum()
    freedom = max(table.shape[1] - 1, 0)
    if not freedom or not rows.all():
        return ChiSquare(0.0, freedom, 1.0)
    expected = rows @ columns / total
    statistic = float(((table - expected) ** 2 / expected).sum())
    return ChiSquare(statistic, freedom, chi_square_tail(statistic, freedom))


def chi_square_tail(statistic: float, freedom: int) -> float:
    """The chance that a chi-square of so much freedom is larger: the regularised upper incomplete gamma (series or continued fraction)."""
    a, x = freedom / 2, statistic / 2
    if x <= 0:
        return 1.0
    front = math.exp(-x + a * math.log(x) - math.lgamma(a))
    if x < a + 1:
        term = total = 1 / a
        step = a
        while abs(term) > abs(total) * 1e-15:
            step += 1
            term *= x / step
            total += term
        return max(0.0, 1.0 - front * total)
    return _lentz(a, x) * front


def _lentz(a: float, x: float) -> float:
    b = x + 1 - a
    c, d = 1e300, 1 / b
    made = d
    for step in range(1, 10_000):
        along = -step * (step - a)
        b += 2
        d = 1 / (along * d + b or 1e-300)
        c = b + along / c or 1e-300
        change = d * c
        made *= change
        if abs(change - 1) < 1e-15:
            break
    return made
