"""Arrays inside JSON: little-endian bytes, deflated, in base64."""

from __future__ import annotations

import base64
import zlib
from typing import Any

import numpy as np

_LARGEST = 1 << 28


def pack(array: np.ndarray) -> str:
    """An array as text: little-endian, deflated, base64."""
    little = array.astype(array.dtype.newbyteorder("<"), copy=False)
    return base64.b64encode(zlib.compress(little.tobytes(), 1)).decode()


def unpack(text: Any, dtype: Any) -> np.ndarray:
    """ValueError when it is damaged or longer than any of ours can be."""
    if not isinstance(text, str):
        raise ValueError("an array is no text")
    reader = zlib.decompressobj()
    try:
        raw = reader.decompress(base64.b64decode(text, validate=True), _LARGEST)
    except zlib.error as error:
        raise ValueError(f"an array is damaged: {error}") from error
    if reader.unconsumed_tail or not reader.eof:
        raise ValueError("an array is damaged: it does not end where it should")
    return np.frombuffer(raw, np.dtype(dtype).newbyteorder("<")).astype(dtype)
