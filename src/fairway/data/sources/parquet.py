"""Parquet: files, globs, and folders partitioned as Hive does, whose files are skipped where a condition on the partition says so."""

from __future__ import annotations

import os
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fairway.data.sources import Source, files, new_rejects
from fairway.data.sources.engine import Field, chosen, connect, described, flattened, text
from fairway.errors import ConfigError

_FOOTER_LIMIT_BYTES = 512 << 20
_LOOKED = 500


class ParquetSource:
    """A source over Parquet files with one set of columns, found by name."""

    format = "parquet"

    def __init__(self, uri: str, paths: list[str], options: dict[str, Any]) -> None:
        self._uri, self._paths = uri, paths
        self._hive = options.get("hive", any("=" in part for path in paths for part in path.split("/")[:-1]))
        self.rejects = new_rejects(uri, options)
        connection = connect()
        try:
            self.fields: tuple[Field, ...] = described(self.relation(connection, None))
            self.notes: tuple[str, ...] = (*_partitions(paths, self._hive), *self._missing(connection))
        finally:
            connection.close()

    def relation(self, connection: Any, columns: Sequence[str] | None) -> Any:
        """See the protocol. Conditions and columns are pushed into the scan by DuckDB."""
        from fairway.data.table import translated

        try:
            whole = flattened(connection.sql(f"SELECT * FROM {self.scan(self._paths)}"))
        except Exception as error:
            raise translated(error, self._uri) from error
        return chosen(whole, columns)

    @property
    def paths(self) -> list[str]:
        """Its files, in order."""
        return self._paths

    def scan(self, paths: Sequence[str], *, numbered: bool = False) -> str:
        """Some of its files as SQL reads them; `numbered`: with the column file_row_number."""
        listed = ", ".join(map(text, paths))
        options = f"hive_partitioning={bool(self._hive)}, union_by_name={len(paths) > 1}"
        return f"read_parquet([{listed}], {options}{', file_row_number=true' if numbered else ''})"

    def _missing(self, connection: Any) -> list[str]:
        """Which of the first files lack a column that others have."""
        if len(self._paths) < 2:
            return []
        listed = ", ".join(map(text, self._paths[:_LOOKED]))
        query = f"SELECT file_name, list(name ORDER BY column_id) FROM parquet_schema([{listed}]) GROUP BY file_name ORDER BY file_name"
        found = {path: set(names) for path, names in connection.execute(query).fetchall()}
        every = dict.fromkeys(one.name for one in self.fields if any(one.name in names for names in found.values()))
        lacking = {path: [name for name in every if name not in names] for path, names in found.items()}
        said = [f"{path} has no column {', '.join(map(repr, names[:5]))}: null there" for path, names in lacking.items() if names]
        return [*said[:10], f"{len(said) - 10} more files lack columns"] if len(said) > 10 else said

    def finish(self, connection: Any) -> None:
        """Nothing was opened."""


def open(uri: str | Sequence[str], options: dict[str, Any]) -> Source:
    """Raises ConfigError naming the file whose footer is none."""
    paths = files.expand(uri, ("parquet", "pq", "parq"))
    named = uri if isinstance(uri, str) else uri[0]
    if any(map(files.is_remote, paths)):
        from fairway.data.sources.parquetremote import RemoteParquetSource

        return RemoteParquetSource(named, paths, options)
    for path in paths:
        check_footer(path)
    return ParquetSource(named, paths, options)


def check_footer(path: str) -> None:
    """Raises ConfigError unless the file begins and ends as Parquet does, with a footer that lies within it."""
    size = os.stat(path).st_size  # noqa: PTH116
    if size == 0:
        raise ConfigError(f"{path} is empty", hint="was it written to the end?")
    with Path(path).open("rb") as file:
        begin = file.read(4)
        file.seek(max(0, size - 8))
        end = file.read(8)
    if begin == b"PARE" or end[-4:] == b"PARE":
        raise ConfigError(f"{path} is encrypted Parquet", hint="decrypt it first")
    if begin != b"PAR1" or size < 12:
        raise ConfigError(f"{path} is not a Parquet file", hint="name what it is with format=")
    if end[-4:] != b"PAR1":
        raise ConfigError(f"{path} has no footer: it was cut off", hint="write it again, or copy it again")
    (length,) = struct.unpack("<I", end[:4])
    if length == 0 or length > size - 12 or length > _FOOTER_LIMIT_BYTES:
        raise ConfigError(f"{path} says that its footer has {length:,} bytes, of {size:,} in all: it is damaged", hint="write it again")


def _partitions(paths: list[str], hive: bool) -> list[str]:
    notes: list[str] = []
    if hive and any("=" in path for path in paths):
        keys = list(dict.fromkeys(part.partition("=")[0] for path in paths for part in path.split("/")[:-1] if "=" in part))
        notes.append(f"{', '.join(keys)} read from the names of folders; hive=False leaves them out")
    return notes
