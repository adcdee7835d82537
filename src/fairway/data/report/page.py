"""The report: one HTML file that needs nothing else, with what is wrong first."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from fairway.data.report import columns, findings, missing, moved, timing, trends
from fairway.data.report.elements import Markup, coded, el, text
from fairway.data.report.spelling import number
from fairway.data.spelling import spell_share

if TYPE_CHECKING:
    from fairway.data.anomalies import Validation
    from fairway.data.drift import DriftReport
    from fairway.data.statistics import TableStatistics


def render(
    *, validation: Validation | None = None, drift: DriftReport | None = None, statistics: TableStatistics | None = None,
    reference: TableStatistics | None = None, history: Sequence[TableStatistics] = (), title: str = "",
) -> str:  # fmt: skip
    """A page of whatever is given. `statistics` (or `validation.statistics`) are of the data in question, `reference` of what it is
    compared with, `history` of earlier data, the oldest first. It names no other address, and is drawn without its script too."""
    now = statistics or (validation.statistics if validation is not None else None)
    uri = title or _name(validation, drift, now)
    wrong = {one.column: one.severity for one in (reversed(validation.anomalies) if validation is not None else ())}
    for one in drift.drifted if drift is not None else ():
        wrong.setdefault(one.column, one.severity)
    shown = now.columns if now is not None else {}
    body = text(
        el("h1", uri),
        _verdict(validation, drift),
        _facts(now, reference, validation, drift),
        findings.section(validation, shown) if validation is not None else None,
        moved.section(drift, shown) if drift is not None else None,
        timing.section(now, reference) if now is not None else None,
        columns.section(now, reference, wrong) if now is not None else None,
        missing.section(now) if now is not None else None,
        moved.slices(drift) if drift is not None else None,
        trends.section([*history, now]) if now is not None and history else None,
        _notes(validation, drift),
    )
    return _document(uri, body)


def embed(**given: Any) -> str:
    """The same page in a frame of its own, as a notebook shows it: its style touches nothing around it."""
    return el("iframe", srcdoc=render(**given), style="width:100%;height:640px;border:1px solid #8884;border-radius:6px", loading="lazy")


def _name(validation: Validation | None, drift: DriftReport | None, now: TableStatistics | None) -> str:
    named = (
        validation.uri if validation is not None else "",
        now.uri if now is not None else "",
        drift.current if drift is not None else "",
    )
    return next((one for one in named if one), "data")


def _verdict(validation: Validation | None, drift: DriftReport | None) -> Markup | None:
    if validation is None and drift is None:
        return None
    said: list[str] = []
    if validation is not None and validation.anomalies:
        said.append(validation.summary())
    elif validation is not None:
        said.append("keeps to its schema")
    if drift is not None:
        count = len({one.column for one in drift.drifted})
        joint = drift.multivariate is not None and drift.multivariate.drifted
        said.append(f"{count} column{'s' if count != 1 else ''} moved" if count else "rows as a whole moved" if joint else "nothing moved")
    bad = (validation is not None and not validation.ok) or (drift is not None and not drift.ok)
    warned = (validation is not None and bool(validation.anomalies)) or (drift is not None and bool(drift.drifted))
    return el("p", el("span", coded(" · ".join(said)), class_="verdict " + ("bad" if bad else "warn" if warned else "good")))


def _facts(
    now: TableStatistics | None, reference: TableStatistics | None, validation: Validation | None, drift: DriftReport | None
) -> Markup:
    facts: list[tuple[str, str]] = []
    rows = now.rows if now is not None else validation.rows if validation is not None else drift.current_rows if drift is not None else 0
    facts.append((number(rows), "rows"))
    if now is not None:
        facts.append((number(len(now.columns)), "columns"))
        cells = sum(one.rows for one in now.columns.values())
        absent = sum(one.nulls + one.nans for one in now.columns.values())
        facts.append((spell_share(absent / cells) if cells else "0 %", "of values missing"))
        repeated = now.duplicate_rows
        if repeated.value >= 1:
            facts.append((("" if repeated.is_exact else "about ") + number(round(repeated.value)), "rows repeat another"))
        if now.measured_at:
            facts.append((now.measured_at.replace("T", " ")[:19], "measured"))
    if validation is not None and validation.rejects:
        facts.append((number(validation.rejects), "rows could not be read"))
    if validation is not None and validation.schema_where:
        facts.append((validation.schema_where, f"schema {validation.schema_digest.removeprefix('sha256:')[:8]}"))
    against = _against(reference, drift)
    if against is None:
        return el("ul", [el("li", el("b", one), " ", what) for one, what in facts], class_="facts")
    facts.append((against[0] or "the reference", f"compared with, {number(against[1])} rows"))
    keys = el("p", el("span", class_="key was"), "before", el("span", class_="key now"), "now", class_="soft")
    return text(el("ul", [el("li", el("b", one), " ", what) for one, what in facts], class_="facts"), keys)


def _against(reference: TableStatistics | None, drift: DriftReport | None) -> tuple[str, int] | None:
    if reference is not None:
        return (reference.uri, reference.rows)
    return (drift.reference, drift.reference_rows) if drift is not None else None


def _notes(validation: Validation | None, drift: DriftReport | None) -> Markup | None:
    said = [*(validation.notes if validation is not None else ()), *(drift.notes if drift is not None else ())]
    if not said:
        return None
    return text(el("h2", "Notes"), el("ul", [el("li", coded(one), class_="soft") for one in dict.fromkeys(said)]))


def _document(title: str, body: Markup) -> str:
    style, script = (
        Markup(files("fairway.data.report").joinpath(name).read_text(encoding="utf-8")) for name in ("report.css", "report.js")
    )
    policy = f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{_sha256(script)}'; base-uri 'none'; form-action 'none'"
    head: list[Any] = [
        el("meta", charset="utf-8"),
        el("meta", http_equiv="Content-Security-Policy", content=policy),
        el("meta", name="viewport", content="width=device-width,initial-scale=1"),
        el("meta", name="color-scheme", content="light dark"),
        el("title", title),
        el("style", style),
    ]
    page = el("html", el("head", head), el("body", el("main", body), el("script", script)), lang="en")
    return f"<!doctype html>\n{page}\n"


def _sha256(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
