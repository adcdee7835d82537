"""The messages of an Arrow stream, looked at before C code follows what they say: lengths and places that lie are refused."""

from __future__ import annotations

import struct
from typing import Any, BinaryIO

_CONTINUED = 0xFFFFFFFF
_LARGEST_METADATA = 256 << 20
_DICTIONARY, _BATCH = 2, 3


class CheckedStream:
    """The bytes of a stream of messages, for a reader that asks for them piece by piece. Raises ValueError where a message lies."""

    def __init__(self, file: BinaryIO, left: int | None) -> None:
        self._file, self._left = file, left
        self._ready = memoryview(b"")
        self._body = 0
        self._ended = False

    def readinto(self, into: Any) -> int:
        """As of a file: fills what it is given from its beginning, 0 at the end."""
        room = memoryview(into).cast("B")
        if not self._ready and not self._body and not self._ended:
            self._next()
        if self._ready:
            size = min(len(room), len(self._ready))
            room[:size] = self._ready[:size]
            self._ready = self._ready[size:]
            return size
        if not self._body:
            return 0
        piece = self._file.read(min(len(room), self._body))
        if not piece:
            raise ValueError("it ends within a message: it was cut off")
        room[: len(piece)] = piece
        self._body -= len(piece)
        self._take(len(piece))
        return len(piece)

    def close(self) -> None:
        self._file.close()

    def _take(self, size: int) -> None:
        if self._left is not None:
            self._left -= size

    def _read(self, size: int) -> bytes:
        parts: list[bytes] = []
        while size and (piece := self._file.read(size)):
            parts.append(piece)
            size -= len(piece)
        if size:
            raise ValueError("it ends within a message: it was cut off")
        made = b"".join(parts)
        self._take(len(made))
        return made

    def _next(self) -> None:
        """The header of the next message is ready; how long its body is, is known."""
        begin = self._file.read(4)
        if len(begin) < 4:
            self._ended = True
            return
        self._take(4)
        (size,) = struct.unpack("<I", begin)
        if size == _CONTINUED:
            more = self._read(4)
            begin += more
            (size,) = struct.unpack("<I", more)
        if size == 0:
            self._ended, self._ready = True, memoryview(begin)
            return
        if size > _LARGEST_METADATA or (self._left is not None and size > self._left):
            raise ValueError(f"a message says that its head has {size:,} bytes, which are not there")
        head = self._read(size)
        self._body = check_message(head)
        if self._left is not None and self._body > self._left:
            raise ValueError(f"a message says that its body has {self._body:,} bytes, of which {max(self._left, 0):,} are there")
        self._ready = memoryview(begin + head)


def check_message(head: bytes) -> int:
    """How long the body of a message is. Raises ValueError where its buffers lie outside of it, or it is no message."""
    try:
        message = _Table(head, struct.unpack_from("<I", head, 0)[0])
        body = message.number(3, "<q", 0)
        kind = message.number(1, "<B", 0)
        if body < 0:
            raise ValueError(f"a message says that its body has {body:,} bytes")
        if kind in (_DICTIONARY, _BATCH):
            batch = message.table(2)
            batch = batch.table(1) if kind == _DICTIONARY else batch
            _check_batch(batch, body)
    except struct.error:
        raise ValueError("a message points outside of itself") from None
    return body


def _check_batch(batch: _Table, body: int) -> None:
    rows = batch.number(0, "<q", 0)
    if rows < 0:
        raise ValueError(f"a message says that it has {rows:,} rows")
    for length, nulls in batch.pairs(1):
        if length < 0 or not 0 <= nulls <= length:
            raise ValueError(f"a message says that a column has {length:,} values, {nulls:,} of them null")
    for offset, size in batch.pairs(2):
        if offset < 0 or size < 0 or offset + size > body:
            raise ValueError(f"a message says that {size:,} bytes lie {offset:,} bytes into its body of {body:,}")


class _Table:
    """A table of FlatBuffers: fields by number."""

    def __init__(self, data: bytes, at: int) -> None:
        self._data, self._at = data, at
        (back,) = struct.unpack_from("<i", data, at)
        self._fields = at - back
        if not 0 <= self._fields <= len(data) - 4:
            raise ValueError("a message points outside of itself")
        (self._size,) = struct.unpack_from("<H", data, self._fields)

    def _place(self, field: int) -> int:
        place = 4 + 2 * field
        if place + 2 > self._size:
            return 0
        (offset,) = struct.unpack_from("<H", self._data, self._fields + place)
        return self._at + offset if offset else 0

    def number(self, field: int, kind: str, otherwise: int) -> int:
        place = self._place(field)
        return struct.unpack_from(kind, self._data, place)[0] if place else otherwise

    def _reference(self, field: int) -> int:
        place = self._place(field)
        return place + struct.unpack_from("<I", self._data, place)[0] if place else 0

    def table(self, field: int) -> _Table:
        place = self._reference(field)
        if not place:
            raise ValueError("a message lacks what it is about")
        return _Table(self._data, place)

    def pairs(self, field: int) -> list[tuple[int, int]]:
        """A vector of two 64-bit numbers each."""
        place = self._reference(field)
        if not place:
            return []
        (count,) = struct.unpack_from("<I", self._data, place)
        if place + 4 + 16 * count > len(self._data):
            raise ValueError("a message points outside of itself")
        numbers = struct.unpack_from(f"<{2 * count}q", self._data, place + 4)
        return list(zip(numbers[::2], numbers[1::2], strict=True))
