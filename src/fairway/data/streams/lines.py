"""Bytes as they come → whole records: lines, of JSON or of CSV, where a quoted value may hold line ends."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from fairway.data.streams.transport import LARGEST_RECORD, Records

_BOM = b"\xef\xbb\xbf"


class Lines:
    """Cuts bytes into records and knows where each ends. `start`: the position of the first byte. A record of more than `largest` bytes is
    cut there, and the rest of it is left out (a decoder refuses what is left); so memory stays bounded."""

    def __init__(self, start: int = 0, *, quoted: bool = False, largest: int = LARGEST_RECORD) -> None:
        self.position = start
        self.quoted = quoted
        self.largest = largest
        self._rest = b""
        self._skipping = False

    def feed(self, data: bytes, *, last: bool = False) -> tuple[list[bytes], np.ndarray]:
        """Records that are whole now, and the position after each. `last`: nothing follows, so the rest is a record too."""
        data = self._rest + data
        pieces = data.split(b"\n")
        rest = pieces.pop()
        if self.quoted and b'"' in data:
            pieces, rest = _join_quoted(pieces, rest)
        has_rest = last and bool(rest)
        if has_rest:
            pieces.append(rest)
            rest = b""
        ends = np.cumsum(np.fromiter(map(len, pieces), np.int64, len(pieces)) + 1) + self.position
        if len(ends):
            ends[-1] -= has_rest
            self.position = int(ends[-1])
        if self._skipping and pieces:  # the tail of a record that was too long
            self._skipping = False
            pieces, ends = pieces[1:], ends[1:]
        if len(rest) > self.largest:
            self.position += len(rest)
            if not self._skipping:
                pieces.append(rest[: self.largest])
                ends = np.append(ends, self.position)
            self._skipping, rest = True, b""
        self._rest = rest
        return _trimmed(pieces, ends, has_returns=b"\r" in data)

    def records(self, data: bytes, mark: Callable[[int], Any], *, last: bool = False) -> Records | None:
        """The same as a transport gives them; `mark` makes a position of the place after a record."""
        payloads, ends = self.feed(data, last=last)
        return Records(payloads, lambda count: mark(int(ends[count - 1]))) if payloads else None

    @property
    def waiting(self) -> int:
        """Bytes of a record whose end has not come."""
        return len(self._rest)


def _trimmed(pieces: list[bytes], ends: np.ndarray, *, has_returns: bool) -> tuple[list[bytes], np.ndarray]:
    """Without line ends of Windows, a byte order mark, and empty lines."""
    if has_returns:
        pieces = [one.removesuffix(b"\r") for one in pieces]
    if pieces and pieces[0].startswith(_BOM):
        pieces[0] = pieces[0][len(_BOM) :]
    if all(pieces):
        return pieces, ends
    kept = np.flatnonzero([bool(one.strip()) for one in pieces])
    return [pieces[place] for place in kept.tolist()], ends[kept]


def _join_quoted(pieces: list[bytes], rest: bytes) -> tuple[list[bytes], bytes]:
    """Lines whose quotes are open go on in the next."""
    joined: list[bytes] = []
    held: list[bytes] = []
    odd = False
    for piece in pieces:
        odd ^= piece.count(b'"') % 2 == 1
        held.append(piece)
        if not odd:
            joined.append(b"\n".join(held))
            held = []
    return joined, b"\n".join([*held, rest]) if held else rest
