"""What moved: a comparison's columns, the farthest over their threshold first; slices as a map."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

from fairway.data.report import figures
from fairway.data.report.elements import Markup, coded, el, text
from fairway.data.report.findings import headline
from fairway.data.report.spelling import cut, number

if TYPE_CHECKING:
    from fairway.data.drift import DriftReport
    from fairway.data.drift.report import ColumnDrift

_SHOWN = 100
_SLICES = 40


def section(drift: DriftReport, shown: Collection[str]) -> Markup:
    """Cards of the columns that moved, each with its histogram before and after. `shown`: the columns that the page has a row for."""
    found = drift.drifted
    joint = drift.multivariate
    said = [sentence for sentence in drift.sentences() if joint is not None and joint.drifted and sentence.startswith("rows as a whole")]
    if not found and not said:
        what = f"Nothing: none of {len({one.column for one in drift.columns})} columns is farther from before than chance puts it."
        return text(el("h2", "What moved"), el("p", what, class_="soft"))
    more = len(found) - _SHOWN
    return text(
        el("h2", "What moved"),
        [el("p", coded(sentence[0].upper() + sentence[1:])) for sentence in said],
        el("ul", [_card(one, shown) for one in found[:_SHOWN]], class_="found"),
        el("p", f"and {more} more", class_="soft") if more > 0 else None,
    )


def _card(one: ColumnDrift, shown: Collection[str]) -> Markup:
    bins = one.bins
    others = ", ".join(f"{name} {number(value)}" for name, value in one.measures.items() if name != one.deciding)
    return el(
        "li",
        el("span", "drift", class_="kind"),
        headline(one.sentence, one.column, shown),
        el("div", figures.overlay(bins.reference, bins.current, f"{one.key} before and now"), _ends(bins.labels), class_="big"),
        el("p", others, class_="soft") if others else None,
        class_=one.severity,
    )


def _ends(labels: tuple[str, ...]) -> Markup | None:
    return el("div", el("span", cut(labels[0], 24)), el("span", cut(labels[-1], 24)), class_="ends") if labels else None


def slices(drift: DriftReport) -> Markup | None:
    """Slices by columns: how far over its threshold each moved; None where nothing was sliced."""
    if not drift.slices:
        return None
    named = list(drift.slices.items())[:_SLICES]
    worst: dict[str, float] = {}
    for _, report in named:
        for one in report.columns:
            worst[one.column] = max(worst.get(one.column, 0.0), _over(one))
    shown = sorted(worst, key=lambda name: -worst[name])[:12]
    head = el("tr", el("th", "slice"), el("th", "rows", class_="n"), [el("th", name) for name in shown])
    rows = [_row(name, report, shown) for name, report in named]
    return text(
        el("h2", "Slices"),
        el("p", "Each number is the drift as a multiple of its threshold: over 1 is more than chance does.", class_="soft"),
        el("div", el("table", el("thead", head), el("tbody", rows), class_="heat"), class_="wide"),
    )


def _row(name: str, report: DriftReport, shown: list[str]) -> Markup:
    most = {column: max((_over(one) for one in report.columns if one.column == column), default=float("nan")) for column in shown}
    return el("tr", el("th", name), el("td", number(report.current_rows), class_="n"), [_cell(value) for value in most.values()])


def _cell(value: float) -> Markup:
    said = number(round(value, 2))
    return el("td", said, class_="h", style=f"--v:{min(70, int(20 + value * 10))}") if value >= 1 else el("td", said)


def _over(one: ColumnDrift) -> float:
    return one.value / one.threshold if one.threshold > 0 else 0.0
