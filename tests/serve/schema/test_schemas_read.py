"""schema.json in each of its spellings, and what is said of one that is wrong."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from fairway.data.schema.wellformed import is_plain
from fairway.errors import DefinitionError
from fairway.serve.schema import Column, TensorSpec, compile_checker, load_schema, no_schema

ROW = {"type": "object", "properties": {"age": {"type": "integer"}, "job": {"type": ["string", "null"]}}, "required": ["age"]}


TABLE = {"type": "array", "items": {"$ref": "#/$defs/row"}}
OPTIONAL = {"anyOf": [{"type": "string"}, {"type": "null"}]}
LISTED = [{"name": "age", "type": "long"}, {"name": "job", "type": "string", "nullable": True, "required": False}]


@pytest.mark.parametrize(
    "document",
    [
        {"properties": {"inputs": {"type": "array", "items": ROW}, "outputs": {"type": "number"}}},
        {"properties": {"inputs": TABLE, "outputs": {"type": "number"}}, "$defs": {"row": ROW}},
        {"inputs": {"$ref": "#/$defs/rows"}, "outputs": "number", "$defs": {"rows": TABLE, "row": ROW}},
        {"inputs": ROW, "outputs": {"prediction": "number"}},
        {"inputs": {"age": "int", "job": {"type": "string", "missing": True, "required": False}}, "outputs": {"prediction": "double"}},
        {"inputs": LISTED, "outputs": [{"name": "prediction", "type": "double"}]},
        {"inputs": {**ROW, "properties": {"age": {"type": "integer"}, "job": OPTIONAL}}, "outputs": {"type": "number"}},
    ],
)
def test_every_spelling_of_a_table_is_read_alike(document: dict[str, Any]) -> None:
    schema = load_schema(document)
    assert (schema.kind, schema.names, schema.is_matrix) == ("columns", ("age", "job"), False)
    age, job = schema.columns
    assert (age.type, age.nullable, age.required) == ("integer", False, True)
    assert (job.type, job.nullable, job.required) == ("string", True, False)
    (output,) = schema.outputs
    assert isinstance(output, Column)
    assert (output.name, output.type) == ("prediction", "number")


def test_a_column_says_its_limits_and_words() -> None:
    said = {"type": "number", "minimum": 0, "exclusiveMaximum": 5, "description": "Years", "x-fairway": {"datatype": "FP32"}, "default": 2}
    (column,) = load_schema({"inputs": {"type": "object", "properties": {"x": said}}}).columns
    assert (column.minimum, column.maximum, column.description, column.datatype, column.default) == (0, 5, "Years", "FP32", 2)
    assert not column.required


def array(element: str, *sizes: int) -> dict[str, Any]:
    made: dict[str, Any] = {"type": element}
    for size in reversed(sizes):
        made = {"type": "array", "items": made, **({"minItems": size, "maxItems": size} if size >= 0 else {})}
    return made


@pytest.mark.parametrize(
    ("inputs", "wanted"),
    [
        ({"image": {"type": "float32", "shape": [None, 28, 28]}}, [("image", "FP32", (-1, 28, 28))]),
        ({"type": "object", "properties": {"a": array("integer", 3)}}, [("a", "INT64", (3,))]),
        (array("number", -1, 4), [("inputs", "FP64", (-1, 4))]),
        (
            {"type": "object", "properties": {"t": array("string", -1), "n": {"x-fairway": {"datatype": "UINT8", "shape": [2]}}}},
            [("t", "BYTES", (-1,)), ("n", "UINT8", (2,))],
        ),
    ],
)
def test_named_arrays_are_tensors(inputs: dict[str, Any], wanted: list[Any]) -> None:
    schema = load_schema({"inputs": inputs})
    assert schema.kind == "tensors"
    assert [(spec.name, spec.datatype, spec.shape) for spec in schema.tensors] == wanted
    assert all(isinstance(spec, TensorSpec) for spec in schema.tensors)


def test_azures_swagger_is_the_body_itself() -> None:
    row = {"type": "object", "properties": {"age": {"type": "integer", "format": "int64"}}, "required": ["age"]}
    table = {"type": "array", "items": row, "format": "pandas.DataFrame:records"}
    swagger = {
        "swagger": "2.0",
        "definitions": {
            "ServiceInput": {"type": "object", "properties": {"data": table}, "required": ["data"], "example": {"data": [{"age": 3}]}},
            "ServiceOutput": {"type": "array", "items": {"type": "number", "format": "double"}},
        },
    }
    schema = load_schema(swagger)
    assert schema.takes_body
    assert schema.examples == ({"data": [{"age": 3}]},)
    checker = compile_checker(schema)
    body = b'{"data": [{"age": 3}, {"age": 4}]}'
    call = checker.read_json(body)
    assert (call.form, call.payload) == ("json", body)


@pytest.mark.parametrize(
    ("document", "said"),
    [
        ([], "a schema is a JSON object"),
        ({"inputs": {"age": "nummer"}}, "inputs/age/type is 'nummer'"),
        ({"inputs": {"age": 3}}, "inputs/age is 3"),
        ({"inputs": {"type": "object", "properties": {"a": {"type": "numbr"}}}}, "properties/a/type"),
        ({"inputs": {"type": "array", "items": {"$ref": "#/$defs/row"}}}, "'#/$defs/row' names nothing"),
        ({"inputs": {"$ref": "#/$defs/a"}, "$defs": {"a": {"$ref": "#/$defs/a"}}}, "leads back to itself"),
        ({"inputs": {"$ref": "https://example.org/x.json"}}, "leads out of the file"),
        ({"inputs": {"a": {"type": "string", "pattern": "("}}}, "/properties/inputs/items/properties/a/pattern"),
        ({"inputs": {"x": {"type": "number", "minimum": "0"}}}, "minimum"),
        ({"inputs": {"x": {"x-fairway": {"datatype": "FP31"}, "type": "number"}}}, "FP31"),
        ({"swagger": "2.0", "definitions": {}}, "ServiceInput"),
        ({"inputs": {"age": {"type": "number", "min": 3}}}, "inputs/age/min is no word"),
        ({"inputs": {"age": {"type": "number", "minimun": 3}}}, "inputs/age/minimun is no word"),
        ({"input": {"age": "number"}}, "inputs/input says no type"),
    ],
)  # fmt: skip
def test_a_wrong_schema_is_refused_with_its_place(document: Any, said: str) -> None:
    with pytest.raises(DefinitionError) as caught:
        load_schema(document, "model/schema.json")
    assert said in caught.value.message
    assert caught.value.where == "model/schema.json"
    assert caught.value.hint or "pattern" in said


def test_nothing_known_lets_json_through_as_it_is() -> None:
    schema = no_schema()
    assert not schema.is_known
    body = b'{"anything": [1, {"x": null}]}'
    assert compile_checker(schema).read_json(body).payload == body


def test_rows_take_no_other_fields_unless_the_schema_says_so() -> None:
    assert load_schema({"inputs": ROW}).document["properties"]["inputs"]["items"]["additionalProperties"] is False
    assert load_schema({"inputs": {**ROW, "additionalProperties": True}}).allows_more


KEYS = [
    "type",
    "properties",
    "required",
    "items",
    "enum",
    "const",
    "anyOf",
    "minimum",
    "minLength",
    "pattern",
    "$ref",
    "$defs",
    "default",
    "examples",
]
VALUES = st.recursive(
    st.sampled_from(
        ["number", "string", "null", "x", "#/$defs/a", "% x", 1, -1, 0.5, True, None, ["a"], ["a", "a"], ["number", "null"], []]
    ),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from([*KEYS, "x-note", "other"]), inner, max_size=3),
    max_leaves=5,
)


@given(st.dictionaries(st.sampled_from(KEYS), VALUES, max_size=3))
def test_what_looks_well_formed_is(document: dict[str, Any]) -> None:
    if is_plain(document):
        assert Draft202012Validator(Draft202012Validator.META_SCHEMA).is_valid(document)


def test_a_schema_as_people_write_it_needs_no_library_to_be_read() -> None:
    import subprocess
    import sys

    said = "import sys; from fairway.serve.schema import *; s = load_schema({'inputs': {'a': 'number', 'b': {'enum': ['x', None]}}})"
    done = subprocess.run(
        [sys.executable, "-c", f"{said}; compile_checker(s).read_json(b'[[1, null]]'); print(*sys.modules)"],
        capture_output=True,
        text=True,
        check=True,
    )
    loaded = set(done.stdout.split())
    assert not loaded & {"jsonschema", "numpy", "pandas", "pyarrow", "fairway.engine", "fairway.store"}
