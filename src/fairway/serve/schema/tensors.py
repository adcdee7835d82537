"""Named arrays as bytes: packed from JSON, unpacked to it, and their sizes checked. No NumPy: the front goes without."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import chain
from typing import Any

from fairway.data.schema.datatypes import DATATYPES, Datatype
from fairway.serve.call import Tensor
from fairway.serve.refusal import Fault, Refused
from fairway.serve.schema.careful import Odd
from fairway.serve.schema.elements import count_strings, to_bytes, to_sequence, to_values
from fairway.serve.schema.values import say

BAD_TENSOR = "FW-INPUT"
_HIGHEST = {2: b"\x7b\x7c\x7d\x7e\x7f\xfb\xfc\xfd\xfe\xff", 4: b"\x7f\xff", 8: b"\x7f\xff"}
_MOST_RANK, _MOST_STRINGS = 32, 1_000_000


def bad_tensor(name: str, came: str, expected: str) -> Refused:
    """400: a tensor is not what it says it is."""
    fault = Fault(row=-1, field=name[:80], came=came, expected=expected)
    return Refused(400, BAD_TENSOR, f"the tensor {fault.text.removeprefix('field ')}", faults=(fault,))


def find_type(name: str, datatype: str) -> Datatype:
    found = DATATYPES.get(datatype)
    if found is None:
        raise bad_tensor(name, f"the datatype {datatype[:40]!r}", f"one of {', '.join(DATATYPES)}")
    return found


def count_of(name: str, shape: Sequence[int]) -> int:
    """Elements of a shape; Refused where it is none."""
    if not shape or len(shape) > _MOST_RANK or min(shape) <= 0:
        raise bad_tensor(name, f"the shape {list(shape)[:40]}", f"1 to {_MOST_RANK} sizes, each 1 or more")
    return math.prod(shape)


def check_size(tensor: Tensor) -> None:
    """Refused (400, 413) unless the bytes are as many as datatype and shape say."""
    name, data, size = tensor.name, tensor.data, find_type(tensor.name, tensor.datatype).size
    count, came = count_of(name, tensor.shape), memoryview(data).nbytes
    if size:
        if came != count * size:
            said = f"{count * size} bytes: {tensor.datatype} of shape {list(tensor.shape)} is {count} x {size}"
            raise bad_tensor(name, f"{came} bytes", said)
        return
    is_enough = 4 * count <= came
    if is_enough and count > _MOST_STRINGS:
        raise Refused(413, "FW-TOO-LARGE", f"the tensor {name[:80]!r} has {count} texts, at most {_MOST_STRINGS} are taken at once")
    if not is_enough or count_strings(data, count + 1) != count:
        said = f"{count} times a length of 4 bytes and as many bytes behind it: the shape is {list(tensor.shape)}"
        raise bad_tensor(name, f"{came} bytes that do not hold {count} texts", said)


def is_finite(tensor: Tensor) -> bool:
    """No NaN, no infinity. Only elements whose highest byte could be one's are looked at, which are next to none."""
    kind = DATATYPES[tensor.datatype]
    if kind.type != "number":
        return True
    size = kind.size if tensor.datatype != "BF16" else 4  # as the upper half of FP32
    step = kind.size
    high = bytes(tensor.data)[step - 1 :: step]  # a memoryview takes eight times as long over a step
    if not any(byte in high for byte in _HIGHEST[size]):
        return True
    return all(map(math.isfinite, numbers(tensor)))


def numbers(tensor: Tensor) -> Any:
    """The elements as a sequence of numbers (a view of the bytes where there can be one); bytes for BYTES."""
    return to_sequence(tensor.datatype, tensor.data)


def unpack(tensor: Tensor) -> list[Any]:
    """The elements as JSON has them, flat; bytes that are not UTF-8 as Latin-1 text."""
    found = to_values(tensor.datatype, tensor.data)
    return [_text(one) for one in found] if tensor.datatype == "BYTES" else found


def _text(one: bytes) -> str:
    try:
        return one.decode()
    except UnicodeDecodeError:
        return one.decode("latin-1")


def pack(name: str, datatype: str, data: Any, shape: tuple[int, ...] | None = None, *, allows_nan: bool = False) -> Tensor:
    """A tensor of numbers or texts as JSON has them, nested, or flat with a `shape`. Refused (400) says what is wrong with them."""
    kind = find_type(name, datatype)
    flat, found = _flatten(name, data)
    if allows_nan and kind.type == "number" and Odd in set(map(type, flat)):
        flat = [_number(one) if isinstance(one, Odd) else one for one in flat]
    if shape is None:
        shape = found
    elif len(flat) != count_of(name, shape):
        raise bad_tensor(name, f"{len(flat)} values", f"{count_of(name, shape)}: the shape is {list(shape)}")
    elif len(found) > 1 and found != shape:
        raise bad_tensor(name, f"lists of shape {list(found)}", f"the shape that is said: {list(shape)}")
    _check_types(name, kind, datatype, flat, allows_nan)
    if kind.type == "integer" and float in set(map(type, flat)):
        flat = list(map(int, flat))
    try:
        tensor = Tensor(name, datatype, shape, to_bytes(datatype, flat))
    except UnicodeEncodeError:
        raise bad_tensor(name, "half a character (a lone surrogate)", "text") from None
    except OverflowError:
        raise _out_of_range(name, kind, datatype, flat) from None
    if kind.type == "number" and datatype != "FP64" and not allows_nan and not is_finite(tensor):
        raise _out_of_range(name, kind, datatype, flat)
    return tensor


def _out_of_range(name: str, kind: Datatype, datatype: str, flat: list[Any]) -> Refused:
    most = {"FP16": 65504.0, "BF16": 3.38e38, "FP32": 3.4028235677973366e38}.get(datatype, 0.0)
    for number, one in enumerate(flat):
        if not (kind.least <= one <= kind.most if kind.type == "integer" else -most <= one <= most):
            said = f"whole numbers from {kind.least} to {kind.most}" if kind.type == "integer" else f"numbers up to {most:g}"
            return bad_tensor(name, f"{say(one)} as value {number}", f"{said}: its datatype is {datatype}")
    return bad_tensor(name, "a number out of range", f"numbers of {datatype}")


def _number(odd: Odd) -> float:
    return float(odd.text.replace("Infinity", "inf"))


def _check_types(name: str, kind: Datatype, datatype: str, flat: list[Any], allows_nan: bool) -> None:
    kinds = set(map(type, flat))
    allowed: set[type] = {"string": {str, bytes}, "boolean": {bool}, "integer": {int}, "number": {int, float}}[kind.type]
    if kinds <= allowed and (allows_nan or float not in kinds or all(map(math.isfinite, flat))):
        return
    noun = {"string": "text", "boolean": "true or false", "integer": "a whole number", "number": "a number"}[kind.type]
    for number, one in enumerate(flat):
        if kind.type == "integer" and isinstance(one, float) and one.is_integer():
            continue
        if kind.type == "boolean" and type(one) is int and one in (0, 1):
            continue
        if type(one) not in allowed or (isinstance(one, float) and not allows_nan and not math.isfinite(one)):
            raise bad_tensor(name, f"{say(one)} as value {number}", f"{noun}: its datatype is {datatype}")


def _flatten(name: str, data: Any) -> tuple[list[Any], tuple[int, ...]]:
    """All elements, and the shape of the lists they were in; Refused where lists beside each other differ in length."""
    if not isinstance(data, list):
        return [data], ()
    shape = [len(data)]
    flat: list[Any] = data
    while flat and list in set(map(type, flat)):
        if len(shape) >= _MOST_RANK:
            raise bad_tensor(name, "lists nested too deeply", f"at most {_MOST_RANK} levels")
        size = len(flat[0]) if isinstance(flat[0], list) else -1
        for number, one in enumerate(flat):
            if not isinstance(one, list) or len(one) != size:
                came = f"{len(one)} values" if isinstance(one, list) else say(one)
                at = _place(number, shape)
                raise bad_tensor(
                    name,
                    f"{came} at {at}",
                    f"a list of {max(size, 0)} as at {_place(0, shape)}" if size >= 0 else "one value, as before it",
                )
        shape.append(size)
        flat = list(chain.from_iterable(flat))
    return flat, tuple(shape)


def _place(number: int, shape: list[int]) -> str:
    places: list[int] = []
    for size in reversed(shape):
        number, at = divmod(number, size) if size else (0, 0)
        places.append(at)
    return "".join(f"[{at}]" for at in reversed(places))
