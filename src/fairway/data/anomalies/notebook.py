"""A validation as a small piece of HTML: in notebooks, and as an artifact of a run."""

from __future__ import annotations

from html import escape

from fairway.data.anomalies.formats import shown_examples
from fairway.data.anomalies.model import Validation

_MOST = 50
_STYLES = {
    "all": "font:14px/1.45 system-ui,sans-serif;max-width:70em",
    "head": "font-weight:600;margin:0 0 .4em",
    "table": "border-collapse:collapse;table-layout:auto",
    "cell": "text-align:left;vertical-align:top;padding:.3em .8em .3em 0;border-top:1px solid rgba(128,128,128,.35)",
    "small": "opacity:.7;font-size:12px",
}
_COLOURS = {"error": "#d1242f", "warning": "#9a6700"}


def draw(validation: Validation) -> str:
    """What is wrong, the worst first, each with where and how many."""
    mark = "✓" if validation.ok else "✗"
    colour = "#1a7f37" if validation.ok else _COLOURS["error"]
    head = f'<span style="color:{colour}">{mark}</span> {escape(validation.uri or "data")}: {escape(_plain(validation.summary()))}'
    rows = "".join(_row(validation, place) for place in range(min(len(validation.anomalies), _MOST)))
    more = len(validation.anomalies) - _MOST
    table = f'<table style="{_STYLES["table"]}"><tbody>{rows}</tbody></table>' if rows else ""
    notes = [*validation.notes, *([f"and {more:,} more"] if more > 0 else [])]
    talk = "".join(f'<div style="{_STYLES["small"]}">{escape(note)}</div>' for note in notes)
    return f'<div style="{_STYLES["all"]}"><p style="{_STYLES["head"]}">{head}</p>{table}{talk}</div>'


def _row(validation: Validation, place: int) -> str:
    one = validation.anomalies[place]
    cell = f'style="{_STYLES["cell"]}"'
    examples = f'<div style="{_STYLES["small"]}">{escape(shown_examples(one, 3))}</div>' if one.examples else ""
    colour = _COLOURS.get(one.severity, "inherit")
    return (
        f'<tr><td {cell}><span style="color:{colour}">{one.severity}</span></td><td {cell}>{escape(one.column or "table")}</td>'
        f"<td {cell}>{escape(_plain(one.message))}{examples}</td></tr>"
    )


def _plain(text: str) -> str:
    return text.replace("`", "")
