"""Whether a document is JSON Schema at all; said with the place that is to blame."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from fairway.data.schema.modelschema import DIALECT
from fairway.data.schema.pointers import pointer
from fairway.data.schema.slowpatterns import is_slow
from fairway.errors import DefinitionError


def check_wellformed(document: dict[str, Any], where: str) -> None:
    """DefinitionError unless `document` keeps to the rules of JSON Schema 2020-12."""
    if is_plain(document):  # most are; the library takes 60 ms to load, which a start from nothing would wait for
        _check_patterns(document, "", where)
        return
    from jsonschema import Draft202012Validator
    from jsonschema.exceptions import best_match

    error = best_match(Draft202012Validator(Draft202012Validator.META_SCHEMA).iter_errors(document))
    if error is not None:
        raise DefinitionError(
            f"{pointer(*error.absolute_path) or '/'}: {error.message[:200]}", where=where, hint="It is read as JSON Schema 2020-12."
        )
    _check_patterns(document, "", where)


_TYPES = frozenset(("string", "number", "integer", "boolean", "object", "array", "null"))


def _is_schemas(value: Any) -> bool:
    return isinstance(value, dict) and all(map(is_plain, value.values()))


def _is_choice(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(map(is_plain, value))


def _is_type(value: Any) -> bool:
    if isinstance(value, list):
        return bool(value) and all(isinstance(one, str) for one in value) and len(set(value)) == len(value) and set(value) <= _TYPES
    return isinstance(value, str) and value in _TYPES


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_length(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _is_names(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(one, str) for one in value) and len(set(value)) == len(value)


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_list(value: Any) -> bool:
    return isinstance(value, list)


def _is_anything(_value: Any) -> bool:
    return True


_KEYWORDS: dict[str, Callable[[Any], bool]] = {
    "type": _is_type, "required": _is_names, "enum": _is_list, "examples": _is_list, "const": _is_anything, "default": _is_anything,
    **dict.fromkeys(("properties", "$defs", "definitions"), _is_schemas),
    **dict.fromkeys(("anyOf", "allOf", "oneOf"), _is_choice),
    **dict.fromkeys(("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"), _is_number),
    **dict.fromkeys(("minLength", "maxLength", "minItems", "maxItems"), _is_length),
    **dict.fromkeys(("pattern", "format", "title", "description", "$comment"), _is_text),
}  # fmt: skip


def is_plain(schema: Any) -> bool:
    """Surely well-formed: nothing in it but the keywords that people write, each of its kind."""
    if isinstance(schema, bool):
        return True
    if not isinstance(schema, dict):
        return False
    for key, value in schema.items():
        if key in ("items", "additionalProperties"):
            check: Callable[[Any], bool] = is_plain
        elif key == "$ref":
            check = _is_local
        else:
            check = _is_anything if key.startswith("x-") or (key == "$schema" and value == DIALECT) else _KEYWORDS.get(key, _is_unknown)
        if not check(value):
            return False
    return True


def _is_local(value: Any) -> bool:
    return isinstance(value, str) and re.fullmatch(r"#(/[\w$.-]+)*", value) is not None


def _is_unknown(_value: Any) -> bool:
    return False


def _check_patterns(value: Any, at: str, where: str) -> None:
    if isinstance(value, list):
        for number, one in enumerate(value):
            _check_patterns(one, f"{at}/{number}", where)
    elif isinstance(value, dict):
        for key, one in value.items():
            if key == "pattern" and isinstance(one, str):
                try:
                    re.compile(one)
                except re.error as error:
                    raise DefinitionError(f"{at}/pattern: {one!r} is no regular expression: {error}", where=where) from None
                if is_slow(one):
                    hint = "Write one repetition instead of two, as a+ for (a+)+, and [ab]* for (a|ab|b)*."
                    raise DefinitionError(
                        f"{at}/pattern: {one!r} matches a text in ever more ways: a short text could hold it up for years",
                        where=where,
                        hint=hint,
                    )
            _check_patterns(one, at + pointer(key), where)
