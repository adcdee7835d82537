"""Python values, as a decoder of records makes them, as columns of a batch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from fairway.data.batch import Kind, Values, values_of
from fairway.data.streams.times import parse_dates, parse_times

STREAM_KINDS: tuple[Kind, ...] = ("float", "integer", "boolean", "string", "timestamp", "date", "list", "null")


def floats(made: np.ndarray) -> Values:
    """NaN is null. (JSON has none, so it is what numpy made of a None.)"""
    absent = np.isnan(made)
    return Values("float", "double", made, ~absent if absent.any() else None)


def texts(values: Sequence[str | None]) -> Values:
    """Texts as a column."""
    valid = None
    if None in values:
        valid = np.fromiter((one is not None for one in values), bool, len(values))
        values = [one or "" for one in values]
    joined = "".join(values)  # type: ignore[arg-type]  # no None is left
    if joined.isascii():
        data, lengths = joined.encode(), np.fromiter(map(len, values), np.int64, len(values))  # type: ignore[arg-type]
    else:
        encoded = [one.encode("utf-8", "surrogatepass") for one in values if one is not None]
        data, lengths = b"".join(encoded), np.fromiter(map(len, encoded), np.int64, len(encoded))
    offsets = np.zeros(len(lengths) + 1, np.int64)
    np.cumsum(lengths, out=offsets[1:])
    return Values("string", "string", np.frombuffer(data, np.uint8), valid, offsets)


def as_times(column: Values) -> Values | None:
    """A column of texts as timestamps, if each is one."""
    assert column.offsets is not None
    parsed = parse_times(column.offsets, column.data, column.valid)
    if parsed is None:
        return None
    made, aware = parsed
    return Values("timestamp", "timestamp[us, UTC]" if aware else "timestamp[us]", made, column.valid)


def as_dates(column: Values) -> Values | None:
    """A column of texts as dates, if each is one."""
    assert column.offsets is not None
    days = parse_dates(column.offsets, column.data, column.valid)
    return None if days is None else Values("date", "date32[day]", days, column.valid)


def finished(column: Values, wanted: Kind | None) -> Values:
    """A column as the kind that is wanted where its texts allow it; `wanted` None: texts that are all times become times."""
    if column.kind != "string" or wanted not in (None, "timestamp", "date"):
        return column
    made = as_dates(column) if wanted == "date" else as_times(column)
    return made or (as_dates(column) if wanted is None else None) or column


def column_of(values: list[Any], wanted: Kind | None) -> Values:
    """Values of any types: what they are, then what is wanted if they fit. A column of whole numbers that should be floats is floats."""
    made = values_of(values)
    if made.kind == "integer" and wanted == "float":
        return Values("float", "double", made.data.astype(np.float64), made.valid)
    if made.kind == "null" and wanted is not None and wanted != "null":
        return nulls(len(values), wanted)
    return finished(made, wanted)


def nulls(count: int, kind: Kind) -> Values:
    """A column without a value."""
    absent = np.zeros(count, bool)
    if kind in ("string", "binary"):
        return Values(kind, kind, np.empty(0, np.uint8), absent, np.zeros(count + 1, np.int64))
    if kind in ("integer", "timestamp", "date"):
        arrow = {"integer": "int64", "timestamp": "timestamp[us, UTC]", "date": "date32[day]"}[kind]
        return Values(kind, arrow, np.zeros(count, np.int64), absent)
    if kind == "float":
        return Values("float", "double", np.zeros(count), absent)
    return Values("boolean", "bool", np.zeros(count, bool), absent) if kind == "boolean" else Values("null", "null", absent, absent)
