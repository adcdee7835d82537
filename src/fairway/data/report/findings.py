"""What is wrong: the anomalies of a validation, the worst first."""

from __future__ import annotations

import json
from collections.abc import Collection
from typing import TYPE_CHECKING

from fairway.data.report.elements import Markup, coded, el, text
from fairway.data.report.spelling import cut, number
from fairway.data.spelling import spell_share

if TYPE_CHECKING:
    from fairway.data.anomalies import Anomaly, Validation

_SHOWN = 200


def section(validation: Validation, shown: Collection[str]) -> Markup:
    """A list of cards; a sentence where there is nothing wrong. `shown`: the columns that the page has a row for."""
    if not validation.anomalies:
        return text(el("h2", "What is wrong"), el("p", f"Nothing: {validation.summary()}.", class_="soft"))
    ordered = sorted(validation.anomalies, key=lambda one: one.rank)
    more = len(ordered) - _SHOWN
    return text(
        el("h2", "What is wrong"),
        el("ul", [_card(one, shown) for one in ordered[:_SHOWN]], class_="found"),
        el("p", f"and {more} more: `fairway data validate -o json` lists them all", class_="soft") if more > 0 else None,
        _rejected(validation),
    )


def anchor(column: str) -> str:
    """The id of a column's row."""
    return "c-" + "".join(letter if letter.isalnum() else f"-{ord(letter):x}-" for letter in column)


def headline(said: str, column: str, shown: Collection[str]) -> Markup:
    """A sentence that leads to its column, where the page has it."""
    return el("a", coded(said), class_="what", href=f"#{anchor(column)}") if column in shown else el("span", coded(said), class_="what")


def _card(one: Anomaly, shown: Collection[str]) -> Markup:
    facts = [el("span", f"{number(one.count)} of {number(one.of)} ({spell_share(one.count / one.of)})")] if one.count and one.of else []
    if one.expected:
        facts.append(text("; expected " if facts else "expected ", el("b", one.expected)))
    if one.found:
        facts.append(text(", found " if one.expected else "; found " if facts else "found ", el("b", one.found)))
    examples = ", ".join(
        f"row {number(example.row)}" + ("" if example.value is None else f": {cut(example.value, 60)}") for example in one.examples[:5]
    )
    edit = json.dumps(one.edit, ensure_ascii=False, indent=1) if one.edit else ""
    return el(
        "li",
        el("span", one.kind, class_="kind"),
        headline(one.message, one.column, shown),
        el("p", facts, class_="soft") if facts else None,
        el("p", examples, class_="mono soft") if examples else None,
        el("details", el("summary", "the edit to the schema that accepts it"), el("pre", edit)) if edit else None,
        class_=one.severity,
    )


def _rejected(validation: Validation) -> Markup | None:
    if not validation.rejected:
        return None
    keys = ("line", "column", "reason", "text")
    rows = [el("tr", [el("td", cut(reject.get(key, ""), 120)) for key in keys]) for reject in validation.rejected[:50]]
    head = el("thead", el("tr", *(el("th", name) for name in ("line", "column", "why", "what the line says"))))
    return text(
        el("h2", f"{number(validation.rejects)} rows could not be read"),
        el("div", el("table", head, el("tbody", rows)), class_="wide"),
    )
