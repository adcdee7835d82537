"""Arrow IPC written chunk by chunk: a file where PyArrow is installed, else a stream, which every reader of Arrow takes as well."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fairway.data.table import Table


def write_ipc(table: Table, path: str, as_file: bool) -> int:
    """Write all rows of a table; returns how many. Memory is a chunk's."""
    rows = 0
    stream = _stream(table)
    with _writer(stream, path, as_file) as write:
        for chunk in stream:
            rows += chunk.length
            write(chunk)
    return rows


def _stream(table: Table) -> Any:
    import nanoarrow as na

    return na.c_array_stream(table)


@contextmanager
def _writer(stream: Any, path: str, as_file: bool) -> Generator[Any]:
    if as_file:
        try:
            import pyarrow as pa
        except ImportError:
            pass
        else:
            with pa.OSFile(path, "wb") as sink, pa.ipc.new_file(sink, pa.schema(stream._get_cached_schema())) as writer:
                yield lambda chunk: writer.write_batch(pa.record_batch(chunk))
            return
    from nanoarrow.ipc import StreamWriter

    with Path(path).open("wb") as sink, StreamWriter.from_writable(sink) as writer:
        begun = [False]

        def write(chunk: Any) -> None:
            writer.write_array(chunk, write_schema=not begun[0])
            begun[0] = True

        yield write
        if not begun[0]:
            from nanoarrow.c_array_stream import CArrayStream

            writer.write_stream(CArrayStream.from_c_arrays([], stream._get_cached_schema()))
