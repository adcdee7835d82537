"""Requests for a table's rows, checked: what is let in and how it is packed, what is refused and how that is said."""

from __future__ import annotations

import json
import struct
from typing import Any

import msgspec
import pytest

from fairway.serve.call import Call
from fairway.serve.refusal import Refused
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


def test_null_is_missing_and_a_default_stands_in_for_what_is_left_out() -> None:
    owner = numbers(read({"inputs": [{"age": 31, "income": 1, "owner": None}]}))[2]
    assert owner != owner
    inputs = {"a": "number", "b": {"type": "number", "default": 7, "required": False}}
    assert numbers(read({"inputs": [{"a": 1}, {"a": 2, "b": 3}]}, {"inputs": inputs})) == [1, 7, 2, 3]
    assert numbers(read({"inputs": [[1, None]]}, {"inputs": inputs})) == [1, 7]


def test_texts_travel_as_messagepack() -> None:
    call = read({"inputs": [{"age": 3, "job": "cook", "since": "2026-01-31"}, {"job": "clerk", "age": 4.5}], "params": {"x": 1}}, MIXED)
    assert (call.form, call.rows, call.params) == ("rows", 2, {"x": 1})
    assert msgspec.msgpack.decode(call.payload) == [[3.0, "cook", "2026-01-31"], [4.5, "clerk", None]]


def test_nan_where_the_schema_lets_it_in() -> None:
    schema = {"inputs": {"a": {"type": "number", "x-fairway": {"nan": True}}, "b": "number"}}
    first, second = numbers(read(b'{"inputs": [[NaN, 2]]}', schema))
    assert first != first
    assert second == 2
    assert numbers(read(b'{"inputs": [[-Infinity, 2]]}', schema))[0] == float("-inf")
    with pytest.raises(Refused):
        read(b'{"inputs": [[2, NaN]]}', schema)


def test_whole_numbers_beyond_a_double_keep_their_digits() -> None:
    call = read({"inputs": [[2**53 + 1, 1]]}, {"inputs": {"id": "integer", "x": "number"}})
    assert call.form == "rows"
    assert msgspec.msgpack.decode(call.payload) == [[2**53 + 1, 1.0]]


BAD: list[tuple[Any, int, str, str, str]] = [
    # body, row, field, what came, what was expected
    ({"inputs": [{"age": 31, "owner": True}]}, 0, "income", "nothing", "a number"),
    ({"inputs": [ROW, {**ROW, "agee": 3}]}, 1, "agee", "a field that the model does not take", "'age'?"),
    ({"inputs": [[31, 1200.5]]}, 0, "", "2 values", "3 values (age, income, owner)"),
    ({"inputs": [ROW, {**ROW, "income": "much"}]}, 1, "income", "the text 'much'", "a number"),
    (b'{"inputs": [{"age": 31, "income": NaN, "owner": true}]}', 0, "income", "NaN", "a number"),
    (b'{"inputs": [{"age": 31, "income": 1e400, "owner": true}]}', 0, "income", "Infinity", "a number"),
    ({"inputs": [{**ROW, "income": None}]}, 0, "income", "null", "a number"),
    ({"inputs": [{**ROW, "age": 121}]}, 0, "age", "the number 121", "a whole number from 0 to 120"),
    ({"inputs": [{**ROW, "age": 30.5}]}, 0, "age", "the number 30.5", "a whole number from 0 to 120"),
    ({"inputs": [{**ROW, "age": True}]}, 0, "age", "true", "a whole number from 0 to 120"),
    ({"inputs": [{**ROW, "owner": 1}]}, 0, "owner", "the number 1", "true or false or null"),
    ({"inputs": []}, -1, "", "no rows", "at least 1 row"),
    ({"inputs": {"age": [1, 2], "income": [1], "owner": [True, True]}}, -1, "income", "1 values", "2, as 'age' has"),
    ({"columns": ["age", "income"], "data": [[1]]}, 0, "", "1 values", "a list of 2 values, as there are columns"),
    ({"columns": ["age", "age"], "data": [[1, 2]]}, -1, "age", "the column twice", "it once"),
    (b'{"inputs": [{"age": 1, "age": 2, "income": 3, "owner": null}]}', 0, "age", "the field twice", "it once"),
    (b'{"inputs": [[1, 2, true]], "inputs": [[1, 2, true]]}', -1, "inputs", "the field twice", "it once"),
    ({"inputs": 3}, -1, "inputs", "the number 3", "a list of rows"),
    ({"inputs": ["abc"]}, 0, "", "the text 'abc'", "a row: an object of fields, or a list of values"),
    ({"inputs": [ROW], "id": 3}, -1, "id", "the number 3", "text"),
    ("text", -1, "", "the text 'text'", '{"inputs": [rows]}, each row an object of fields or a list of values'),
]


@pytest.mark.parametrize(("body", "row", "field", "came", "expected"), BAD)
def test_what_is_wrong_is_said_with_its_row_and_field(body: Any, row: int, field: str, came: str, expected: str) -> None:
    with pytest.raises(Refused) as caught:
        read(body)
    assert (caught.value.status, caught.value.code) == (422, "FW-INPUT")
    fault = caught.value.faults[0]
    assert (fault.row, fault.field, fault.came, fault.expected) == (row, field, came, expected)
    assert fault.text in caught.value.message


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b'{"inputs": [}', "byte 12"),
        (b"", "empty"),
        (b" \n", "empty"),
        (b'{"inputs": "\xff"}', "byte 12 is 0xff"),
        (b"\xef\xbb\xbf[]", "byte order mark"),
        (b"[" * 100_000, "nested too deeply"),
        (b'{"inputs": [[' + b"9" * 5000 + b", 1, true]]}", "more than 4,300 digits"),
        (b'{"inputs": [[1, 2, true]]} x', "byte 27"),
        ('{"é": '.encode(), "byte 7"),
    ],
)
def test_what_is_no_json_is_said_with_its_place(body: bytes, said: str) -> None:
    with pytest.raises(Refused) as caught:
        read(body)
    assert (caught.value.status, caught.value.code) == (400, "FW-NOT-JSON")
    assert said in caught.value.message


def test_a_lone_surrogate_is_refused_and_can_be_told() -> None:
    for body in (b'{"inputs": [{"age": 1, "job": "\\ud800"}]}', b'{"inputs": [{"age": 1, "job": "cook", "\\ud800": 1}]}'):
        with pytest.raises(Refused) as caught:
            read(body, {"inputs": {"age": "number", "job": "string"}})
        json.dumps(caught.value.plain("id"), ensure_ascii=False).encode()


def test_at_most_twenty_faults_are_told() -> None:
    with pytest.raises(Refused) as caught:
        read({"inputs": [["x", "y", "z"]] * 1000})
    assert len(caught.value.faults) == 20
    assert caught.value.faults[19].row == 6


def test_rules_beyond_columns_are_kept() -> None:
    row = {"type": "object", "properties": {"a": {"type": "number"}, "b": {"type": "number"}}, "dependentRequired": {"a": ["b"]}}
    schema = {"inputs": {"type": "array", "items": {**row, "additionalProperties": False}, "uniqueItems": True}}
    assert read({"inputs": [{"b": 1}]}, schema).rows == 1
    for body, said in (({"inputs": [{"a": 1}]}, "'dependentRequired'"), ({"inputs": [{"b": 1}, {"b": 1}]}, "'uniqueItems'")):
        with pytest.raises(Refused) as caught:
            read(body, schema)
        assert said in caught.value.message


def test_csv_is_read_by_its_names() -> None:
    checker = compile_checker(load_schema(SCHEMA))
    call = checker.read_csv(b"owner,age,income\r\ntrue,31,1200.5\r\n,40.0,2\r\n")
    first, second = numbers(call)[:3], numbers(call)[3:]
    assert first == [31, 1200.5, 1]
    assert second[:2] == [40, 2]
    assert second[2] != second[2]
    assert numbers(checker.read_csv(b"31,1200.5,1\n")) == [31, 1200.5, 1]
    mixed = compile_checker(load_schema(MIXED)).read_csv(b'job,age,since\n"cook",3,\nclerk,4,2026-01-31\n')
    assert msgspec.msgpack.decode(mixed.payload) == [[3.0, "cook", None], [4.0, "clerk", "2026-01-31"]]


@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        (b"", 400, "empty"),
        (b"\xff", 400, "UTF-8"),
        (b'age,income,owner\n"31', 400, "not CSV"),
        (b"age,income,owner\n", 422, "no rows"),
        (b"age,income,owner\n31,2\n", 422, "row 0: came 2 values"),
        (b"age,income,owner\nold,2,true\n", 422, "row 0, field 'age': came the text 'old'"),
        (b"age,income,owner\n31,,true\n", 422, "row 0, field 'income': came nothing"),
        (b"age,income,owner\n31,nan,true\n", 422, "row 0, field 'income': came NaN"),
        (b"age,income,owner\n3_1,2,true\n", 422, "'3_1'"),
        (b"age,income\n31,2\n", 422, "field 'owner': came nothing"),
        (b"age,age,income,owner\n1,1,1,1\n", 422, "the column twice"),
        (b"age,income,owner\n31,2,maybe\n", 422, "field 'owner': came the text 'maybe'"),
        (b"age,income,ower\n31,2,true\n", 422, "there is 'ower'"),
        (b"AGE,income,owner\n31,2,true\n", 422, "there is 'AGE'"),
    ],
)
def test_csv_that_is_wrong_is_refused(body: bytes, status: int, said: str) -> None:
    with pytest.raises(Refused) as caught:
        compile_checker(load_schema(SCHEMA)).read_csv(body)
    assert caught.value.status == status
    assert said in caught.value.message


def test_rows_that_are_decoded_already() -> None:
    checker = compile_checker(load_schema(SCHEMA))
    for call in (
        checker.read_rows([ROW, [31, 1200.5, True]]),
        checker.read_columns({"income": [1200.5, 1200.5], "age": [31, 31], "owner": [True, True]}),
        checker.read_split(["owner", "income", "age"], [[True, 1200.5, 31]] * 2),
    ):
        assert numbers(call) == [31, 1200.5, 1] * 2
    for read_nan in (
        lambda: checker.read_rows([[31, float("nan"), True]]),
        lambda: checker.read_columns({"age": [31], "income": [float("inf")], "owner": [None]}),
        lambda: checker.read_split(["owner", "income", "age"], [[True, float("nan"), 31]]),
    ):
        with pytest.raises(Refused, match="income"):
            read_nan()
