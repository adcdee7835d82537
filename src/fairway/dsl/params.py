"""Parameters given as text or as Python values, made into the JSON value that the parameter's type asks for."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from fairway.dsl import types
from fairway.dsl.source import suggest
from fairway.errors import ConfigError, FairwayError
from fairway.spec.graph import Graph, Param

_TRUE = frozenset({"true", "yes", "on", "1"})
_FALSE = frozenset({"false", "no", "off", "0"})
_NONE = frozenset({"none", "null", ""})
_LINES = 3
"""So many has the message of an error on a terminal."""
_EXAMPLE = "for example "
_TEXTS = {
    "datetime.date": "a date such as 2026-01-31",
    "datetime.datetime": "a date and time such as 2026-01-31T12:30",
    "datetime.time": "a time such as 12:30",
    "decimal.Decimal": "a decimal number",
    "uuid.UUID": "a UUID",
}


class _Mismatch(Exception):
    """The value cannot be of the type; the message says what was expected."""


def coerce(param: Param, value: Any) -> Any:
    """The JSON value of `param` from text (a command line) or from a Python value. Raises ConfigError naming all three."""
    try:
        made = _coerce(param.type, value)
    except _Mismatch as error:
        raise ConfigError(
            f"the parameter `{param.name}` cannot be {_shown(value)}: expected {error}", hint=_example(param.name, param.type)
        ) from None
    if param.choices:
        by_text = {str(choice): choice for choice in param.choices}
        values = made if isinstance(made, list) and param.type.startswith("list") else [made]
        for item in values:
            if item not in param.choices and str(item) not in by_text and item is not None:
                listed = ", ".join(map(str, param.choices))
                raise ConfigError(f"the parameter `{param.name}` cannot be {_shown(value)}", hint=f"it is one of {listed}")
        exact = [item if item is None or item in param.choices else by_text[str(item)] for item in values]
        made = exact if isinstance(made, list) and param.type.startswith("list") else exact[0]
    return made


def bind(graph: Graph, given: Mapping[str, Any], spell: Callable[[str], str], varied: Sequence[str] = ()) -> dict[str, Any]:
    """JSON values for all parameters of the graph. `spell`: how one is given, as "--depth "; `varied`: parameters that a search over it
    gives. Raises ConfigError that names all that are unknown, missing or ill-typed: who types them again wants to do it once."""
    names = sorted(param.name for param in graph.params)
    values: dict[str, Any] = {}
    wrong: list[tuple[str, str, str]] = []
    unknown = [name for name in given if name not in names]
    if unknown:
        near = "".join(f".{suggest(name, [*names, *varied])}" for name in unknown if suggest(name, [*names, *varied]))
        few = f"parameter{'s' * (len(unknown) > 1)} {', '.join(map(repr, unknown))}"
        there = ", ".join([*names, *(f"{name} (varies)" for name in sorted(varied))]) or "none"
        wrong.append(("", f"pipeline {graph.name!r} has no {few}", f"its parameters: {there}{near}"))
    missing = [param for param in graph.params if param.name not in given and param.required]
    if missing:
        listed = ", ".join(f"{param.name!r} ({param.type or 'any type'})" for param in missing)
        few, them = (f"parameters {listed} have", "them") if len(missing) > 1 else (f"parameter {listed} has", "it")
        wrong.append(("", f"{few} no value", f"give {them}: {' '.join(f'{spell(param.name)}…' for param in missing)}"))
    for param in graph.params:
        try:
            values[param.name] = coerce(param, given[param.name]) if param.name in given else param.default
        except ConfigError as error:
            wrong.append((param.name, error.message, error.hint.replace(f"--{param.name} ", spell(param.name))))
    if wrong:
        message, hint = _join(wrong)
        raise ConfigError(message, hint=hint, where=graph.where if unknown or missing else "")
    return values


def _join(wrong: Sequence[tuple[str, str, str]]) -> tuple[str, str]:
    """Message and hint of several (parameter, message, hint) in three lines and one."""
    if len(wrong) == 1:
        return wrong[0][1:]
    lines = [message for _, message, _ in wrong]
    if len(lines) > _LINES:
        rest = [f"`{name}`" for name, _, _ in wrong[_LINES - 1 :]]
        lines[_LINES - 1 :] = [f"nor can {', '.join(rest)} be what {'it is' if len(rest) == 1 else 'they are'} given"]
    examples = [hint.removeprefix(_EXAMPLE) for _, _, hint in wrong if hint.startswith(_EXAMPLE)]
    hints = [f"`{name}` {hint.removeprefix('it ')}" if name else hint for name, _, hint in wrong if not hint.startswith(_EXAMPLE)]
    hints += [_EXAMPLE + " ".join(examples)] if examples else []
    return "\n  ".join(lines), "; ".join(hints)


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _example(name: str, kind: str) -> str:
    head, args = types.split(types.without_none(kind))
    examples = {"int": "3", "float": "0.5", "bool": "true", "list": "2,4,8", "dict": "'{\"a\": 1}'", "str": "text"}
    examples |= {"datetime.date": "2026-01-31", "datetime.datetime": "2026-01-31T12:30", "datetime.time": "12:30"}
    if head == "list" and args and args[0] == "str":
        return f"{_EXAMPLE}--{name} a,b,c"
    return f"{_EXAMPLE}--{name} {examples.get(head, 'data.csv')}"


def _coerce(kind: str, value: Any) -> Any:
    head, args = types.split(kind)
    if head == "|":
        return _union(args, value)
    if isinstance(value, os.PathLike):
        value = os.fspath(value)  # type: ignore[arg-type]
    if head == "None":
        if value is None or (isinstance(value, str) and value.strip().lower() in _NONE):
            return None
        raise _Mismatch("nothing (none)")
    if hasattr(type(value), "__members__"):
        value = value.value
    read = {"int": _int, "float": _float, "bool": _bool, "str": _str}.get(head)
    if read is not None:
        return read(value)
    if head in ("list", "tuple", "set"):
        return _list(head, args, value)
    if head == "dict":
        return _dict(args, value)
    if head in _TEXTS:
        return _text(head, value)
    if head in types.FILES or head in ("pathlib.Path", "Path", "os.PathLike"):
        return _path(head, value)
    return _any(value)


def _union(members: tuple[str, ...], value: Any) -> Any:
    """The first member that takes the value; none only for what says so, text last."""
    ordered = sorted(members, key=lambda m: (m != "None" or (isinstance(value, str) and value == "" and "str" in members), m == "str"))
    if isinstance(value, str) and "None" in members and "str" in members and value.lower() not in ("none", "null"):
        ordered = [m for m in ordered if m != "None"]
    wanted: list[str] = []
    for member in ordered:
        try:
            return _coerce(member, value)
        except _Mismatch as error:
            wanted.append(str(error))
    raise _Mismatch(" or ".join(wanted))


def _int(value: Any) -> int:
    if isinstance(value, str):
        text = value.strip().replace("_", "")
        try:
            return int(text)
        except ValueError:
            value = _number(text)
    if isinstance(value, bool) or not isinstance(value, int | float) or not _is_finite(value) or value != int(value):
        raise _Mismatch("a whole number (int)")
    return int(value)


def _float(value: Any) -> float:
    if isinstance(value, str):
        value = _number(value.strip().replace("_", ""))
    if isinstance(value, bool) or not isinstance(value, int | float) or not _is_finite(value):
        raise _Mismatch("a number (float)")
    try:
        return float(value)
    except OverflowError:
        raise _Mismatch("a number (float) that is not beyond 1e308") from None


def _is_finite(value: int | float) -> bool:
    return isinstance(value, int) or math.isfinite(value)


def _number(text: str) -> Any:
    try:
        return float(text)
    except ValueError:
        return None


def _bool(value: Any) -> bool:
    text = str(value).strip().lower()
    if isinstance(value, bool | int | str) and text in _TRUE | _FALSE:
        return text in _TRUE
    raise _Mismatch("true or false (bool)")


def _str(value: Any) -> str:
    if isinstance(value, str):
        return value
    raise _Mismatch("text (str)")


def _text(head: str, value: Any) -> str:
    """A date or the like, kept as text: the step that takes it is given the real thing."""
    from fairway.dsl.constants import plain_constant
    from fairway.step.conversion import find_conversion

    convert = find_conversion(head)
    assert convert is not None
    try:
        text = plain_constant(value, "a parameter")
        if isinstance(text, str) and convert(text) is not None:
            return text
    except FairwayError:
        pass
    raise _Mismatch(_TEXTS[head])


def _path(head: str, value: Any) -> str:
    if isinstance(value, str) and value:
        return value
    raise _Mismatch("the path of a folder" if head == "fairway.Directory" else "the path of a file")


def _list(head: str, args: tuple[str, ...], value: Any) -> list[Any]:
    inner = args[0] if args and args[0] != "Any" else ""
    what = f"a list ({head}[{inner}])" if inner else "a list"
    bare = isinstance(value, str) and not value.strip().startswith("[")
    if isinstance(value, str):
        value = _split(value, what)
    if not isinstance(value, list | tuple | range | set | frozenset):
        tolist = getattr(value, "tolist", None)  # NumPy arrays, pandas series
        value = tolist() if callable(tolist) else value
    if not isinstance(value, list | tuple | range | set | frozenset):
        raise _Mismatch(what)
    if head == "tuple" and args and args[-1] != "...":
        if len(value) != len(args):  # type: ignore[arg-type]
            raise _Mismatch(f"{len(args)} values ({head}[{', '.join(args)}])")
        return [_coerce(kind, item) for kind, item in zip(args, value, strict=True)]  # type: ignore[arg-type]
    items: list[Any] = []
    for position, item in enumerate(value):  # type: ignore[arg-type]
        try:
            items.append(_coerce(inner, item) if inner or bare else _plain(item))
        except _Mismatch as error:
            raise _Mismatch(f"{what}; item {position} is {_shown(item)}, not {error}") from None
    return items


def _split(text: str, what: str) -> list[Any]:
    """Items from JSON ("[2, 4]") or from commas ("2,4")."""
    stripped = text.strip()
    if stripped.startswith("["):
        found = _json(stripped)
        if isinstance(found, list):
            return found  # type: ignore[return-value]
        if not stripped.endswith("]"):
            raise _Mismatch(what)
        stripped = stripped[1:-1].strip()  # [a,b] with bare words
    return [item.strip() for item in stripped.split(",")] if stripped else []


def _dict(args: tuple[str, ...], value: Any) -> dict[str, Any]:
    if isinstance(value, str):
        value = _json(value)
    if not isinstance(value, dict) or not all(isinstance(key, str) for key in value):  # type: ignore[misc]
        raise _Mismatch('a JSON object such as {"a": 1}')
    inner = args[1] if len(args) == 2 else ""
    return {key: _coerce(inner, item) if inner and inner != "Any" else _plain(item) for key, item in value.items()}  # type: ignore[misc]


def _json(text: str) -> Any:
    try:
        return json.loads(text, parse_constant=_no_constant)
    except ValueError:
        return None


def _no_constant(name: str) -> Any:
    raise ValueError(name)


def _any(value: Any) -> Any:
    """No type is known: text that is JSON becomes that value, other text stays text."""
    if isinstance(value, str):
        try:
            return json.loads(value, parse_constant=_no_constant)
        except ValueError:
            return value
    return _plain(value)


def _plain(value: Any) -> Any:
    """The value as JSON has it."""
    from fairway.dsl.constants import plain_constant
    from fairway.errors import DefinitionError

    try:
        return plain_constant(value, "a parameter")
    except DefinitionError:
        raise _Mismatch("a number, text, true or false, a list or a JSON object") from None
