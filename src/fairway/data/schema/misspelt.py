"""Words in a list of columns that mean nothing, but nearly are one: JSON Schema passes over what it does not know, and so would a check."""

from __future__ import annotations

import difflib
from typing import Any

from fairway.data.schema.pointers import ANNOTATIONS, is_annotation
from fairway.errors import DefinitionError

_OWN = ("type", "missing", "nullable", "required", "optional", "shape", "categories", "name")
_KEYWORDS = (
    "enum", "const", "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf", "minLength", "maxLength", "pattern",
    "format", "items", "prefixItems", "minItems", "maxItems", "uniqueItems", "contains", "minContains", "maxContains", "unevaluatedItems",
    "properties", "patternProperties", "additionalProperties", "unevaluatedProperties", "propertyNames", "minProperties", "maxProperties",
    "dependentRequired", "dependentSchemas", "anyOf", "oneOf", "allOf", "not", "if", "then", "else", "$ref", "$anchor", "$dynamicRef",
)  # fmt: skip
_KNOWN = frozenset((*_OWN, *_KEYWORDS, *ANNOTATIONS))
_NEAR = 0.6
"""`min` is as near to `minimum`."""
_SLIP = 0.85
"""`maximun` is as near to `maximum`: one letter."""
_SWITCHES = ("type", *(word for word in _KEYWORDS if not word.startswith("$") and len(word) > 3))


def check_slips(about: dict[str, Any], at: str, where: str) -> None:
    """DefinitionError for a word of a column's JSON Schema that is a keyword but for a letter: what it was to forbid would be let in."""
    for key in about:
        if key in _KNOWN or is_annotation(key):
            continue
        near = difflib.get_close_matches(key, _SWITCHES, 1, _SLIP)
        if near and near[0] not in about:
            raise DefinitionError(f"{at}/{key} is no word of JSON Schema", where=where, hint=f"Did you mean {near[0]!r}?")


def check_words(about: dict[str, Any], at: str, where: str) -> None:
    """DefinitionError for a word of the column that is nearly one that is known, and for a column none of whose words is known."""
    unknown = [key for key in about if key not in _KNOWN and not is_annotation(key)]
    for key in unknown:
        near = difflib.get_close_matches(key, (*_OWN, *_KEYWORDS), 1, _NEAR)
        if near:
            raise DefinitionError(f"{at}/{key} is no word of a schema", where=where, hint=f"{near[0]!r}?")
    if about and len(unknown) == len(about):
        raise DefinitionError(
            f"{at} says no type: {', '.join(map(repr, unknown[:5]))} mean nothing there",
            where=where,
            hint='A schema is {"inputs": {"age": "number"}, "outputs": {"prediction": "number"}}.',
        )
