"""Whether a document is JSON Schema at all; said with the place that is to blame."""

from __future__ import annotations

import re
from typing import Any

from fairway.errors import DefinitionError
from fairway.serve.schema.pointers import pointer


def check_wellformed(document: dict[str, Any], where: str) -> None:
    """DefinitionError unless `document` keeps to the rules of JSON Schema 2020-12."""
    from jsonschema import Draft202012Validator
    from jsonschema.exceptions import best_match

    error = best_match(Draft202012Validator(Draft202012Validator.META_SCHEMA).iter_errors(document))
    if error is not None:
        raise DefinitionError(
            f"{pointer(*error.absolute_path) or '/'}: {error.message[:200]}", where=where, hint="It is read as JSON Schema 2020-12."
        )
    _check_patterns(document, "", where)


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
            _check_patterns(one, at + pointer(key), where)
