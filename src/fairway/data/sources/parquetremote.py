"""Parquet in object stores: of each only the footer and the wanted columns are fetched, into a file with holes, one at a time."""

from __future__ import annotations

import os
import struct
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Any

from fairway.data.sources import new_rejects, remote
from fairway.data.sources.arrowstream import ChunkStream
from fairway.data.sources.engine import Field, chosen, connect, described, flattened, text
from fairway.errors import ConfigError
from fairway.step.leftovers import goes_with_process, stays

_FETCH_BYTES = 8 << 20
_NEAR_BYTES = 1 << 16


class RemoteParquetSource:
    """A source over Parquet objects with the columns of the first."""

    format = "parquet"

    def __init__(self, uri: str, paths: list[str], options: dict[str, Any]) -> None:
        self._uri, self._paths = uri, paths
        self.rejects = new_rejects(uri, options)
        self.notes: tuple[str, ...] = ()
        with _Holed(paths[0]) as first:
            self.fields: tuple[Field, ...] = described(_scan(first.connection, first.path))

    def relation(self, connection: Any, columns: Sequence[str] | None) -> Any:
        """See the protocol."""
        wanted = [one for one in self.fields if columns is None or one.name in columns] or list(self.fields[:1])
        names = [one.name for one in wanted]
        return connection.from_arrow(ChunkStream(self._schema(names), lambda: self._chunks(names)))

    def finish(self, connection: Any) -> None:
        """Files with holes are gone already."""

    def _schema(self, names: list[str]) -> Any:
        import nanoarrow as na

        with _Holed(self._paths[0]) as first:
            return na.c_array_stream(chosen(_scan(first.connection, first.path), names).limit(0))._get_cached_schema()

    def _chunks(self, names: list[str]) -> Iterator[Any]:
        import nanoarrow as na

        expected = tuple(one for one in self.fields if one.name in names)
        for path in self._paths:
            with _Holed(path) as one:
                one.fetch(names)
                try:
                    relation = chosen(_scan(one.connection, one.path), names)
                except Exception as error:
                    raise ConfigError(f"{path} has other columns than {self._paths[0]}: {str(error).splitlines()[0]}") from error
                found = described(relation)
                if found != expected:
                    raise ConfigError(f"{path} has other types than {self._paths[0]}", hint=f"{found} instead of {expected}")
                yield from na.c_array_stream(relation)


def _scan(connection: Any, path: str) -> Any:
    return flattened(connection.sql(f"SELECT * FROM read_parquet({text(path)})"))


class _Holed:
    """A local file of an object's size that holds its footer, and of the rest what was fetched."""

    def __init__(self, uri: str) -> None:
        self._uri = uri
        self._size = remote.size_of(uri)
        if self._size < 12:
            raise ConfigError(f"{uri} is not a Parquet file", hint="it has no room for a footer")
        handle, self.path = tempfile.mkstemp(prefix="fairway-", suffix=".parquet")
        goes_with_process(self.path)
        self._file = os.fdopen(handle, "r+b")

    def __enter__(self) -> _Holed:
        try:
            self._file.truncate(self._size)
            end = remote.read_range(self._uri, max(0, self._size - _NEAR_BYTES), self._size)
            (length,) = struct.unpack("<I", end[-8:-4])
            if end[-4:] != b"PAR1" or length > self._size - 12:
                raise ConfigError(
                    f"{self._uri} has no footer: it is no Parquet file, or was cut off", hint="write it again, or copy it again"
                )
            self._footer = self._size - 8 - length
            self._put(0, remote.read_range(self._uri, 0, 4))
            self._put(self._size - len(end), end)
            if len(end) < length + 8:
                self._fetch(self._footer, self._size - len(end))
            self.connection = connect()
        except BaseException:
            self._drop()
            raise
        return self

    def __exit__(self, *exc: object) -> None:
        self.connection.close()
        self._drop()

    def _drop(self) -> None:
        self._file.close()
        with suppress(OSError):
            os.unlink(self.path)  # noqa: PTH108
        stays(self.path)

    def fetch(self, names: Sequence[str]) -> None:
        """Everything but the pages of other columns."""
        query = (
            "SELECT path_in_schema, least(coalesce(nullif(dictionary_page_offset, 0), data_page_offset), data_page_offset), "
            f"total_compressed_size FROM parquet_metadata({text(self.path)})"
        )
        left_out: list[tuple[int, int]] = []
        for path, start, size in self.connection.execute(query).fetchall():
            top = path.split(", ")[0]
            if not any(name == top or name.startswith(top + ".") or name.split(".")[0] == top for name in names):
                left_out.append((int(start), int(start) + int(size)))
        at = 4
        for start, end in sorted(left_out):
            if start - at > 0:
                self._fetch(at, min(start, self._footer))
            at = max(at, end)
        if at < self._footer:
            self._fetch(at, self._footer)

    def _fetch(self, start: int, end: int) -> None:
        for begin in range(start, end, _FETCH_BYTES):
            self._put(begin, remote.read_range(self._uri, begin, min(end, begin + _FETCH_BYTES)))

    def _put(self, at: int, data: bytes) -> None:
        self._file.seek(at)
        self._file.write(data)
        self._file.flush()
