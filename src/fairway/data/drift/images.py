"""What an image (PNG or JPEG bytes) is reduced to: width and height from its header; with Pillow brightness, contrast and the means of its
channels too."""

from __future__ import annotations

import io
import struct
from functools import cache
from importlib.util import find_spec

import numpy as np

from fairway.data.batch import Values

SIZES = ("width", "height")
LIGHTS = ("brightness", "contrast", "red", "green", "blue")
_PNG = b"\x89PNG\r\n\x1a\n"
_PIXELS = 100_000_000
_FRAMES = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}


def size_of(raw: bytes) -> tuple[int, int] | None:
    """(width, height) that a PNG's or JPEG's header says; None for anything else and for damaged ones."""
    if raw[:8] == _PNG:
        return struct.unpack(">II", raw[16:24]) if len(raw) >= 24 and raw[12:16] == b"IHDR" else None
    if raw[:3] != b"\xff\xd8\xff":
        return None
    place = 2
    while place + 9 <= len(raw):
        if raw[place] != 0xFF:
            return None
        marker = raw[place + 1]
        if marker in _FRAMES:
            height, width = struct.unpack(">HH", raw[place + 5 : place + 9])
            return width, height
        if marker == 0xFF:
            place += 1
        elif marker == 0x01 or 0xD0 <= marker <= 0xD8:
            place += 2
        else:
            place += 2 + int.from_bytes(raw[place + 2 : place + 4], "big")
    return None


def looks_like_images(values: Values) -> bool:
    """Whether most of the first rows are."""
    if values.kind != "binary":
        return False
    found = [size_of(one) is not None for one in values.values(range(min(len(values), 20))) if one is not None]
    return bool(found) and sum(found) >= 0.8 * len(found)


@cache
def can_decode() -> bool:
    """Whether Pillow is there."""
    return find_spec("PIL") is not None


def measured(values: Values) -> dict[str, np.ndarray]:
    """Each of `SIZES` (and `LIGHTS`, 0 to 255, when Pillow is there) for every row; NaN where it is no image."""
    names = (*SIZES, *LIGHTS) if can_decode() else SIZES
    made = np.full((len(values), len(names)), np.nan)
    for row, raw in enumerate(values.values(range(len(values)))):
        size = None if raw is None else size_of(raw)
        if raw is None or size is None:
            continue
        made[row, :2] = size
        if len(names) > 2 and size[0] * size[1] <= _PIXELS:
            made[row, 2:] = _lights(raw)
    return {name: made[:, place] for place, name in enumerate(names)}


def _lights(raw: bytes) -> tuple[float, ...]:
    from PIL import Image

    try:
        with Image.open(io.BytesIO(raw), formats=("PNG", "JPEG")) as opened:
            opened.draft("RGB", (128, 128))
            small = opened.convert("RGB").resize((64, 64), Image.Resampling.BOX)
    except (OSError, ValueError, SyntaxError):
        return (np.nan,) * len(LIGHTS)
    pixels = np.asarray(small, np.float64).reshape(-1, 3)
    grey = pixels @ (0.299, 0.587, 0.114)
    return float(grey.mean()), float(grey.std()), *pixels.mean(0).tolist()
