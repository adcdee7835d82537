"""A PNG of plain pixels, by the standard library alone. Pure."""

from __future__ import annotations

import base64
import struct
import zlib

_KINDS = {1: 0, 3: 2, 4: 6}


def render_png(pixels: bytes, width: int, height: int, channels: int) -> bytes:
    """The picture of `height` rows of `width` pixels of 1 (grey), 3 or 4 bytes."""
    stride = width * channels
    if len(pixels) != stride * height:
        raise ValueError(f"{len(pixels)} bytes are not {width}×{height} pixels of {channels}")
    rows = b"".join(b"\0" + pixels[at : at + stride] for at in range(0, len(pixels), stride)) if stride else b""
    head = struct.pack(">IIBBBBB", width, height, 8, _KINDS[channels], 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", head) + _chunk(b"IDAT", zlib.compress(rows, 6)) + _chunk(b"IEND", b"")


def data_url(png: bytes) -> str:
    """The picture as an address that holds it."""
    return f"data:image/png;base64,{base64.b64encode(png).decode()}"


def _chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
