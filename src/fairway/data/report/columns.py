"""Every column in a row: what it holds, its histogram before and now, more on demand."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fairway.data.report import figures
from fairway.data.report.bins import drawn
from fairway.data.report.elements import Markup, el, text
from fairway.data.report.findings import anchor
from fairway.data.report.spelling import cut, number, value_of
from fairway.data.spelling import spell_share

if TYPE_CHECKING:
    from fairway.data.statistics import ColumnStatistics, TableStatistics

_MANY = 12
_TOP = 6
_QUANTILES = (0.0, 0.05, 0.25, 0.5, 0.75, 0.95, 1.0)


def section(now: TableStatistics, reference: TableStatistics | None, wrong: dict[str, str]) -> Markup:
    """A table of all columns; what is wrong comes first, the rest in the source's order. `wrong`: severity by column."""
    order = sorted(now.columns, key=lambda name: {"error": 0, "warning": 1}.get(wrong.get(name, ""), 2))
    head = [
        el("th", "column"),
        el("th", "type"),
        el("th", "missing"),
        el("th", "distinct", class_="n mid"),
        el("th", ""),
        el("th", "values"),
    ]
    before = reference.columns if reference is not None else {}
    rows = [_row(now.columns[name], before.get(name), wrong.get(name, "")) for name in order]
    gone = [name for name in before if name not in now.columns]
    find = el("input", id="find", type="search", placeholder="find a column", aria_label="find a column", hidden=True)
    return text(
        el("h2", "Columns"),
        find if len(order) > _MANY else None,
        el("p", f"no longer there: {', '.join(gone)}") if gone else None,
        el("div", el("table", el("thead", el("tr", head)), el("tbody", rows), class_="columns"), class_="wide"),
    )


def _row(now: ColumnStatistics, before: ColumnStatistics | None, severity: str) -> Markup:
    missing = _missing(now)
    picture = drawn(now, before)
    cells = [
        el("th", now.name),
        el(
            "td",
            _type(now),
            el("div", f"was {_type(before)}", class_="soft") if before is not None and _type(before) != _type(now) else None,
        ),
        el(
            "td",
            spell_share(missing) if missing else "",
            figures.share_bar(missing, f"{spell_share(missing)} missing"),
            _was_missing(now, before),
        ),
        el("td", ("" if now.distinct_is_exact else "≈ ") + number(float(round(now.distinct))), class_="n mid"),
        el("td", _picture(now.name, picture)),
        el("td", _values(now, before), _more(now, before)),
    ]
    return el("tr", cells, id=anchor(now.name), class_=severity or None, data_name=now.name)


def _type(one: ColumnStatistics) -> str:
    return one.arrow or one.kind


def _missing(one: ColumnStatistics) -> float:
    return (one.nulls + one.nans) / one.rows if one.rows else 0.0


def _was_missing(now: ColumnStatistics, before: ColumnStatistics | None) -> Markup | None:
    if before is None or spell_share(_missing(before)) == spell_share(_missing(now)):
        return None
    return el("div", f"was {spell_share(_missing(before))}", class_="soft")


def _picture(name: str, picture: Any) -> Markup | None:
    if picture is None:
        return None
    ends = el("div", el("span", picture.low), el("span", picture.high if len(picture.current) > 1 else ""), class_="ends")
    return text(figures.overlay(picture.reference, picture.current, f"histogram of {name}"), ends)


def _values(now: ColumnStatistics, before: ColumnStatistics | None) -> Markup | None:
    if not now.present:
        return el("span", "no value", class_="soft")
    if now.has_ranks and not (now.top_is_complete and now.distinct <= _TOP):
        middle, was = (
            value_of(now, now.quantile(0.5)),
            value_of(before, before.quantile(0.5)) if before is not None and before.has_ranks else "",
        )
        said = [text("median ", el("b", middle), el("span", f" was {was}", class_="soft") if was and was != middle else None)]
        said.append(el("div", f"{value_of(now, now.quantile(0.0))} to {value_of(now, now.quantile(1.0))}", class_="soft"))
        return text(said)
    top = now.most_frequent(_TOP)
    return text(
        ", ".join(f"{cut(one.value, 24)} {spell_share(one.count / now.present)}" for one in top[: 4 if now.distinct > _TOP else _TOP])
    )


def _more(now: ColumnStatistics, before: ColumnStatistics | None) -> Markup:
    both = [one for one in (before, now) if one is not None]
    rows: list[tuple[str, list[str]]] = []
    if any(one.has_ranks for one in both):
        if now.kind in ("float", "integer", "decimal"):
            for name in ("mean", "std", "skewness"):
                rows.append((name, [number(getattr(one, name)) for one in both]))
            rows.append(("zero, negative", [f"{number(one.zeros)}, {number(one.negatives)}" for one in both]))
        found = [one.quantile(_QUANTILES) if one.has_ranks else None for one in both]
        for n, q in enumerate(_QUANTILES):
            rows.append((f"{q:.0%}", [value_of(one, float(at[n])) if at is not None else "" for one, at in zip(both, found, strict=True)]))
    elif now.lengths is not None:
        rows.append(("length", [_lengths(one) for one in both]))
        rows.append(("looks like", [", ".join(cut(top.value, 20) for top in one.shapes[:3]) for one in both]))
    if not rows or not now.top_is_complete or now.distinct > _TOP:
        rows.append(
            ("most frequent", [", ".join(f"{cut(top.value, 18)} ({number(top.count)})" for top in one.most_frequent(4)) for one in both])
        )
    body = [el("tr", el("th", what), [el("td", value) for value in values]) for what, values in rows if any(values)]
    head = el("tr", el("th", ""), el("th", "before"), el("th", "now")) if before is not None else None
    return el("details", el("summary", "more"), el("table", head, body, class_="was-now"))


def _lengths(one: ColumnStatistics) -> str:
    if one.lengths is None or not one.lengths.present:
        return ""
    return f"{number(one.lengths.minimum)} to {number(one.lengths.maximum)}, {number(one.lengths.mean)} on average"
