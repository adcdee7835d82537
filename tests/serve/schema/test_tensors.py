"""Arrays in and out of bytes, and rows that come as arrays."""

from __future__ import annotations

import math
import struct
from array import array
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairway.data.schema.datatypes import DATATYPES
from fairway.serve.call import Tensor
from fairway.serve.refusal import Refused
from fairway.serve.schema import compile_checker, load_schema
from fairway.serve.schema.elements import nest
from fairway.serve.schema.tensors import check_size, is_finite, pack, unpack

NINE = {"type": "integer", "minimum": 0, "maximum": 9}
ARRAYS = {"image": {"type": "float32", "shape": [-1, 2, 2]}, "size": {"type": "int64", "shape": [-1], "required": False}}
TABLE = compile_checker(load_schema({"inputs": {"a": "number", "n": NINE, "m": {"type": "number", "missing": True}}}))
MIXED = compile_checker(load_schema({"inputs": {"a": "number", "job": "string", "ok": "boolean"}}))
IMAGES = compile_checker(load_schema({"inputs": ARRAYS}))


def floats(*values: float, code: str = "f") -> bytes:
    return array(code, values).tobytes()


@st.composite
def values(draw: st.DrawFn) -> tuple[str, tuple[int, ...], Any]:
    datatype = draw(st.sampled_from(sorted(set(DATATYPES) - {"BF16"})))
    kind = DATATYPES[datatype]
    width = {"FP16": 16, "FP32": 32}.get(datatype, 64)
    element: st.SearchStrategy[Any] = {
        "integer": st.integers(kind.least, kind.most),
        "number": st.floats(allow_nan=False, allow_infinity=False, width=width),  # type: ignore[arg-type]
        "boolean": st.booleans(),
        "string": st.text(max_size=5),
    }[kind.type]
    shape = tuple(draw(st.lists(st.integers(1, 3), min_size=1, max_size=3)))
    flat = draw(st.lists(element, min_size=math.prod(shape), max_size=math.prod(shape)))
    return datatype, shape, nest(flat, shape)


@given(values())
def test_packing_loses_nothing(made: tuple[str, tuple[int, ...], Any]) -> None:
    datatype, shape, nested = made
    tensor = pack("x", datatype, nested)
    assert tensor.shape == shape
    check_size(tensor)
    assert is_finite(tensor)
    assert nest(unpack(tensor), shape) == nested


def test_bf16_keeps_the_upper_half() -> None:
    tensor = pack("x", "BF16", [1.0, -2.5, 0.0])
    assert unpack(tensor) == [1.0, -2.5, 0.0]


@pytest.mark.parametrize("datatype", ["FP16", "BF16", "FP32", "FP64"])
@pytest.mark.parametrize("odd", [math.nan, math.inf, -math.inf])
def test_a_number_that_is_none_is_found_among_many(datatype: str, odd: float) -> None:
    many = [0.5, 60000.0, -60000.0] * 50
    assert is_finite(pack("x", datatype, many))
    assert not is_finite(pack("x", datatype, [*many, odd], allows_nan=True))


@pytest.mark.parametrize(
    ("datatype", "data", "shape", "said"),
    [
        ("FP31", [1], None, "'FP31'"),
        ("FP32", [1, "a"], None, "the text 'a' as value 1"),
        ("FP32", [1e39], None, "1e+39"),
        ("INT8", [200], None, "from -128 to 127"),
        ("INT64", [1.5], None, "a whole number"),
        ("BOOL", [2], None, "true or false"),
        ("BYTES", [3], None, "text"),
        ("FP32", [[1, 2], [3]], None, "1 values at [1]"),
        ("FP32", [[1, 2], 3], None, "the number 3 at [1]"),
        ("FP32", [1, 2, 3], (2, 2), "3 values"),
        ("FP32", [1, None], None, "null as value 1"),
        ("BYTES", ["\ud800"], None, "half a character"),
    ],
)
def test_what_no_tensor_holds_is_refused(datatype: str, data: Any, shape: Any, said: str) -> None:
    with pytest.raises(Refused) as caught:
        pack("x", datatype, data, shape)
    assert caught.value.status == 400
    assert said in caught.value.message


@pytest.mark.parametrize(
    ("datatype", "shape", "data"),
    [
        ("FP32", (2, 3), b"\0" * 20),
        ("FP32", (-1, 3), b""),
        ("BYTES", (1,), b"\x05\0\0\0abc"),
        ("BYTES", (1,), b"\x05\0"),
        ("BYTES", (2,), b"\x01\0\0\0a"),
        ("BYTES", (2**40,), b"\x01\0\0\0a"),
        ("INT64", (2**62, 4), b""),
        ("WHAT", (1,), b""),
        ("FP32", (1,) * 40, b"\0\0\0\0"),
    ],
)
def test_lying_sizes_are_refused(datatype: str, shape: tuple[int, ...], data: bytes) -> None:
    for checker in (TABLE, MIXED, IMAGES):
        with pytest.raises(Refused) as caught:
            checker.read_tensors([Tensor("image", datatype, shape, data)])
        assert caught.value.status == 400
        assert caught.value.faults


def test_a_matrix_is_taken_over_without_a_copy() -> None:
    data = memoryview(floats(1, 2, math.nan, 4, 5, 6))
    call = TABLE.read_tensors([Tensor("anything", "FP32", (2, 3), data)])
    assert (call.form, call.dtype, call.rows, call.names) == ("matrix", "<f4", 2, ("a", "n", "m"))
    assert call.payload is data


@pytest.mark.parametrize(
    ("datatype", "dtype"), [("INT32", "<i8"), ("UINT8", "<i8"), ("FP16", "<f4"), ("INT64", "<i8"), ("FP64", "<f8"), ("UINT64", "<f8")]
)
def test_other_datatypes_become_one_of_three(datatype: str, dtype: str) -> None:
    call = TABLE.read_tensors([pack("x", datatype, [[1, 2, 3]])])
    assert (call.form, call.dtype) == ("matrix", dtype)
    assert list(array({"<i8": "q", "<f4": "f", "<f8": "d"}[dtype], bytes(call.payload))) == [1, 2, 3]


@pytest.mark.parametrize(
    ("data", "row", "field", "came"),
    [
        ((1, 2, 3, math.nan, 5, 6), 1, "a", "NaN"),
        ((1, 2, 3, 4, 5, math.inf), 1, "m", "infinity"),
        ((1, 2, 3, 4, 10, 6), 1, "n", "the number 10.0"),
        ((1, 2.5, 3, 4, 5, 6), 0, "n", "the number 2.5"),
        ((1, -1, 3, 4, 5, 6), 0, "n", "the number -1.0"),
    ],
)
def test_a_matrix_keeps_to_its_columns(data: tuple[float, ...], row: int, field: str, came: str) -> None:
    with pytest.raises(Refused) as caught:
        TABLE.read_tensors([Tensor("x", "FP32", (2, 3), floats(*data))])
    (fault,) = caught.value.faults
    assert (fault.row, fault.field, fault.came, caught.value.status) == (row, field, came, 422)


def test_a_column_can_be_a_tensor() -> None:
    jobs = pack("job", "BYTES", ["cook", "clerk"])
    call = MIXED.read_tensors([jobs, pack("a", "FP32", [[0.5], [1.5]]), pack("ok", "BOOL", [True, False])])
    assert (call.form, call.rows) == ("rows", 2)
    assert msgspec.msgpack.decode(call.payload) == [[0.5, "cook", True], [1.5, "clerk", False]]
    call = TABLE.read_tensors([pack("a", "FP64", [1.0]), pack("n", "INT64", [2]), Tensor("m", "FP64", (1,), floats(math.nan, code="d"))])
    assert call.form == "matrix"
    first, second, third = struct.unpack("<3d", call.payload)
    assert (first, second) == (1, 2)
    assert math.isnan(third)


@pytest.mark.parametrize(
    ("tensors", "said"),
    [
        ([], "no tensors"),
        ([pack("a", "FP64", [1.0]), pack("a", "FP64", [1.0])], "twice"),
        ([pack("x", "FP64", [[1.0, 2.0]])], "[rows, 3]"),
        ([pack("x", "FP64", [1.0, 2.0, 3.0])], "[rows, 3]"),
        ([pack("a", "FP64", [1.0]), pack("n", "INT64", [1, 2]), pack("m", "FP64", [1.0])], "2 rows"),
        ([pack("a", "FP64", [1.0]), pack("n", "INT64", [1]), pack("mm", "FP64", [1.0])], "'m'"),
        ([Tensor("x", "FP64", (0, 3), b"")], "the shape [0, 3], expected 1 to 32 sizes, each 1 or more"),
    ],
)
def test_tensors_that_are_no_rows_are_refused(tensors: list[Tensor], said: str) -> None:
    with pytest.raises(Refused) as caught:
        TABLE.read_tensors(tensors)
    assert said in caught.value.message


def test_named_arrays_come_as_json_or_bytes() -> None:
    image = [[[1, 2], [3, 4]], [[5, 6], [7, 8]]]
    row_by_row = [{"image": image[0]}, {"image": image[1]}]
    for body in ({"inputs": {"image": image}}, {"image": image}, {"instances": row_by_row}, {"inputs": {"image": image, "size": [1, 2]}}):
        call = IMAGES.read_json(msgspec.json.encode(body))
        assert (call.form, call.rows) == ("tensors", 2)
        tensor = call.tensors[0]
        assert (tensor.name, tensor.datatype, tensor.shape) == ("image", "FP32", (2, 2, 2))
        assert tensor.data == floats(*range(1, 9))
    call = IMAGES.read_tensors([pack("size", "INT64", [4]), Tensor("image", "FP32", (1, 2, 2), floats(1, 2, 3, 4))])
    assert (call.rows, [tensor.name for tensor in call.tensors]) == (1, ["image", "size"])


@pytest.mark.parametrize(
    ("body", "field", "said"),
    [
        (b'{"inputs": {"image": [[[1, 2], [3, NaN]]]}}', "image", "NaN"),
        (b'{"inputs": {"image": [[[1, 2], [3]]]}}', "image", "1 values at [0][1]"),
        (b'{"inputs": {"image": [[1, 2], [3, 4]]}}', "image", "[2, 2]"),
        (b'{"inputs": {"image": []}}', "image", "[0]"),
        (b'{"inputs": {"picture": [[[1, 2], [3, 4]]]}}', "picture", "does not take"),
        (b'{"inputs": {"size": [1]}}', "image", "nothing"),
        (b'{"inputs": {"image": [[[1, 2], [3, 4]]], "image": 1}}', "image", "twice"),
        (b'{"inputs": 3}', "", "the number 3"),
        (b'{"inputs": {"image": [[[1, 2], [3, 4]]], "size": [1.5]}}', "size", "1.5"),
    ],
)
def test_arrays_that_are_not_as_the_schema_says_are_refused(body: bytes, field: str, said: str) -> None:
    with pytest.raises(Refused) as caught:
        IMAGES.read_json(body)
    assert caught.value.status == 422
    assert caught.value.faults[0].field == field
    assert said in caught.value.message
