"""One value against its column, with care: does it fit, what came, what was expected."""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Callable
from datetime import date, datetime, time
from typing import TYPE_CHECKING, Any
from uuid import UUID

from fairway.data.schema.jsontypes import types_of
from fairway.data.schema.modelschema import Column
from fairway.serve.schema.careful import Odd
from fairway.serve.schema.msgtypes import is_said

if TYPE_CHECKING:
    from jsonschema.protocols import Validator

_SHOWN = 60
_MANY_CHOICES = 8
_INT64 = 2**63
_LARGEST = int(sys.float_info.max)


def _is_time(text: str) -> bool:
    return bool(time.fromisoformat(text)) or True


def _is_address(version: int) -> Callable[[str], object]:
    def check(text: str) -> object:
        import ipaddress

        return ipaddress.IPv4Address(text) if version == 4 else ipaddress.IPv6Address(text)

    return check


FORMATS: dict[str, tuple[Callable[[str], object], str]] = {
    "date": (date.fromisoformat, "a date such as 2026-01-31"),
    "date-time": (datetime.fromisoformat, "a date and time such as 2026-01-31T12:00:00Z"),
    "time": (_is_time, "a time such as 12:00:00"),
    "uuid": (UUID, "a UUID"),
    "ipv4": (_is_address(4), "an IPv4 address"),
    "ipv6": (_is_address(6), "an IPv6 address"),
}
"""Formats that are checked; all others only say something. Dates and times as in ISO 8601, an offset may lack."""


def has_format(text: str, name: str) -> bool:
    try:
        FORMATS[name][0](text)
    except (ValueError, OverflowError):
        return False
    return True


def say(value: Any) -> str:
    """What came, in words: "the text 'old'", "null", "a list of 3"."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Odd):
        return value.text
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if value != value else "Infinity" if value > 0 else "-Infinity"
    if isinstance(value, int) and abs(value) >= 10**_SHOWN:
        return f"a whole number of {len(_digits(value))} digits"
    if isinstance(value, int | float):
        return f"the number {value!r}"
    if isinstance(value, str):
        shown = value if len(value) <= _SHOWN else value[: _SHOWN - 1] + "…"
        return f"the text {shown!r}" if value else "an empty text"
    if isinstance(value, list | tuple):
        return f"a list of {len(value)}" if value else "an empty list"
    if isinstance(value, dict):
        return "an object" if value else "an empty object"
    return type(value).__name__


def _digits(value: int) -> str:
    try:
        return str(abs(value))
    except ValueError:
        return "9" * 4301


def _plain(value: Any) -> str:
    return (
        "null"
        if value is None
        else str(value).lower()
        if isinstance(value, bool)
        else f"{value:g}"
        if isinstance(value, float)
        else repr(value)
    )


def expectation(column: Column) -> str:
    """What a column takes, in words: "a whole number from 0 to 120 or null"."""
    return say_schema(column.schema) if column.schema else "any value"


def say_schema(schema: dict[str, Any]) -> str:
    kinds, nullable = types_of(schema)
    said = [_say_kind(kind, schema) for kind in kinds]
    values = schema["enum"] if isinstance(schema.get("enum"), list) else [schema["const"]] if "const" in schema else []
    values = [value for value in values if value is not None]
    if values:
        shown = ", ".join(_plain(value) for value in values[:_MANY_CHOICES])
        said = [("one of " if len(values) > 1 else "") + shown + (f" … ({len(values)} in all)" if len(values) > _MANY_CHOICES else "")]
    if not said:
        return "null" if schema.get("type") == "null" else "a value that keeps to the schema"
    return " or ".join([*said, "null"] if nullable else said)


def _say_kind(kind: str, schema: dict[str, Any]) -> str:
    if kind in ("number", "integer"):
        noun = "a number" if kind == "number" else "a whole number"
        step = schema.get("multipleOf")
        return noun + _say_range(schema) + (f", a multiple of {_plain(step)}" if step is not None else "")
    if kind == "boolean":
        return "true or false"
    if kind == "array":
        low, high = schema.get("minItems"), schema.get("maxItems")
        if low is not None and low == high:
            return f"a list of {low}"
        return "a list" + _say_length(low, high, "elements")
    if kind == "object":
        return "an object"
    if schema.get("format") in FORMATS:
        return FORMATS[schema["format"]][1]
    pattern = schema.get("pattern")
    return "text" + _say_length(schema.get("minLength"), schema.get("maxLength"), "characters") + (f" like {pattern}" if pattern else "")


def _say_range(schema: dict[str, Any]) -> str:
    low, high = schema.get("minimum"), schema.get("maximum")
    above, below = schema.get("exclusiveMinimum"), schema.get("exclusiveMaximum")
    if low is not None and high is not None and above is None and below is None:
        return f" from {_plain(low)} to {_plain(high)}"
    parts = [
        f"{word} {_plain(value)}"
        for word, value in (("at least", low), ("above", above), ("at most", high), ("below", below))
        if value is not None
    ]
    return " " + " and ".join(parts) if parts else ""


def _say_length(low: Any, high: Any, of: str) -> str:
    if low is not None and high is not None:
        return f" of {low} to {high} {of}"
    return f" of at least {low} {of}" if low is not None else f" of at most {high} {of}" if high is not None else ""


class ValueCheck:
    """A column's check. `fits` says yes or no of a value as `careful.decode` gives it; `take` gives the value that the model gets."""

    def __init__(self, column: Column, validator: Validator | None) -> None:
        self.column, self._validator = column, validator
        self.expected = expectation(column)
        self._whole, self._is_number = column.type == "integer", column.type == "number"

    def fits(self, value: Any) -> bool:
        column = self.column
        if value is None:
            return column.nullable if self._validator is None else self._validator.is_valid(None)
        if isinstance(value, Odd):
            return column.allows_nan
        if isinstance(value, float) and not math.isfinite(value):
            return column.allows_nan
        if self._whole and isinstance(value, int | float) and not -_INT64 <= value < _INT64:
            return False
        if self._is_number and type(value) is int and not -_LARGEST <= value <= _LARGEST:
            return False
        if self._validator is not None:
            return self._validator.is_valid(value)
        return fits(value, column.schema)

    def take(self, value: Any) -> Any:
        if isinstance(value, Odd):
            return float(value.text.replace("Infinity", "inf"))
        if self._whole and type(value) is float:
            return int(value)
        return float(value) if self._is_number and type(value) is int else value

    def why(self, value: Any) -> str:
        """What was expected instead of `value`."""
        if self._whole and isinstance(value, int | float) and not isinstance(value, bool) and not -_INT64 <= value < _INT64:
            return f"{self.expected} of at most 64 bits"
        if self._is_number and type(value) is int and not -_LARGEST <= value <= _LARGEST:
            return f"{self.expected}, up to 1.8e308"
        if self._validator is not None and value is not None and not isinstance(value, Odd):
            from jsonschema.exceptions import best_match

            error = best_match(self._validator.iter_errors(value))
            if error is not None and len(self.column.schema) and not is_said(self.column.schema):
                at = "".join(f"[{part!r}]" for part in error.absolute_path)
                return f"{self.expected}: {at}{' ' if at else ''}{error.message[:160]}"
        return self.expected


def fits(value: Any, schema: dict[str, Any]) -> bool:
    """Whether `value` keeps to a schema of the keywords that `msgtypes.is_said` lets through."""
    kinds, nullable = types_of(schema)
    if value is None:
        return nullable
    if "enum" in schema and not any(_equal(value, one) for one in schema["enum"]):
        return False
    if "const" in schema and not _equal(value, schema["const"]):
        return False
    if isinstance(value, bool):
        return ("boolean" in kinds) if "type" in schema else True
    if isinstance(value, int | float):
        return _is_kind(value, kinds, schema) and _in_bounds(value, schema)
    if isinstance(value, str):
        return (("string" in kinds) if "type" in schema else True) and _fits_text(value, schema)
    if isinstance(value, list):
        return (("array" in kinds) if "type" in schema else True) and _fits_list(value, schema)
    return isinstance(value, dict) and (("object" in kinds) if "type" in schema else True)


def _equal(came: Any, wanted: Any) -> bool:
    """Equality of JSON: true is not 1."""
    if isinstance(came, bool) or isinstance(wanted, bool):
        return came is wanted
    if isinstance(came, list) and isinstance(wanted, list):
        return len(came) == len(wanted) and all(map(_equal, came, wanted))
    if isinstance(came, dict) and isinstance(wanted, dict):
        return came.keys() == wanted.keys() and all(_equal(came[key], wanted[key]) for key in came)
    return bool(came == wanted)


def _is_kind(value: float, kinds: tuple[str, ...], schema: dict[str, Any]) -> bool:
    if "type" not in schema or "number" in kinds:
        return True
    return "integer" in kinds and (isinstance(value, int) or value.is_integer())


def _in_bounds(value: float, schema: dict[str, Any]) -> bool:
    if "minimum" in schema and value < schema["minimum"]:
        return False
    if "maximum" in schema and value > schema["maximum"]:
        return False
    if "exclusiveMinimum" in schema and value <= schema["exclusiveMinimum"]:
        return False
    if "exclusiveMaximum" in schema and value >= schema["exclusiveMaximum"]:
        return False
    return "multipleOf" not in schema or _is_multiple(value, schema["multipleOf"])


def _is_multiple(value: float, step: float) -> bool:
    if isinstance(step, int) and isinstance(value, int):
        return value % step == 0
    try:
        quotient = value / step
    except OverflowError:
        return False
    return math.isfinite(quotient) and int(quotient) == quotient


def _fits_text(value: str, schema: dict[str, Any]) -> bool:
    if "minLength" in schema and len(value) < schema["minLength"]:
        return False
    if "maxLength" in schema and len(value) > schema["maxLength"]:
        return False
    if "pattern" in schema and re.search(schema["pattern"], value) is None:
        return False
    return schema.get("format") not in FORMATS or has_format(value, schema["format"])


def _fits_list(value: list[Any], schema: dict[str, Any]) -> bool:
    if "minItems" in schema and len(value) < schema["minItems"]:
        return False
    if "maxItems" in schema and len(value) > schema["maxItems"]:
        return False
    items = schema.get("items")
    return not items or all(fits(one, items) for one in value)
