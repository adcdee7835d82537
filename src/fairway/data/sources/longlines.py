"""Lines longer than a scan's buffer: DuckDB leaves those out without a word, so they are looked for, at the price of a few kilobytes."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

_PROBE = 1 << 16
_SHOWN = 400


def long_lines(path: str, end: bytes, longest: int) -> Iterator[tuple[int, bytes]]:
    """Where each line of more than `longest` bytes begins (from 0), and its first bytes. `end`: what ends a line.

    Such a line covers a whole half of `longest` somewhere: a stretch that begins with a line end within its first bytes is skipped.
    """
    step = max(longest // 2, 1)
    with Path(path).open("rb", buffering=0) as file:
        handle, size = file.fileno(), os.fstat(file.fileno()).st_size
        place = 0
        while place < size:
            found = _find(handle, end, place, min(place + step, size))
            if found >= 0 or place + step > size:
                place += step
                continue
            begin, stop = _begin(handle, end, place), _find(handle, end, place + step, size)
            stop = size if stop < 0 else stop
            if stop - begin > longest:
                yield begin, os.pread(handle, _SHOWN, begin)
            place += max(1, (stop - place) // step) * step


def _find(handle: int, end: bytes, start: int, stop: int) -> int:
    while start < stop:
        piece = os.pread(handle, min(_PROBE, stop - start), start)
        if not piece:
            return -1
        found = piece.find(end)
        if found >= 0:
            return start + found
        start += len(piece)
    return -1


def _begin(handle: int, end: bytes, place: int) -> int:
    """Where the line begins that a place is in."""
    while place > 0:
        start = max(0, place - _PROBE)
        found = os.pread(handle, place - start, start).rfind(end)
        if found >= 0:
            return start + found + 1
        place = start
    return 0


class LongestLine:
    """Pieces of a text that pass by: `too_long` is the number and the first bytes of each line of more than `longest` bytes among them."""

    def __init__(self, longest: int) -> None:
        self._longest, self._run = longest, 0
        self._lines = 1
        self._shown = b""
        self.too_long: list[tuple[int, bytes]] = []

    def passing(self, pieces: Iterator[bytes], end: bytes) -> Iterator[bytes]:
        for piece in pieces:
            first = piece.find(end)
            if not self._run:
                self._shown = piece[:_SHOWN]
            self._run += len(piece) if first < 0 else first
            if first >= 0:
                self._close()
                last = piece.rfind(end)
                self._lines += piece.count(end)
                self._run = len(piece) - last - 1
                self._shown = piece[last + 1 : last + 1 + _SHOWN]
            yield piece
        self._close()

    def _close(self) -> None:
        if self._run > self._longest:
            self.too_long.append((self._lines, self._shown))
        self._run = 0
