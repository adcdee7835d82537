"""One cell of a table as JSON that a page can show: short, and exact where JSON can say it. Pure."""

from __future__ import annotations

import json
import math
from typing import Any

CELL_CHARACTERS = 300
_EXACT = 1 << 53
_FEW = 12


def show_cell(value: Any, characters: int = CELL_CHARACTERS) -> Any:
    """Numbers, booleans, None and short texts as they are; what is longer or stranger as text, cut off with "…"."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int):
        return value if -_EXACT <= value <= _EXACT else clip(str(value) if value.bit_length() < 4096 else hex(value), characters)
    if isinstance(value, float):
        return value if math.isfinite(value) else ("NaN" if value != value else "Infinity" if value > 0 else "-Infinity")
    if isinstance(value, str):
        return clip(value, characters)
    if isinstance(value, bytes | bytearray | memoryview):
        return show_bytes(bytes(value), characters)
    if isinstance(value, dict | list | tuple):
        return clip(json.dumps(_shorten(value), ensure_ascii=False, default=_spell), characters)
    return clip(_spell(value), characters)


def show_bytes(value: bytes, characters: int = CELL_CHARACTERS) -> str:
    """As text if it is text, else as hexadecimal digits."""
    try:
        text = value[: characters + 4].decode("utf-8") if len(value) > characters else value.decode("utf-8")
        if text.isprintable():
            return clip(text, characters)
    except UnicodeDecodeError:
        pass
    return f"0x{value[:16].hex()}{f'… ({len(value):,} bytes)' if len(value) > 16 else ''}"


def clip(text: str, characters: int = CELL_CHARACTERS) -> str:
    """At most `characters` of the text; half surrogate pairs, which no page can hold, are replaced."""
    if len(text) > characters:
        text = text[: characters - 1] + "…"
    return text if text.isascii() else text.encode("utf-8", "replace").decode()


def _shorten(value: Any, depth: int = 0) -> Any:
    if depth > 6:
        return "…"
    if isinstance(value, dict):
        return {str(key): _shorten(item, depth + 1) for key, item in list(value.items())[:_FEW]}
    if isinstance(value, list | tuple):
        short = [_shorten(item, depth + 1) for item in value[:_FEW]]
        return [*short, f"… {len(value):,} in all"] if len(value) > _FEW else short
    return show_cell(value)


def _spell(value: Any) -> str:
    return value.isoformat() if hasattr(value, "isoformat") else str(value)
