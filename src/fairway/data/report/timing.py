"""When rows come: period, gaps along the time, hours of the day, before and now."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from fairway.data.report import figures
from fairway.data.report.elements import Markup, el, text
from fairway.data.report.spelling import cut, number
from fairway.data.spelling import spell_seconds, spell_share

if TYPE_CHECKING:
    from fairway.data.statistics import TableStatistics
    from fairway.data.statistics.cadence import Cadence, Gap

_COLUMNS = 6
_GAPS = 8


def section(now: TableStatistics, reference: TableStatistics | None) -> Markup | None:
    """One block for each time column; None without any."""
    known = [(name, one) for name, one in now.cadences.items() if one.rows > 1]
    if not known:
        return None
    before = reference.cadences if reference is not None else {}
    return text(el("h2", "Time"), [_block(name, one, before.get(name)) for name, one in known[:_COLUMNS]])


def _block(name: str, now: Cadence, before: Cadence | None) -> Markup:
    facts = [
        ("period", spell_seconds(now.period_s), spell_seconds(before.period_s) if before is not None else ""),
        ("of the steps keep it", spell_share(now.period_share), spell_share(before.period_share) if before is not None else ""),
        ("jitter", spell_seconds(now.jitter_s), spell_seconds(before.jitter_s) if before is not None else ""),
        ("longest gap", spell_seconds(now.largest_gap_s), spell_seconds(before.largest_gap_s) if before is not None else ""),
        ("gaps", number(now.gap_count), number(before.gap_count) if before is not None else ""),
        ("at the same time as the row before", number(now.duplicates), number(before.duplicates) if before is not None else ""),
        ("before the row before", number(now.backwards), number(before.backwards) if before is not None else ""),
        ("from", _stamp(now.first_at), _stamp(before.first_at) if before is not None else ""),
        ("until", _stamp(now.last_at), _stamp(before.last_at) if before is not None else ""),
        ("time zone", now.zone or "none: a wall clock", (before.zone or "none") if before is not None else ""),
    ]
    head = el("thead", el("tr", el("th", ""), el("th", "before") if before is not None else None, el("th", "now")))
    rows = [
        el("tr", el("th", what), el("td", was, class_="was") if before is not None else None, el("td", is_))
        for what, is_, was in facts
        if is_ or was
    ]
    hours = figures.overlay(before.hours if before is not None else None, now.hours, f"{name} by hour of the day")
    return text(
        el("h3", name, el("span", f" within {', '.join(now.by)}", class_="soft") if now.by else None),
        el("div", el("table", head, el("tbody", rows), class_="was-now"), class_="wide"),
        el("p", "by hour of the day", class_="soft"),
        el("div", hours, el("div", el("span", "0 h"), el("span", "23 h"), class_="ends"), class_="big"),
        _gaps(name, now),
    )


def _gaps(name: str, cadence: Cadence) -> Markup | None:
    if not cadence.gap_count or cadence.first_at is None or cadence.last_at is None:
        return None
    begin, end = _ticks(cadence.first_at), _ticks(cadence.last_at)
    span = max(1.0, end - begin)
    places = [((_ticks(gap.begin) - begin) / span, (_ticks(gap.end) - begin) / span) for gap in cadence.gaps]
    longest = sorted(cadence.gaps, key=lambda gap: -gap.seconds)[:_GAPS]
    return text(
        el("p", "gaps along the time", class_="soft"),
        figures.marks(places, f"gaps of {name}"),
        el("ul", [el("li", _spell(gap)) for gap in longest], class_="soft"),
    )


def _spell(gap: Gap) -> str:
    return f"{spell_seconds(gap.seconds)}: {_stamp(gap.begin)} to {_stamp(gap.end)}, before row {number(gap.row)}"


def _ticks(stamp: str) -> float:
    return float(np.datetime64(stamp.removesuffix("Z"), "us").astype(np.int64))


def _stamp(stamp: str | None) -> str:
    return "" if stamp is None else cut(stamp.replace("T", " ").split(".")[0], 19)
