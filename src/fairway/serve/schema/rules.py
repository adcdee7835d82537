"""Errors of the jsonschema library as faults."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from fairway.data.schema.pointers import pointer
from fairway.serve.refusal import Fault
from fairway.serve.schema.faults import MOST_FAULTS
from fairway.serve.schema.msgtypes import is_said
from fairway.serve.schema.values import FORMATS, has_format, say, say_schema

if TYPE_CHECKING:
    from jsonschema.protocols import Validator

    from fairway.data.schema.modelschema import ModelSchema


def faults_of(errors: Iterable[Any], row: int = -1) -> list[Fault]:
    """At most 20. Without a `row`, the first number in an error's path is one: of [rows], and of {"data": [rows]}."""
    made: list[Fault] = []
    for error in errors:
        path = list(error.absolute_path)
        at = next((n for n, part in enumerate(path[:2]) if isinstance(part, int)), -1) if row < 0 else -1
        number, rest = (path[at], path[at + 1 :]) if at >= 0 else (row, path)
        made.append(_fault(error, number, rest))
        if len(made) >= MOST_FAULTS:
            break
    return made


def _fault(error: Any, row: int, path: list[Any]) -> Fault:
    if error.validator == "required":
        name = next((one for one in error.validator_value if error.message.startswith(repr(one))), "")
        said = error.schema.get("properties", {}).get(name)
        expected = say_schema(said) if isinstance(said, dict) and said else "a value"
        return Fault(row=row, field=_field([*path, name]), came="nothing", expected=expected)
    if error.validator == "additionalProperties" and error.validator_value is False:
        known = error.schema.get("properties", {})
        extra = next((key for key in error.instance if key not in known), "")
        expected = f"only {', '.join(list(known)[:6])}{', …' if len(known) > 6 else ''}"
        return Fault(row=row, field=_field([*path, extra]), came="a field that the model does not take", expected=expected)
    if (
        isinstance(error.schema, dict)
        and error.validator in ("type", "enum", "const", "minimum", "maximum", "format")
        and is_said(error.schema)
    ):
        return Fault(row=row, field=_field(path), came=say(error.instance), expected=say_schema(error.schema))
    return Fault(row=row, field=_field(path), came=say(error.instance), expected=say_rule(error))


def _field(path: list[Any]) -> str:
    return str(path[0])[:80] + pointer(*path[1:]) if path else ""


def say_rule(error: Any) -> str:
    """What a rule of the schema asks."""
    return f"what {error.validator!r} of the schema asks: {error.message[:160]}"


def validator_of(schema: ModelSchema) -> Validator:
    """A validator of the whole document, to evolve into those of its parts: references are found from its root."""
    from jsonschema import Draft202012Validator, FormatChecker

    checker = FormatChecker(formats=())
    for name in FORMATS:
        checker.checks(name)(lambda value, name=name: not isinstance(value, str) or has_format(value, name))
    return Draft202012Validator(schema.document, format_checker=checker)  # type: ignore[return-value]
