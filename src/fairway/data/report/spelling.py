"""Numbers as people read them."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from fairway.data.statistics import ColumnStatistics


def number(value: Any) -> str:
    """Four digits that matter, thousands apart, nothing for what is not known."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    if isinstance(value, bool | str):
        return str(value)
    size = abs(value)
    if float(value).is_integer() and size < 1e15:
        return f"{int(value):,}"
    if size >= 1e15 or size < 1e-4:
        return f"{value:.3g}"
    return f"{value:,.{max(0, 3 - math.floor(math.log10(size)))}f}" if size < 1e6 else f"{value:,.0f}"


def share(value: float) -> str:
    """A share in percent; what is there is never 0 %, what lacks something never 100 %."""
    if value in (0.0, 1.0):
        return f"{value * 100:.0f} %"
    if value < 0.0005:
        return "< 0.1 %"
    return "> 99.9 %" if value > 0.9995 else f"{value * 100:.1f} %"


def duration(seconds: float) -> str:
    """Seconds as "5 s", "2.5 h", "3 d"."""
    if math.isnan(seconds):
        return ""
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if abs(seconds) >= 2 * size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds:.3g} s" if seconds >= 1 or seconds == 0 else f"{seconds * 1000:.3g} ms"


def value_of(column: ColumnStatistics, ticks: float) -> str:
    """A quantile of a column as its values are written: numbers, or times."""
    if isinstance(ticks, float) and math.isnan(ticks):
        return ""
    if column.kind == "timestamp":
        return np.datetime_as_string(np.datetime64(int(ticks), "us"), unit="s").replace("T", " ")
    if column.kind == "date":
        return str(np.datetime64(int(ticks), "D"))
    if column.kind in ("time", "duration"):
        return duration(ticks / 1e6)
    return number(float(ticks))


def cut(value: Any, length: int = 40) -> str:
    """A value as text, not longer than that."""
    said = "" if value is None else str(value)
    return said if len(said) <= length else said[: length - 1] + "…"
