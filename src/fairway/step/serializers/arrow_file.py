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


def write(schema: Any, batches: Iterable[Any], path: Path) -> dict[str, Any]:
    """Write record batches; returns {"digest": …}."""
    import pyarrow as pa

    from fairway.step.serializers.hashed import HashedFile

    with HashedFile(path) as file:
        sink = pa.PythonFile(file, mode="w")
        with pa.ipc.new_file(sink, schema, options=pa.ipc.IpcWriteOptions(compression=None)) as writer:
            for batch in batches:
                writer.write_batch(batch)
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
