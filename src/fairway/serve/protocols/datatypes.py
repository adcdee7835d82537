"""Datatypes of the Open Inference Protocol as bytes: sizes, names, and to and from lists of Python values, without numpy."""

from __future__ import annotations

import array
import struct
import sys
from collections.abc import Iterable, Sequence
from itertools import chain
from typing import Any

from fairway.serve.refusal import Refused

Bytes = bytes | bytearray | memoryview

SIZES = {
    "BOOL": 1, "UINT8": 1, "UINT16": 2, "UINT32": 4, "UINT64": 8, "INT8": 1, "INT16": 2, "INT32": 4, "INT64": 8,
    "FP16": 2, "BF16": 2, "FP32": 4, "FP64": 8,
}  # fmt: skip
DATATYPES = (*SIZES, "BYTES")
_CODES: dict[str, Any] = {
    "BOOL": "?", "UINT8": "B", "UINT16": "H", "UINT32": "I", "UINT64": "Q", "INT8": "b", "INT16": "h", "INT32": "i", "INT64": "q",
    "FP32": "f", "FP64": "d",
}  # fmt: skip
FROM_NUMPY = {
    "|b1": "BOOL", "|u1": "UINT8", "<u2": "UINT16", "<u4": "UINT32", "<u8": "UINT64", "|i1": "INT8", "<i2": "INT16", "<i4": "INT32",
    "<i8": "INT64", "<f2": "FP16", "<f4": "FP32", "<f8": "FP64",
}  # fmt: skip
INTEGERS = frozenset(name for name in SIZES if "INT" in name)
MAX_STRINGS = 1_000_000
_array: Any = array.array  # its codes are known only when it runs
_SWAPS = sys.byteorder == "big"  # what travels is little-endian, what `array` and `memoryview` read is the machine's
_LENGTH = struct.Struct("<I")


def to_values(datatype: str, data: Bytes, shape: Sequence[int] | None = None) -> list[Any]:
    """The elements as Python values: flat, or nested as `shape` says. BYTES come as bytes."""
    if datatype == "BYTES":
        values: list[Any] = list(split_strings(data))
    elif datatype == "FP16":
        values = list(struct.unpack(f"<{len(data) // 2}e", data))
    elif datatype == "BF16":
        values = _widen(data)
    else:
        view = memoryview(data).cast("B")
        code = _CODES[datatype]
        if _SWAPS:
            swapped = _array(code, bytes(view))
            swapped.byteswap()
            view = memoryview(swapped).cast("B")
        if shape is not None and len(shape) > 1 and view.nbytes:
            return view.cast(code, shape=tuple(shape)).tolist()  # nested in C
        values = view.cast(code).tolist()
    return values if shape is None else nest(values, shape)


def nest(values: list[Any], shape: Sequence[int]) -> list[Any]:
    """A flat list as nested lists of that shape."""
    for size in reversed(shape[1:]):
        count = len(values) // size if size else _product(shape[:-1])
        values = [values[at * size : (at + 1) * size] for at in range(count)]
    return values


def from_values(datatype: str, values: Sequence[Any], name: str) -> bytes:
    """Python values as an array's bytes. Raises Refused naming the tensor, the element and what was expected."""
    try:
        if datatype == "BYTES":
            return join_strings(value.encode() if isinstance(value, str) else value for value in values)
        if datatype == "BOOL":
            return bytes(map(_BOOLEANS.__getitem__, values)) if not set(map(type, values)) <= {bool} else bytes(values)
        if datatype == "FP16":
            return struct.pack(f"<{len(values)}e", *values)
        if datatype == "BF16":
            return _narrow(array.array("f", values))
        packed = _array(_CODES[datatype], values)
    except (TypeError, OverflowError, struct.error, KeyError, AttributeError, UnicodeEncodeError):
        raise _refuse_value(datatype, values, name) from None
    if _SWAPS:
        packed.byteswap()
    return packed.tobytes()


_BOOLEANS: dict[Any, int] = {True: 1, False: 0}


def _refuse_value(datatype: str, values: Sequence[Any], name: str) -> Refused:
    """Which of the elements cannot be of the datatype."""
    for at, value in enumerate(values):
        try:
            from_single(datatype, value)
        except (TypeError, OverflowError, struct.error, KeyError, AttributeError, UnicodeEncodeError):
            return Refused(400, "FW-INPUT", f"tensor {name!r}, element {at}: came {describe(value)}, expected {_EXPECTED[datatype]}")
    return Refused(400, "FW-INPUT", f"tensor {name!r}: its data is not {datatype}")


def from_single(datatype: str, value: Any) -> None:
    """Raises what the conversion of this one value raises."""
    if datatype == "BYTES":
        value.encode() if isinstance(value, str) else _LENGTH.pack(len(bytes(memoryview(value))))
    elif datatype == "BOOL":
        _ = _BOOLEANS[value]
    elif datatype == "FP16":
        struct.pack("<e", value)
    else:
        array.array("f" if datatype == "BF16" else _CODES[datatype], (value,))


_EXPECTED = {
    "BOOL": "true or false", "FP16": "a number that fits 16 bits", "BF16": "a number", "FP32": "a number", "FP64": "a number",
    "BYTES": "text",
} | {name: f"a whole number from {-(1 << 8 * SIZES[name] - 1) if name[0] == 'I' else 0} to "
           f"{(1 << 8 * SIZES[name] - (name[0] == 'I')) - 1}" for name in INTEGERS}  # fmt: skip


def describe(value: Any) -> str:
    """What came, in a few words."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return f"the text {value if len(value) <= 40 else value[:39] + '…'!r}"
    if isinstance(value, int | float):
        return f"{value!r}"[:40]
    return "a list" if isinstance(value, list) else "an object"


_BEYOND = {"FP32": 3.4028235677973366e38, "BF16": 3.3961775292304e38}  # what is rounded to infinity


def check_range(datatype: str, values: Sequence[float], name: str) -> None:
    """Refuse numbers that the datatype would turn into infinities."""
    beyond = _BEYOND.get(datatype)
    if beyond is None or (max(values) < beyond and min(values) > -beyond):
        return
    at = next(at for at, value in enumerate(values) if not -beyond < value < beyond)
    raise Refused(400, "FW-INPUT", f"tensor {name!r}, element {at}: came {describe(values[at])}, expected a number that fits {datatype}")


def flatten(values: Any, shape: Sequence[int], name: str) -> list[Any]:
    """Nested lists of that shape as one flat list; a flat one as it is. Raises Refused if the lists are not of the shape."""
    total = _product(shape)
    if not isinstance(values, list):
        raise Refused(400, "FW-INPUT", f"tensor {name!r}: its data is {describe(values)}, expected a list of {total} elements")
    flat: list[Any] = values
    if len(shape) > 1 and flat and isinstance(flat[0], list):
        for depth, size in enumerate(shape):
            if depth == 0:
                if len(flat) != size:
                    raise _refuse_shape(name, shape, f"{len(flat)} lists at the top")
                continue
            for at, inner in enumerate(flat):
                if not isinstance(inner, list) or len(inner) != size:
                    came = f"list {at} at depth {depth} has {len(inner)}" if isinstance(inner, list) else f"{describe(inner)} at {at}"
                    raise _refuse_shape(name, shape, came)
            flat = list(chain.from_iterable(flat))
    elif len(flat) != total:
        raise _refuse_shape(name, shape, f"{len(flat)} elements")
    return flat


def _refuse_shape(name: str, shape: Sequence[int], came: str) -> Refused:
    return Refused(400, "FW-INPUT", f"tensor {name!r}: came {came}, expected {_product(shape)} elements as its shape {list(shape)} says")


def check_tensor(name: str, datatype: str, shape: Sequence[int], data: Bytes) -> None:
    """Refuse a tensor whose bytes are not what datatype and shape say."""
    count = count_elements(name, datatype, shape)
    size = memoryview(data).nbytes
    if datatype == "BYTES":
        if count > MAX_STRINGS:
            raise Refused(413, "FW-TOO-LARGE", f"tensor {name!r} has {count} texts, at most {MAX_STRINGS} are taken at once")
        found = count_strings(data, count + 1) if 4 * count <= size else -1
        if found != count:
            raise Refused(
                400, "FW-INPUT", f"tensor {name!r}: came {size} bytes that do not hold {count} texts, expected {count} times a length of "
                f"4 bytes and as many bytes behind it, as its shape {list(shape)} says",
            )  # fmt: skip
        return
    if size != count * SIZES[datatype]:
        raise Refused(
            400, "FW-INPUT", f"tensor {name!r}: came {size} bytes, expected {count * SIZES[datatype]} "
            f"(shape {list(shape)} of {datatype}, {SIZES[datatype]} bytes each)",
        )  # fmt: skip


def count_elements(name: str, datatype: str, shape: Sequence[int]) -> int:
    """How many elements the shape asks for. Refuses datatypes that are none, and dimensions that are not above nought."""
    if datatype not in DATATYPES:
        raise Refused(400, "FW-INPUT", f"tensor {name!r}: its datatype is {datatype[:40]!r}, expected one of {', '.join(DATATYPES)}")
    if not shape:
        raise Refused(400, "FW-INPUT", f"tensor {name!r}: its shape is empty, expected at least one dimension such as [1]")
    if len(shape) > 32:
        raise Refused(400, "FW-INPUT", f"tensor {name!r}: its shape has {len(shape)} dimensions, at most 32 are taken")
    if min(shape) <= 0:
        raise Refused(400, "FW-INPUT", f"tensor {name!r}: its shape is {list(shape)}, expected every dimension to be 1 or more")
    return _product(shape)


def split_strings(data: Bytes) -> Iterable[bytes]:
    """Elements of a BYTES tensor. Its lengths have been checked."""
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
    """Elements of a BYTES tensor, each with its length before it."""
    parts: list[bytes] = []
    for value in values:
        parts.append(_LENGTH.pack(len(value)))
        parts.append(value)
    return b"".join(parts)


def _product(shape: Sequence[int]) -> int:
    total = 1
    for size in shape:
        total *= size
    return total


def _widen(data: Bytes) -> list[float]:
    """BF16 is the upper half of FP32."""
    wide = bytearray(2 * len(data))
    wide[2::4], wide[3::4] = data[0::2], data[1::2]
    return list(struct.unpack(f"<{len(data) // 2}f", wide))


def _narrow(values: array.array[float]) -> bytes:
    """The upper halves, rounded to the nearest, ties to even; NaN stays NaN."""
    bits = array.array("I", values.tobytes())
    out = array.array("H", ((b >> 16 | 0x40) if b & 0x7FFFFFFF > 0x7F800000 else (b + 0x7FFF + (b >> 16 & 1)) >> 16 for b in bits))
    if _SWAPS:
        out.byteswap()
    return out.tobytes()
