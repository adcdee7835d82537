"""`schema.json` in any of its spellings, as one `ModelSchema`."""

from __future__ import annotations

import math
import re
from typing import Any

from fairway.errors import DefinitionError
from fairway.serve.schema.datatypes import DATATYPES, find_datatype
from fairway.serve.schema.model import DIALECT, Column, Kind, ModelSchema, TensorSpec
from fairway.serve.schema.pointers import follow, is_annotation, pointer
from fairway.serve.schema.wellformed import check_wellformed

_KEYWORDS = frozenset(
    ("type", "properties", "items", "prefixItems", "$ref", "anyOf", "oneOf", "allOf", "enum", "const", "not", "if", "additionalProperties",
     "patternProperties", "$defs", "$schema", "required", "minItems", "format", "minimum", "maximum")
)  # fmt: skip
_TYPES = ("string", "number", "integer", "boolean", "object", "array", "null")
_LENGTHS = ("minItems", "maxItems")


def load_schema(data: Any, where: str = "schema.json") -> ModelSchema:
    """A schema of: JSON Schema 2020-12 of {"inputs", "outputs"} or of one row; lists of columns; Azure's swagger. DefinitionError says
    the place as a JSON pointer."""
    if not isinstance(data, dict):
        raise DefinitionError("a schema is a JSON object", where=where, hint='For example {"inputs": {"age": "number"}}.')
    document, takes_body = _document(data, where)
    check_wellformed(document, where)
    return _Reader(document, where).read(takes_body)


def _document(data: dict[str, Any], where: str) -> tuple[dict[str, Any], bool]:
    """The normalised document, and whether `inputs` describes the request's body itself."""
    if "swagger" in data or "openapi" in data:
        return _of_swagger(data, where), True
    properties = data.get("properties")
    if isinstance(properties, dict) and ("inputs" in properties or "outputs" in properties) and set(properties) <= {"inputs", "outputs"}:
        sides, rest = properties, {key: value for key, value in data.items() if key not in ("properties", "required", "type")}
    elif ("inputs" in data or "outputs" in data) and not {"type", "properties", "$ref", "items"} & set(data):
        sides, rest = data, {key: value for key, value in data.items() if key not in ("inputs", "outputs")}
    else:
        sides, rest = (
            {"inputs": {key: value for key, value in data.items() if key not in ("$schema", "$defs", "definitions")}},
            {key: data[key] for key in ("$defs", "definitions", "title", "description") if key in data},
        )
    made: dict[str, Any] = {"$schema": DIALECT, **rest, "type": "object", "properties": {}}
    made["$schema"] = DIALECT
    for side in ("inputs", "outputs"):
        made["properties"][side] = _side(sides.get(side, {}), pointer(side), where)
    made["required"] = ["inputs"] if "inputs" in sides else []
    return made, data.get("x-fairway-body") is True


def _side(said: Any, at: str, where: str) -> Any:
    """One side as JSON Schema: it is already, or it lists columns ({name: type}, or MLflow's [{"name", "type"}])."""
    if isinstance(said, list):
        columns: dict[str, Any] = {}
        for number, one in enumerate(said):
            if not isinstance(one, dict) or not isinstance(one.get("name", ""), str):
                raise DefinitionError(f"{at}/{number} is not a column", where=where, hint='A column is {"name": "age", "type": "number"}.')
            columns[one.get("name") or f"x{number}"] = {key: value for key, value in one.items() if key != "name"}
        return _rows(columns, at, where)
    if isinstance(said, bool):
        return said
    if isinstance(said, str):
        said = {"type": said}
        return {**said, **_property(said, at, where)}
    if not isinstance(said, dict):
        raise DefinitionError(f"{at} is {said!r}, which is no schema", where=where)
    if not said or _is_schema(said):
        return said
    return _rows(said, at, where)


def _is_schema(said: dict[str, Any]) -> bool:
    """JSON Schema, or columns by name? A keyword has a value that fits a keyword; a column's "type" would be {"type": {"type": …}}."""
    if isinstance(said.get("type"), str | list) and (said["type"] in _TYPES if isinstance(said["type"], str) else True):
        return True
    if all(is_annotation(key) for key in said):
        return True
    return (
        any(
            key in said and isinstance(said[key], kind)
            for key, kind in (("$ref", str), ("anyOf", list), ("oneOf", list), ("allOf", list), ("enum", list), ("if", dict), ("not", dict))
        )
        or ("const" in said and not isinstance(said["const"], dict))
        or (
            isinstance(said.get("properties"), dict)
            and all(isinstance(v, dict | bool) for v in said["properties"].values())
            and "type" not in said["properties"]
        )
    )


def _rows(columns: dict[str, Any], at: str, where: str) -> dict[str, Any]:
    """Columns by name as an array of objects, or, where they have shapes, as named arrays."""
    properties: dict[str, Any] = {}
    required: list[str] = []
    for name, said in columns.items():
        about = {"type": said} if isinstance(said, str) else said
        if not isinstance(about, dict):
            raise DefinitionError(
                f"{at}{pointer(name)} is {about!r}, which says no type", where=where, hint='Write "number", or {"type": "number"}.'
            )
        properties[name] = _property(about, at + pointer(name), where)
        if about.get("required") is not False:
            required.append(name)
    table = {"type": "object", "properties": properties, "required": required}
    if properties and all("x-fairway-shape" in one for one in properties.values()):
        return table
    return {"type": "array", "items": table}


def _property(about: dict[str, Any], at: str, where: str) -> dict[str, Any]:
    """One column of a list of columns, whose `type` may be JSON Schema's or a library's ("float32", "category", "datetime64[ns]")."""
    kept = {
        key: value
        for key, value in about.items()
        if key not in ("type", "missing", "nullable", "required", "shape", "categories", "optional")
    }
    missing = about.get("missing") is True or about.get("nullable") is True
    if isinstance(about.get("required"), list):
        kept["required"] = about["required"]
    said = about.get("type", "any")
    if isinstance(said, dict) and isinstance(said.get("dtype"), str):  # MLflow's tensor-spec
        said = said["dtype"]
    if isinstance(said, list) or (said in _TYPES and said != "array"):
        made: dict[str, Any] = {"type": said}
    elif isinstance(said, str):
        made = _of_name(said, at, where)
    else:
        raise DefinitionError(f"{at}/type is {said!r}", where=where, hint=f"One of {', '.join(_TYPES)}.")
    if isinstance(about.get("categories"), list):
        made = {"enum": list(about["categories"])}
    if isinstance(about.get("shape"), list):
        shape = [-1 if size is None else size for size in about["shape"]]
        return {**_nested(made, shape), "x-fairway-datatype": find_datatype(str(said)), "x-fairway-shape": shape, **kept}
    if missing:
        if "enum" in made:
            made["enum"] = [*made["enum"], None] if None not in made["enum"] else made["enum"]
        elif isinstance(made.get("type"), str):
            made["type"] = [made["type"], "null"]
    datatype = find_datatype(said) if isinstance(said, str) and said not in _TYPES else ""
    return {**made, **({"x-fairway-datatype": datatype} if datatype else {}), **kept}


def _nested(element: dict[str, Any], shape: list[int]) -> dict[str, Any]:
    made: dict[str, Any] = element
    for size in reversed(shape):
        made = {"type": "array", "items": made}
        if size >= 0:
            made.update(minItems=size, maxItems=size)
    return made


def _of_name(said: str, at: str, where: str) -> dict[str, Any]:
    """A library's name of a type as JSON Schema."""
    plain = said.lower()
    if plain in ("any", "object", ""):
        return {}
    if plain.startswith(("datetime", "timestamp")):
        return {"type": "string", "format": "date-time"}
    if plain.startswith("date"):
        return {"type": "string", "format": "date"}
    if plain.startswith("time"):
        return {"type": "string", "format": "time"}
    datatype = find_datatype(plain) or find_datatype(re.split(r"[\[(<:]", plain)[0])
    if datatype:
        return {"type": DATATYPES[datatype].type}
    if plain in ("array", "list", "tensor") or plain.startswith(("list", "array")):
        return {"type": "array"}
    if plain in ("dict", "map", "struct") or plain.startswith("struct"):
        return {"type": "object"}
    if plain in ("binary", "bytes"):
        return {"type": "string", "contentEncoding": "base64"}
    raise DefinitionError(
        f"{at}/type is {said!r}, which is no type", where=where, hint=f"One of {', '.join(_TYPES)}, or float32, int64, category, datetime …"
    )


def _of_swagger(data: dict[str, Any], where: str) -> dict[str, Any]:
    """The document of what `inference-schema` (Azure) generates: its definitions ServiceInput and ServiceOutput."""
    found = data.get("definitions") or (data.get("components") or {}).get("schemas") or {}
    if not isinstance(found, dict) or "ServiceInput" not in found:
        raise DefinitionError("it has no definition 'ServiceInput'", where=where, hint="Azure's swagger.json has it under /definitions.")
    definitions = _rewritten(found)
    made: dict[str, Any] = {"$schema": DIALECT, "type": "object", "required": ["inputs"], "$defs": definitions, "x-fairway-body": True}
    made["properties"] = {"inputs": {"$ref": "#/$defs/ServiceInput"}, "outputs": {}}
    if "ServiceOutput" in definitions:
        made["properties"]["outputs"] = {"$ref": "#/$defs/ServiceOutput"}
    return made


_SWAGGER_FORMATS = {"double": "FP64", "float": "FP32", "int64": "INT64", "int32": "INT32"}


def _rewritten(value: Any) -> Any:
    """Swagger 2's spellings as JSON Schema's: references, `nullable`, formats that name a datatype, `required: true`."""
    if isinstance(value, list):
        return [_rewritten(one) for one in value]
    if not isinstance(value, dict):
        return value
    made = {key: _rewritten(one) for key, one in value.items()}
    if isinstance(made.get("$ref"), str):
        made["$ref"] = re.sub(r"^#/(definitions|components/schemas)/", "#/$defs/", made["$ref"])
    if isinstance(made.get("type"), str):
        if made.get("format") in _SWAGGER_FORMATS:
            made["x-fairway-datatype"] = _SWAGGER_FORMATS[made.pop("format")]
        if made.get("nullable") is True or made.get("x-nullable") is True:
            made["type"] = [made["type"], "null"]
        if isinstance(made.get("required"), bool):
            del made["required"]
        made.pop("nullable", None)
    return made


class _Reader:
    """Reads a normalised document; what it changes (closed rows, no empty tables) it writes into the document."""

    def __init__(self, document: dict[str, Any], where: str) -> None:
        self.document, self.where = document, where

    def read(self, takes_body: bool) -> ModelSchema:
        sides = self.document["properties"]
        inputs = follow(sides["inputs"], self.document, self.where)
        examples = self._examples(inputs)
        kind, columns, tensors, more = self._inputs(inputs)
        least, most = 1, 0
        if kind == "columns":
            row, table = self._row(inputs)
            closed = dict(row)
            if "additionalProperties" not in closed and "unevaluatedProperties" not in closed and "patternProperties" not in closed:
                closed["additionalProperties"] = False
            least, most = max(1, int(table.get("minItems", 1))), int(table.get("maxItems", 0))
            sides["inputs"] = {"type": "array", **table, "items": closed, "minItems": least}
            more = closed.get("additionalProperties") is not False
        elif kind == "tensors" and isinstance(inputs, dict) and inputs.get("type") != "array":
            sides["inputs"] = {"type": "object", **inputs, "additionalProperties": False}
        return ModelSchema(
            self.document, kind, columns, tensors, self._outputs(sides["outputs"]), examples, takes_body, least, most, more
        )  # fmt: skip

    def _examples(self, inputs: Any) -> tuple[Any, ...]:
        found: list[Any] = []
        for one in (self.document.get("examples"), inputs.get("examples") if isinstance(inputs, dict) else None):
            if isinstance(one, list):
                found.extend(one)
        if isinstance(inputs, dict) and "example" in inputs:
            found.append(inputs["example"])
        return tuple(found)

    def _row(self, inputs: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
        """The schema of a row, and what is said of the table around it."""
        if inputs.get("type") == "array" or "items" in inputs:
            row = follow(inputs["items"], self.document, self.where)
            return row, {key: value for key, value in inputs.items() if key != "items"}
        return inputs, {}

    def _inputs(self, inputs: Any) -> tuple[Kind, tuple[Column, ...], tuple[TensorSpec, ...], bool]:
        if not isinstance(inputs, dict):
            return "value", (), (), False
        if inputs.get("type", "array") == "array" and isinstance(inputs.get("items"), dict):
            row = follow(inputs["items"], self.document, self.where)
            if self._is_row(row):
                return "columns", self.read_columns(row), (), False
            only = self._tensor("inputs", inputs, True)
            if only is not None:
                return "tensors", (), (only,), False
        elif self._is_row(inputs):
            required = set(inputs.get("required", ()))
            tensors = [self._tensor(name, one, name in required) for name, one in inputs["properties"].items()]
            plain = all(is_annotation(key) or key in ("type", "properties", "required", "additionalProperties") for key in inputs)
            if plain and all(tensor is not None for tensor in tensors):
                return "tensors", (), tuple(tensor for tensor in tensors if tensor is not None), False
            if not self.document.get("x-fairway-body"):
                return "columns", self.read_columns(inputs), (), False
        return "value", (), (), False

    def _is_row(self, schema: Any) -> bool:
        return (
            isinstance(schema, dict) and schema.get("type", "object") == "object" and isinstance(schema.get("properties"), dict)
        ) and bool(schema["properties"])

    def read_columns(self, row: dict[str, Any]) -> tuple[Column, ...]:
        required = set(row.get("required", ()))
        return tuple(self._column(name, one, name in required) for name, one in row["properties"].items())

    def _column(self, name: str, said: Any, required: bool) -> Column:
        schema = follow(said, self.document, self.where)
        if not isinstance(schema, dict):
            return Column(name, "any", required=required, nullable=True, schema={} if schema else {"not": {}})
        schema = self._without_null(schema)
        kinds, nullable = types_of(schema)
        datatype = str(schema.get("x-fairway-datatype", "")).upper()
        kind = kinds[0] if len(kinds) == 1 else "any"
        if not datatype:
            datatype = {"number": "FP64", "integer": "INT64", "boolean": "BOOL", "string": "BYTES"}.get(kind, "")
        elif datatype not in DATATYPES:
            raise DefinitionError(
                f"{pointer(name, 'x-fairway-datatype')} is {datatype!r}", where=self.where, hint=f"One of {', '.join(DATATYPES)}."
            )
        choices = schema["enum"] if isinstance(schema.get("enum"), list) else [schema["const"]] if "const" in schema else []
        lows = [schema[key] for key in ("minimum", "exclusiveMinimum") if _is_number(schema.get(key))]
        highs = [schema[key] for key in ("maximum", "exclusiveMaximum") if _is_number(schema.get(key))]
        return Column(
            name, kind, datatype, nullable, schema.get("x-fairway-nan") is True, required, max(lows, default=None), min(highs, default=None),
            tuple(choices), str(schema.get("format", "")), str(schema.get("description", "")), schema.get("default"), schema,
        )  # fmt: skip

    def _without_null(self, schema: dict[str, Any]) -> dict[str, Any]:
        """`anyOf: [X, null]`, which is how Optional is written, as X with null among its types."""
        for key in ("anyOf", "oneOf"):
            some = schema.get(key)
            if not isinstance(some, list) or len(some) != 2 or any(not is_annotation(k) and k != key for k in schema):
                continue
            ways = [follow(one, self.document, self.where) for one in some]
            real = [one for one in ways if one != {"type": "null"}]
            if len(real) != 1 or not isinstance(real[0], dict):
                continue
            beside = {k: value for k, value in schema.items() if k != key}
            kinds, nullable = types_of(real[0])
            if nullable:
                continue
            if "enum" in real[0] or "const" in real[0]:
                values = real[0]["enum"] if "enum" in real[0] else [real[0]["const"]]
                kept = {k: value for k, value in real[0].items() if k not in ("enum", "const", "type")}
                return {**kept, "enum": [*values, None], **beside}
            if kinds and "type" in real[0]:
                return {**real[0], "type": [*kinds, "null"], **beside}
        return schema

    def _tensor(self, name: str, said: Any, required: bool) -> TensorSpec | None:
        schema = follow(said, self.document, self.where)
        if not isinstance(schema, dict):
            return None
        allows_nan = schema.get("x-fairway-nan") is True
        datatype = str(schema.get("x-fairway-datatype", "")).upper()
        shape: list[int] = []
        inner: Any = schema
        while isinstance(inner, dict) and inner.get("type") == "array":
            least, most = (inner.get(key) for key in _LENGTHS)
            shape.append(least if isinstance(least, int) and least == most else -1)
            inner = follow(inner.get("items", {}), self.document, self.where)
        allows_nan = allows_nan or (isinstance(inner, dict) and inner.get("x-fairway-nan") is True)
        if "x-fairway-shape" in schema:
            said_shape = schema["x-fairway-shape"]
            if not isinstance(said_shape, list) or not all(isinstance(n, int) and n >= -1 for n in said_shape):
                raise DefinitionError(f"the shape of {name!r} is {said_shape!r}", where=self.where, hint="For example [-1, 28, 28].")
            shape = said_shape
        elif not shape or not isinstance(inner, dict):
            return None
        if isinstance(inner, dict) and not datatype:
            kinds, nullable = types_of(inner)
            datatype = str(inner.get("x-fairway-datatype", "")) or find_datatype(kinds[0] if len(kinds) == 1 else "")
            if not datatype or nullable:
                return None
        if datatype and datatype not in DATATYPES:
            raise DefinitionError(f"the datatype of {name!r} is {datatype!r}", where=self.where, hint=f"One of {', '.join(DATATYPES)}.")
        return TensorSpec(name, datatype, tuple(shape), str(schema.get("description", "")), allows_nan, required, schema)

    def _outputs(self, said: Any) -> tuple[Column | TensorSpec, ...]:
        schema = follow(said, self.document, self.where)
        if not isinstance(schema, dict) or not schema or all(is_annotation(key) for key in schema):
            return ()
        if self._is_row(schema):
            required = set(schema.get("required", ()))
            tensors = [self._tensor(name, one, name in required) for name, one in schema["properties"].items()]
            if all(tensor is not None for tensor in tensors):
                return tuple(tensor for tensor in tensors if tensor is not None)
            return self.read_columns(schema)
        if schema.get("type") == "array" and isinstance(schema.get("items"), dict):
            row = follow(schema["items"], self.document, self.where)
            if self._is_row(row):
                return self.read_columns(row)
            only = self._tensor("predictions", schema, True)
            return (only,) if only is not None else ()
        return (self._column("prediction", schema, True),)


def types_of(schema: dict[str, Any]) -> tuple[tuple[str, ...], bool]:
    """The JSON types that a schema's top lets in, null aside, and whether null is; none: not known."""
    said = schema.get("type")
    if said is None:
        values = schema["enum"] if isinstance(schema.get("enum"), list) else [schema["const"]] if "const" in schema else None
        if values is None:
            return (), not any(not is_annotation(key) for key in schema)
        found = {_type_of(value) for value in values}
        if found >= {"integer", "number"}:
            found.discard("integer")
        return tuple(sorted(found - {"null"})), "null" in found
    kinds = [said] if isinstance(said, str) else list(said)
    nullable = "null" in kinds
    if nullable and isinstance(schema.get("enum"), list):
        nullable = None in schema["enum"]
    if "const" in schema:
        nullable = nullable and schema["const"] is None
    if "number" in kinds and "integer" in kinds:
        kinds.remove("integer")
    return tuple(kind for kind in kinds if kind != "null"), nullable


def _type_of(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int):
        return "integer"
    if isinstance(value, float):
        return "number"
    return "string" if isinstance(value, str) else "array" if isinstance(value, list) else "object"


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
