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
