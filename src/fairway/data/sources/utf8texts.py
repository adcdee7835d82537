"""Texts that stay the UTF-8 they were read as: most go into an Arrow column without ever having been Python's."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

_SHORT = 32  # up to so many bytes are gathered letter by letter, for all texts at once
_DAYS = np.array([0, 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31])
_ZERO, _NINE, _POINT, _PLUS, _MINUS = b"09.+-"


class Utf8Texts(Sequence[str]):
    """Texts none of which holds a NUL, as Python's only for who asks."""

    def __init__(self, raw: list[bytes]) -> None:
        self._raw: list[bytes] | None = raw
        self._joined: bytes | None = None
        self._cut: _Cut | None = None
        self._texts: list[str] | None = None

    @classmethod
    def joined(cls, texts: bytes) -> Utf8Texts:
        """Texts with a NUL between them."""
        made = cls([])
        made._raw, made._joined = None, texts
        return made

    @classmethod
    def cut(cls, buffer: bytes, starts: np.ndarray, stops: np.ndarray) -> Utf8Texts:
        """Stretches of a buffer."""
        made = cls([])
        made._raw, made._cut = None, _Cut(buffer, starts, stops)
        return made

    def parts(self) -> list[bytes]:
        """The bytes of each."""
        if self._raw is None:
            self._raw = self._cut.parts() if self._cut is not None else (self._joined or b"").split(b"\0")
        return self._raw

    def strings(self) -> list[str]:
        """Each as a text of Python's."""
        if self._texts is None:
            parts = [] if self._joined is not None else self.parts()
            joined = self._joined if self._joined is not None else b"\0".join(parts)
            self._texts = joined.decode("utf-8", "replace").split("\0") if joined or parts or self._joined is not None else []
        return self._texts

    def arrow(self) -> tuple[bytes | np.ndarray, np.ndarray]:
        """The bytes one after the other, and how many each text has."""
        if self._cut is not None:
            return self._cut.gathered(), self._cut.lengths
        if self._joined is None:
            parts = self.parts()
            return b"".join(parts), np.fromiter(map(len, parts), np.int64, len(parts))
        data = np.frombuffer(self._joined, np.uint8)
        between = data == 0
        edges = np.concatenate([[-1], np.flatnonzero(between), [len(data)]])
        return data[~between], np.diff(edges) - 1

    def values(self, arrow: str) -> np.ndarray | None:
        """The numbers or days since 1970 that they are, if all are written in the plainest way; None: they must be read one by one."""
        if self._cut is None or arrow not in _READERS or not len(self._cut.starts):
            return None
        return _READERS[arrow](self._cut)

    def __len__(self) -> int:
        if self._cut is not None:
            return len(self._cut.starts)
        return len(self._raw) if self._raw is not None else (self._joined or b"").count(b"\0") + 1

    def __getitem__(self, place: Any) -> Any:
        return self.strings()[place]


class _Cut:
    """Stretches of a buffer, which are looked at letter by letter: the first of all, the second of all …"""

    def __init__(self, buffer: bytes, starts: np.ndarray, stops: np.ndarray) -> None:
        self.buffer, self.starts, self.stops = buffer, starts, stops
        self.lengths = stops - starts
        self.longest = int(self.lengths.max()) if len(starts) else 0
        self._array = np.frombuffer(buffer, np.uint8)

    def parts(self) -> list[bytes]:
        buffer = self.buffer
        return [buffer[start:stop] for start, stop in zip(self.starts.tolist(), self.stops.tolist(), strict=True)]

    def letters(self, place: int) -> tuple[np.ndarray, np.ndarray]:
        """The letter at a place of each (any, where there is none), and where there is one."""
        return self._array.take(self.starts + place, mode="clip"), self.lengths > place

    def gathered(self) -> bytes | np.ndarray:
        if self.longest > _SHORT:
            return b"".join(self.parts())
        places = np.arange(self.longest)
        grid = self._array.take(self.starts[:, None] + places, mode="clip")
        return grid[places < self.lengths[:, None]]


def _integers(cut: _Cut) -> np.ndarray | None:
    made = _digits(cut, decimals=False)
    return made[0] if made is not None else None


def _floats(cut: _Cut) -> np.ndarray | None:
    """Both parts of the division are whole numbers below 2^53: what comes out is the nearest float, as Python reads it."""
    made = _digits(cut, decimals=True)
    if made is None:
        return None
    whole, behind, negative = made
    plain = whole / _POWERS[behind]
    return np.where(negative, -plain, plain)


def _digits(cut: _Cut, *, decimals: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray] | None:
    """The digits as one number, how many stand behind the point, and whether a minus stood first. None: something else is there."""
    if cut.longest > 16 or int(cut.lengths.min()) < 1:
        return None
    count = len(cut.starts)
    whole, behind, seen = np.zeros(count, np.int64), np.zeros(count, np.int64), np.zeros(count, bool)
    negative, any_digit = np.zeros(count, bool), np.zeros(count, bool)
    for place in range(cut.longest):
        letters, there = cut.letters(place)
        digit = (letters >= _ZERO) & (letters <= _NINE) & there
        other = there & ~digit
        if other.any():
            if place == 0:
                negative = other & (letters == _MINUS)
                other &= ~negative & (letters != _PLUS)
            if decimals:
                point = other & (letters == _POINT) & ~seen
                seen |= point
                other &= ~point
            if other.any():
                return None
        whole = np.where(digit, whole * 10 + (letters.astype(np.int64) - _ZERO), whole)
        behind += digit & seen
        any_digit |= digit
    if not any_digit.all() or int(whole.max()) >= 1 << 53:
        return None
    return (whole if decimals else np.where(negative, -whole, whole)), behind, negative


_POWERS = 10.0 ** np.arange(17)


def _days(cut: _Cut) -> np.ndarray | None:
    """YYYY-MM-DD, by the calendar that Python's dates have."""
    if cut.longest != 10 or int(cut.lengths.min()) != 10:
        return None
    letters = [cut.letters(place)[0].astype(np.int64) for place in range(10)]
    if not ((letters[4] == _MINUS) & (letters[7] == _MINUS)).all():
        return None
    digits = [letters[place] - _ZERO for place in (0, 1, 2, 3, 5, 6, 8, 9)]
    if not all(((one >= 0) & (one <= 9)).all() for one in digits):
        return None
    year = digits[0] * 1000 + digits[1] * 100 + digits[2] * 10 + digits[3]
    month, day = digits[4] * 10 + digits[5], digits[6] * 10 + digits[7]
    if not ((year >= 1) & (month >= 1) & (month <= 12) & (day >= 1)).all():
        return None
    leap = (year % 4 == 0) & ((year % 100 != 0) | (year % 400 == 0))
    if not (day <= _DAYS[month] + (leap & (month == 2))).all():
        return None
    months = (year - 1970) * 12 + month - 1
    return months.view("M8[M]").astype("M8[D]").view(np.int64) + day - 1


_READERS = {"int64": _integers, "double": _floats, "date32[day]": _days}
