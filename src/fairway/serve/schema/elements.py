"""Elements of arrays as bytes: little-endian, C order, without NumPy, which the front goes without."""

from __future__ import annotations

import struct
import sys
from array import array
from collections.abc import Iterable, Sequence
from math import prod
from typing import Any

from fairway.data.schema.datatypes import DATATYPES

Bytes = bytes | bytearray | memoryview
_SWAPS = sys.byteorder == "big"  # what travels is little-endian, what `array` and `memoryview` read is the machine's
_array: Any = array  # its codes are known only when it runs
_LENGTH = struct.Struct("<I")


def to_values(datatype: str, data: Bytes, shape: Sequence[int] | None = None) -> list[Any]:
    """The elements as Python values: flat, or nested as `shape` says. BYTES come as bytes."""
    values = to_sequence(datatype, data)
    if isinstance(values, memoryview):
        code: Any = "?" if datatype == "BOOL" else values.format
        if shape is not None and len(shape) > 1 and values.nbytes:
            return values.cast("B").cast(code, tuple(shape)).tolist()  # nested in C
        values = values.cast("B").cast(code).tolist()
    return list(values) if shape is None else nest(list(values), shape)


def to_sequence(datatype: str, data: Bytes) -> Any:
    """The elements as a sequence of numbers: a view of the bytes where there can be one. BYTES come as bytes, BOOL as 0 and 1."""
    if datatype == "BYTES":
        return list(split_strings(data))
    if datatype == "FP16":
        return struct.unpack(f"<{len(data) // 2}e", data)
    if datatype == "BF16":  # the upper half of FP32
        wide = bytearray(2 * len(data))
        wide[2::4], wide[3::4] = data[0::2], data[1::2]
        return struct.unpack(f"<{len(data) // 2}f", wide)
    code: Any = DATATYPES[datatype].code
    if _SWAPS:
        swapped = _array(code, bytes(data))
        swapped.byteswap()
        return memoryview(swapped)
    return memoryview(data).cast("B").cast(code)


def to_bytes(datatype: str, values: Sequence[Any]) -> bytes:
    """Python values as bytes; TypeError, OverflowError, struct.error for those that the datatype does not hold. Text becomes UTF-8."""
    if datatype == "BYTES":
        return join_strings(value.encode() if isinstance(value, str) else value for value in values)
    if datatype == "FP16":
        return struct.pack(f"<{len(values)}e", *values)
    packed = _narrow(array("f", values)) if datatype == "BF16" else _array(DATATYPES[datatype].code, values)
    if _SWAPS:
        packed.byteswap()
    return packed.tobytes()


def _narrow(values: array[float]) -> array[int]:
    """The upper halves, rounded to the nearest, ties to even; NaN stays NaN."""
    bits = array("I", values.tobytes())
    return array("H", ((b >> 16 | 0x40) if b & 0x7FFFFFFF > 0x7F800000 else (b + 0x7FFF + (b >> 16 & 1)) >> 16 for b in bits))


def nest(values: list[Any], shape: Sequence[int]) -> Any:
    """A flat list as lists in lists; its one element for the shape ()."""
    for size in reversed(shape[1:]):
        count = len(values) // size if size else prod(shape[:-1])
        values = [values[at * size : (at + 1) * size] for at in range(count)]
    return values if shape else values[0]


def split_strings(data: Bytes) -> Iterable[bytes]:
    """Elements of BYTES. Its lengths have been checked."""
    view, at, end = memoryview(data), 0, len(data)
    while at < end:
        (size,) = _LENGTH.unpack_from(view, at)
        at += 4 + size
        yield bytes(view[at - size : at])


def count_strings(data: Bytes, limit: int) -> int:
    """How many elements the bytes hold; -1 if their lengths do not fit, or there are `limit` of them or more."""
    unpack, at, end, count = _LENGTH.unpack_from, 0, len(data), 0
    while at < end:
        if at + 4 > end or count >= limit:
            return -1
        at += 4 + unpack(data, at)[0]
        count += 1
    return count if at == end else -1


def join_strings(values: Iterable[bytes]) -> bytes:
    """Elements of BYTES, each with its length before it."""
    parts: list[bytes] = []
    for value in values:
        parts.append(_LENGTH.pack(len(value)))
        parts.append(value)
    return b"".join(parts)
