"""Text, bytes, and the small things made for people: HTML, Markdown, metrics, tables."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from fairway.step import plainjson
from fairway.step.types import HTML, Markdown, Metrics, Table

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


class Text:
    """A long str, as UTF-8 (lone surrogates survive)."""

    format, suffix, types = "text", ".txt", ("str",)

    def write(self, value: str, path: Path) -> Mapping[str, Any]:
        _write(path, value.encode("utf-8", "surrogatepass"))
        return {"characters": len(value)}

    def read(self, path: Path, wanted: str, meta: Mapping[str, Any]) -> str:
        return _read(path).decode("utf-8", "surrogatepass")


class Bytes:
    """bytes and bytearray, as they are."""

    format, suffix, types = "bytes", ".bin", ("bytes", "bytearray")

    def write(self, value: bytes | bytearray, path: Path) -> Mapping[str, Any]:
        _write(path, value)
        return {"mutable": True} if isinstance(value, bytearray) else {}

    def read(self, path: Path, wanted: str, meta: Mapping[str, Any]) -> bytes | bytearray:
        data = _read(path)
        return bytearray(data) if meta.get("mutable") else data


class Html:
    """fw.HTML, as UTF-8."""

    format, suffix, types = "html", ".html", ("fairway.HTML",)

    def write(self, value: str, path: Path) -> Mapping[str, Any]:
        _write(path, value.encode())
        return {}

    def read(self, path: Path, wanted: str, meta: Mapping[str, Any]) -> HTML:
        return HTML(_read(path).decode())


class MarkdownText:
    """fw.Markdown, as UTF-8."""

    format, suffix, types = "markdown", ".md", ("fairway.Markdown",)

    def write(self, value: str, path: Path) -> Mapping[str, Any]:
        _write(path, value.encode())
        return {}

    def read(self, path: Path, wanted: str, meta: Mapping[str, Any]) -> Markdown:
        return Markdown(_read(path).decode())


class MetricsJson:
    """fw.Metrics, as a JSON object of numbers."""

    format, suffix, types = "metrics", ".json", ("fairway.Metrics",)

    def write(self, value: Metrics, path: Path) -> Mapping[str, Any]:
        _write(path, plainjson.render(dict(value)))
        return {"metrics": dict(list(value.items())[:20])}

    def read(self, path: Path, wanted: str, meta: Mapping[str, Any]) -> Metrics:
        return Metrics(json.loads(_read(path)))


class TableJson:
    """fw.Table, as JSON {title, columns, rows}. A reader may ask for any library's data frame."""

    format, suffix, types = "table", ".json", ("fairway.Table",)

    def write(self, value: Table, path: Path) -> Mapping[str, Any]:
        _write(path, plainjson.render({"title": value.title, "columns": value.columns, "rows": value.rows}))
        return {"rows": len(value.rows), "columns": value.columns[:50]}

    def read(self, path: Path, wanted: str, meta: Mapping[str, Any]) -> Any:
        data = plainjson.parse(_read(path))
        return _as_wanted(Table(data["rows"], data["columns"], title=data["title"]), wanted)


def _as_wanted(table: Table, wanted: str) -> Any:
    """The table as the data frame that the reader's annotation names; what a row lacks is missing."""
    if wanted not in ("pandas.DataFrame", "polars.DataFrame", "polars.LazyFrame", "pyarrow.Table"):
        return table
    width = len(table.columns)
    rows = [[*row, *[None] * (width - len(row))] for row in table.rows]
    if wanted == "pandas.DataFrame":
        import pandas as pd

        names: Any = table.columns  # pandas 2 says that it takes no list
        return pd.DataFrame(rows, columns=names)
    if wanted == "pyarrow.Table":
        import pyarrow as pa

        return pa.table([pa.array([row[n] for row in rows]) for n in range(width)], names=table.columns)
    import polars as pl

    frame = pl.DataFrame(rows, schema=table.columns, orient="row", infer_schema_length=None)
    return frame.lazy() if wanted == "polars.LazyFrame" else frame


def _write(path: Path, data: bytes | bytearray) -> None:
    with open(path, "xb") as file:
        file.write(data)


def _read(path: Path) -> bytes:
    with open(path, "rb") as file:
        return file.read()
