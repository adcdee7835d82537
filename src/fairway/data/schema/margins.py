"""How far beyond what was seen a bound must lie, so that new rows of the same kind do not cross it."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

BEYOND = 50.0
"""A bound is where one value is expected in so many times the rows that were seen, as far as the tail that was seen goes on."""
CHANCE = 12
"""What did not come in some rows comes more often than that in as many again once in 2 ** 13 tables at most, whatever its share is: of the
rows of both together, those that have it would all have to be among the second. So many new values are let through (`tolerance`)."""
_MOST_LET_THROUGH = 0.25
_GOLDEN, _HUGE = 0.6180339887498949, 1e100
_TAIL, _MOST, _LEAST = 0.05, 500, 20
SOLID = 20
"""An end at which so many values stand exactly is taken for the end."""
_HEAVIEST, _ENDS = 0.8, -0.3


def upper_bound(sample: np.ndarray, rows: int, low: float, high: float, *, is_whole: bool = False) -> float:
    """A bound at or above `high`, the largest of `rows` values of which `sample` (ascending) is a fair part; `low` is the least of them.

    A generalised Pareto distribution is fitted to the exceedances of a high threshold (Hosking and Wallis 1987: probability-weighted
    moments), its shape taken half a standard error heavier than found; the bound is its quantile at one in BEYOND times the rows.
    """
    widest = max(abs(low), abs(high))
    if widest > _HUGE:  # sums of them would be more than a float holds
        return widest * upper_bound(sample / widest, rows, low / widest, high / widest)
    if is_whole and len(sample) and sample[-1] - sample[0] < 1000:  # steps as fine as the tail itself would look like no tail
        sample = np.sort(sample + np.arange(len(sample)) * _GOLDEN % 1 - 0.5)
    part = _exceedances(sample)
    if part is None:
        return high + (high - low or abs(high) or 1.0) * max(0.5, _LEAST / max(1, len(sample)))
    threshold, over = part
    shape, scale = _pareto(over)
    if shape > 0.2 and threshold > 0:  # weighted moments tell a very heavy tail too light
        shape = max(shape, float(np.mean(np.log(over + threshold) - math.log(threshold))))
    error = (1 + abs(shape)) / math.sqrt(len(over))
    shape = shape + 2 * error if shape + 2 * error < _ENDS else min(_HEAVIEST, max(0.0, shape + error / 2))
    share = len(over) / len(sample)
    beyond = math.log(share * rows * BEYOND)
    reach = scale * (beyond if abs(shape) < 1e-3 else math.expm1(shape * beyond) / shape)
    next_to_it = (high - threshold) / max(1.0, share * rows) * math.log(BEYOND)  # what the end of a bounded range leaves open
    return max(threshold + reach, high + next_to_it)


def _exceedances(sample: np.ndarray) -> tuple[float, np.ndarray] | None:
    """(threshold, how far the values above it are above it), of the highest threshold that leaves enough different ones."""
    for share in (_TAIL, 2 * _TAIL, 4 * _TAIL, 0.5):
        count = int(min(_MOST, share * len(sample)))
        if count < _LEAST:
            continue
        threshold = float(sample[len(sample) - count - 1])
        over = sample[np.searchsorted(sample, threshold, side="right") :] - threshold
        if len(over) >= _LEAST and len(np.unique(over)) >= 5:
            return threshold, over
    return None


def _pareto(over: np.ndarray) -> tuple[float, float]:
    """(shape, scale) of exceedances, ascending."""
    weights = 1 - (np.arange(1, len(over) + 1) - 0.35) / len(over)
    first, second = float(over.mean()), float((over * weights).mean())
    spread = first - 2 * second
    if spread <= 0:
        return 0.0, first
    return 2 - first / spread, 2 * first * second / spread


def outward(bound: float, seen: float) -> float:
    """`bound` with as few digits as will do: further away from `seen` by half the margin at most."""
    margin = abs(bound - seen)
    if not margin or not math.isfinite(bound):
        return bound
    rises = bound > seen
    for digits in range(1, 16):
        step = 10.0 ** (math.floor(math.log10(abs(bound) or margin)) - digits + 1)
        made = (math.ceil(bound / step - 1e-9) if rises else math.floor(bound / step + 1e-9)) * step
        made = float(f"{made:.{digits + 1}g}")
        if (made >= bound if rises else made <= bound) and abs(made - bound) <= margin / 2:
            return made
    return bound


def significant(value: float, digits: int = 3) -> float:
    """`value` with so many digits."""
    made = float(f"{value:.{digits}g}")
    return made if math.isfinite(made) else value


def spread_digits(values: Sequence[float], digits: int = 3) -> list[float]:
    """Ascending values with as many digits as tell them apart: so many of their spread, and no fewer of their own than that takes."""
    spread = values[-1] - values[0]
    if not 0 < spread < math.inf:
        return list(values)
    step = math.floor(math.log10(spread)) - digits + 1
    made = [significant(one, max(digits, math.floor(math.log10(abs(one))) - step + 1)) if one else 0.0 for one in values]
    return made if made[0] < made[-1] else list(values)


def share_above(share: float, rows: int) -> float:
    """A share that new rows stay below where `share` of `rows` was seen: half as much again, and five standard errors of a thousand rows
    (or fewer, if there were), in whole thousandths."""
    few = max(1, min(rows, 1000))
    least = 0.001 if rows >= 1000 else 1 / few
    return min(1.0, math.ceil((1.5 * share + 5 * math.sqrt(share * (1 - min(1.0, share)) / few) + least) * 1000 - 1e-9) / 1000)


def tolerance(rows: int) -> float:
    """The share of new values that may lie beyond what `rows` rows kept to: CHANCE of as many, at most a quarter, with two digits."""
    return min(_MOST_LET_THROUGH, significant(CHANCE / rows, 2))
