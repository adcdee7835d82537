"""The JSON types that a schema lets in."""

from __future__ import annotations

from typing import Any

from fairway.data.schema.pointers import follow, is_annotation


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


def without_null(schema: dict[str, Any], root: dict[str, Any], where: str) -> dict[str, Any]:
    """`anyOf: [X, null]`, which is how Optional is written, as X with null among its types."""
    for key in ("anyOf", "oneOf"):
        some = schema.get(key)
        if not isinstance(some, list) or len(some) != 2 or any(not is_annotation(k) and k != key for k in schema):
            continue
        ways = [follow(one, root, where) for one in some]
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
