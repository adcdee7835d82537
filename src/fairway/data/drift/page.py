"""A comparison as one self-contained page: what moved first, with small histograms of before and after."""

from __future__ import annotations

from html import escape

from fairway.data.drift.report import Bins, ColumnDrift, DriftReport
from fairway.data.drift.words import percent

_STYLE = """
:root{color-scheme:light dark;--ink:#1c2330;--dim:#667085;--line:#d9dee7;--paper:#fff;--before:#9aa7bd;--after:#2f6fde;--bad:#c0392b}
@media(prefers-color-scheme:dark){:root{--ink:#e6e9ef;--dim:#98a2b3;--line:#333b4a;--paper:#14181f;--before:#5d6a80;--after:#6ea0ff;--bad:#ff7b6b}}
body{margin:0 auto;max-width:1100px;padding:24px 16px;font:15px/1.5 system-ui,sans-serif;color:var(--ink);background:var(--paper)}
h1{font-size:22px;margin:0 0 4px}h2{font-size:17px;margin:28px 0 8px}p.dim,li.dim{color:var(--dim)}
.grid{display:grid;grid-template-columns:repeat(auto-fill,minmax(300px,1fr));gap:12px}
.card{border:1px solid var(--line);border-radius:8px;padding:10px 12px;min-width:0}.card.moved{border-color:var(--bad)}
.card h3{font-size:14px;margin:0;overflow-wrap:anywhere}.card p{margin:4px 0 0;font-size:13px;overflow-wrap:anywhere}
svg{width:100%;height:64px;display:block;margin-top:8px}.b{fill:var(--before)}.a{fill:var(--after)}
.key{display:inline-block;width:10px;height:10px;border-radius:2px;margin-right:4px}.key.b{background:var(--before)}.key.a{background:var(--after)}
"""


def render_page(report: DriftReport) -> str:
    """HTML without scripts or external addresses; every text of the data is escaped."""
    moved = report.drifted
    said = list(report.sentences())
    title = (
        "No drift" if not said else f"{len({one.column for one in moved})} of {len({one.column for one in report.columns})} columns moved"
    )
    names = report.reference or "the reference", report.current or "the current data"
    rows = f"{report.reference_rows:,} rows of {names[0]} against {report.current_rows:,} of {names[1]}"
    others = [one for one in report.columns if not one.drifted]
    joint = said[len(moved) :]
    parts = [
        "<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content='width=device-width'>",
        f"<title>Drift: {escape(title)}</title><style>{_STYLE}</style><h1>{escape(title)}</h1><p class=dim>{escape(rows)}</p>",
        "<p class=dim><span class='key b'></span>before <span class='key a'></span>now</p>",
        "".join(f"<p>{escape(sentence)}</p>" for sentence in joint),
        _section("What moved", moved),
        _section("What did not", others),
    ]
    if report.notes:
        parts.append("<h2>Notes</h2><ul>" + "".join(f"<li class=dim>{escape(note)}</li>" for note in report.notes) + "</ul>")
    return "".join(parts) + "</html>\n"


def _section(title: str, columns: list[ColumnDrift]) -> str:
    if not columns:
        return ""
    return f"<h2>{title}</h2><div class=grid>{''.join(_card(one) for one in columns)}</div>"


def _card(one: ColumnDrift) -> str:
    said = one.sentence if one.drifted else f"{one.deciding} {one.value:.3g}, threshold {one.threshold:.3g}"
    return f"<div class='card{' moved' if one.drifted else ''}'><h3>{escape(one.key)}</h3>{_histogram(one.bins)}<p>{escape(said)}</p></div>"


def _histogram(bins: Bins) -> str:
    count = len(bins.reference)
    highest = max(*bins.reference, *bins.current, 1e-9)
    wide = 300 / max(count, 1)
    made: list[str] = []
    for place, (before, after, label) in enumerate(zip(bins.reference, bins.current, bins.labels, strict=True)):
        left, tall, taller = place * wide, 60 * before / highest, 60 * after / highest
        made.append(
            f"<g><title>{escape(label)}: {percent(before)} → {percent(after)}</title>"
            f"<rect class=b x={left + 1:.1f} y={64 - tall:.1f} width={wide / 2 - 1.5:.1f} height={tall:.1f} />"
            f"<rect class=a x={left + wide / 2:.1f} y={64 - taller:.1f} width={wide / 2 - 1.5:.1f} height={taller:.1f} /></g>"
        )
    return f"<svg viewBox='0 0 300 64' preserveAspectRatio=none role=img>{''.join(made)}</svg>"
