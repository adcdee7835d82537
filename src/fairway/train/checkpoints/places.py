"""Where in a state a value stands: for people who read an error, and for the names of tensors in a file."""

from __future__ import annotations

from typing import Any

from fairway.step import plainjson

_DEEPEST = 100


def find_path(state: Any, wanted: Any) -> str:
    """Where in the state a value stands: "state['optimizer']['x']"; "state" if it is not to be found."""
    pending: list[tuple[str, Any, int]] = [("state", state, 0)]
    while pending:
        path, value, depth = pending.pop()
        if value is wanted:
            return path
        if depth < _DEEPEST:
            pending += [(f"{path}[{key!r}]" if how == "item" else f"{path}.{key}", inner, depth + 1) for how, key, inner in _inside(value)]
    return "state"


def _inside(value: Any) -> list[tuple[str, Any, Any]]:
    if isinstance(value, dict):
        return [("item", key, inner) for key, inner in value.items()]
    if isinstance(value, list | tuple):
        return [("item", key, inner) for key, inner in enumerate(value)]
    fields = getattr(type(value), "__dataclass_fields__", ())
    return [("field", name, getattr(value, name)) for name in fields if hasattr(value, name)]


def names_of(state: Any) -> dict[int, str]:
    """A name for whatever stands in the state, by its id: "model.fc.weight"."""
    found: dict[int, str] = {}
    pending: list[tuple[str, Any, int]] = [("", state, 0)]
    while pending:
        path, value, depth = pending.pop()
        if type(value) in plainjson.SCALARS:
            continue
        if id(value) in found or depth > _DEEPEST:
            continue
        found[id(value)] = path or "state"
        pending += [(f"{path}.{key}" if path else str(key), inner, depth + 1) for _, key, inner in _inside(value)]
    return found
