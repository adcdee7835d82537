"""How runs, tasks and outputs show themselves in a notebook."""

from __future__ import annotations

from collections.abc import Sequence

SHOWN = 20
DRAWN = ("fairway.Table", "fairway.HTML", "fairway.Markdown", "fairway.Figure", "pandas.DataFrame", "polars.DataFrame")
DRAWN_BYTES = 20_000_000


def render_table(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    head = "".join(f"<th>{escape(header)}</th>" for header in headers)
    body = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def render_picture(kind: str, data: bytes) -> str:
    """A figure's file inside a page; a Plotly or Altair figure shows itself when it is loaded."""
    if kind not in ("svg", "png"):
        return ""
    import base64

    media = "image/svg+xml" if kind == "svg" else "image/png"
    return f'<br><img alt="" src="data:{media};base64,{base64.b64encode(data).decode()}">'


def escape(text: str) -> str:
    import html

    return html.escape(text)
