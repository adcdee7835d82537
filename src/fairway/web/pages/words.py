"""Numbers, sizes and times in words, as the pages show them. Pure."""

from __future__ import annotations

import math
import time


def spell_ago(at: float, now: float = 0.0) -> str:
    """How long ago `at` (epoch seconds) was: "12 s ago", "3 h ago", "2026-11-24" when it is long ago."""
    if not at:
        return ""
    passed = (now or time.time()) - at
    if passed < -1:
        return f"in {spell_duration(-passed)}"
    if passed < 10:
        return "just now"
    if passed < 7 * 86400:
        unit, name = next((unit, name) for unit, name in ((86400, "d"), (3600, "h"), (60, "min"), (1, "s")) if passed >= unit)
        return f"{int(passed // unit)} {name} ago"
    return time.strftime("%Y-%m-%d", time.gmtime(at))


def spell_duration(seconds: float | None) -> str:
    """ "34 ms", "4.2 s", "3 min 5 s", "2 h 4 min", "3 d 2 h"."""
    if seconds is None or seconds != seconds:
        return ""
    seconds = max(seconds, 0.0)
    if seconds < 0.9995:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 59.95:
        return f"{seconds:.1f} s" if seconds < 9.95 else f"{seconds:.0f} s"
    whole = round(seconds)
    if whole < 3600:
        return _two(whole // 60, "min", whole % 60, "s")
    if whole < 86400:
        return _two(whole // 3600, "h", whole % 3600 // 60, "min")
    return _two(whole // 86400, "d", whole % 86400 // 3600, "h")


def spell_size(size_bytes: float) -> str:
    """ "512 B", "3.4 kB", "1.2 GB": powers of a thousand."""
    size = float(size_bytes)
    if size < 999.5:
        return f"{size:.0f} B"
    units = ["kB", "MB", "GB", "TB", "PB"]
    size /= 1000
    while size >= 999.5 and len(units) > 1:
        size /= 1000
        units.pop(0)
    return f"{size:.1f} {units[0]}" if size < 9.95 else f"{size:.0f} {units[0]}"


def spell_number(value: object) -> str:
    """A number as people read it: 12,345 · 0.8123 · 1.2e-07; anything else as text."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return "" if value is None else str(value)
    if isinstance(value, int):
        return f"{value:,}" if abs(value) < 10**15 else f"{value:.4g}"
    if not math.isfinite(value):
        return {math.inf: "∞", -math.inf: "−∞"}.get(value, "NaN")
    if value == int(value) and abs(value) < 10**15:
        return f"{int(value):,}"
    size = abs(value)
    if size >= 1e6 or size < 1e-4:
        return f"{value:.4g}"
    if size >= 1000:
        return f"{value:,.1f}"
    return f"{value:.4g}"


def _two(first: int, first_unit: str, second: int, second_unit: str) -> str:
    return f"{first} {first_unit} {second} {second_unit}" if second else f"{first} {first_unit}"


def spell_rate(rate: float) -> str:
    """Requests a second: "0 /s", "0.3 /s", "12.4 /s", "1,240 /s"."""
    if rate <= 0:
        return "0 /s"
    if rate < 0.05:
        return "< 0.1 /s"
    return f"{rate:.1f} /s" if rate < 99.95 else f"{rate:,.0f} /s"


def spell_ms(ms: float | None) -> str:
    """A latency: "–" where there was none, "0.24 ms", "8.3 ms", "142 ms", "3.2 s"."""
    if ms is None or ms != ms:
        return "–"
    if ms >= 999.5:
        return spell_duration(ms / 1000)
    return f"{ms:.2f} ms" if ms < 0.995 else f"{ms:.1f} ms" if ms < 9.95 else f"{ms:.0f} ms"


def spell_share(share: float) -> str:
    """A share of 1 in percent: "0 %", "< 0.1 %", "0.4 %", "12 %"; never "100 %" for less than all."""
    percent = 100 * share
    if percent <= 0:
        return "0 %"
    if percent < 0.05:
        return "< 0.1 %"
    if percent < 9.95:
        return f"{percent:.1f} %".replace(".0 %", " %")
    return "100 %" if share >= 1 else f"{min(percent, 99):.0f} %"
