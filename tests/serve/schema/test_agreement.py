"""Whatever the jsonschema library says of a request, the compiled checker says too; packing loses nothing; only Refused is raised."""

from __future__ import annotations

import json
import math
import struct
from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from fairway.serve.call import Call
from fairway.serve.refusal import Refused
from fairway.serve.schema import ModelSchema, compile_checker, load_schema

NUMBERS = st.one_of(st.integers(-5, 5), st.floats(-5, 5, width=32), st.sampled_from([0.5, 1.0, 2**53, 2**53 + 2, -(2**62), 1e300]))
VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), NUMBERS, st.text("abé😀", max_size=3), st.sampled_from(["2026-01-31", "12:00:00", "2026-13-01"])),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.sampled_from("abx"), inner, max_size=2)),
    max_leaves=4,
)
SCALARS = st.one_of(st.none(), st.booleans(), NUMBERS, st.sampled_from(["a", "b", "é"]))


@st.composite
def properties(draw: st.DrawFn) -> Any:
    """The schema of one column, of what people write and of what few do."""
    kind = draw(st.sampled_from(["number", "integer", "boolean", "string", "array", "enum", "const", "any", "object", "odd"]))
    if kind == "enum":
        return {"enum": draw(st.lists(SCALARS, min_size=1, max_size=3))}
    if kind == "const":
        return {"const": draw(SCALARS)}
    if kind == "any":
        return draw(st.sampled_from([{}, True, {"title": "whatever"}]))
    if kind == "odd":
        return draw(
            st.sampled_from(
                [
                    {"anyOf": [{"type": "number", "minimum": 1}, {"type": "null"}]},
                    {"oneOf": [{"type": "string"}, {"type": "number", "multipleOf": 0.5}]},
                    {"not": {"type": "null"}},
                    {"type": "number", "if": {"minimum": 0}, "then": {"multipleOf": 0.25}},
                    {"type": ["integer", "string", "null"], "minLength": 2, "minimum": 1},
                    {"$ref": "#/$defs/small"},
                    {"allOf": [{"$ref": "#/$defs/small"}], "description": "small"},
                    {"$ref": "#/$defs/small", "exclusiveMinimum": 0},
                    {"type": "object", "patternProperties": {"^a": {"type": "number"}}, "additionalProperties": False},
                    {"type": "array", "prefixItems": [{"type": "number"}], "uniqueItems": True},
                    {"enum": [1, "a", None], "type": ["integer", "string"]},
                    {"minimum": 2},
                    {"maxLength": 1},
                    False,
                ]
            )
        )
    made: dict[str, Any] = {"type": draw(st.sampled_from([kind, [kind, "null"]]))}
    if kind in ("number", "integer"):
        for key in ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"):
            if draw(st.integers(0, 4)) == 0:
                made[key] = draw(st.sampled_from([-2, -0.5, 0, 1, 2.5, 3]))
        if draw(st.integers(0, 5)) == 0:
            made["multipleOf"] = draw(st.sampled_from([1, 2, 0.5]))
    elif kind == "string":
        for key, value in (("minLength", 1), ("maxLength", 2), ("pattern", "a|é"), ("format", "date"), ("format", "email")):
            if draw(st.integers(0, 5)) == 0:
                made[key] = value
    elif kind == "array":
        if draw(st.booleans()):
            made["items"] = draw(st.sampled_from([{"type": "number"}, {"type": ["string", "null"]}, {"type": "integer", "minimum": 0}, {}]))
        for key, value in (("minItems", 1), ("maxItems", 2)):
            if draw(st.integers(0, 3)) == 0:
                made[key] = value
    return made


@st.composite
def schemas(draw: st.DrawFn, kinds: st.SearchStrategy[Any]) -> dict[str, Any]:
    names = draw(st.lists(st.sampled_from(["a", "b", "age", "c d", "inputs", "data", "é"]), min_size=1, max_size=4, unique=True))
    row: dict[str, Any] = {"type": "object", "properties": {name: draw(kinds) for name in names}}
    row["required"] = [name for name in names if draw(st.integers(0, 3))]
    rules = draw(st.sampled_from([{}, {}, {}, {"additionalProperties": True}, {"additionalProperties": {"type": "number"}},
        {"dependentRequired": {names[0]: [names[-1]]}}, {"minProperties": 2}, {"patternProperties": {"^x": {"type": "string"}}},
        {"anyOf": [{"required": [names[0]]}, {"required": [names[-1]]}]}, {"if": {"required": [names[0]]}, "then": {"maxProperties": 2}},
        {"propertyNames": {"maxLength": 3}}, {"unevaluatedProperties": False}]))  # fmt: skip
    table = draw(st.sampled_from([{}, {}, {"maxItems": 2}, {"minItems": 2}, {"uniqueItems": True}]))
    inputs = {"type": "array", "items": {**row, **rules}, **table}
    return {"$defs": {"small": {"type": "number", "maximum": 3}}, "type": "object", "properties": {"inputs": inputs}}


def oracle(schema: ModelSchema) -> Any:
    from fairway.serve.schema.rules import validator_of

    return Draft202012Validator(schema.document, format_checker=validator_of(schema).format_checker)  # type: ignore[attr-defined]


def values_of(call: Call) -> list[list[Any]]:
    if call.form == "rows":
        return msgspec.msgpack.decode(call.payload)
    flat = struct.unpack(f"<{call.rows * len(call.names)}d", call.payload)
    return [list(flat[at : at + len(call.names)]) for at in range(0, len(flat), len(call.names))]


def check_against_oracle(document: dict[str, Any], rows: list[Any]) -> None:
    schema = load_schema(document)
    checker = compile_checker(schema)
    whole = {column.name for column in schema.columns if column.type == "integer"}  # of 64 bits
    is_beyond = any(isinstance(v, int | float) and abs(v) >= 2**63 for row in rows for name, v in row.items() if name in whole)
    is_valid = oracle(schema).is_valid({"inputs": rows}) and not is_beyond
    key = next(key for key in ("inputs", "data", "instances") if key not in schema.names)
    for read in (lambda: checker.read_json(json.dumps({key: rows}).encode()), lambda: checker.read_rows(rows)):
        try:
            call = read()
        except Refused as refused:
            assert not is_valid, refused.message
            assert refused.status == 422
            assert 1 <= len(refused.faults) <= 20
        else:
            assert is_valid, (document, rows, values_of(call))
            assert call.rows == len(rows)
            for row, packed in zip(rows, values_of(call), strict=True):
                for column, value in zip(schema.columns, packed, strict=True):
                    wanted = row.get(column.name, column.default)
                    if wanted is None and call.form == "matrix":
                        assert math.isnan(value)
                    else:
                        assert value == wanted


@given(schemas(properties()), st.data())
@settings(max_examples=100, deadline=None)
def test_rows_are_let_in_exactly_when_the_schema_says_so(document: dict[str, Any], data: st.DataObject) -> None:
    names = list(document["properties"]["inputs"]["items"]["properties"])
    row = st.dictionaries(st.sampled_from([*names, *names, "x1"]), VALUES, max_size=len(names) + 1)
    check_against_oracle(document, data.draw(st.lists(row, max_size=3)))


FLAT = st.sampled_from(
    [
        *({"type": "number"}, {"type": ["number", "null"]}, {"type": "integer"}, {"type": ["integer", "null"], "minimum": -1}),
        *({"type": "boolean"}, {"type": "integer", "maximum": 3.5}, {"enum": [0, 1, 2]}, {"enum": [1, None], "type": ["integer", "null"]}),
    ]
)


@given(schemas(FLAT), st.data())
@settings(max_examples=100, deadline=None)
def test_matrices_are_let_in_exactly_when_the_schema_says_so(document: dict[str, Any], data: st.DataObject) -> None:
    names = list(document["properties"]["inputs"]["items"]["properties"])
    values = st.one_of(st.sampled_from([1, 1, 0, 2, 1.0, None, True]), NUMBERS)
    check_against_oracle(document, data.draw(st.lists(st.fixed_dictionaries(dict.fromkeys(names, values)), min_size=1, max_size=3)))


PIECES = [
    *("{", "}", "[", "]", ":", ",", " ", "[[[", '{"inputs":[', '{"a":1}', "]}", "\ufeff", "1", "-0", "1.5", "1e400", "9" * 30, "9" * 5000),
    *("NaN", "-Infinity", "null", "true", '"\\ud800"', '"é"', '"a"', '"age"', '"inputs"', '"data"', '"columns"', '"id"', '"params"'),
]
JSONISH = st.one_of(
    st.binary(max_size=40),
    st.text(max_size=40).map(lambda text: text.encode("utf-8", "surrogatepass")),
    st.lists(st.sampled_from(PIECES), max_size=14).map(lambda parts: "".join(parts).encode()),
)
EVERY_KIND = [
    {"inputs": {"a": "number", "age": "integer"}},
    {"inputs": {"a": "string", "age": {"type": "float", "missing": True}}},
    {"inputs": {"type": "array", "items": {"type": "array", "items": {"type": "number"}}}},
    {"inputs": {"type": "object", "properties": {"a": {"type": "array", "items": {"type": "integer"}}}}},
    {"inputs": {"type": ["string", "number"], "maxLength": 2}},
    {},
]
CHECKERS = [compile_checker(load_schema(document)) for document in EVERY_KIND]


@given(JSONISH, st.sampled_from(CHECKERS))
@settings(max_examples=300, deadline=None)
def test_no_bytes_make_it_raise_anything_but_refused(body: bytes, checker: Any) -> None:
    for read in (checker.read_json, checker.read_csv):
        try:
            call = read(body)
        except Refused as refused:
            assert refused.status in (400, 415, 422)
            msgspec.json.encode(refused.plain("id"))
        else:
            assert isinstance(call, Call)


@given(
    VALUES | st.floats() | st.dictionaries(st.sampled_from(["a", "inputs", "\ud800"]), st.floats() | VALUES | st.just("\ud800")),
    st.sampled_from(CHECKERS),
)
@settings(max_examples=100, deadline=None)
def test_no_value_makes_it_raise_anything_but_refused(value: Any, checker: Any) -> None:
    reads: list[Any] = [checker.check_value, lambda v: checker.read_rows(v if isinstance(v, list) else [v])]
    if isinstance(value, dict):
        reads.append(checker.read_columns)
    for read in reads:
        try:
            read(value)
        except Refused as refused:
            msgspec.json.encode(refused.plain("id"))
