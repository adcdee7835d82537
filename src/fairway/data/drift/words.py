"""How a facet moved, in plain words."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

import numpy as np

from fairway.data.drift.facets import Facet
from fairway.data.drift.frames import Frame
from fairway.data.spelling import spell_figure, spell_share

NAMES = {"psi": "PSI", "ks": "Kolmogorov-Smirnov", "js": "Jensen-Shannon", "linf": "largest change of a share"}
_DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
TOLD_QUANTILES = (0.1, 0.25, 0.5, 0.75, 0.9)
"""Those that the words are made of: `quantile` must know them."""


def told(facet: Facet, frame: Frame, current: np.ndarray, quantile: Callable[[float], float] | None = None) -> str:
    """What changed most between the baseline's counts and these: nulls, the median, a value's share.

    `quantile`: the current numbers' own, where they are known; else what their counts tell of it.
    """
    before, after = frame.shares(frame.counts), frame.shares(current)
    name = f"`{facet.column}`"
    what = f"{name} ({facet.name})" if facet.name and facet.kind != "time" else name
    if not current.sum():
        return f"{what} has no rows"
    if abs(after[0] - before[0]) >= max(0.01, 0.5 * float(np.abs(after - before).max())):
        return f"{what} is {'more' if after[0] > before[0] else 'less'} often null: {spell_share(before[0])} → {spell_share(after[0])}"
    if frame.shape == "category":
        return f"{what}: {_category(frame, before, after)}"
    if after[1] - before[1] >= 0.05:
        return f"{what} is more often no number: {spell_share(before[1])} → {spell_share(after[1])}"
    if facet.kind == "time":
        return _time(facet, frame, before, after)
    return _number(what, frame, current, quantile)


def _category(frame: Frame, before: np.ndarray, after: np.ndarray) -> str:
    change = after - before
    place = int(np.abs(change).argmax())
    if place == len(change) - 1:
        rest = "values the baseline never saw" if frame.complete else "rarer values"
        return f"{rest}: {spell_share(before[-1])} → {spell_share(after[-1])}"
    if place == 0:
        return f"null: {spell_share(before[0])} → {spell_share(after[0])}"
    word = "more" if change[place] > 0 else "less"
    return f"{frame.labels[place - 1]!r} is {word} frequent: {spell_share(before[place])} → {spell_share(after[place])}"


def _time(facet: Facet, frame: Frame, before: np.ndarray, after: np.ndarray) -> str:
    values = frame.edges[1:]
    change = (after - before)[3 : 3 + len(values)]
    if not len(change):
        return f"`{facet.column}`: its {facet.name}s changed"
    place = int(np.abs(change).argmax())
    value = int(values[place])
    which = _DAYS[value % 7] if facet.name == "weekday" else f"{value:02d}:00 to {value:02d}:59"
    return f"`{facet.column}`: {which} has {spell_share(before[3 + place])} → {spell_share(after[3 + place])} of the rows"


def _number(what: str, frame: Frame, current: np.ndarray, quantile: Callable[[float], float] | None) -> str:
    before, after = frame.shares(frame.counts), frame.shares(current)
    for place, side, edge in ((-1, "above the largest", frame.edges[-1]), (2, "below the smallest", frame.edges[0])):
        if after[place] - before[place] > 0.2:
            return f"{what}: {spell_share(after[place])} are {side} value known ({spell_figure(edge)})"
    if frame.labels == ("0", "1"):
        return f"{what} is {'more' if after[4] > before[4] else 'less'} often 1: {spell_share(before[4])} → {spell_share(after[4])}"
    if frame.atomic and len(frame.labels) <= 12:
        change = after - before
        place = int(np.abs(change[3:-1]).argmax())
        word = "more" if change[3 + place] > 0 else "less"
        return f"{what}: {frame.labels[place]} is {word} frequent: {spell_share(before[3 + place])} → {spell_share(after[3 + place])}"
    was, now_is = partial(frame.quantile, frame.counts), quantile or partial(frame.quantile, current)
    middle, now = was(0.5), now_is(0.5)
    shift = float((after - before)[2:] @ np.arange(len(after) - 2)) / len(after)
    iqr = [at(0.75) - at(0.25) for at in (was, now_is)]
    if abs(shift) < 0.02 and min(iqr) > 0 and not 0.8 < iqr[1] / iqr[0] < 1.25:
        word = "wider" if iqr[1] > iqr[0] else "narrower"
        return f"{what} is spread {word}: its middle half spans {spell_figure(iqr[0])} → {spell_figure(iqr[1])}"
    if middle == now:
        low, high = (spell_figure(at(0.9 if shift > 0 else 0.1)) for at in (was, now_is))
        return f"{what} is {'higher' if shift > 0 else 'lower'}: {'90' if shift > 0 else '10'}th percentile {low} → {high}"
    low, high = frame.around(current, 0.5)
    vague = quantile is None and high > low and abs(high - low) > 0.1 * (iqr[0] or math.inf)  # most rows are where the baseline had few
    reached = f"between {spell_figure(low)} and {spell_figure(high)}" if vague else spell_figure(now)
    return f"{what} is {'higher' if now > middle else 'lower'}: median {spell_figure(middle)} → {reached}"


def against(measure: str, value: float, threshold: float) -> str:
    """A measure beside its threshold."""
    return f"{NAMES[measure]} {value:.3g} (threshold {threshold:.3g})"
