"""What cells of the report say of a value."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from fairway.data.spelling import spell_figure, spell_seconds
from fairway.data.statistics import ColumnStatistics


def number(value: Any) -> str:
    """Four digits that matter, thousands apart, nothing for what is not known."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    return str(value) if isinstance(value, bool | str) else spell_figure(value)


def value_of(column: ColumnStatistics, ticks: float) -> str:
    """A quantile of a column as its values are written: numbers, or times."""
    if isinstance(ticks, float) and math.isnan(ticks):
        return ""
    if column.kind == "timestamp":
        return np.datetime_as_string(np.datetime64(int(ticks), "us"), unit="s").replace("T", " ")
    if column.kind == "date":
        return str(np.datetime64(int(ticks), "D"))
    if column.kind in ("time", "duration"):
        return spell_seconds(ticks / 1e6)
    return number(float(ticks))


def cut(value: Any, length: int = 40) -> str:
    """A value as text, not longer than that."""
    said = "" if value is None else str(value)
    return said if len(said) <= length else said[: length - 1] + "…"
