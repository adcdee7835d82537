"""`schema.json` in any of its spellings, as one `ModelSchema`."""

from __future__ import annotations

import math
from typing import Any

from fairway.data.schema.datatypes import DATATYPES, find_datatype
from fairway.data.schema.jsontypes import types_of, without_null
from fairway.data.schema.model import SERVING, TRAINING
from fairway.data.schema.modelschema import Column, Kind, ModelSchema, TensorSpec
from fairway.data.schema.pointers import expanded, follow, is_annotation, ours, pointer
from fairway.data.schema.spellings import normalised
from fairway.data.schema.vocabulary import check_ours
from fairway.data.schema.wellformed import check_wellformed
from fairway.errors import DefinitionError

_LENGTHS = ("minItems", "maxItems")


def load_schema(data: Any, where: str = "schema.json") -> ModelSchema:
    """A schema of: JSON Schema 2020-12 of {"inputs", "outputs"} or of one row; lists of columns; Azure's swagger. DefinitionError says
    the place as a JSON pointer."""
    if not isinstance(data, dict):
        raise DefinitionError("a schema is a JSON object", where=where, hint='For example {"inputs": {"age": "number"}}.')
    document, takes_body = normalised(data, where)
    check_wellformed(document, where)
    check_ours(document, where)
    return _Reader(document, where).read(takes_body)


class _Reader:
    """Reads a normalised document; what it changes (closed rows, no empty tables) it writes into the document."""

    def __init__(self, document: dict[str, Any], where: str) -> None:
        self.document, self.where = document, where

    def read(self, takes_body: bool) -> ModelSchema:
        sides = self.document["properties"]
        inputs = self._served(follow(sides["inputs"], self.document, self.where))
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

    def _served(self, inputs: Any) -> Any:
        """`inputs` without the columns that are not there in serving: the label, and those whose environments don't name it."""
        if not isinstance(inputs, dict):
            return inputs
        inside = inputs.get("items") if "properties" not in inputs else None
        row = inputs if inside is None else follow(inside, self.document, self.where)
        if not self._is_row(row):
            return inputs
        said = {**ours(self.document), **ours(inputs), **ours(row)}
        about = {name: ours(follow(one, self.document, self.where)) for name, one in row["properties"].items()}
        usual = {name: (TRAINING,) if name == said.get("label") else (SERVING,) for name in about}
        away = {name for name, words in about.items() if SERVING not in words.get("environments", usual[name])}
        if not away:
            return inputs
        kept = {name: one for name, one in row["properties"].items() if name not in away}
        made = {**row, "properties": kept, "required": [name for name in row.get("required", ()) if name not in away]}
        self.document["properties"]["inputs"] = made if inside is None else {**inputs, "items": made}
        return self.document["properties"]["inputs"]

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
            if not ours(self.document).get("body"):
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
        schema = expanded(follow(said, self.document, self.where), self.document, self.where)
        if not isinstance(schema, dict):
            return Column(name, "any", required=required, nullable=True, schema={} if schema else {"not": {}})
        schema = without_null(schema, self.document, self.where)
        kinds, nullable = types_of(schema)
        datatype = str(ours(schema).get("datatype", "")).upper()
        kind = kinds[0] if len(kinds) == 1 else "any"
        if not datatype:
            datatype = {"number": "FP64", "integer": "INT64", "boolean": "BOOL", "string": "BYTES"}.get(kind, "")
        elif datatype not in DATATYPES:
            raise DefinitionError(
                f"{pointer(name, 'x-fairway', 'datatype')} is {datatype!r}", where=self.where, hint=f"One of {', '.join(DATATYPES)}."
            )
        choices = schema["enum"] if isinstance(schema.get("enum"), list) else [schema["const"]] if "const" in schema else []
        lows = [schema[key] for key in ("minimum", "exclusiveMinimum") if _is_number(schema.get(key))]
        highs = [schema[key] for key in ("maximum", "exclusiveMaximum") if _is_number(schema.get(key))]
        return Column(
            name,
            kind,
            datatype,
            nullable,
            allows_nan=ours(schema).get("nan") is True,
            required=required,
            minimum=max(lows, default=None),
            maximum=min(highs, default=None),
            choices=tuple(choices),
            format=str(schema.get("format", "")),
            description=str(schema.get("description", "")),
            default=schema.get("default"),
            schema=schema,
        )

    def _tensor(self, name: str, said: Any, required: bool) -> TensorSpec | None:
        schema = follow(said, self.document, self.where)
        if not isinstance(schema, dict):
            return None
        allows_nan = ours(schema).get("nan") is True
        datatype = str(ours(schema).get("datatype", "")).upper()
        shape: list[int] = []
        inner: Any = schema
        while isinstance(inner, dict) and inner.get("type") == "array":
            least, most = (inner.get(key) for key in _LENGTHS)
            shape.append(least if isinstance(least, int) and least == most else -1)
            inner = follow(inner.get("items", {}), self.document, self.where)
        allows_nan = allows_nan or ours(inner).get("nan") is True
        if "shape" in ours(schema):
            said_shape = ours(schema)["shape"]
            if not isinstance(said_shape, list) or not all(isinstance(n, int) and n >= -1 for n in said_shape):
                raise DefinitionError(f"the shape of {name!r} is {said_shape!r}", where=self.where, hint="For example [-1, 28, 28].")
            shape = said_shape
        elif not shape or not isinstance(inner, dict):
            return None
        is_loose = not datatype
        if isinstance(inner, dict) and not datatype:
            kinds, nullable = types_of(inner)
            datatype = str(ours(inner).get("datatype", ""))
            is_loose = not datatype
            datatype = datatype or find_datatype(kinds[0] if len(kinds) == 1 else "")
            if not datatype or nullable:
                return None
        if datatype and datatype not in DATATYPES:
            raise DefinitionError(f"the datatype of {name!r} is {datatype!r}", where=self.where, hint=f"One of {', '.join(DATATYPES)}.")
        return TensorSpec(name, datatype, tuple(shape), str(schema.get("description", "")), allows_nan, required, is_loose, schema)

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
            only = self._tensor(str(ours(schema).get("name", "predictions")), schema, True)
            return (only,) if only is not None else ()
        return (self._column("prediction", schema, True),)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
