"""Values that JSON has no word for, as ones it has: numpy's, pandas', dates, paths, dataclasses."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import PurePath
from typing import Any


def to_plain(value: Any) -> Any:
    """What msgspec's encoder asks for. Raises TypeError."""
    kind: Any = type(value)
    if hasattr(value, "to_dict") and hasattr(value, "columns"):  # a pandas frame
        return _records(value)
    if hasattr(value, "tolist"):
        return _listed(value)
    if kind.__name__ in ("NAType", "NaTType"):
        return None
    for name, make in _WAYS:
        if hasattr(value, name):
            return make(value)
    if isinstance(value, PurePath):
        return str(value)
    raise TypeError(
        f"{kind.__module__}.{kind.__qualname__} cannot be written as JSON; return numbers, text, lists, dicts, arrays, tables or bytes"
    )


_WAYS: tuple[tuple[str, Callable[[Any], Any]], ...] = (
    ("isoformat", lambda value: value.isoformat()),
    ("numpy", lambda value: value.numpy().tolist()),  # TensorFlow
    ("model_dump", lambda value: value.model_dump(mode="json")),  # pydantic
    ("__dataclass_fields__", dataclasses.asdict),
    ("to_dicts", lambda value: value.to_dicts()),  # Polars
    ("to_pylist", lambda value: value.to_pylist()),  # Arrow
    ("keys", lambda value: {str(name): value[name] for name in value.keys()}),  # noqa: SIM118 - it may not be iterable by itself
)


def _listed(value: Any) -> Any:
    """Arrays and scalars of numpy and torch, series of pandas."""
    if hasattr(value, "detach"):
        return value.detach().cpu().tolist()
    if getattr(getattr(value, "dtype", None), "kind", "") in "mM":
        return value.astype(str).tolist()
    made = value.tolist()
    return made if made is not value else str(value)


def _records(frame: Any) -> list[dict[str, Any]]:
    """Rows of a frame as objects; an index that means something becomes columns."""
    if type(frame.index).__name__ != "RangeIndex":
        frame = frame.reset_index()
    names = [str(name) for name in frame.columns]
    columns = [frame.iloc[:, at].astype(object).tolist() for at in range(len(names))]
    return [dict(zip(names, map(_cell, row), strict=True)) for row in zip(*columns, strict=True)]


def _cell(value: Any) -> Any:
    return None if value is None or value != value else value
