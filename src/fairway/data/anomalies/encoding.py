"""Texts that went through a wrong encoding."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np

from fairway.data.batch import Values

if TYPE_CHECKING:
    from fairway.data.anomalies.textchecks import TextCheck

_TAIL = "[\u0080-\u00bf\u20ac\u201a\u0192\u201e\u2026\u2020\u2021\u02c6\u2030\u0160\u2039\u0152\u017d\u2018\u2019\u201c\u201d\u2022\u2013\u2014\u02dc\u2122\u0161\u203a\u0153\u017e\u0178]"  # fmt: skip # noqa: E501
"""What the second and later bytes of UTF-8 look like when they are read as Windows-1252."""
_DAMAGE = re.compile(
    f"\ufffd|[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]|[\u00c2\u00c3]{_TAIL}|\u00e2{_TAIL}{{2}}|(?:[\u00c4-\u00df]{_TAIL}){{2}}"
)
_CONTROLS = bytes([*range(9), 11, 12, *range(14, 32), 127])


def is_sound(text: str) -> bool:
    """Holds a text no U+FFFD, no controls, and nothing that is UTF-8 read as Latin-1 or Windows-1252?"""
    return _DAMAGE.search(text) is None


def damaged(values: Values, check: TextCheck) -> np.ndarray:
    """A mask: True where a text is damaged. Batches in plain ASCII cost next to nothing."""
    assert values.offsets is not None
    raw = values.data[int(values.offsets[0]) : int(values.offsets[-1])].tobytes()
    if raw.isascii() and len(raw.translate(None, _CONTROLS)) == len(raw):
        return np.zeros(len(values), bool)
    return check.wrong(values)


def mended(text: str) -> str:
    """What a damaged text was, if it can be told; "" if not."""
    for name in ("cp1252", "latin-1"):
        try:
            made = text.encode(name).decode("utf-8")
        except UnicodeError:
            continue
        if made != text:
            return made
    return ""
