"""Do two answers say the same? Numbers may differ by what another order of additions makes. Pure."""

from __future__ import annotations

import math
from typing import Any

import msgspec

_RELATIVE, _ABSOLUTE = 1e-6, 1e-9
_MOST_BYTES = 256 << 10
_OWN = frozenset({"id", "model", "model_name", "model_version", "version", "took_ms"})
"""Fields at the top of an answer that differ by themselves."""


def find_difference(one: bytes, other: bytes, kind: bytes, other_kind: bytes) -> str | None:
    """Where two bodies differ first: a JSON pointer, or "body"; "" if they say the same, None if they are too long to look at."""
    if one == other:
        return ""
    if len(one) > _MOST_BYTES or len(other) > _MOST_BYTES:
        return None
    if not (_is_json(kind) and _is_json(other_kind)):
        return "body"
    try:
        found, shadow = msgspec.json.decode(one), msgspec.json.decode(other)
        if isinstance(found, dict) and isinstance(shadow, dict):
            found = {name: item for name, item in found.items() if name not in _OWN}
            shadow = {name: item for name, item in shadow.items() if name not in _OWN}
        return _walk(found, shadow, "") or ""
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return "body"


def _walk(one: Any, other: Any, at: str) -> str | None:
    """The place of the first difference, None for none; "/" for the whole."""
    if isinstance(one, bool) or isinstance(other, bool):
        return None if one is other else at or "/"
    if isinstance(one, int | float) and isinstance(other, int | float):
        return None if one == other or math.isclose(one, other, rel_tol=_RELATIVE, abs_tol=_ABSOLUTE) else at or "/"
    if isinstance(one, list) and isinstance(other, list):
        for index, (left, right) in enumerate(zip(one, other, strict=False)):
            found = _walk(left, right, f"{at}/{index}")
            if found is not None:
                return found
        return None if len(one) == len(other) else f"{at}/{min(len(one), len(other))}"
    if isinstance(one, dict) and isinstance(other, dict):
        for name in sorted(one.keys() | other.keys()):
            place = f"{at}/{name.replace('~', '~0').replace('/', '~1')}"
            if name not in one or name not in other:
                return place
            found = _walk(one[name], other[name], place)
            if found is not None:
                return found
        return None
    return None if type(one) is type(other) and one == other else at or "/"


def _is_json(kind: bytes) -> bool:
    name = kind.partition(b";")[0].strip().lower()
    return name == b"application/json" or name.endswith(b"+json")
