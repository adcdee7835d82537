"""JSON Schema as msgspec types, as far as msgspec can say it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Annotated, Any, Literal

from msgspec import UNSET, Meta, UnsetType, defstruct

from fairway.data.schema.jsontypes import types_of
from fairway.data.schema.modelschema import Column
from fairway.data.schema.pointers import is_annotation

EXACT_WHOLE = 2**53
"""Whole numbers up to here are the same in a matrix of <f8."""
_INT64 = 2**63

_BOUNDS = ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf")
_TEXT = ("minLength", "maxLength", "pattern")
_ITEMS = {"minItems": "min_length", "maxItems": "max_length"}
_SAID = frozenset(("type", "enum", "const", "format", "items", "minItems", "maxItems", *_BOUNDS, *_TEXT))


def is_said(schema: dict[str, Any]) -> bool:
    """Every keyword is one that `type_of` and `fairway.serve.schema.values` know."""
    if not all(key in _SAID or is_annotation(key) for key in schema):
        return False
    return "items" not in schema or (isinstance(schema["items"], dict) and is_said(schema["items"]))


def type_of(schema: dict[str, Any], whole_up_to: int = _INT64) -> Any | None:
    """A type that lets in nothing that `schema` doesn't; None if there is none to be had (a careful check decides)."""
    if not is_said(schema):
        return None
    kinds, nullable = types_of(schema)
    if "enum" in schema or "const" in schema:
        made = _choice(schema, kinds)
    elif not kinds:
        made = Any if nullable and not any(key in _SAID and key != "format" for key in schema) else None
    else:
        parts = [_kind(kind, schema, whole_up_to) for kind in kinds]
        made = None if any(part is None for part in parts) or len({"number", "integer"} & set(kinds)) > 1 else _union(parts)
    if made is None or made is Any:
        return made
    return made | None if nullable else made


def _union(parts: list[Any]) -> Any:
    made = parts[0]
    for part in parts[1:]:
        made = made | part
    return made


def _choice(schema: dict[str, Any], kinds: tuple[str, ...]) -> Any | None:
    """Literals are texts or whole numbers; other bounds beside them are left to the careful check."""
    values = schema["enum"] if "enum" in schema else [schema["const"]]
    values = [value for value in values if value is not None]
    beside = [key for key in schema if key not in ("enum", "const", "type", "format") and not is_annotation(key)]
    if beside or not values or len(kinds) != 1 or ("enum" in schema and "const" in schema):
        return None
    if all(isinstance(value, str) for value in values) and kinds == ("string",):
        return Literal[tuple(values)]
    whole = all(isinstance(value, int) and not isinstance(value, bool) and abs(value) < EXACT_WHOLE for value in values)
    return Literal[tuple(values)] if whole and kinds[0] in ("integer", "number") else None


def _kind(kind: str, schema: dict[str, Any], whole_up_to: int) -> Any | None:
    if kind == "boolean":
        return bool
    if kind == "string":
        return _text(schema)
    if kind == "number":
        return _number(schema)
    if kind == "integer":
        return _whole(schema, whole_up_to)
    if kind == "array":
        return _array(schema, whole_up_to)
    return dict[str, Any] if kind == "object" else None


def _number(schema: dict[str, Any]) -> Any | None:
    if "multipleOf" in schema or any(abs(schema[key]) > EXACT_WHOLE for key in _BOUNDS if key in schema):
        return None
    said = {"ge": "minimum", "le": "maximum", "gt": "exclusiveMinimum", "lt": "exclusiveMaximum"}
    limits: dict[str, Any] = {name: float(schema[key]) for name, key in said.items() if key in schema}
    return _limited(float, limits)


def _limited(kind: Any, limits: dict[str, Any]) -> Any | None:
    if ("ge" in limits and "gt" in limits) or ("le" in limits and "lt" in limits):
        return None
    return Annotated[kind, Meta(**limits)] if limits else kind


def _whole(schema: dict[str, Any], up_to: int) -> Any | None:
    low, high = -up_to, up_to if up_to < _INT64 else _INT64 - 1
    if "minimum" in schema:
        low = max(low, math.ceil(schema["minimum"]))
    if "exclusiveMinimum" in schema:
        low = max(low, math.floor(schema["exclusiveMinimum"]) + 1)
    if "maximum" in schema:
        high = min(high, math.floor(schema["maximum"]))
    if "exclusiveMaximum" in schema:
        high = min(high, math.ceil(schema["exclusiveMaximum"]) - 1)
    step = schema.get("multipleOf")
    if step is not None and (not isinstance(step, int) or step >= _INT64):
        return None
    if low > high:
        return None
    limits: dict[str, Any] = {"multiple_of": step} if step else {}
    return Annotated[int, Meta(ge=low, le=high, **limits)]


def _text(schema: dict[str, Any]) -> Any:
    said = {"minLength": "min_length", "maxLength": "max_length", "pattern": "pattern"}
    limits: dict[str, Any] = {name: int(schema[key]) if key != "pattern" else schema[key] for key, name in said.items() if key in schema}
    return Annotated[str, Meta(**limits)] if limits else str


def _array(schema: dict[str, Any], whole_up_to: int) -> Any | None:
    items = schema.get("items", {})
    inner = type_of(items, whole_up_to)
    if inner is None or "format" in items:
        return None
    limits: dict[str, Any] = {
        name: int(schema[key]) for key, name in (("minItems", "min_length"), ("maxItems", "max_length")) if key in schema
    }
    return Annotated[list[inner], Meta(**limits)] if limits else list[inner]


def type_of_value(schema: Any) -> Any | None:
    """Like `type_of`, and objects field by field: to look at a value, not to take it over (what is not said of it is passed over)."""
    if not isinstance(schema, dict):
        return None
    kinds, nullable = types_of(schema)
    made: Any = None
    if kinds == ("object",) and "properties" in schema and not nullable:
        made = _object(schema)
    elif kinds == ("array",) and isinstance(schema.get("items"), dict) and not nullable:
        inner = type_of_value(schema["items"])
        if inner is not None and all(key in ("type", "items", "minItems", "maxItems") or is_annotation(key) for key in schema):
            limits: dict[str, Any] = {name: schema[key] for key, name in _ITEMS.items() if key in schema}
            made = Annotated[list[inner], Meta(**limits)] if limits else list[inner]
    elif "format" not in schema:
        made = type_of(schema)
    return made


def _object(schema: dict[str, Any]) -> Any | None:
    if not all(key in ("type", "properties", "required", "additionalProperties") or is_annotation(key) for key in schema):
        return None
    required, more = schema.get("required", ()), schema.get("additionalProperties", True)
    if not isinstance(more, bool) or any(name not in schema["properties"] for name in required):
        return None
    fields: list[Any] = []
    renamed: dict[str, str] = {}
    for number, (name, said) in enumerate(schema["properties"].items()):
        found = type_of_value(said)
        if found is None:
            return None
        renamed[f"f{number}"] = name
        fields.append((f"f{number}", found) if name in required else (f"f{number}", found | UnsetType, UNSET))
    return defstruct("Object", fields, rename=renamed, kw_only=True, forbid_unknown_fields=not more)


class RowTypes:
    """The types of a row as an object, as an array, and of a table by columns. `exact`: what they let in needs no further check.

    `is_loose`: columns of whole numbers take 1.0 too, which is one in JSON Schema; whether it is has to be looked at (`whole`).
    """

    def __init__(self, columns: tuple[Column, ...], *, is_matrix: bool, is_closed: bool, is_loose: bool = False) -> None:
        fields: list[Any] = []
        self._values: list[tuple[str, Any]] = []
        by_column: list[Any] = []
        renamed: dict[str, str] = {}
        self.exact = True
        self.whole = tuple(n for n, column in enumerate(columns) if column.type == "integer") if is_loose else ()
        for number, column in enumerate(columns):
            found = type_of(_loosened(column.schema) if number in self.whole else column.schema, EXACT_WHOLE if is_matrix else _INT64)
            if found is None:
                self.exact = False
                found = Any
            name = f"f{number}"
            renamed[name] = column.name
            by_column.append((name, list[found]))
            self._values.append((name, found if column.required or found is Any else found | None))
            fields.append((name, found) if column.required else (name, found | UnsetType, UNSET))
        self._is_flat = all(column.type not in ("any", "array", "object") for column in columns)
        self.object: Any = defstruct(
            "RowObject", fields, rename=renamed, kw_only=True, forbid_unknown_fields=is_closed, gc=not self._is_flat
        )
        self.array = self.array_of(range(len(columns)))
        self.columns: Any = defstruct("Columns", by_column, rename=renamed, kw_only=True, forbid_unknown_fields=is_closed)

    def array_of(self, order: Sequence[int]) -> Any:
        """A row as an array whose values come in the order of these columns."""
        fields = [self._values[number] for number in order]
        return defstruct("RowArray", fields, array_like=True, kw_only=True, forbid_unknown_fields=True, gc=not self._is_flat)


def _loosened(schema: dict[str, Any]) -> dict[str, Any]:
    """A whole number's schema as a number's, of the range in which <f8 has all of them."""
    kinds = schema["type"] if isinstance(schema.get("type"), list) else [schema.get("type", "integer")]
    made: dict[str, Any] = {**schema, "type": ["number" if kind == "integer" else kind for kind in kinds]}
    low, high = -EXACT_WHOLE + 1, EXACT_WHOLE - 1  # what is read as these is these: one more, and rounding has a say
    made["minimum"] = max(low, made.get("minimum", low))
    made["maximum"] = min(high, made.get("maximum", high))
    for key, bound in (("exclusiveMinimum", "minimum"), ("exclusiveMaximum", "maximum")):
        if key in made and made[bound] in (low, high):
            del made[bound if abs(made[key]) < EXACT_WHOLE else key]
    return made


def envelope(name: str, *ways: tuple[str, Any]) -> Any:
    """{"inputs" | "data" | "instances": …} with what may stand beside it."""
    fields: list[Any] = [(key, kind | UnsetType, UNSET) for key, kind in ways]
    fields.append(("id", str | UnsetType, UNSET))
    fields += [(key, dict[str, Any] | UnsetType, UNSET) for key in ("params", "parameters")]
    return defstruct(name, fields, kw_only=True, forbid_unknown_fields=True)
