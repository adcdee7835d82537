"""The rows of a table in one file, of which any can be had without the rest: columns as they lie in memory, chunk by chunk.

It is not meant to be kept: who reads it is of the version that wrote it. The file is mapped, so that processes of one machine that read it
share its pages.
"""

from __future__ import annotations

import json
import mmap
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np

from fairway.data.batch import Batch, Values, joined, sliced

CHUNK_ROWS = 16_384
_FEWEST = 4_096
_ALIGNED = 64
_TAIL = 8


def write_rows(batches: Iterable[Batch], path: str, told: Callable[[], dict[str, Any]] = dict) -> None:
    """Write all rows. `told`: asked, when all are read, what else the file's readers are told. Who is killed meanwhile leaves a torn file:
    let `path` be beside the one that others look for. Raises OSError."""
    chunks: list[Any] = []
    with Path(path).open("wb") as file:
        for batch in _gathered(batches):
            chunks.append([batch.rows, {name: _put(file, one) for name, one in batch.columns.items()}])
        index = json.dumps({"chunks": chunks, "told": told()}).encode()
        file.write(index)
        file.write(len(index).to_bytes(_TAIL, "little"))


def _gathered(batches: Iterable[Batch]) -> Iterator[Batch]:
    """Those that are small are put together: a chunk costs some bytes of the index."""
    held: list[Batch] = []
    for batch in batches:
        held.append(batch)
        if sum(one.rows for one in held) >= _FEWEST:
            yield _together(held)
            held = []
    if held:
        yield _together(held)


def _together(held: list[Batch]) -> Batch:
    if len(held) == 1:
        return held[0]
    columns = {name: joined([one.columns[name] for one in held]) for name in held[0].columns}
    return Batch(held[0].first_row, sum(one.rows for one in held), columns)


def _put(file: IO[bytes], one: Values) -> list[Any]:
    """Write one column; returns where its parts are: [kind, Arrow's name, data, valid, offsets, child]."""
    valid = None if one.valid is None else _put_array(file, one.valid)
    if one.offsets is None:
        return [one.kind, one.arrow, _put_array(file, one.data), valid, None, None]
    first, last = int(one.offsets[0]), int(one.offsets[-1])
    offsets = _put_array(file, one.offsets - first)
    if one.child is not None:
        return [one.kind, one.arrow, None, valid, offsets, _put(file, sliced(one.child, first, last))]
    return [one.kind, one.arrow, _put_array(file, one.data[first:last]), valid, offsets, None]


def _put_array(file: IO[bytes], array: np.ndarray) -> list[Any]:
    at = file.tell()
    file.write(b"\0" * (-at % _ALIGNED))
    file.write(np.ascontiguousarray(array).data if len(array) else b"")
    return [array.dtype.str, at + -at % _ALIGNED, len(array)]


class RowFile:
    """What `write_rows` wrote. `size`: how many rows; `told`: what its readers are told.

    `held`: of so many rows that lie together the pages are kept; those of others count as this process's memory only while they are read.
    Raises OSError.
    """

    def __init__(self, path: str, held: int = CHUNK_ROWS) -> None:
        with Path(path).open("rb") as file:
            self._map = mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ)
        end = len(self._map) - _TAIL
        length = int.from_bytes(self._map[end:], "little")
        index = json.loads(self._map[end - length : end])
        self._chunks: list[Any] = index["chunks"]
        self._ends = np.cumsum([rows for rows, _ in self._chunks], dtype=np.int64)
        self.size, self.told = int(self._ends[-1]) if len(self._ends) else 0, index["told"]
        self._most = 2 + -(-max(held, CHUNK_ROWS) // _FEWEST)
        self._open: dict[int, dict[str, Values]] = {}

    def find(self, numbers: Sequence[int]) -> Iterator[tuple[dict[str, Values], list[int], list[int]]]:
        """(columns of a chunk, places in `numbers`, the chunk's rows that these numbers are) for each chunk that has some of them."""
        wanted = np.asarray(numbers, np.int64)
        which = np.searchsorted(self._ends, wanted, "right")
        for chunk in dict.fromkeys(which.tolist()):
            places = np.flatnonzero(which == chunk)
            rows = wanted[places] - (int(self._ends[chunk]) - self._chunks[chunk][0])
            yield self._columns(chunk), places.tolist(), rows.tolist()

    def _columns(self, chunk: int) -> dict[str, Values]:
        found = self._open.pop(chunk, None)
        if found is None:
            found = {name: self._values(said) for name, said in self._chunks[chunk][1].items()}
            while len(self._open) >= self._most:
                self._let_go(next(iter(self._open)))
        self._open[chunk] = found  # the last one asked for stands last
        return found

    def _values(self, said: list[Any]) -> Values:
        kind, arrow, data, valid, offsets, child = said
        return Values(
            kind,
            arrow,
            np.empty(0, np.uint8) if data is None else self._array(data),
            None if valid is None else self._array(valid),
            None if offsets is None else self._array(offsets),
            None if child is None else self._values(child),
        )

    def _array(self, said: list[Any]) -> np.ndarray:
        dtype, at, count = said
        return np.frombuffer(self._map, dtype, count, at)

    def _let_go(self, chunk: int) -> None:
        """Its pages stay in the system's cache, and are no more this process's."""
        del self._open[chunk]
        begin, end = _begin_of(self._chunks[chunk]), _begin_of(self._chunks[chunk + 1]) if chunk + 1 < len(self._chunks) else len(self._map)
        begin += -begin % mmap.PAGESIZE
        if end - begin >= mmap.PAGESIZE and hasattr(mmap, "MADV_DONTNEED"):
            self._map.madvise(mmap.MADV_DONTNEED, begin, end - begin)


def _begin_of(chunk: list[Any]) -> int:
    """Where the first of its bytes lies."""
    said = next(iter(chunk[1].values()))
    return min(part[1] for part in said[2:5] if part is not None)
