"""Whether every few megabytes of a file hold a good row. Where not, DuckDB must not read it in parallel.

In parallel it takes a stretch of whose rows all are rejected for the end of the file, and what follows is lost without a word
(DuckDB 1.1 to 2.0: `read_csv(…, store_rejects = true)`).
"""

from __future__ import annotations

import csv
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fairway.data.sources.columntypes import ColumnType
from fairway.data.sources.dialect import Dialect

_STEP = 1 << 20
_LOOKED = 1 << 12
_WIDER = 1 << 16
_LINES = 200


def good_throughout(path: str, end: bytes, dialect: Dialect, types: Sequence[ColumnType]) -> bool:
    """Whether each megabyte begins with a row that can be read, as far as one can tell without the rows before it."""
    with Path(path).open("rb", buffering=0) as file:
        handle, size = file.fileno(), os.fstat(file.fileno()).st_size
        for place in range(0, size if size > 2 * _STEP else 0, _STEP):
            for length in (_LOOKED, _WIDER):
                lines = os.pread(handle, length, place).split(end)
                if any(is_good(line.removesuffix(b"\r"), dialect, types) for line in lines[1:-1][:_LINES]):
                    break
            else:
                return False
    return True


def is_good(line: bytes, dialect: Dialect, types: Sequence[ColumnType]) -> bool:
    """Whether a line is a whole row that DuckDB reads: False where one cannot be sure."""
    try:
        text = line.decode()
        quoting: dict[str, Any] = {"quoting": csv.QUOTE_NONE}
        if dialect.quote:
            quoting = {"quotechar": dialect.quote, "doublequote": dialect.escape == dialect.quote}
        row = next(csv.reader([text], delimiter=dialect.separator[:1], strict=True, **quoting), []) if len(text) < _WIDER else []
    except (UnicodeDecodeError, csv.Error):
        return False
    if len(row) != len(types) or (dialect.comment and text.startswith(dialect.comment)):
        return False
    numbers = (value for value, kind in zip(row, types, strict=True) if value and kind.native and kind.name != "string")
    return all(map(_is_number, numbers))


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return "_" not in text
