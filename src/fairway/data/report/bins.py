"""The bins in which a column is drawn: the same for what was and for what is."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fairway.data.report.spelling import cut, value_of
from fairway.data.statistics import ColumnStatistics

_BINS = 24
_VALUES = 12


@dataclass(frozen=True)
class Drawn:
    """Counts by bin. `low`, `high`: what stands under the first and the last bin; `labels`: one for each bin, for readers of screens."""

    reference: list[float] | None
    current: list[float]
    low: str
    high: str
    labels: tuple[str, ...] = ()


def drawn(current: ColumnStatistics, reference: ColumnStatistics | None) -> Drawn | None:
    """Numbers and times over equally wide bins between the 0.5 % and 99.5 % quantiles of both; values by name where there are few, the most
    frequent ones where there are many. None: there is nothing to draw."""
    both = [one for one in (current, reference) if one is not None and one.present]
    if not both:
        return None
    few = all(one.top_is_complete and one.distinct <= _VALUES for one in both)
    if current.has_ranks and not few and all(one.has_ranks for one in both):
        return _ranked(current, reference, both)
    if current.kind in ("list", "binary"):
        return None if current.lengths is None else drawn(current.lengths, reference.lengths if reference is not None else None)
    return _named(current, reference, both)


def _ranked(current: ColumnStatistics, reference: ColumnStatistics | None, both: list[ColumnStatistics]) -> Drawn:
    low = min(float(one.quantile(0.005)) for one in both)
    high = max(float(one.quantile(0.995)) for one in both)
    if not high > low:
        low, high = low - 0.5, high + 0.5
    edges = np.linspace(low, high, _BINS + 1)
    outer = edges.copy()
    outer[0], outer[-1] = -np.inf, np.inf

    def counts(one: ColumnStatistics) -> list[float]:
        return [float(n) for n in np.diff(np.concatenate([[0.0], one.cdf(edges[1:-1]), [1.0]]) * one.present)]

    return Drawn(
        counts(reference) if reference is not None and reference.present else None, counts(current) if current.present else [0.0] * _BINS,
        value_of(current, low), value_of(current, high),
    )  # fmt: skip


def _named(current: ColumnStatistics, reference: ColumnStatistics | None, both: list[ColumnStatistics]) -> Drawn | None:
    weights: dict[str, float] = {}
    for one in both:
        for top in one.most_frequent(_VALUES):
            weights[str(top.value)] = weights.get(str(top.value), 0.0) + top.count / one.present
    names = sorted(weights, key=lambda name: -weights[name])[:_VALUES]
    if not names:
        return None
    if current.kind in ("integer", "float", "boolean", "decimal"):
        names.sort(key=_order)

    def counts(one: ColumnStatistics) -> list[float]:
        found = {str(top.value): float(top.count) for top in one.most_frequent(100)}
        made = [found.get(name, 0.0) for name in names]
        return [*made, max(0.0, one.present - sum(made))]

    was = counts(reference) if reference is not None and reference.present else None
    now = counts(current)
    labels = [cut(name, 24) for name in names]
    if now[-1] <= 0 and (was is None or was[-1] <= 0):
        now, was = now[:-1], was[:-1] if was is not None else None
    else:
        labels.append("others")
    return Drawn(was, now, labels[0], labels[-1], tuple(labels))


def _order(name: str) -> tuple[int, float, str]:
    try:
        return (0, float(name), name)
    except ValueError:
        return (1, 0.0, name)
