"""Lists of Python values, and numpy arrays, as `Values`."""

from __future__ import annotations

import datetime as dt
import json
import math
from decimal import Decimal
from typing import Any

import numpy as np

from fairway.data.batch import Kind, Values

_ARROW = {"f2": "halffloat", "f4": "float", "f8": "double"}
_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_MICROSECOND = dt.timedelta(microseconds=1)


def from_numpy(array: np.ndarray) -> Values:
    """A one-dimensional array; a two-dimensional one is a column of lists."""
    if array.ndim == 2:
        offsets = np.arange(len(array) + 1, dtype=np.int64) * array.shape[1]
        child = from_numpy(np.ascontiguousarray(array).reshape(-1))
        return Values("list", f"fixed_size_list<{child.arrow}, {array.shape[1]}>", np.empty(0, np.uint8), None, offsets, child)
    letter = array.dtype.kind
    if letter in "fiu":
        kind: Kind = "float" if letter == "f" else "integer"
        return Values(kind, _ARROW.get(array.dtype.str[1:], array.dtype.name), array.astype(array.dtype.newbyteorder("="), copy=False))
    if letter == "b":
        return Values("boolean", "bool", array)
    if letter == "M":
        valid = ~np.isnat(array)
        return Values("timestamp", "timestamp[us]", array.astype("datetime64[us]").view(np.int64), None if valid.all() else valid)
    if letter == "m":
        valid = ~np.isnat(array)
        return Values("duration", "duration[us]", array.astype("timedelta64[us]").view(np.int64), None if valid.all() else valid)
    return from_python(array.tolist())


def from_python(values: list[Any]) -> Values:
    """A list of scalars, None where null. Whole numbers beside floats become floats; anything unlike becomes text, objects as JSON."""
    kinds = {type(one) for one in values} - {type(None)}
    valid = None if None not in values else np.fromiter((one is not None for one in values), bool, len(values))
    if not kinds:
        return Values("null", "null", np.zeros(len(values), bool), np.zeros(len(values), bool))
    if kinds == {bool}:
        return Values("boolean", "bool", np.fromiter((bool(one) for one in values), bool, len(values)), valid)
    if kinds == {int} and all(one is None or -(1 << 63) <= one < 1 << 63 for one in values):
        return Values("integer", "int64", np.fromiter((one or 0 for one in values), np.int64, len(values)), valid)
    if kinds <= {int, float, Decimal}:
        kind, name = ("decimal", "decimal128") if kinds == {Decimal} else ("float", "double")
        return Values(kind, name, _floats(values), valid)
    if kinds == {str}:
        return _texts(values, valid)
    if kinds == {dt.datetime}:
        return _timestamps(values, valid)
    if kinds == {dt.date}:
        days = np.fromiter((0 if one is None else one.toordinal() - 719163 for one in values), np.int64, len(values))
        return Values("date", "date32[day]", days, valid)
    return _from_objects(values, valid, kinds)


def _from_objects(values: list[Any], valid: np.ndarray | None, kinds: set[type]) -> Values:
    if kinds == {bytes}:
        return _binary([b"" if one is None else one for one in values], valid, "binary", "binary")
    if kinds <= {list, tuple} and all(one is None or all(not isinstance(x, list | dict | tuple) for x in one) for one in values):
        counts = np.fromiter((0 if one is None else len(one) for one in values), np.int64, len(values))
        child = from_python([x for one in values if one is not None for x in one])
        return Values("list", f"list<{child.arrow}>", np.empty(0, np.uint8), valid, _offsets(counts), child)
    if all(issubclass(kind, np.generic) for kind in kinds):
        return from_python([None if one is None else one.item() for one in values])
    return _texts([None if one is None else one if isinstance(one, str) else json.dumps(one, default=str) for one in values], valid)


def _floats(values: list[Any]) -> np.ndarray:
    try:
        return np.fromiter((0.0 if one is None else float(one) for one in values), np.float64, len(values))
    except OverflowError:  # a whole number beyond all floats is as infinite as 1e999
        return np.fromiter((_float(one) for one in values), np.float64, len(values))


def _float(one: Any) -> float:
    try:
        return float(one or 0)
    except OverflowError:
        return math.inf if one > 0 else -math.inf


def _offsets(counts: np.ndarray) -> np.ndarray:
    made = np.zeros(len(counts) + 1, np.int64)
    np.cumsum(counts, out=made[1:])
    return made


def _texts(values: list[str | None], valid: np.ndarray | None) -> Values:
    return _binary([b"" if one is None else one.encode("utf-8", "surrogatepass") for one in values], valid, "string", "string")


def _binary(values: list[bytes], valid: np.ndarray | None, kind: Kind, arrow: str) -> Values:
    counts = np.fromiter(map(len, values), np.int64, len(values))
    return Values(kind, arrow, np.frombuffer(b"".join(values), np.uint8), valid, _offsets(counts))


def _timestamps(values: list[dt.datetime | None], valid: np.ndarray | None) -> Values:
    aware = {one.tzinfo is not None for one in values if one is not None}
    if len(aware) > 1:
        return _texts([None if one is None else one.isoformat() for one in values], valid)
    zone = "UTC" if aware == {True} else ""

    def ticks(one: dt.datetime | None) -> int:
        if one is None:
            return 0
        return ((one if zone else one.replace(tzinfo=dt.UTC)) - _EPOCH) // _MICROSECOND

    return Values(
        "timestamp", f"timestamp[us, {zone}]" if zone else "timestamp[us]", np.fromiter(map(ticks, values), np.int64, len(values)), valid
    )
