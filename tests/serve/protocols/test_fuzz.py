"""Whatever comes, every request has one answer: a result, or a refusal that says why. And tensors survive every way there and back."""

from __future__ import annotations

import math
import struct
from typing import Any

import msgspec
import numpy as np
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from fairway.data.schema.datatypes import DATATYPES
from fairway.serve.call import Call, Result, Tensor
from fairway.serve.protocols import ROUTES
from fairway.serve.refusal import Refused
from fairway.serve.schema.elements import count_strings, join_strings, nest, split_strings, to_bytes, to_values
from fairway.serve.schema.tensors import check_size, pack
from tests.serve.protocols.rig import NUMPY, MemoryServing, array_of, json_of

TENSORS = {"inputs": {"x": {"type": "float32", "shape": [-1, 2]}, "s": {"type": "string", "shape": [-1]}}}
VALUE = {"inputs": {"type": "object", "properties": {"text": {"type": "string"}}, "required": ["text"], "additionalProperties": False}}
PATHS = [
    route.pattern.replace("{model}", "risk").replace("{version}", "3")
    for route in ROUTES
    if route.method == "POST" and not route.pattern.endswith(":explain")
]
quick = settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def answer(call: Call) -> Result:
    assert call.form in ("matrix", "rows", "tensors", "table", "json", "raw")
    if call.form == "matrix":
        assert len(call.payload) == call.rows * len(call.names) * int(call.dtype[-1])
        return array_of([0.0] * call.rows)
    if call.form == "json":
        msgspec.json.decode(call.payload)
    for tensor in call.tensors:
        check_size(tensor)
    return json_of([1])


SERVINGS = [MemoryServing(answer), MemoryServing(answer, TENSORS), MemoryServing(answer, VALUE, kind="script"), MemoryServing(answer, None)]

words = st.sampled_from(
    ["inputs", "data", "instances", "name", "shape", "datatype", "parameters", "binary_data_size", "binary_data_output", "id", "outputs",
     "x", "age", "income", "columns", "index", "dataframe_split", "dataframe_records", "params", "FP32", "BYTES", "INT8", "text", ""]
)  # fmt: skip
numbers = st.integers(-(2**65), 2**65) | st.floats(allow_nan=False, allow_infinity=False) | st.integers(-3, 3)
values = st.recursive(
    st.none() | st.booleans() | numbers | words | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(words, inner, max_size=5),
    max_leaves=20,
)
sizes = st.fixed_dictionaries({"binary_data_size": st.integers(-1, 40)})
tensor = st.fixed_dictionaries(
    {
        "name": st.sampled_from(["x", "s", "age", "income", ""]),
        "shape": st.lists(st.integers(-1, 3), max_size=3) | values,
        "datatype": st.sampled_from([*DATATYPES, "FLOAT"]),
    },
    optional={"data": values, "parameters": st.dictionaries(words, values, max_size=2) | sizes},
)


def mostly(good: st.SearchStrategy[Any], bad: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.sampled_from((good, good, good, good, good, good, bad)).flatmap(lambda chosen: chosen)


@st.composite
def almost_tensors(draw: st.DrawFn) -> Any:
    """Tensors that one of the schemas takes, or nearly."""
    rows = draw(st.integers(1, 3))
    name, datatype, shape = draw(
        st.sampled_from([("x", "FP32", [rows, 2]), ("s", "BYTES", [rows]), ("age", "FP64", [rows]), ("inputs", "FP64", [rows, 2])])
    )
    count = math.prod(shape)
    one = st.text(max_size=4) if datatype == "BYTES" else st.integers(-9, 9) | st.floats(-9, 9)
    made = {"name": name, "datatype": datatype, "shape": shape, "data": draw(st.lists(one, min_size=count, max_size=count))}
    for key in draw(st.sampled_from([(), (), (), ("name",), ("datatype",), ("shape",), ("data",)])):
        made[key] = draw(tensor).get(key, 0)
    return made


row = st.fixed_dictionaries({"age": mostly(numbers, values), "income": mostly(numbers, values)}, optional={"x": values})
table = st.lists(row, max_size=3) | st.lists(st.lists(numbers, min_size=2, max_size=2), max_size=3)
asked = (
    st.fixed_dictionaries(
        {"inputs": st.lists(almost_tensors(), max_size=2)}, optional={"id": words, "parameters": values, "outputs": values}
    )
    | table
    | st.fixed_dictionaries({"inputs": table})
    | st.fixed_dictionaries({"instances": table}, optional={"params": st.dictionaries(words, values, max_size=1)})
    | st.fixed_dictionaries({"text": mostly(st.text(max_size=5), values)})
    | st.fixed_dictionaries({"dataframe_split": st.fixed_dictionaries({"columns": st.just(["age", "income"]), "data": table})})
)
requests = asked | st.fixed_dictionaries(
    {"inputs": st.lists(tensor, max_size=3) | values},
    optional={
        "id": words | values,
        "outputs": values,
        "parameters": values,
        "instances": values,
        "data": values,
        "dataframe_split": values,
    },
)
bodies = mostly(
    asked.map(msgspec.json.encode),
    st.binary(max_size=60)
    | values.map(msgspec.json.encode)
    | requests.map(msgspec.json.encode)
    | st.tuples(requests.map(msgspec.json.encode), st.binary(max_size=40)).map(b"".join),
)
kinds = st.sampled_from(
    ["application/json", "", "text/csv", "application/octet-stream", "application/vnd.apache.arrow.stream",
     "application/vnd.apache.parquet", "text/plain", "application/x+json; charset=utf-8"]
)  # fmt: skip
text = st.text(st.characters(max_codepoint=255), max_size=20)
plain = st.just({"content_type": "application/json"})
odd = st.fixed_dictionaries(
    {"content_type": kinds},
    optional={
        "accept": st.sampled_from(["*/*", "text/csv", "application/json", "text/event-stream;q=0"]) | text,
        "inference_header_content_length": st.integers(-5, 300).map(str) | text,
        "content_encoding": st.sampled_from(["gzip", "deflate", "identity", "br", ""]),
        "fairway_timeout_ms": st.text("0123456789-.e", max_size=6),
    },
)
headers = mostly(plain, odd)


@quick
@given(st.sampled_from(SERVINGS), st.sampled_from(PATHS), bodies, headers, st.text(st.characters(max_codepoint=255), max_size=15))
def test_every_request_has_one_answer(serving: MemoryServing, path: str, body: bytes, said: dict[str, str], query: str) -> None:
    exchange = serving.ask("POST", f"{path}?{query}", body, **said)
    assert exchange.replies == 1
    assert exchange.status == 200 or 400 <= exchange.status < 500 or exchange.status == 501, (exchange.status, exchange.answer)
    if exchange.status != 200:
        assert exchange.error
        assert len(exchange.answer) < 10_000


@quick
@given(st.sampled_from(SERVINGS), requests, st.integers(-2, 2), st.binary(max_size=40))
def test_a_header_length_near_the_truth_has_one_answer(serving: MemoryServing, request: Any, off: int, binary: bytes) -> None:
    head = msgspec.json.encode(request)
    exchange = serving.ask("POST", "/v2/models/risk/infer", head + binary, inference_header_content_length=str(len(head) + off))
    assert exchange.replies == 1
    assert exchange.status < 500, exchange.answer


shapes = st.lists(st.integers(1, 4), min_size=1, max_size=4)
RANGES = {"BOOL": st.booleans(), "BYTES": st.binary(max_size=6)}


def elements(datatype: str) -> st.SearchStrategy[Any]:
    if datatype in RANGES:
        return RANGES[datatype]
    if datatype in ("FP16", "BF16", "FP32", "FP64"):
        return st.floats(width={"FP16": 16, "FP64": 64}.get(datatype, 32), allow_nan=False)
    bits = 8 * DATATYPES[datatype].size
    return st.integers(0, 2**bits - 1) if datatype[0] == "U" else st.integers(-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)


@quick
@given(st.data(), st.sampled_from(sorted(DATATYPES)), shapes)
def test_every_datatype_survives_bytes_and_lists(data: st.DataObject, datatype: str, shape: list[int]) -> None:
    count = math.prod(shape)
    flat = data.draw(st.lists(elements(datatype), min_size=count, max_size=count))
    packed = to_bytes(datatype, flat)
    check_size(Tensor("x", datatype, tuple(shape), packed))
    back = to_values(datatype, memoryview(packed))
    if datatype == "BF16":
        assert np.allclose(back, flat, rtol=2**-8, atol=2**-133) or any(map(math.isinf, back))
    else:
        assert back == flat
    if datatype in NUMPY:
        assert np.array(flat, NUMPY[datatype]).tobytes() == packed
        assert to_values(datatype, packed, shape) == np.array(flat, NUMPY[datatype]).reshape(shape).tolist()
    nested = nest(back, shape)
    assert pack("x", datatype, nested, tuple(shape), allows_nan=True).data == packed
    assert to_values(datatype, packed, shape) == nested


@quick
@given(st.floats(width=32))
@example(float("nan"))
@example(3.3895313892515355e38)
def test_bf16_is_rounded_to_the_nearest(value: float) -> None:
    (back,) = to_values("BF16", to_bytes("BF16", [value]))
    if math.isnan(value):
        assert math.isnan(back)
        return
    (bits,) = struct.unpack("<I", struct.pack("<f", value))
    near = [
        struct.unpack("<f", struct.pack("<I", (bits & 0xFFFF0000) + step))[0] for step in (0, 0x10000) if (bits & 0xFFFF0000) + step < 2**32
    ]
    best = min((abs(one - value) for one in near if math.isfinite(one)), default=0)
    assert math.isinf(back) or abs(back - value) <= best


@quick
@given(st.binary(max_size=60), st.integers(0, 10))
def test_lengths_within_bytes_are_never_believed(data: bytes, limit: int) -> None:
    count = count_strings(data, limit)
    if count >= 0:
        found = list(split_strings(data))
        assert len(found) == count <= limit
        assert join_strings(found) == data


@quick
@given(st.sampled_from([*DATATYPES, "FLOAT", ""]), st.lists(st.integers(-2, 2**40), max_size=4), st.binary(max_size=64))
def test_a_tensor_is_as_large_as_it_says_or_refused(datatype: str, shape: list[int], data: bytes) -> None:
    try:
        check_size(Tensor("x", datatype, tuple(shape), data))
    except Refused as refused:
        assert refused.status in (400, 413)
        assert "'x'" in refused.message
    else:
        assert datatype == "BYTES" or len(data) == math.prod(shape) * DATATYPES[datatype].size
