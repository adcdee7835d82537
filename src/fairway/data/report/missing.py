"""What is missing together: the patterns of missing values in a sample of the rows."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from fairway.data.report.elements import Markup, el, text
from fairway.data.report.spelling import number
from fairway.data.spelling import spell_share

if TYPE_CHECKING:
    from fairway.data.batch import Values
    from fairway.data.statistics import TableStatistics

_COLUMNS = 40
_PATTERNS = 12


def section(now: TableStatistics) -> Markup | None:
    """A map of columns by pattern, with the share of the rows that have it; None where nothing is missing."""
    absent_of = {name: one.nulls + one.nans for name, one in now.columns.items() if one.nulls + one.nans}
    lacking = sorted(absent_of, key=lambda name: -absent_of[name])
    sample = now.sample
    shown = [name for name in lacking if name in sample.columns][:_COLUMNS]
    if not shown or not sample.rows:
        return None
    shown.sort(key=list(now.columns).index)
    absent = np.column_stack([_absent(sample.columns[name]) for name in shown])
    patterns, places = np.unique(absent, axis=0, return_inverse=True)
    counts = np.bincount(places.reshape(-1), weights=now.sample_counts, minlength=len(patterns))
    order = np.argsort(-counts, kind="stable")[:_PATTERNS]
    rows = [_row(counts[at] / counts.sum(), patterns[at]) for at in order.tolist()]
    head = el("tr", el("th", "of the rows"), [el("th", name, class_="up") for name in shown])
    more = len(lacking) - len(shown)
    said = f"From {number(sample.rows)} of {number(now.rows)} rows; coloured is missing."
    return text(
        el("h2", "What is missing together"),
        el("p", said, f" {more} more columns are not shown." if more else None, class_="soft"),
        el("div", el("table", el("thead", head), el("tbody", rows), class_="map"), class_="wide"),
    )


def _row(part: float, pattern: np.ndarray) -> Markup:
    return el("tr", el("td", spell_share(part), class_="n"), [el("td", el("i"), class_="miss" if one else "full") for one in pattern])


def _absent(values: Values) -> np.ndarray:
    made = np.zeros(len(values), bool) if values.valid is None else ~values.valid
    if values.offsets is None and values.data.dtype.kind == "f":
        made = made | np.isnan(values.data)
    return made
