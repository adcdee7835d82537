"""Arrow IPC: files, Feather and streams, read by nanoarrow; compressed ones by PyArrow."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Any

import numpy as np

from fairway.data.sources import files, needs, new_rejects
from fairway.data.sources.arrowmessages import CheckedStream
from fairway.data.sources.engine import chosen, fields_of, flattened
from fairway.errors import ConfigError, FairwayError

_MAGIC = b"ARROW1"


class ArrowSource:
    """A source over Arrow files with the same columns."""

    format = "arrow"

    def __init__(self, uri: str, paths: list[str], options: dict[str, Any]) -> None:
        self._uri, self._paths = uri, paths
        self.rejects = new_rejects(uri, options)
        self.notes: tuple[str, ...] = ()
        self.fields = fields_of(self.relation)

    def relation(self, connection: Any, columns: Sequence[str] | None) -> Any:
        """See the protocol."""
        made: Any = None
        for path in self._paths:
            try:
                one = flattened(connection.from_arrow(_ArrowFile(path)))
            except FairwayError:
                raise
            except Exception as error:
                raise ConfigError(f"{path} cannot be read as Arrow: {str(error).splitlines()[0]}", hint="is it whole?") from error
            made = one if made is None else connection.sql("SELECT * FROM made UNION ALL BY NAME SELECT * FROM one")
        return chosen(made, columns)

    def finish(self, connection: Any) -> None:
        """Nothing stays open."""


class _ArrowFile:
    """One file, as a stream that starts anew each time."""

    def __init__(self, path: str) -> None:
        self._path = path

    def __arrow_c_stream__(self, requested_schema: Any = None) -> Any:
        from fairway.data.sources.arrowstream import ChunkStream

        stream = self._stream()
        schema = stream._get_cached_schema()
        return ChunkStream(schema, lambda: self._checked(stream)).__arrow_c_stream__(requested_schema)

    def _stream(self) -> Any:
        import nanoarrow as na
        from nanoarrow.ipc import InputStream

        begin = files.head(self._path, 8)
        if begin.startswith(b"FEA1"):
            return na.c_array_stream(needs("pyarrow.feather", "pyarrow", f"Feather of version 1 ({self._path})").read_table(self._path))
        file = files.reader(self._path)
        size = file.seek(0, 2)
        start = 8 if begin.startswith(_MAGIC) else 0
        file.seek(start)
        try:
            made = na.c_array_stream(InputStream.from_readable(CheckedStream(file, size - start)))
            made._get_cached_schema()
        except Exception as error:
            raise ConfigError(f"{self._path} cannot be read as Arrow: {str(error).splitlines()[0]}", hint="is it whole?") from error
        return made

    def _checked(self, stream: Any) -> Iterator[Any]:
        try:
            for chunk in stream:
                check_array(chunk, self._path)
                yield chunk
        except FairwayError:
            raise
        except Exception as error:
            first = str(error).splitlines()[0]
            if "ompress" not in first and "ictionar" not in first:
                raise ConfigError(f"{self._path} cannot be read as Arrow: {first}", hint="is it whole?") from error
            pa = needs("pyarrow", "pyarrow", f"compressed or dictionary-encoded Arrow ({self._path})")
            yield from self._by_pyarrow(pa)

    def _by_pyarrow(self, pa: Any) -> Iterator[Any]:
        import nanoarrow as na

        with pa.memory_map(self._path) as source:
            is_file = files.head(self._path, 8).startswith(_MAGIC)
            reader = pa.ipc.open_file(source) if is_file else pa.ipc.open_stream(source)
            batches = (reader.get_batch(n) for n in range(reader.num_record_batches)) if is_file else reader
            for batch in batches:
                batch.validate(full=True)
                yield na.c_array(batch)


def check_array(array: Any, path: str) -> None:
    """Raises ConfigError where offsets point outside of their buffers: C code would follow them."""
    spelt = array.schema.format
    for n in range(array.n_children):
        check_array(array.child(n), path)
    if spelt not in ("u", "U", "z", "Z", "+l", "+L") or not array.length:
        return
    view = array.view()
    with suppress(AttributeError):
        dtype = "i8" if spelt in ("U", "Z", "+L") else "i4"
        offsets = np.frombuffer(view.buffer(1), dtype, array.length + 1, array.offset * np.dtype(dtype).itemsize)
        end = array.child(0).length if spelt.startswith("+") else view.buffer(2).size_bytes
        if offsets[0] < 0 or int(offsets[-1]) > end or bool((np.diff(offsets) < 0).any()):
            raise ConfigError(
                f"{path}: column {array.schema.name!r} points outside of its data: the file is damaged", hint="write it again"
            )


def open(uri: str | Sequence[str], options: dict[str, Any]) -> ArrowSource:
    """Raises ConfigError, NotFoundError."""
    paths = files.expand(uri, ("arrow", "feather", "ipc", "arrows"))
    for path in paths:
        if not files.is_remote(path) and not files.head(path, 8):
            raise ConfigError(f"{path} is empty", hint="was it written to the end?")
    return ArrowSource(uri if isinstance(uri, str) else uri[0], paths, options)
