"""Schemas as text that people edit: a column a line, in order; and edits that leave the rest of the text as it is."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from fairway.errors import ConfigError

_WIDTH = 140
_SPACE = re.compile(r"[ \t\n\r]*")
_ALWAYS_OPEN = ("properties", "$defs")


def render(document: dict[str, Any]) -> str:
    """A column a line where it fits; the same document gives the same text."""
    return _open(document, 0) + "\n"


def _line(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _fitted(value: Any, depth: int, used: int, *, stays_open: bool = False) -> str:
    """On the rest of its line, or over several."""
    short = _line(value)
    if not isinstance(value, dict | list) or not value or (not stays_open and 2 * depth + used + len(short) <= _WIDTH):
        return short
    return _open(value, depth)


def _open(value: Any, depth: int) -> str:
    indent, end = "  " * (depth + 1), "  " * depth
    if isinstance(value, list):
        if all(not isinstance(one, dict | list) for one in value):
            return f"[\n{_filled([_line(one) for one in value], indent)}\n{end}]"
        return "[\n" + ",\n".join(indent + _fitted(one, depth + 1, 1) for one in value) + f"\n{end}]"
    parts = [
        f"{indent}{_line(key)}: {_fitted(one, depth + 1, len(_line(key)) + 3, stays_open=key in _ALWAYS_OPEN and depth < 4)}"
        for key, one in value.items()
    ]
    return "{\n" + ",\n".join(parts) + f"\n{end}}}"


def _filled(parts: Sequence[str], indent: str) -> str:
    lines, now = list[str](), indent
    for number, part in enumerate(parts):
        part += "," if number < len(parts) - 1 else ""
        if len(now) + len(part) > _WIDTH and now.strip():
            lines.append(now.rstrip())
            now = indent
        now += part + " "
    return "\n".join([*lines, now.rstrip()])


@dataclass(slots=True)
class _Node:
    """A JSON value in a text, from `start` to `end`; of an object or a list its parts, each with its key and where that begins."""

    start: int
    end: int = 0
    parts: list[tuple[str, int, _Node]] = field(default_factory=list["tuple[str, int, _Node]"])


def edited(text: str, operations: Sequence[dict[str, Any]]) -> str:
    """The text with a JSON Patch done to it, and nothing else changed; ConfigError where an operation does not fit."""
    from fairway.data.anomalies.edits import patched

    expected = patched(json.loads(text), list(operations))
    made = text
    for operation in operations:
        if operation["op"] != "test":
            made = _done(made, operation)
    return made if json.loads(made) == expected else render(expected)


def _done(text: str, operation: dict[str, Any]) -> str:
    path = [part.replace("~1", "/").replace("~0", "~") for part in str(operation["path"]).split("/")[1:]]
    node = _scan(text, _skip(text, 0))
    for part in path[:-1]:
        node = _part(node, part)
    if not path:
        return render(operation["value"])
    names = [name for name, _, _ in node.parts]
    is_list = text[node.start] == "["
    last = str(len(names)) if path[-1] == "-" else path[-1]
    if operation["op"] == "remove":
        return _without(text, node, names.index(last))
    if last in names and not (is_list and operation["op"] == "add"):
        old = _part(node, last)
        return text[: old.start] + _value(text, old.start, operation["value"]) + text[old.end :]
    return _with(text, node, int(last) if is_list else len(names), "" if is_list else f"{_line(last)}: ", operation["value"])


def _part(node: _Node, name: str) -> _Node:
    found = next((inner for key, _, inner in node.parts if key == name), None)
    if found is None:
        raise ConfigError(f"the schema has no {name!r} where the edit wants to go", hint="Validate again: the schema has changed since.")
    return found


def _value(text: str, at: int, value: Any) -> str:
    """On one line where it fits, else indented as deep as the line that it begins on."""
    line = text[text.rfind("\n", 0, at) + 1 : at]
    depth = (len(line) - len(line.lstrip())) // 2
    return _fitted(value, depth, len(line.lstrip()))


def _with(text: str, node: _Node, place: int, key: str, value: Any) -> str:
    if not node.parts:
        return f"{text[: node.start + 1]}{key}{_value(text, node.start, value)}{text[node.end - 1 :]}"
    between = text[node.start + 1 : node.parts[0][1]]
    if place == len(node.parts):
        at = node.parts[-1][2].end
        if key and "\n" not in text[node.start : node.end] and len(_lines_around(text, node)) + len(key) + len(_line(value)) > _WIDTH:
            whole = {**json.loads(text[node.start : node.end]), json.loads(key[:-2]): value}
            return text[: node.start] + _value(text, node.start, whole) + text[node.end :]
        glue = "," + (between if "\n" in between else " ")
        return text[:at] + glue + key + _value(text + glue, len(text[:at] + glue), value) + text[at:]
    at = node.parts[place][1]
    return text[:at] + key + _value(text, at, value) + "," + (between if "\n" in between else " ") + text[at:]


def _lines_around(text: str, node: _Node) -> str:
    """The line on which a value is that takes no more than one."""
    end = text.find("\n", node.end)
    return text[text.rfind("\n", 0, node.start) + 1 : end if end >= 0 else len(text)]


def _without(text: str, node: _Node, place: int) -> str:
    if len(node.parts) == 1:
        return text[: node.start + 1] + text[node.end - 1 :]
    if place:
        return text[: node.parts[place - 1][2].end] + text[node.parts[place][2].end :]
    return text[: node.parts[0][1]] + text[node.parts[1][1] :]


def _skip(text: str, at: int) -> int:
    found = _SPACE.match(text, at)
    assert found is not None
    return found.end()


_DECODER = json.JSONDecoder()


def _scan(text: str, at: int) -> _Node:
    """The value that begins at `at`, in a text that is JSON."""
    node = _Node(at)
    if text[at] not in "{[":
        node.end = _DECODER.raw_decode(text, at)[1]
        return node
    close, at = {"{": "}", "[": "]"}[text[at]], _skip(text, at + 1)
    while text[at] != close:
        start, name = at, str(len(node.parts))
        if close == "}":
            name, at = _DECODER.raw_decode(text, at)
            at = _skip(text, _skip(text, at) + 1)
        inner = _scan(text, at)
        node.parts.append((name, start, inner))
        at = _skip(text, inner.end)
        if text[at] == ",":
            at = _skip(text, at + 1)
    node.end = at + 1
    return node
