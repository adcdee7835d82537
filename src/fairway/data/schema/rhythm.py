"""Cadences found out: what the times of a column keep to, where there is evidence for it."""

from __future__ import annotations

import math
from typing import Any

from fairway.data.schema.margins import significant, tolerance
from fairway.data.statistics.cadence import Cadence

_FEWEST, _GAPS = 30, 500
_REGULAR = 0.6
_DAYS_S, _HOUR_S = 86_400.0, 3_600.0


def cadence_of(found: Cadence) -> dict[str, Any]:
    """One entry of `x-fairway`'s `cadence`; {} where nothing can be said."""
    made: dict[str, Any] = {}
    if found.rows < _FEWEST:
        return {}
    period, share = found.period_s, found.period_share
    is_regular = math.isfinite(period) and period > 0 and share >= _REGULAR
    if is_regular:
        jitter = found.jitter_s if math.isfinite(found.jitter_s) else 0.0
        made["period_s"] = _plain(plain_period(found))
        made["regular"] = _floor(share - 0.05 - 5 * math.sqrt(share * (1 - share) / min(found.rows, 1000)))
        made["jitter_s"] = _plain(significant(max(3 * jitter, 0.01 * period), 2))
        if found.rows >= _GAPS:
            made["max_gap_s"] = _plain(significant(max(3 * period, 1.5 * found.largest_gap_s), 2))
    every = found.rows
    repeats = found.duplicates / every
    if is_regular or not found.backwards:
        if not repeats:  # times at random meet now and then, ticks of a clock do not
            made["duplicates"] = 0 if is_regular else math.ceil(tolerance(every) * 10_000) / 10_000
        elif repeats < 0.5:
            made["duplicates"] = math.ceil((1.5 * repeats + 5 * math.sqrt(repeats / min(every, 1000))) * 100) / 100
    if not found.backwards:
        made["order"] = "ascending"
    if not made:
        return {}
    phase = _phase(found, period) if is_regular else None
    if phase is not None:
        made["phase_s"] = phase
    hours = _hours(found)
    if hours:
        made["hours"] = hours
    by = {"by": list(found.by)} if found.by else {}
    return {"column": found.column, **by, **made, "zone": found.zone or "local"}


def plain_period(found: Cadence) -> float:
    """The period in as few digits as its jitter lets it be told: 5 of 5.018 s."""
    jitter = found.jitter_s / found.period_s if found.period_s > 0 else 0.0
    return fewest_digits(found.period_s, min(0.02, max(0.005, 0.25 * jitter)) if math.isfinite(jitter) else 0.005)


def fewest_digits(value: float, within: float) -> float:
    """A positive number in as few digits as are within a share of it."""
    if not math.isfinite(value) or value <= 0:
        return value
    for digits in range(6):
        made = round(value, digits - math.floor(math.log10(value)))
        if abs(made - value) <= within * value:
            return made
    return value


def _phase(found: Cadence, period: float) -> float | None:
    """Where ticks of an hour or more are within the hour or the day: below that, where they fall is an accident of the start."""
    if period < _HOUR_S or found.phase_spread > 0.01 or found.rows < 100:
        return None
    return _plain(significant(found.phase_s, 4))


def _hours(found: Cadence) -> list[float]:
    """Where some hours of the day are (nearly) empty, over a week at least: a shifted clock shows."""
    counts = found.hours
    if found.low is None or found.high is None or (found.high - found.low) / 1e6 < 7 * _DAYS_S or sum(counts) < 1000:
        return []
    shares = [count / sum(counts) for count in counts]
    if sum(share < 0.002 for share in shares) < 3:
        return []
    return [_plain(round(share, 3)) for share in shares]


def _floor(share: float) -> float:
    return max(0.5, math.floor(share * 100) / 100)


def _plain(value: float) -> float:
    return int(value) if float(value).is_integer() else value
