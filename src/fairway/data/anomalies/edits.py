"""Edits of a schema as JSON Patch (RFC 6902): made against a document, applied to one."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

from fairway.errors import ConfigError

Operations = list[dict[str, Any]]


def pointer(tokens: Sequence[str | int]) -> str:
    """The JSON Pointer (RFC 6901) of a path."""
    return "".join("/" + str(token).replace("~", "~0").replace("/", "~1") for token in tokens)


def find_at(document: Any, tokens: Sequence[str | int]) -> Any:
    """What stands at a path; None where nothing does."""
    for token in tokens:
        if isinstance(document, list) and str(token).isdecimal() and int(token) < len(document):
            document = document[int(token)]
        elif isinstance(document, dict) and token in document:
            document = document[token]
        else:
            return None
    return document


def put(document: Any, tokens: Sequence[str | int], value: Any) -> Operations:
    """Operations after which `value` stands at the path; objects that lead there are made."""
    for depth in range(1, len(tokens)):
        if find_at(document, tokens[:depth]) is None:
            for token in reversed(tokens[depth:]):
                value = {token: value}
            return [{"op": "add", "path": pointer(tokens[:depth]), "value": value}]
    there = find_at(document, tokens)
    return [{"op": "add" if there is None else "replace", "path": pointer(tokens), "value": value}]


def drop(document: Any, tokens: Sequence[str | int]) -> Operations:
    """Operations after which nothing stands at the path."""
    return [] if find_at(document, tokens) is None else [{"op": "remove", "path": pointer(tokens)}]


def patched(document: dict[str, Any], operations: Operations) -> dict[str, Any]:
    """A copy of the document with the operations done; ConfigError where one does not fit."""
    made: Any = copy.deepcopy(document)
    for operation in operations:
        tokens = tokens_of(str(operation.get("path", "")))
        made = _done(made, operation, tokens)
    return made


def tokens_of(path: str) -> list[str]:
    """The path that a JSON Pointer is."""
    if path and not path.startswith("/"):
        raise ConfigError(f"{path!r} is no JSON Pointer", hint="It starts with / (RFC 6901).")
    return [token.replace("~1", "/").replace("~0", "~") for token in path.split("/")[1:]]


def _done(document: Any, operation: dict[str, Any], tokens: list[str]) -> Any:
    name = operation.get("op")
    if name not in ("add", "replace", "remove", "test"):
        raise ConfigError(f"the edit has the operation {name!r}", hint="Known are add, replace, remove and test.")
    if not tokens:
        if name == "test" and document != operation.get("value"):
            raise _misfit(operation)
        return copy.deepcopy(operation.get("value")) if name in ("add", "replace") else document
    parent = document
    for token in tokens[:-1]:
        parent = parent[_place(parent, token, operation)]
    last = _place(parent, tokens[-1], operation, may_be_new=name == "add")
    if name == "remove":
        del parent[last]
    elif name == "test":
        if parent[last] != operation.get("value"):
            raise _misfit(operation)
    elif name == "add" and isinstance(parent, list):
        parent.insert(last, copy.deepcopy(operation.get("value")))
    else:
        parent[last] = copy.deepcopy(operation.get("value"))
    return document


def _place(parent: Any, token: str, operation: dict[str, Any], *, may_be_new: bool = False) -> Any:
    if isinstance(parent, dict) and (may_be_new or token in parent):
        return token
    if isinstance(parent, list):
        if token == "-" and may_be_new:
            return len(parent)
        if token.isdecimal() and int(token) < len(parent) + may_be_new:
            return int(token)
    raise _misfit(operation)


def _misfit(operation: dict[str, Any]) -> ConfigError:
    return ConfigError(
        f"the edit at {operation.get('path')!r} does not fit this schema",
        hint="The schema has changed since the validation; validate again.",
    )
