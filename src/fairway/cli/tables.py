"""Small tables that a run made, as text: what one wants to see when it has ended."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from fairway.cli.listing import lay_out
from fairway.cli.style import clip
from fairway.spec.artifact import ArtifactRef, blob_key
from fairway.spec.ports import ArtifactStore

MAX_ROWS = 30
MAX_BYTES = 50_000
MAX_CELL = 40


def render_outputs_tables(outputs: Mapping[str, ArtifactRef], store: ArtifactStore) -> Iterator[str]:
    """The lines of each `fw.Table` among the outputs that is small enough to be read, with an empty line before it."""
    for name, ref in outputs.items():
        if ref.type == "fairway.Table" and ref.meta.get("rows", 0) <= MAX_ROWS and ref.size_bytes <= MAX_BYTES:
            yield ""
            yield from render_table(load_table(ref, store), name)


def load_table(ref: ArtifactRef, store: ArtifactStore) -> dict[str, Any]:
    """The title, columns and rows of a stored `fw.Table`."""
    from fairway.step import plainjson

    return plainjson.parse(ref.inline if ref.inline is not None else store.get(blob_key(ref.digest)))


def render_table(table: Mapping[str, Any], name: str = "") -> list[str]:
    """Title (or `name`) and aligned columns; those of numbers are flush right."""
    columns, rows = table["columns"], table["rows"]
    right = [n for n in range(len(columns)) if any(_is_number(row[n]) for row in rows) and all(_is_number(row[n], True) for row in rows)]
    spelled = [_spell_column([row[n] for row in rows]) for n in range(len(columns))]
    cells = [[column[r] for column in spelled] for r in range(len(rows))]
    title = table.get("title") or name
    return [*([title] if title else []), *lay_out([clip(column, MAX_CELL) for column in columns], cells, right=right)]


def _is_number(value: Any, or_nothing: bool = False) -> bool:
    return (isinstance(value, int | float) and not isinstance(value, bool)) or (or_nothing and value is None)


def _spell_column(values: list[Any]) -> list[str]:
    """The cells of a column; numbers with a fraction all with the same number of digits after the point."""
    spelled = [_spell(value) for value in values]
    fractions = [text for text, value in zip(spelled, values, strict=True) if isinstance(value, float)]
    if not fractions or any("e" in text or "n" in text for text in fractions):
        return spelled
    digits = max(len(text.partition(".")[2]) for text in fractions)
    return [f"{value:.{digits}f}" if isinstance(value, float) else text for text, value in zip(spelled, values, strict=True)]


def _spell(value: Any) -> str:
    if value is None:
        return ""
    return f"{value:.6g}" if isinstance(value, float) else clip(str(value), MAX_CELL)
