"""Arrow's arrays as `Values`, through the C interface; numbers and texts are not copied."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from fairway.data.batch import Kind, Values
from fairway.errors import UnsupportedError

_NUMBERS: dict[str, tuple[Kind, str, str]] = {
    "c": ("integer", "int8", "i1"), "C": ("integer", "uint8", "u1"), "s": ("integer", "int16", "i2"), "S": ("integer", "uint16", "u2"),
    "i": ("integer", "int32", "i4"), "I": ("integer", "uint32", "u4"), "l": ("integer", "int64", "i8"), "L": ("integer", "uint64", "u8"),
    "e": ("float", "halffloat", "f2"), "f": ("float", "float", "f4"), "g": ("float", "double", "f8"),
}  # fmt: skip
_TICKS = {"s": 1_000_000, "m": 1_000, "u": 1, "n": -1_000}
_NAMES = {"s": "s", "m": "ms", "u": "us", "n": "ns"}


def read_stream(stream: Any) -> Iterator[tuple[int, dict[str, Values]]]:
    """(rows, columns by name) of each chunk of an object with `__arrow_c_stream__`; chunks without rows are left out."""
    import nanoarrow as na

    chunks = na.c_array_stream(stream)
    try:
        for chunk in chunks:
            if chunk.length:
                yield chunk.length, _children(chunk, "", None)
    finally:  # let go here: callbacks of Python's cannot run while the interpreter unwinds
        chunks.release()


def _children(array: Any, prefix: str, above: np.ndarray | None) -> dict[str, Values]:
    """The columns of a struct, with those of the structs in it; a null struct makes its fields null."""
    made: dict[str, Values] = {}
    for place in range(array.n_children):
        child = array.child(place)
        name = prefix + child.schema.name
        if child.schema.format == "+s":
            valid = _valid(child, child.view(), 0)
            made |= _children(child, name + ".", _both(above, valid))
        else:
            one = values_of_array(child)
            made[name] = one if above is None else Values(one.kind, one.arrow, one.data, _both(above, one.valid), one.offsets, one.child)
    return made


def _both(one: np.ndarray | None, other: np.ndarray | None) -> np.ndarray | None:
    return other if one is None else one if other is None else one & other


def values_of_array(array: Any) -> Values:
    """One nanoarrow array."""
    view, spelt, rows, offset = array.view(), array.schema.format, array.length, array.offset
    if array.dictionary is not None and spelt in _NUMBERS:
        return _decoded(array, view)
    valid = _valid(array, view, 0)
    if spelt in _NUMBERS:
        kind, name, dtype = _NUMBERS[spelt]
        return Values(kind, name, _numbers(view, 1, dtype, offset, rows), valid)
    if spelt == "b":
        return Values("boolean", "bool", _bits(view, 1, offset, rows), valid)
    if spelt in ("u", "U", "z", "Z"):
        offsets = _numbers(view, 1, "i4" if spelt in "uz" else "i8", offset, rows + 1) if rows else np.zeros(1, np.int32)
        data = np.frombuffer(view.buffer(2), np.uint8) if view.buffer(2).size_bytes else np.empty(0, np.uint8)
        kind, name = ("string", "string") if spelt in "uU" else ("binary", "binary")
        return Values(kind, name, data, valid, offsets)
    if spelt[0] == "t":
        return _temporal(view, spelt, offset, rows, valid)
    if spelt[0] == "d":
        return _decimal(view, spelt, offset, rows, valid)
    if spelt in ("+l", "+L") or spelt.startswith("+w:"):
        return _list(array, view, spelt, valid)
    if spelt == "n":
        return Values("null", "null", np.zeros(rows, bool), np.zeros(rows, bool))
    if spelt.startswith("w:"):
        width = int(spelt[2:])
        offsets = (np.arange(rows + 1, dtype=np.int64) + offset) * width
        return Values("binary", f"fixed_size_binary[{width}]", np.frombuffer(view.buffer(1), np.uint8), valid, offsets)
    raise UnsupportedError(f"column {array.schema.name!r} has Arrow's format {spelt!r}", hint="Cast it to a number, a text or a time.")


def _numbers(view: Any, buffer: int, dtype: str, offset: int, rows: int) -> np.ndarray:
    if not rows:
        return np.empty(0, dtype)
    return np.frombuffer(view.buffer(buffer), dtype, count=rows, offset=offset * np.dtype(dtype).itemsize)


def _bits(view: Any, buffer: int, offset: int, rows: int) -> np.ndarray:
    raw = np.frombuffer(view.buffer(buffer), np.uint8)
    first = offset // 8
    bits = np.unpackbits(raw[first : (offset + rows + 7) // 8], bitorder="little")
    return bits[offset - first * 8 : offset - first * 8 + rows].view(bool)


def _valid(array: Any, view: Any, buffer: int) -> np.ndarray | None:
    if array.null_count == 0 or view.buffer(buffer).size_bytes == 0:
        return None
    made = _bits(view, buffer, array.offset, array.length)
    return None if made.all() else made


def _temporal(view: Any, spelt: str, offset: int, rows: int, valid: np.ndarray | None) -> Values:
    if spelt == "tdD":
        return Values("date", "date32[day]", _numbers(view, 1, "i4", offset, rows).astype(np.int64), valid)
    if spelt == "tdm":
        return Values("date", "date64[ms]", _numbers(view, 1, "i8", offset, rows) // 86_400_000, valid)
    if spelt == "tin":
        parts = _numbers(view, 1, "i8", offset * 2, rows * 2).reshape(-1, 2)
        months_days = parts[:, 0].copy().view(np.int32).reshape(-1, 2)
        days = months_days[:, 0].astype(np.int64) * 30 + months_days[:, 1]
        return Values("duration", "month_day_nano_interval", days * 86_400_000_000 + parts[:, 1] // 1000, valid)
    dtype = "i4" if spelt in ("tts", "ttm") else "i8"
    ticks = _numbers(view, 1, dtype, offset, rows).astype(np.int64, copy=False)
    factor = _TICKS[spelt[2]]
    ticks = ticks if factor == 1 else ticks * factor if factor > 0 else ticks // -factor
    unit = _NAMES[spelt[2]]
    if spelt[1] == "s":
        zone = spelt[4:]
        return Values("timestamp", f"timestamp[{unit}, {zone}]" if zone else f"timestamp[{unit}]", ticks, valid)
    return Values("time", f"time[{unit}]", ticks, valid) if spelt[1] == "t" else Values("duration", f"duration[{unit}]", ticks, valid)


def _decimal(view: Any, spelt: str, offset: int, rows: int, valid: np.ndarray | None) -> Values:
    said = spelt[2:].split(",")
    digits, scale, width = int(said[0]), int(said[1]), int(said[2]) if len(said) > 2 else 128
    if width != 128:
        raise UnsupportedError(f"a decimal of {width} bits", hint="Cast it to a double.")
    words = _numbers(view, 1, "i8", offset * 2, rows * 2).reshape(-1, 2)
    low, high = np.ascontiguousarray(words[:, 0]), words[:, 1]
    wide = high.astype(np.float64) * 2.0**64 + low.view(np.uint64).astype(np.float64)
    data = (
        np.where(high == low >> 63, low.astype(np.float64), wide) / 10.0**scale
    )  # one word holds most, and -1 is no small difference of large ones
    return Values("decimal", f"decimal128({digits}, {scale})", data, valid)


def _list(array: Any, view: Any, spelt: str, valid: np.ndarray | None) -> Values:
    child = values_of_array(array.child(0))
    if spelt.startswith("+w:"):
        width = int(spelt[3:])
        offsets = (np.arange(array.length + 1, dtype=np.int64) + array.offset) * width
        return Values("list", f"fixed_size_list<{child.arrow}, {width}>", np.empty(0, np.uint8), valid, offsets, child)
    offsets = _numbers(view, 1, "i4" if spelt == "+l" else "i8", array.offset, array.length + 1).astype(np.int64)
    return Values("list", f"list<{child.arrow}>", np.empty(0, np.uint8), valid, offsets, child)


def _decoded(array: Any, view: Any) -> Values:
    """A dictionary-encoded column, written out."""
    known = values_of_array(array.dictionary)
    codes = _numbers(view, 1, _NUMBERS[array.schema.format][2], array.offset, array.length).astype(np.int64)
    valid = _valid(array, view, 0)
    codes = codes if valid is None else np.where(valid, codes, 0)
    if known.offsets is None:
        return Values(known.kind, known.arrow, known.data[codes], valid)
    texts = [known.data[known.offsets[n] : known.offsets[n + 1]].tobytes() for n in range(len(known))]
    chosen = [texts[code] for code in codes.tolist()]
    offsets = np.zeros(len(chosen) + 1, np.int64)
    np.cumsum([len(text) for text in chosen], out=offsets[1:])
    return Values(known.kind, known.arrow, np.frombuffer(b"".join(chosen), np.uint8), valid, offsets)
