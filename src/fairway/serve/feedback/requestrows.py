"""Captured requests and answers as rows with named columns, whichever protocol they came by."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from typing import Any

from fairway.step.traffic import read_inputs, read_predictions

PREDICTION = "prediction"
_NAMED = (PREDICTION, "label", "class", "predict")
_AROUND = frozenset({"inputs", "instances", "data", "id", "parameters"})
"""What is around rows, and no row."""
_EXTRA = 20


def rows_of(request: str | None, columns: Sequence[str]) -> list[dict[str, Any]]:
    """The rows of a request; `columns`: names of values that have none, in order. [] for what is no table."""
    found = read_inputs(request)
    if not found and request:
        return _csv_rows(request, columns)
    if all(isinstance(one, dict) and "data" in one and isinstance(one.get("shape"), list) for one in found):
        return _tensor_rows(found, columns)
    if all(isinstance(one, list) for one in found):
        return [dict(zip(columns, one, strict=True)) for one in found if len(one) == len(columns)]
    rows = [one for one in found if isinstance(one, dict) and not set(one) <= _AROUND - set(columns)]
    if not rows and len(columns) == 1:
        return [{columns[0]: one} for one in found]
    return rows if len(rows) == len(found) else []


def predictions_of(answer: str | None, count: int) -> list[Any]:
    """What was predicted for each of `count` rows, as one plain value each; None for what is none."""
    found = read_predictions(answer)
    return [_plain(one) for one in found] if len(found) == count else [None] * count


def columns_of(rows: Sequence[dict[str, Any]], known: Sequence[str]) -> dict[str, list[Any]]:
    """Values by column: those that are known first, as far as any row has them, then some of what else came."""
    there: dict[str, None] = {}
    for row in rows:
        for name in row:
            there.setdefault(name)
    more = [name for name in there if name not in known][:_EXTRA]
    return {name: [row.get(name) for row in rows] for name in (*(name for name in known if name in there), *more)}


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        value = next((value[name] for name in _NAMED if name in value), None)
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    return value if isinstance(value, str | int | float | bool) else None


def _csv_rows(text: str, columns: Sequence[str]) -> list[dict[str, Any]]:
    try:
        lines = [line for line in csv.reader(io.StringIO(text)) if line]
    except csv.Error:
        return []
    if not lines or not set(lines[0]) & set(columns):
        return []
    names = [name.strip() for name in lines[0]]
    return [{name: _value(text) for name, text in zip(names, line, strict=False)} for line in lines[1:] if len(line) == len(names)]


def _value(text: str) -> Any:
    if not text.strip():
        return None
    for read in (int, float):
        try:
            return read(text)
        except ValueError:
            continue
    return {"true": True, "false": False}.get(text.strip().lower(), text)


def _tensor_rows(tensors: Sequence[dict[str, Any]], columns: Sequence[str]) -> list[dict[str, Any]]:
    """Of arrays of the Open Inference Protocol: one for each column, or one for all."""
    if len(tensors) == 1 and len(columns) > 1:
        tensor = tensors[0]
        shape, data = tensor["shape"], _flat(tensor["data"])
        width = shape[1] if isinstance(shape, list) and len(shape) == 2 else 0
        if width != len(columns) or not data or len(data) % width:
            return []
        return [dict(zip(columns, data[at : at + width], strict=True)) for at in range(0, len(data), width)]
    named = {str(one.get("name")): _flat(one["data"]) for one in tensors}
    if len({len(values) for values in named.values()}) != 1:
        return []
    return [dict(zip(named, values, strict=True)) for values in zip(*named.values(), strict=True)]


def _flat(data: Any) -> list[Any]:
    if not isinstance(data, list):
        return []
    while data and isinstance(data[0], list):
        data = [one for inner in data if isinstance(inner, list) for one in inner]
    return data
