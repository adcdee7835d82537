"""Lists of Python values that fit their type, as nanoarrow arrays: buffers are filled by numpy, not value by value."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Sequence
from decimal import Decimal
from typing import Any, cast

import numpy as np

from fairway.data.batch import Kind
from fairway.data.sources.engine import Field
from fairway.data.sources.utf8texts import Utf8Texts

_EPOCH_DAY = dt.date(1970, 1, 1).toordinal()
_EPOCH = dt.datetime(1970, 1, 1)  # noqa: DTZ001 - of the wall clock
_EPOCH_UTC = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_MICROSECOND = dt.timedelta(microseconds=1)
_KINDS: dict[str, Kind] = {
    "bool": "boolean",
    "string": "string",
    "binary": "binary",
    "double": "float",
    "float": "float",
    "halffloat": "float",
    "null": "null",
}
_WIDTHS = {
    "int8": "i1",
    "int16": "i2",
    "int32": "i4",
    "int64": "i8",
    "uint8": "u1",
    "uint16": "u2",
    "uint32": "u4",
    "uint64": "u8",
    "float": "f4",
    "double": "f8",
}


def kind_of(arrow: str) -> Kind:
    """What a column of this Arrow type holds."""
    head = arrow.partition("[")[0].partition("(")[0].partition("<")[0]
    if head.startswith(("int", "uint")):
        return "integer"
    if head in _KINDS:
        return _KINDS[head]
    named = {"date32": "date", "decimal128": "decimal", "timestamp": "timestamp", "time": "time", "duration": "duration", "list": "list"}
    return cast("Kind", named.get(head, "string"))


def schema_of(fields: Sequence[Field]) -> Any:
    """The struct schema of some fields."""
    import nanoarrow as na

    return na.c_schema(na.struct([_named(type_of(one.arrow), one.name) for one in fields]))


def _named(schema: Any, name: str) -> Any:
    import nanoarrow as na

    return na.Schema(na.c_schema(schema).modify(name=name))


def type_of(arrow: str) -> Any:
    """nanoarrow's schema of a type by Arrow's name."""
    import nanoarrow as na

    if arrow.startswith("list<"):
        return na.list_(type_of(arrow[5:-1]))
    if arrow.startswith("decimal128("):
        digits, scale = arrow[11:-1].split(",")
        return na.decimal128(int(digits), int(scale))
    made = {
        "int8": na.int8,
        "int16": na.int16, "int32": na.int32, "int64": na.int64, "uint8": na.uint8, "uint16": na.uint16, "uint32": na.uint32,
        "uint64": na.uint64, "float": na.float32, "double": na.float64, "bool": na.bool_, "binary": na.binary, "date32[day]": na.date32,
    }.get(arrow)  # fmt: skip
    if made is not None:
        return made()
    if arrow.startswith("timestamp[us"):
        return na.timestamp("us", "UTC") if "," in arrow else na.timestamp("us")
    return na.time64("us") if arrow == "time[us]" else na.duration("us") if arrow == "duration[us]" else na.string()


def struct_of(schema: Any, rows: int, arrays: Sequence[Any]) -> Any:
    """A chunk from its columns."""
    import nanoarrow as na

    return na.c_array_from_buffers(schema, rows, [None], null_count=0, children=arrays, validation_level="none", move=True)


def array_of(arrow: str, values: Sequence[Any] | np.ndarray) -> Any:
    """One column. The values fit; None is null."""
    count = len(values)
    if isinstance(values, Utf8Texts):
        data, lengths = values.arrow()
        return made_of(arrow, count, None, [_offsets(lengths), data], [])
    if isinstance(values, np.ndarray):
        return made_of(arrow, count, None, [values.astype(np.int32) if arrow == "date32[day]" else values], [])
    valid = np.fromiter((one is not None for one in values), bool, count) if None in values else None
    if arrow.startswith("list<"):
        lengths = np.fromiter((0 if one is None else len(one) for one in values), np.int64, count)
        child = array_of(arrow[5:-1], [x for one in values if one is not None for x in one])
        return made_of(arrow, count, valid, [_offsets(lengths)], [child])
    if arrow in ("string", "binary"):
        raw = (
            values
            if valid is None
            else [b"" if one is None else one for one in values]
            if arrow == "binary"
            else ["" if one is None else one for one in values]
        )
        return texts_of(arrow, raw, valid)
    return made_of(arrow, count, valid, [_data(arrow, values, valid)], [])


def texts_of(arrow: str, values: Sequence[Any], valid: np.ndarray | None) -> Any:
    """A column of texts or bytes, of which none is None."""
    data = b"".join(values) if arrow == "binary" else "".join(values).encode("utf-8", "surrogatepass")
    lengths = np.fromiter(map(len, values), np.int64, len(values))
    if arrow == "string" and int(lengths.sum()) != len(data):
        raw = [one.encode("utf-8", "replace") for one in values]
        data, lengths = b"".join(raw), np.fromiter(map(len, raw), np.int64, len(raw))
    return made_of(arrow, len(values), valid, [_offsets(lengths), data], [])


def made_of(arrow: str, count: int, valid: np.ndarray | None, buffers: list[Any], children: list[Any]) -> Any:
    """An array from its buffers; `valid` as bools."""
    import nanoarrow as na

    bits = None if valid is None else np.packbits(valid, bitorder="little")
    nulls = 0 if valid is None else count - int(np.count_nonzero(valid))
    return na.c_array_from_buffers(
        type_of(arrow), count, [bits, *buffers], null_count=nulls, children=children, validation_level="none", move=True
    )


def _offsets(lengths: np.ndarray) -> np.ndarray:
    made = np.zeros(len(lengths) + 1, np.int64)
    np.cumsum(lengths, out=made[1:])
    if made[-1] > 2**31 - 1:
        raise OverflowError("a chunk of more than 2 GB of text")
    return made.astype(np.int32)


def _data(arrow: str, values: Sequence[Any], valid: np.ndarray | None) -> Any:
    if valid is not None and arrow in _WIDTHS | {"bool": ""}:
        values = [0 if one is None else one for one in values]
    if arrow == "double":
        try:
            return np.array(values, np.float64) if values else np.empty(0, np.float64)
        except OverflowError:  # a whole number beyond all floats is as infinite as 1e999
            return np.array([nearest(one) for one in values])
    if arrow in _WIDTHS:
        return np.array(values, np.dtype(_WIDTHS[arrow])) if values else np.empty(0, _WIDTHS[arrow])
    if arrow == "bool":
        return np.packbits(np.array(values, bool), bitorder="little")
    if arrow.startswith("decimal128("):
        scale = int(arrow[11:-1].split(",")[1])
        return b"".join(bytes(16) if one is None else _unscaled(one, scale).to_bytes(16, "little", signed=True) for one in values)
    if arrow == "date32[day]":
        return np.fromiter((0 if one is None else one.toordinal() - _EPOCH_DAY for one in values), np.int32, len(values))
    return np.fromiter((0 if one is None else _microseconds(one) for one in values), np.int64, len(values))


def nearest(value: Any) -> float:
    """The float next to a number; infinite for one beyond all floats."""
    try:
        return float(value)
    except OverflowError:
        return math.inf if value > 0 else -math.inf


def _unscaled(value: Decimal, scale: int) -> int:
    sign, digits, exponent = value.as_tuple()
    whole = int("".join(map(str, digits)) or "0")
    shift = int(exponent) + scale
    whole = whole * 10**shift if shift >= 0 else whole // 10**-shift  # what is cut off are zeros: the value fits
    return -whole if sign else whole


def _microseconds(value: Any) -> int:
    if isinstance(value, dt.datetime):
        return (value - (_EPOCH if value.tzinfo is None else _EPOCH_UTC)) // _MICROSECOND
    if isinstance(value, dt.timedelta):
        return value // _MICROSECOND
    return ((value.hour * 60 + value.minute) * 60 + value.second) * 1_000_000 + value.microsecond
