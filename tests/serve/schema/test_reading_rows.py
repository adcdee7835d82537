"""Requests for a table's rows, checked: what is let in and how it is packed, what is refused and how that is said."""

from __future__ import annotations

import json
import struct
from typing import Any

import pytest

from fairway.serve.call import Call
from fairway.serve.schema import compile_checker, load_schema

SCHEMA = {
    "inputs": {"age": {"type": "integer", "minimum": 0, "maximum": 120}, "income": "number", "owner": {"type": "boolean", "missing": True}}
}
MIXED = {"inputs": {"age": "number", "job": {"enum": ["clerk", "cook"]}, "since": {"type": "date", "required": False}}}
ROW = {"age": 31, "income": 1200.5, "owner": True}


def read(body: Any, schema: dict[str, Any] = SCHEMA) -> Call:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return compile_checker(load_schema(schema)).read_json(raw)


def numbers(call: Call) -> list[float]:
    assert call.form == "matrix" and call.dtype == "<f8"
    return list(struct.unpack(f"<{call.rows * len(call.names)}d", call.payload))


@pytest.mark.parametrize(
    "body",
    [
        {"inputs": [ROW, ROW]},
        {"data": [[31, 1200.5, True], [31, 1200.5, True]]},
        {"instances": [ROW, ROW], "id": "a-1"},
        {"inputs": {"age": [31, 31], "income": [1200.5, 1200.5], "owner": [True, True]}},
        {"columns": ["owner", "age", "income"], "data": [[True, 31, 1200.5]] * 2},
        {"columns": ["age", "income", "owner"], "index": [0, 1], "data": [[31, 1200.5, True]] * 2},
        [ROW, ROW],
        [[31, 1200.5, True], ROW],
        {"inputs": [{"owner": True, "age": 31.0, "income": 1200.5}, ROW]},
    ],
)
def test_every_shape_of_rows_becomes_the_same_matrix(body: Any) -> None:
    call = read(body)
    assert (call.rows, call.names) == (2, ("age", "income", "owner"))
    assert numbers(call) == [31, 1200.5, 1] * 2


@pytest.mark.parametrize("body", [ROW, [ROW], [31, 1200.5, True], {"inputs": ROW}, {"inputs": [31, 1200.5, True]}])
def test_one_row_needs_no_list_around_it(body: Any) -> None:
    call = read(body)
    assert call.rows == 1
    assert numbers(call) == [31, 1200.5, 1]
