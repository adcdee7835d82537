"""How statistics went over earlier data: one line for each column, the one that changed most first."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from fairway.data.report import figures
from fairway.data.report.elements import Markup, el, text
from fairway.data.report.findings import anchor
from fairway.data.report.spelling import number
from fairway.data.spelling import spell_share

if TYPE_CHECKING:
    from fairway.data.statistics import ColumnStatistics, TableStatistics

_COLUMNS = 60


def section(history: Sequence[TableStatistics]) -> Markup:
    """`history`: the oldest first, the data in question last."""
    now = history[-1]
    names = sorted(now.columns, key=lambda name: -_change([one.columns.get(name) for one in history]))[:_COLUMNS]
    rows = [_row(name, [one.columns.get(name) for one in history]) for name in names]
    head = el("tr", el("th", "column"), [el("th", what) for what in ("mean", "missing", "distinct")])
    counts = [float(one.rows) for one in history]
    began = history[0].measured_at.replace("T", " ")[:16]
    return text(
        el("h2", "Trends"),
        el("p", f"Over {len(history)} measurements{f' since {began}' if began else ''}, the newest at the right. Rows:", class_="soft"),
        figures.line(counts, "rows"),
        el("div", el("table", el("thead", head), el("tbody", rows)), class_="wide"),
    )


def _row(name: str, course: Sequence[ColumnStatistics | None]) -> Markup:
    cells = [
        el("td", figures.line(_course(course, _mean), f"mean of {name}"), number(_course(course, _mean)[-1])),
        el("td", figures.line(_course(course, _missing), f"missing values of {name}"), spell_share(_course(course, _missing)[-1])),
        el(
            "td",
            figures.line(_course(course, _distinct), f"distinct values of {name}"),
            number(float(round(_course(course, _distinct)[-1]))),
        ),
    ]
    return el("tr", el("th", el("a", name, href=f"#{anchor(name)}")), cells)


def _course(course: Sequence[ColumnStatistics | None], what: Callable[[ColumnStatistics], float]) -> list[float]:
    return [math.nan if one is None else what(one) for one in course]


def _mean(one: ColumnStatistics) -> float:
    return float(one.mean) if one.has_ranks and one.kind in ("float", "integer", "decimal", "boolean") else math.nan


def _missing(one: ColumnStatistics) -> float:
    return (one.nulls + one.nans) / one.rows if one.rows else 0.0


def _distinct(one: ColumnStatistics) -> float:
    return float(one.distinct)


def _change(course: Sequence[ColumnStatistics | None]) -> float:
    """How far the newest is from the earlier ones, in their own spread."""
    if course[-1] is None or any(one is None for one in course):
        return math.inf
    worst = 0.0
    for what in (_mean, _missing, _distinct):
        values = [value for value in _course(course, what) if math.isfinite(value)]
        if len(values) < 2:
            continue
        earlier = values[:-1]
        middle = sum(earlier) / len(earlier)
        spread = math.sqrt(sum((value - middle) ** 2 for value in earlier) / len(earlier)) or abs(middle) * 0.01 or 1.0
        worst = max(worst, abs(values[-1] - middle) / spread)
    return worst
