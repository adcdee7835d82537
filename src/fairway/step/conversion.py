"""From plain JSON to what an input is annotated as: a pipeline's constants and a command line know no dates, enums or tuples."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

from fairway.errors import DefinitionError

Convert = Callable[[Any], Any]
_AS_THEY_ARE = frozenset({"", "int", "float", "str", "bool", "None", "list", "dict", "Any", "bytes"})
_BY_NAME = ("datetime.date", "datetime.datetime", "datetime.time", "pathlib.Path", "decimal.Decimal", "uuid.UUID")


def find_conversion(kind: str) -> Convert | None:
    """How a value of JSON's becomes one of the type named `kind`; None where it stays what it is. Other values pass unchanged.

    The conversion raises DefinitionError for text that does not say such a value.
    """
    if kind in _AS_THEY_ARE or kind.startswith("fairway."):
        return None
    members = _split(kind, "|")
    if len(members) > 1:
        wanted = [member for member in members if member != "None"]
        return find_conversion(wanted[0]) if len(wanted) == 1 else None
    head, _, inner = kind.partition("[")
    args = _split(inner.removesuffix("]"), ",") if inner else []
    if head in ("list", "tuple", "set", "frozenset"):
        return _of_items(head, args)
    return _of_text(kind) if kind in _BY_NAME else _of_enum(kind) if "." in kind and not args else None


def _of_items(head: str, args: list[str]) -> Convert | None:
    make: Any = {"list": list, "tuple": tuple, "set": set, "frozenset": frozenset}[head]
    own = head == "tuple" and len(args) > 1 and args[-1] != "..."
    each = [find_conversion(arg) for arg in args] if own else [find_conversion(args[0]) if args else None]
    if head == "list" and each == [None]:
        return None

    def convert(value: Any) -> Any:
        if type(value) is not list:
            return value
        ways = each if own and len(each) == len(value) else each[:1] * len(value)
        return make(way(item) if way is not None else item for way, item in zip(ways, value, strict=True))

    return convert


def _of_text(kind: str) -> Convert:
    def convert(value: Any) -> Any:
        if not isinstance(value, str):
            return value
        module, _, name = kind.rpartition(".")
        __import__(module)
        cls = getattr(sys.modules[module], name)
        try:
            return cls.fromisoformat(value) if module == "datetime" else cls(value)
        except (ValueError, ArithmeticError):
            raise DefinitionError(f"{value!r} is not a {kind}", hint=_HINTS.get(kind, f"give text that {kind} understands")) from None

    return convert


_HINTS = {
    "datetime.date": "write it as 2026-01-31",
    "datetime.datetime": "write it as 2026-01-31T12:30",
    "datetime.time": "write it as 12:30",
}


def _of_enum(kind: str) -> Convert:
    """The user's own class is imported by now: the step's module names it."""

    def convert(value: Any) -> Any:
        module, _, name = kind.rpartition(".")
        cls = getattr(sys.modules.get(module), name, None)
        if type(value) not in (str, int, float) or not hasattr(cls, "__members__"):
            return value
        return cls(value)  # type: ignore[misc]

    return convert


def _split(text: str, separator: str) -> list[str]:
    """`text` at the separators that stand in no brackets."""
    parts, depth, start = [], 0, 0
    for at, letter in enumerate(text):
        depth += (letter == "[") - (letter == "]")
        if letter == separator and depth == 0:
            parts.append(text[start:at].strip())
            start = at + 1
    return [*parts, text[start:].strip()]
