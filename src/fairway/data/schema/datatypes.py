"""The datatypes of the Open Inference Protocol: size, `array` code, NumPy's spelling, JSON type."""

from __future__ import annotations

from typing import Any, NamedTuple


class Datatype(NamedTuple):
    """`size`: bytes of an element (0: BYTES, each has its own length); `code`: of `array` and `memoryview.cast` ("": none has it)."""

    size: int
    code: str
    numpy: str
    type: str
    least: int = 0
    most: int = 0


DATATYPES = {
    "BOOL": Datatype(1, "B", "|b1", "boolean", 0, 1),
    "UINT8": Datatype(1, "B", "|u1", "integer", 0, 2**8 - 1),
    "UINT16": Datatype(2, "H", "<u2", "integer", 0, 2**16 - 1),
    "UINT32": Datatype(4, "I", "<u4", "integer", 0, 2**32 - 1),
    "UINT64": Datatype(8, "Q", "<u8", "integer", 0, 2**64 - 1),
    "INT8": Datatype(1, "b", "|i1", "integer", -(2**7), 2**7 - 1),
    "INT16": Datatype(2, "h", "<i2", "integer", -(2**15), 2**15 - 1),
    "INT32": Datatype(4, "i", "<i4", "integer", -(2**31), 2**31 - 1),
    "INT64": Datatype(8, "q", "<i8", "integer", -(2**63), 2**63 - 1),
    "FP16": Datatype(2, "", "<f2", "number"),
    "BF16": Datatype(2, "", "", "number"),
    "FP32": Datatype(4, "f", "<f4", "number"),
    "FP64": Datatype(8, "d", "<f8", "number"),
    "BYTES": Datatype(0, "", "|O", "string"),
}

FROM_NUMPY = {kind.numpy: name for name, kind in DATATYPES.items() if kind.size and kind.numpy}

_NAMES = {
    "float": "FP64", "double": "FP64", "float64": "FP64", "number": "FP64", "decimal": "FP64", "float32": "FP32", "halffloat": "FP16",
    "float16": "FP16", "bfloat16": "BF16", "int": "INT64", "integer": "INT64", "long": "INT64", "bool": "BOOL", "boolean": "BOOL",
    "str": "BYTES", "string": "BYTES", "text": "BYTES", "utf8": "BYTES", "large_string": "BYTES", "category": "BYTES",
}  # fmt: skip


def find_datatype(name: str) -> str:
    """The protocol's name for what a library calls "float32", "Int64", "string"…; "" if it has none."""
    plain = name.lower().removeprefix("torch.").removeprefix("tf.").rstrip("_")
    if plain.upper() in DATATYPES:
        return plain.upper()
    return _NAMES.get(plain, "")


def nested_array(element: dict[str, Any], datatype: str, shape: list[int]) -> dict[str, Any]:
    """An array as JSON Schema: lists in lists, of a length where one is given (-1: any), with what JSON Schema can't say beside it."""
    made = element
    for size in reversed(shape):
        made = {"type": "array", "items": made, **({"minItems": size, "maxItems": size} if size >= 0 else {})}
    return {**made, "x-fairway": {"datatype": datatype, "shape": shape}}
