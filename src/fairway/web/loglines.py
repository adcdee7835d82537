"""Numbers of lines in logs of any size: newlines are counted once, a block at a time, and only the counts are kept."""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections import OrderedDict
from threading import Lock
from weakref import WeakKeyDictionary

from fairway.spec.ports import StreamStore

BLOCK_BYTES = 1 << 20
LOGS_KEPT = 256
"""A log of a gigabyte costs 8 KB."""
_STEP_BLOCKS = 64
_READ_BYTES = 256 << 10
"""The interpreter is held for a tenth of a millisecond for each: others get on."""


class _Marks:
    """Newlines before the end of each whole block of one log."""

    def __init__(self) -> None:
        self.newlines = array("Q")
        self.lock = Lock()


class LineIndex:
    """Finds lines by number, and the number of the line at a byte. Its calls block, and may be made from any thread."""

    def __init__(self, streams: StreamStore) -> None:
        self._streams = streams
        self._kept: OrderedDict[str, _Marks] = OrderedDict()
        self._lock = Lock()

    def number_at(self, name: str, offset: int) -> int:
        """The number, from 1, of the line that byte `offset` lies in."""
        marks = self._marks(name)
        self._extend(name, marks, offset // BLOCK_BYTES)
        block = min(offset // BLOCK_BYTES, len(marks.newlines))
        found, at = marks.newlines[block - 1] if block else 0, block * BLOCK_BYTES
        while at < offset and (data := self._streams.read(name, at, min(_READ_BYTES, offset - at))):
            found += data.count(b"\n")
            at += len(data)
        return found + 1

    def find_line(self, name: str, number: int) -> tuple[int, int]:
        """(byte at which line `number` begins, its number); the last line if there are fewer."""
        if number <= 1:
            return 0, 1
        at = self._find_newline(name, number - 1)
        if at < 0 or at + 1 >= self._streams.size(name):
            number = min(number, self.count(name)[0])
            at = self._find_newline(name, number - 1) if number > 1 else -1
        return at + 1, max(number, 1)

    def count(self, name: str) -> tuple[int, int]:
        """(lines, bytes) of the whole log as it is now; a last line without its end counts."""
        size = self._streams.size(name)
        if not size:
            return 0, 0
        ended = self._streams.read(name, size - 1, 1) == b"\n"
        return self.number_at(name, size) - ended, size

    def _find_newline(self, name: str, k: int) -> int:
        """Where the `k`-th newline is, -1 if there are fewer."""
        marks = self._marks(name)
        while (block := bisect_left(marks.newlines, k)) == len(marks.newlines):
            if not self._extend(name, marks, block + _STEP_BLOCKS):
                break
        found, at = marks.newlines[block - 1] if block else 0, block * BLOCK_BYTES
        while data := self._streams.read(name, at, _READ_BYTES):
            here = data.count(b"\n")
            if found + here >= k:
                position = -1
                while found < k:
                    position = data.find(b"\n", position + 1)
                    found += 1
                return at + position
            found += here
            at += len(data)
        return -1

    def _marks(self, name: str) -> _Marks:
        with self._lock:
            marks = self._kept.setdefault(name, _Marks())
            self._kept.move_to_end(name)
            while len(self._kept) > LOGS_KEPT:
                self._kept.popitem(last=False)
        if len(marks.newlines) * BLOCK_BYTES > self._streams.size(name):  # deleted, and begun again
            with self._lock:
                marks = self._kept[name] = _Marks()
        return marks

    def _extend(self, name: str, marks: _Marks, blocks: int) -> bool:
        """Know the first `blocks` blocks, as far as they are whole; False if nothing could be added."""
        with marks.lock:
            known = len(marks.newlines)
            until = min(blocks, self._streams.size(name) // BLOCK_BYTES)
            while (block := len(marks.newlines)) < until:
                found = marks.newlines[-1] if block else 0
                end = (block + 1) * BLOCK_BYTES
                for at in range(block * BLOCK_BYTES, end, _READ_BYTES):
                    found += self._streams.read(name, at, min(_READ_BYTES, end - at)).count(b"\n")
                marks.newlines.append(found)
            return len(marks.newlines) > known


_INDEXES: WeakKeyDictionary[StreamStore, LineIndex] = WeakKeyDictionary()


def lines_of(streams: StreamStore) -> LineIndex:
    """The index of this store's logs."""
    found = _INDEXES.get(streams)
    if found is None:
        found = _INDEXES[streams] = LineIndex(streams)
    return found
