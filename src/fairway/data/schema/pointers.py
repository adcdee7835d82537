"""References inside a JSON Schema document, and the pointers that name its places."""

from __future__ import annotations

from typing import Any
from urllib.parse import unquote

from fairway.errors import DefinitionError

ANNOTATIONS = frozenset(
    ("title", "description", "default", "examples", "example", "deprecated", "readOnly", "writeOnly", "$comment", "$schema", "$id", "$defs",
     "definitions", "contentEncoding", "contentMediaType", "contentSchema", "discriminator", "xml", "externalDocs")
)  # fmt: skip
"""Keywords that say something and check nothing; so do those that begin with "x-"."""


def is_annotation(keyword: str) -> bool:
    """Whether a keyword says something to people or to us, and nothing of what is valid."""
    return keyword in ANNOTATIONS or keyword.startswith("x-")


def ours(schema: Any) -> dict[str, Any]:
    """What `x-fairway` says at a schema's top."""
    said = schema.get("x-fairway") if isinstance(schema, dict) else None
    return said if isinstance(said, dict) else {}


def with_ours(schema: dict[str, Any], more: dict[str, Any]) -> dict[str, Any]:
    """`schema` with `more` in its `x-fairway`."""
    return {**schema, "x-fairway": {**ours(schema), **more}} if more else schema


def pointer(*parts: object) -> str:
    """ "/properties/a~1b" of ("properties", "a/b")."""
    return "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in parts)


def follow(schema: Any, root: dict[str, Any], where: str) -> Any:
    """`schema` with the reference at its top followed and what stands beside it kept; DefinitionError where it leads nowhere."""
    seen = 0
    while isinstance(schema, dict):
        if "$ref" in schema:
            beside = {key: value for key, value in schema.items() if key != "$ref"}
            target = _find(schema["$ref"], root, where)
            if not isinstance(target, dict):
                return target if not beside else {**beside, "allOf": [target, *beside.get("allOf", [])]}
            if all(is_annotation(key) for key in beside):
                schema = with_ours({**target, **beside}, {**ours(target), **ours(beside)})
            else:
                return {**beside, "allOf": [{"$ref": schema["$ref"]}, *beside.get("allOf", [])]}
        elif isinstance(schema.get("allOf"), list) and len(schema["allOf"]) == 1 and all(is_annotation(k) for k in schema if k != "allOf"):
            only = schema["allOf"][0]
            if not isinstance(only, dict):
                return schema
            beside = {key: value for key, value in schema.items() if key != "allOf"}
            schema = with_ours({**only, **beside}, {**ours(only), **ours(beside)})
        else:
            return schema
        seen += 1
        if seen > 50:
            hint = "A reference names a schema that is one; follow it from definition to definition."
            raise DefinitionError(f"the reference {schema.get('$ref')!r} leads back to itself", where=where, hint=hint)
    return schema


def _find(reference: Any, root: dict[str, Any], where: str) -> Any:
    if not isinstance(reference, str) or not reference.startswith("#"):
        raise DefinitionError(
            f"the reference {reference!r} leads out of the file", where=where, hint='Put what it names under "$defs": "#/$defs/NAME".'
        )
    found: Any = root
    for part in unquote(reference[1:]).split("/")[1:]:
        key = part.replace("~1", "/").replace("~0", "~")
        if isinstance(found, dict) and key in found:
            found = found[key]
        elif isinstance(found, list) and key.isdecimal() and int(key) < len(found):
            found = found[int(key)]
        else:
            raise DefinitionError(f"the reference {reference!r} names nothing", where=where, hint='Define it under "$defs".')
    if reference != "#" and not reference.startswith("#/"):
        raise DefinitionError(f"the reference {reference!r} is an anchor, which is not read", where=where, hint='Use "#/$defs/NAME".')
    return found


def expanded(schema: Any, root: dict[str, Any], where: str, within: tuple[str, ...] = ()) -> Any:
    """`schema` with the references in it followed, wherever they don't lead back into themselves."""
    if isinstance(schema, list):
        return [expanded(one, root, where, within) for one in schema]
    if not isinstance(schema, dict):
        return schema
    reference = schema.get("$ref")
    if isinstance(reference, str):
        if reference in within or len(within) > 20:
            return schema
        found = follow(schema, root, where)
        return expanded(found, root, where, (*within, reference)) if found != schema else schema
    return {key: value if key in _NO_SCHEMAS else expanded(value, root, where, within) for key, value in schema.items()}


_NO_SCHEMAS = ("enum", "const", "default", "examples", "example", "required", "$defs", "definitions")
