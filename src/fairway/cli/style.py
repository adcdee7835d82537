"""How things are spelled for people: colours, durations, sizes, ages, numbers. Pure but for the question whether a stream is a terminal."""

from __future__ import annotations

import os
from typing import Any, TextIO

_CODES = {"red": "31", "green": "32", "yellow": "33", "blue": "34", "cyan": "36", "dim": "2", "bold": "1"}

SYMBOLS = {
    "succeeded": "✓",
    "cached": "≡",
    "failed": "✗",
    "timeout": "✗",
    "cancelled": "■",
    "interrupted": "■",
    "skipped": "-",
    "running": "●",
    "retrying": "↻",
    "waiting": "○",
}
COLOURS = {
    "succeeded": "green",
    "cached": "cyan",
    "failed": "red",
    "timeout": "red",
    "cancelled": "yellow",
    "interrupted": "yellow",
    "skipped": "dim",
    "running": "blue",
    "retrying": "yellow",
    "waiting": "dim",
}


def is_coloured(stream: TextIO) -> bool:
    """Colours only on a terminal that wants them (https://no-color.org)."""
    if os.environ.get("NO_COLOR"):
        return False
    return bool(os.environ.get("FORCE_COLOR")) or (stream.isatty() and os.environ.get("TERM") != "dumb")


def is_terminal(stream: TextIO) -> bool:
    """Can a live view be drawn there?"""
    return stream.isatty() and os.environ.get("TERM") != "dumb"


def find_width(stream: TextIO) -> int:
    """Columns of the terminal that `stream` is; 0 if it is none, and nothing is to be cut."""
    if not stream.isatty():
        return 0
    try:
        return os.get_terminal_size(stream.fileno()).columns
    except OSError:
        return 0


def paint(text: str, colour: str, stream: TextIO) -> str:
    """`text` in a colour if `stream` shows colours."""
    code = _CODES.get(colour)
    return f"\033[{code}m{text}\033[0m" if code and is_coloured(stream) else text


def spell_duration(seconds: float) -> str:
    """0.04s, 3.2s, 1m05s, 2h03m, 3d04h."""
    if seconds < 0:
        seconds = 0.0
    if seconds < 0.995:
        return f"{seconds:.2f}s"
    if seconds < 59.95:
        return f"{seconds:.1f}s"
    whole = round(seconds)
    if whole < 3600:
        return f"{whole // 60}m{whole % 60:02d}s"
    if whole < 86400:
        return f"{whole // 3600}h{whole % 3600 // 60:02d}m"
    return f"{whole // 86400}d{whole % 86400 // 3600:02d}h"


def spell_size(size_bytes: float) -> str:
    """312 B, 4.2 KB, 200 MB: decimal units, two or three digits."""
    size = float(size_bytes)
    if size < 999.5:
        return f"{size:.0f} B"
    for unit in ("KB", "MB", "GB", "TB"):
        size /= 1000
        if size < 9.95:
            return f"{size:.1f} {unit}"
        if size < 999.5:
            return f"{size:.0f} {unit}"
    return f"{size / 1000:.1f} PB"


def spell_age(at: float, now: float) -> str:
    """just now, 4m ago, 3h ago, 2d ago; a date beyond a month."""
    seconds = now - at
    if seconds < 45:
        return "just now"
    if seconds < 3600:
        return f"{max(1, round(seconds / 60))}m ago"
    if seconds < 86400:
        return f"{round(seconds / 3600)}h ago"
    if seconds < 31 * 86400:
        return f"{round(seconds / 86400)}d ago"
    import time

    return time.strftime("%Y-%m-%d", time.localtime(at))


def spell_number(value: float) -> str:
    """A metric: at most five significant digits; whole numbers whole."""
    if isinstance(value, int) or (value == int(value) and abs(value) < 1e15 if value == value and abs(value) != float("inf") else False):
        return str(int(value))
    return f"{value:.5g}"


def spell_count(number: int, word: str) -> str:
    """1 task, 1,000 tasks."""
    return f"{number:,} {word}{'' if number == 1 else 's'}"


def clip(text: str, width: int) -> str:
    """`text` on one line of at most `width` characters, without control characters."""
    line = "".join(c if c.isprintable() else " " for c in text.strip())
    return line if len(line) <= width else line[: max(0, width - 1)] + "…"


def clip_painted(text: str, width: int) -> str:
    """`text`, which may hold our colours, at most `width` columns wide; whole if `width` is 0."""
    import re

    if not width or len(re.sub(r"\033\[\d+m", "", text)) <= width:
        return text
    kept, room = "", width - 1
    for part in re.split(r"(\033\[\d+m)", text):
        if part.startswith("\033"):
            kept += part
        else:
            kept, room = kept + part[:room], room - len(part[:room])
    return kept + "…"


def spell_value(value: Any, width: int = 60) -> str:
    """A JSON value as it would be typed."""
    import json

    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return clip(text, width)
