"""Parts of a data set where there is no pyarrow: rows as JSON lines, compressed. With it they become Parquet, here or at whoever reads."""

from __future__ import annotations

import gzip
import importlib
from collections.abc import Iterable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any, BinaryIO

import msgspec

from fairway.step.traffic import FEEDBACK_COLUMNS, TRAFFIC_COLUMNS

SUFFIX = ".jsonl.gz"
KINDS = {"traffic": TRAFFIC_COLUMNS, "feedback": FEEDBACK_COLUMNS}
_LEVEL = 6


def has_arrow() -> bool:
    """Is pyarrow here? It is imported then."""
    try:
        importlib.import_module("pyarrow")
    except ImportError:
        return False
    return True


def write_rows(path: Path, rows: Iterable[dict[str, Any]]) -> None:
    """Rows with `at` as a datetime. The same rows give the same bytes."""
    with path.open("wb") as file, gzip.GzipFile("", "wb", _LEVEL, file, mtime=0) as out:
        for row in rows:
            out.write(msgspec.json.encode(row) + b"\n")


def read_rows(file: BinaryIO) -> Iterator[dict[str, Any]]:
    """What `write_rows` has written; several such files, one after another, are one."""
    with gzip.GzipFile(fileobj=file) as lines:
        for line in lines:
            row = msgspec.json.decode(line)
            yield {**row, "at": datetime.fromisoformat(row["at"])}


def to_table(kind: str, rows: Iterable[dict[str, Any]]) -> Any:
    """A pyarrow.Table of "traffic" or "feedback"."""
    import pyarrow as pa

    return pa.Table.from_pylist(list(rows), schema=schema_of(kind))


def write_table(path: Path, table: Any) -> None:
    """As a Parquet file."""
    import pyarrow.parquet as pq

    pq.write_table(table, path, compression="zstd")


def schema_of(kind: str) -> Any:
    """Its columns for pyarrow."""
    import pyarrow as pa

    return pa.schema([(name, pa.timestamp("us", "UTC") if form == "time" else getattr(pa, form)()) for name, form in KINDS[kind]])
