"""What bodies a checker takes, as JSON Schema of OpenAPI's components: all shapes that can be said in it, exactly."""

from __future__ import annotations

import re
from typing import Any

from fairway.data.schema.datatypes import DATATYPES
from fairway.data.schema.modelschema import Column, ModelSchema
from fairway.data.schema.pointers import expanded, ours
from fairway.serve.schema.shapes import AROUND

_INT64 = 2**63


def definitions_of(schema: ModelSchema) -> dict[str, Any]:
    """The document's own definitions, and Inputs: every shape of a body that is taken, exactly."""
    made = {f"Model.{_slug(key)}": _relocated(value) for key, value in _defs(schema).items()}
    made["Inputs"] = _inputs(schema)
    outputs = schema.document["properties"].get("outputs", {})
    made["Predictions"] = {"description": say_outputs(schema), **(_annotations(outputs) if isinstance(outputs, dict) else {})}
    if schema.kind == "columns":
        made["Row"] = _row(schema)
        made["RowOfValues"] = _row_of_values(schema)
    return made


def _defs(schema: ModelSchema) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key in ("definitions", "$defs"):
        if isinstance(schema.document.get(key), dict):
            found.update(schema.document[key])
    return found


def _slug(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9._-]", "_", name)


def _relocated(value: Any) -> Any:
    """References to the document's definitions as references to components."""
    if isinstance(value, list):
        return [_relocated(one) for one in value]
    if not isinstance(value, dict):
        return value
    made = {key: _relocated(one) for key, one in value.items() if key not in ("$schema", "$id")}
    reference = made.get("$ref")
    if isinstance(reference, str):
        match = re.fullmatch(r"#/(?:\$defs|definitions)/([^/]+)(/.*)?", reference)
        if match is not None:
            made["$ref"] = f"#/components/schemas/Model.{_slug(match[1].replace('~1', '/').replace('~0', '~'))}{match[2] or ''}"
    return made


def _annotations(schema: dict[str, Any]) -> dict[str, Any]:
    return {key: schema[key] for key in ("title", "description") if isinstance(schema.get(key), str)}


def _inputs(schema: ModelSchema) -> dict[str, Any]:
    inner = inner_of(schema)
    if not schema.is_known or (schema.takes_body and schema.kind == "value"):
        return inner
    beside = {"id": {"type": "string"}, "params": {"type": "object"}, "parameters": {"type": "object"}}
    keys = [key for key in (AROUND if schema.kind != "value" else ("inputs",)) if key not in schema.names]
    ways: list[dict[str, Any]] = [
        {"type": "object", "properties": {key: inner, **beside}, "required": [key], "additionalProperties": False} for key in keys
    ]
    return {"anyOf": [*ways, *inner.get("anyOf", [inner])]}


def inner_of(schema: ModelSchema) -> dict[str, Any]:
    """What is inside {"inputs": …}."""
    if schema.kind == "tensors":
        return _arrays(schema)
    if schema.kind != "columns":
        inputs = schema.inputs
        return _relocated(inputs) if isinstance(inputs, dict) else {} if inputs else {"not": {}}
    row, values = ({"$ref": f"#/components/schemas/{name}"} for name in ("Row", "RowOfValues"))
    limits = {"minItems": schema.least_rows, **({"maxItems": schema.most_rows} if schema.most_rows else {})}
    is_single = len(schema.columns) == 1
    one = [row, values, *(_bounded(column) for column in schema.columns if is_single)]
    ways: list[dict[str, Any]] = [{**_rules(schema), "type": "array", "items": {"anyOf": one}, **limits}]
    if schema.least_rows <= 1:
        ways.append(row)
    if schema.least_rows <= 1 and not is_single:
        ways.append(values)
    return {"anyOf": ways}


def _filled(schema: Any, has_rows: bool, datatype: str = "") -> Any:
    """An array as it is taken: of rows it has one at least, and every number fits its datatype."""
    if not isinstance(schema, dict):
        return schema
    datatype = str(ours(schema).get("datatype", "")) or datatype
    made: dict[str, Any] = dict(schema)
    if made.get("type") == "array":
        made["items"] = _filled(made.get("items", {}), False, datatype)
        if has_rows:
            made["minItems"] = max(1, int(made.get("minItems", 1)))
    elif made.get("type") in ("number", "integer") and datatype in _BOUNDS:
        least, most = _BOUNDS[datatype]
        made["minimum"], made["maximum"] = max(least, made.get("minimum", least)), min(most, made.get("maximum", most))
    return made


_BOUNDS: dict[str, tuple[float, float]] = {
    **{name: (kind.least, kind.most) for name, kind in DATATYPES.items() if kind.type == "integer"},
    "FP16": (-65504.0, 65504.0), "BF16": (-3.3895313892515355e38, 3.3895313892515355e38),
    "FP32": (-3.4028234663852886e38, 3.4028234663852886e38),
}  # fmt: skip


def _arrays(schema: ModelSchema) -> dict[str, Any]:
    """Arrays by name; the only one by itself; rows, each an object of what stands in the arrays' first places."""
    has_rows = all(spec.shape and spec.shape[0] == -1 for spec in schema.tensors)
    arrays = {spec.name: _filled(_relocated(expanded(spec.schema, schema.document, "")), has_rows) for spec in schema.tensors}
    needed = [spec.name for spec in schema.tensors if spec.required]
    ways: list[dict[str, Any]] = [
        {"type": "object", "properties": arrays, "required": needed, "minProperties": 1, "additionalProperties": False}
    ]
    if len(arrays) == 1:
        ways.extend(arrays.values())
    if has_rows and len(needed) == len(arrays) and all("items" in one for one in arrays.values()):
        one = {"type": "object", "properties": {name: array["items"] for name, array in arrays.items()}, "required": needed}
        ways.append({"type": "array", "items": {**one, "additionalProperties": False}, "minItems": 1})
    return {"anyOf": ways}


def _rules(schema: ModelSchema) -> dict[str, Any]:
    """What the schema asks of the rows together."""
    inputs = schema.inputs
    assert isinstance(inputs, dict)
    return _relocated({key: value for key, value in inputs.items() if key not in ("type", "items", "minItems", "maxItems")})


def _row(schema: ModelSchema) -> dict[str, Any]:
    inputs = schema.inputs
    assert isinstance(inputs, dict)
    made: dict[str, Any] = _relocated(inputs["items"])
    made["properties"] = {column.name: _bounded(column) for column in schema.columns}
    return made


def _bounded(column: Column) -> dict[str, Any]:
    """A column's schema; whole numbers are of 64 bits."""
    made: dict[str, Any] = _relocated(column.schema)
    if column.type != "integer" or "enum" in made or "const" in made:
        return made
    if "minimum" not in made and "exclusiveMinimum" not in made:
        made["minimum"] = -_INT64
    if "maximum" not in made and "exclusiveMaximum" not in made:
        made["exclusiveMaximum"] = _INT64
    return made


def _value(column: Column) -> dict[str, Any]:
    """Of a row of values, where null is also how a field is left out."""
    made = _bounded(column)
    return made if column.required or column.nullable else {"anyOf": [made, {"type": "null"}]}


def _row_of_values(schema: ModelSchema) -> dict[str, Any]:
    return {
        "type": "array",
        "description": f"In the order {', '.join(schema.names)}.",
        "prefixItems": [_value(column) for column in schema.columns],
        "minItems": len(schema.columns),
        "maxItems": len(schema.columns),
    }


def mlflow_of(schema: ModelSchema) -> dict[str, Any]:
    inner = inner_of(schema)
    return {
        "anyOf": [
            {"type": "object", "required": [key], "properties": {key: inner, "params": {"type": "object"}}, "additionalProperties": False}
            for key in ("dataframe_records", "instances", "inputs")
        ]
    }


def say_outputs(schema: ModelSchema) -> str:
    names = ", ".join(f"{one.name} ({one.datatype or 'any'})" for one in schema.outputs)
    return f"One for each row: {names}." if names else "One for each row."
