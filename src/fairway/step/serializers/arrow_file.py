"""Arrow IPC files, uncompressed: written once while they are hashed, read by mapping them into memory.

The file is mapped privately: a reader may write to what it got, and only its own pages change, never the store.
"""

from __future__ import annotations

import mmap
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

_WHOLE_BYTES = 256 << 20
_BATCH_ROWS = 1 << 20
"""A table larger than `_WHOLE_BYTES` that is not in one piece already is written in pieces of so many rows: no second copy is made."""


_PIECE_BYTES = 4 << 20


class Strided:
    """Columns that lie scattered in memory, as in a frame made of one array of rows. Arrow wants each in one piece.

    Each gets a stand-in of its size that is never touched, so that it takes no memory; its values are put into one piece bit by bit, while
    they are written. All columns at once would be a second copy of the data.
    """

    def __init__(self) -> None:
        self._columns: dict[int, Any] = {}
        self._stand_ins: list[Any] = []

    def stand_in(self, values: Any) -> Any:
        """An Arrow buffer in place of `values` (NumPy, one dimension)."""
        import pyarrow as pa

        memory = mmap.mmap(-1, values.nbytes)
        buffer = pa.py_buffer(memory)
        self._stand_ins.append((memory, buffer))
        self._columns[buffer.address] = values
        return buffer

    def take(self, data: Any) -> Any:
        """The values that `data`, about to be written, stands for; None if it is what it is."""
        found = self._columns.get(getattr(data, "address", 0))
        return self._columns.pop(data.address) if found is not None and found.nbytes == data.size else None

    def check(self) -> None:
        """Raises Unwritten if a stand-in was not replaced."""
        if self._columns:
            raise Unwritten


class Unwritten(Exception):
    """This pyarrow copied a stand-in before it wrote it."""


class _Filling:
    """A file that writes values in place of their stand-ins."""

    def __init__(self, file: Any, strided: Strided) -> None:
        self._file, self._strided = file, strided

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)

    def write(self, data: Any) -> int:
        values = self._strided.take(data)
        if values is None:
            return self._file.write(data)
        import numpy as np

        step = max(1, _PIECE_BYTES // values.itemsize)
        return sum(self._file.write(np.ascontiguousarray(values[start : start + step])) for start in range(0, len(values), step))


def write(schema: Any, batches: Iterable[Any], path: Path, strided: Strided | None = None) -> dict[str, Any]:
    """Write record batches; returns {"digest": …}. `strided` made stand-ins among their buffers; raises Unwritten if one was written."""
    import pyarrow as pa

    from fairway.step.serializers.hashed import HashedFile

    with HashedFile(path) as file:
        sink = pa.PythonFile(_Filling(file, strided) if strided is not None else file, mode="w")
        with pa.ipc.new_file(sink, schema, options=pa.ipc.IpcWriteOptions(compression=None)) as writer:
            for batch in batches:
                writer.write_batch(batch)
        if strided is not None:
            strided.check()
    return {"digest": file.digest}


def write_table(table: Any, path: Path) -> dict[str, Any]:
    """Write a table in pieces that do not depend on how it happened to be cut; returns {"digest": …}."""
    return write(table.schema, _batches(table), path)


def _batches(table: Any) -> Iterable[Any]:
    if table.nbytes <= _WHOLE_BYTES or all(column.num_chunks <= 1 for column in table.columns):
        yield from table.combine_chunks().to_batches() or []
        return
    for start in range(0, table.num_rows, _BATCH_ROWS):
        yield from table.slice(start, _BATCH_ROWS).combine_chunks().to_batches()


class Mapping:
    """A file mapped into memory, and the table in it."""

    def __init__(self, path: Path) -> None:
        import pyarrow as pa

        with path.open("rb") as file:
            self.memory = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)
        whole = pa.py_buffer(self.memory)
        self._start = whole.address
        self._end = whole.address + whole.size
        self.table = pa.ipc.open_file(pa.BufferReader(whole)).read_all()

    def view(self, array: Any, dtype: Any) -> Any:
        """The values of a primitive Arrow array, as a writable NumPy array: no copy. Nulls show the bytes they were written with."""
        import numpy as np

        data = array.buffers()[1]
        if data is None or not len(array):
            return np.empty(0, dtype)
        offset = data.address + array.offset * dtype.itemsize - self._start
        return np.frombuffer(self.memory, dtype, len(array), offset)
