"""Rows with thousands of values too many. DuckDB makes an error of each, with the whole row in it: some get most separators taken out.

What is left is a row that has too many values as before, in as many bytes and lines; how many they were is kept.
"""

from __future__ import annotations

import mmap
import os
from collections.abc import Iterator
from pathlib import Path

SPARE = 200
_STEP = 8_192
_LOOKED_BYTES = 4 << 30
_LINE_BYTES = 8 << 20


def has_wide_line(path: str, end: bytes, separator: bytes, columns: int) -> bool:
    """Whether a line of a file has far more separators than columns, in or out of quotes. Files too large to be read twice: False.

    Such a line covers a whole stretch of some kilobytes, so only the stretches without a line end are read.
    """
    size = os.stat(path).st_size  # noqa: PTH116
    if not 0 < size <= _LOOKED_BYTES:
        return False
    with Path(path).open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as text:
        place = 0
        while place < size:
            if text.find(end, place, place + _STEP) >= 0:
                place += _STEP
                continue
            begin = text.rfind(end, max(0, place - _LINE_BYTES), place) + 1 or max(0, place - _LINE_BYTES)
            stop = text.find(end, place + _STEP)
            stop = size if stop < 0 else stop
            if text[begin : min(stop, begin + _LINE_BYTES)].count(separator) > columns + SPARE:
                return True
            place = max(stop, place + _STEP)
    return False


class Narrowing:
    """Pieces of a text that pass by. `widths`: how many values each row had that got separators taken out, by the line it begins on."""

    def __init__(self, separator: str, quote: str, escape: str, columns: int) -> None:
        self._separator, self._quote = separator.encode(), quote.encode()
        self._escaped = (escape + quote).encode() if escape and escape != quote else b""
        self._most = columns + SPARE
        self._seen = 0  # separators of this row so far
        self._quoted = False
        self._line = self._begun = 1
        self.widths: dict[int, int] = {}

    def passing(self, pieces: Iterator[bytes], end: bytes) -> Iterator[bytes]:
        for piece in pieces:
            wide = self._seen > self._most or any(piece.find(end, at, at + _STEP) < 0 for at in range(0, len(piece), _STEP))
            if wide and piece:
                lines = piece.split(end)
                piece = end.join([*(self._narrowed(line, ends=True) for line in lines[:-1]), self._narrowed(lines[-1], ends=False)])
            elif piece:
                piece = self._follow(piece, end)
            yield piece

    def _follow(self, piece: bytes, end: bytes) -> bytes:
        """A piece of short lines, of which only the last may go on. A row that began on a line before counts from its last line."""
        begin = piece.rfind(end) + 1
        head = piece[:begin]
        if self._quote and self._plain(head).count(self._quote) % 2:
            self._quoted = not self._quoted
        if begin:
            self._line += head.count(end)
            self._seen = 0
            if not self._quoted:
                self._begun = self._line
        return head + self._narrowed(piece[begin:], ends=False)

    def _plain(self, text: bytes) -> bytes:
        return text.replace(self._escaped, b" " * len(self._escaped)) if self._escaped and self._escaped in text else text

    def _narrowed(self, line: bytes, *, ends: bool) -> bytes:
        parts = self._plain(line).split(self._quote) if self._quote else [line]
        outside = [(part if (n % 2 == 0) is not self._quoted else b"").count(self._separator) for n, part in enumerate(parts)]
        before, self._seen = self._seen, self._seen + sum(outside)
        if self._seen > self._most:
            self.widths[self._begun] = self._seen + 1
            line = self._cut(line, parts, outside, self._most - before)
        self._quoted ^= len(parts) % 2 == 0
        if ends:
            self._line += 1
            if not self._quoted:
                self._begun, self._seen = self._line, 0
        return line

    def _cut(self, line: bytes, parts: list[bytes], outside: list[int], left: int) -> bytes:
        """Without separators after the first `left`, and without the quotes that open and close there."""
        made: list[bytes] = []
        blank = b" " * len(self._separator)
        last = len(parts) - 1
        closed = last if (last % 2 == 0) is not self._quoted else last - 1  # behind it a quote is open at the end of the line
        for n, part in enumerate(parts):
            if n:
                kept = left >= 0 or n > closed
                made.append(self._quote if kept else b" " * len(self._quote))
            if outside[n] <= left:
                left -= outside[n]
            elif outside[n]:
                head = part.split(self._separator, max(left, 0))
                rest, kept = head[-1], b""
                if n == closed and n < last and rest.endswith(self._separator):
                    rest, kept = rest[: -len(self._separator)], self._separator  # the quote behind it stays open: it has to begin a value
                head[-1] = rest.replace(self._separator, blank) + kept
                part, left = self._separator.join(head), -1
            made.append(part)
        return b"".join(made)
