"""Numbers, shares, times and values as people read them: in messages, reports, on terminals."""

from __future__ import annotations

import json
import math
from typing import Any

_CUT = 40


def spell(value: Any) -> str:
    """A value as people read it: numbers with at most six significant digits, text in quotation marks."""
    if isinstance(value, bool) or value is None:
        return json.dumps(value)
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        if not math.isfinite(value):
            return str(value)
        return f"{int(value):,}" if value == int(value) and abs(value) < 1e15 else f"{value:,.6g}"
    if isinstance(value, bytes):
        return f"{len(value):,} bytes"
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    text = "".join(one if one.isprintable() else f"\\x{ord(one):02x}" for one in text[: 2 * _CUT])
    text = text if len(text) <= _CUT else text[: _CUT - 1] + "…"
    return json.dumps(text, ensure_ascii=False).replace("\\\\", "\\") if isinstance(value, str) else text


def spell_figure(value: float) -> str:
    """A measured number with four digits that matter, thousands apart; whole numbers whole."""
    if not math.isfinite(value):
        return str(value)
    size = abs(value)
    if float(value).is_integer() and size < 1e15:
        return f"{int(value):,}"
    if size >= 1e15 or size < 1e-4:
        return f"{value:.3g}"
    digits = max(0, 3 - math.floor(math.log10(size)))
    return f"{value:,.{digits}f}".rstrip("0").rstrip(".") if digits else f"{value:,.0f}"


def spell_share(share: float) -> str:
    """62 %, 0.4 %, 0.0003 %."""
    percent = share * 100
    if 0 < percent < 0.1 or (99.9 < percent < 100):
        return f"{percent:.4g} %" if percent < 1 else f"{percent:.4f} %"
    return f"{percent:.1f} %".replace(".0 %", " %")


def spell_seconds(seconds: float) -> str:
    """5 s, 250 ms, 90 s, 12 min, 3.5 h, 2 days; nothing for what is not known."""
    size = abs(seconds)
    if math.isnan(size):
        return ""
    for limit, unit, text in ((0.001, 1e-6, "µs"), (1, 0.001, "ms"), (120, 1, "s"), (7_200, 60, "min"), (172_800, 3_600, "h")):
        if size < limit:
            return f"{seconds / unit:.4g} {text}"
    return f"{seconds / 86_400:.4g} days"


def spell_some(values: list[Any], most: int = 5) -> str:
    """Some of a list of values."""
    shown = ", ".join(spell(one) for one in values[:most])
    return shown if len(values) <= most else f"{shown} and {len(values) - most:,} more"


def spell_count(number: int, word: str) -> str:
    """1 row, 1,000 rows."""
    return f"{number:,} {word}{'' if number == 1 else 's'}"
