"""Constants in a pipeline's text: what may stand there is JSON."""

from __future__ import annotations

import math
import os
from typing import Any

from fairway.dsl.source import caller
from fairway.errors import DefinitionError

_SCALARS = (str, int, float, bool, type(None))


def plain_constant(value: Any, what: str) -> Any:
    """The value as JSON has it: tuples, ranges and sets as lists, paths and dates as text, enum members as their values.

    Raises DefinitionError for what JSON cannot hold.
    """
    if isinstance(value, float) and not math.isfinite(value):
        raise DefinitionError(f"{what} is {value}, which JSON cannot hold", hint="use None, or make it inside the step", where=caller())
    if type(value) in _SCALARS:
        return value
    if isinstance(value, dict):
        if not all(isinstance(key, str) for key in value):  # type: ignore[misc]
            raise DefinitionError(f"{what} is a dict with keys that are not text", hint="use strings as keys", where=caller())
        return {key: plain_constant(item, what) for key, item in value.items()}  # type: ignore[misc]
    if isinstance(value, list | tuple | range):
        return [plain_constant(item, what) for item in value]  # type: ignore[misc]
    if isinstance(value, set | frozenset):
        return sorted((plain_constant(item, what) for item in value), key=repr)  # type: ignore[misc]
    if isinstance(value, os.PathLike):
        return os.fspath(value)  # type: ignore[arg-type]
    inner = getattr(value, "value", None)
    if hasattr(type(value), "__members__") and isinstance(inner, _SCALARS):  # an Enum, without importing enum
        return inner
    if isinstance(value, _SCALARS):  # a subclass of int or str, such as numpy.float64
        return next(kind(value) for kind in (bool, int, float, str) if isinstance(value, kind))
    written = _text_of(value)
    if written is not None:
        return written
    item = getattr(value, "item", None)
    if callable(item) and getattr(value, "shape", None) == ():  # a NumPy scalar
        return plain_constant(item(), what)
    raise DefinitionError(
        f"{what} is a {type(value).__name__}, and only numbers, text, true/false, None, lists and dicts can be written into a pipeline",
        hint="make it inside a step, or pass a file with fw.artifact(path)",
        where=caller(),
    )


def _text_of(value: Any) -> str | None:
    """Dates, times, decimals and UUIDs as the text that an input annotated with their type reads again."""
    kind = (type(value).__module__, type(value).__name__)
    if kind in (("datetime", "date"), ("datetime", "datetime"), ("datetime", "time")):
        return value.isoformat()
    return str(value) if kind in (("decimal", "Decimal"), ("uuid", "UUID")) else None


def is_plain(value: Any, limit_bytes: int) -> bool:
    """Whether the value is JSON of at most about `limit_bytes`."""
    if value is None or type(value) in (int, bool):
        return True
    if type(value) is float:
        return math.isfinite(value)
    if type(value) is str:
        return len(value) <= limit_bytes
    if type(value) not in (list, dict) or len(value) > limit_bytes // 2:
        return False
    import json

    try:
        text = json.dumps(value, allow_nan=False)
    except (TypeError, ValueError):
        return False
    return len(text) <= limit_bytes and json.loads(text) == value


def type_of_constant(value: Any) -> str:
    """The type name of a constant, with its elements' where all agree."""
    if value is None:
        return "None"
    if isinstance(value, list | tuple | range):
        inner = {type_of_constant(item) for item in value}  # type: ignore[misc]
        if inner == {"int", "float"}:
            inner = {"float"}
        return f"list[{inner.pop()}]" if len(inner) == 1 and "" not in inner else "list"
    if isinstance(value, os.PathLike):
        return "str"
    for kind in (bool, int, float, str, dict):
        if isinstance(value, kind):
            return kind.__name__
    return ""
