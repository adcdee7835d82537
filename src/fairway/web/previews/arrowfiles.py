"""Arrow, Parquet and CSV files, read in pieces and only by the columns that are needed. Runs in a process of its own."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any, Protocol

from fairway.web.previews.sights import CannotSee
from fairway.web.previews.source import Source

PIECE_ROWS = 65_536
FAR_LIMIT_BYTES = 256 << 20
_READ_BYTES = 256 << 10
NOTE = b"fairway.pandas"


class ArrowFile(Protocol):
    """`total`: its rows, -1 if that is known at the end only. `json_columns`: those whose bytes are JSON texts."""

    schema: Any
    total: int
    json_columns: frozenset[int]

    def scan(self, columns: Sequence[int], start: int = 0) -> Iterator[tuple[int, Any]]:
        """(number of its first row, record batch of these columns) from row `start` on, at most PIECE_ROWS each."""
        ...


def open_file(source: Source, form: str) -> ArrowFile:
    """The file by its form. Raises ImportError without pyarrow, pyarrow's own errors for a damaged file."""
    if form == "parquet":
        return ParquetFile(source)
    if form in ("csv", "tsv"):
        return CsvFile(source, "\t" if form == "tsv" else ",")
    return IpcFile(source)


class IpcFile:
    """Arrow IPC: mapped into memory where it lies on this machine, so that nothing is read but what is shown."""

    def __init__(self, source: Source) -> None:
        import pyarrow as pa

        if source.path:
            opened: Any = pa.memory_map(source.path)
        elif source.size_bytes > FAR_LIMIT_BYTES:
            raise CannotSee("this table is too large to be fetched for a preview", "Parquet files are read in parts, wherever they lie")
        else:
            opened = pa.PythonFile(source.open(), mode="r")
        self._reader = pa.ipc.open_file(opened)
        self.schema = self._reader.schema
        self._batches = [self._reader.get_batch(n) for n in range(self._reader.num_record_batches)]
        self.total = sum(batch.num_rows for batch in self._batches)
        self.json_columns = frozenset(_json_columns(self.schema))

    def scan(self, columns: Sequence[int], start: int = 0) -> Iterator[tuple[int, Any]]:
        import pyarrow as pa

        first = 0
        for batch in self._batches:
            chosen = pa.RecordBatch.from_arrays(
                [batch.column(n) for n in columns], schema=pa.schema([self.schema.field(n) for n in columns])
            )
            for at in range(max(0, start - first), batch.num_rows, PIECE_ROWS):
                yield first + at, chosen.slice(at, PIECE_ROWS)
            first += batch.num_rows


class ParquetFile:
    """Parquet: its footer, and then the pages of the columns that are needed."""

    def __init__(self, source: Source) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        opened = pa.PythonFile(source.open(), mode="r") if not source.path else source.path
        self._file = pq.ParquetFile(opened, buffer_size=_READ_BYTES, pre_buffer=False, memory_map=False)
        self.schema = self._file.schema_arrow
        self.total = self._file.metadata.num_rows
        self.json_columns = frozenset[int]()
        self._groups = [self._file.metadata.row_group(n).num_rows for n in range(self._file.num_row_groups)]

    def scan(self, columns: Sequence[int], start: int = 0) -> Iterator[tuple[int, Any]]:
        names = [self.schema.field(n).name for n in columns]
        first = 0
        for group, rows in enumerate(self._groups):
            if first + rows > start:
                at = first
                size = PIECE_ROWS if start or len(columns) < 4 else 1024
                for batch in self._file.iter_batches(size, row_groups=[group], columns=names, use_threads=False):
                    if at + batch.num_rows > start:
                        cut = max(0, start - at)
                        yield at + cut, batch.select(names).slice(cut)
                    at += batch.num_rows
            first += rows


class CsvFile:
    """CSV with a head, read from its beginning each time."""

    def __init__(self, source: Source, separator: str) -> None:
        self._source, self._separator = source, separator
        self.total = -1
        self.json_columns = frozenset[int]()
        self.schema = self._open().schema

    def _open(self) -> Any:
        from pyarrow import csv

        options = csv.ParseOptions(delimiter=self._separator, newlines_in_values=True)
        opened = self._source.path or self._source.open()
        return csv.open_csv(
            opened,
            read_options=csv.ReadOptions(block_size=1 << 20, use_threads=False),
            parse_options=options,
            convert_options=csv.ConvertOptions(strings_can_be_null=True),
        )

    def scan(self, columns: Sequence[int], start: int = 0) -> Iterator[tuple[int, Any]]:
        first = 0
        for batch in self._open():
            if first + batch.num_rows > start:
                cut = max(0, start - first)
                yield first + cut, batch.select(list(columns)).slice(cut)
            first += batch.num_rows


def _json_columns(schema: Any) -> Iterator[int]:
    """Columns of Python objects that a data frame's writer has kept as JSON."""
    found = (schema.metadata or {}).get(NOTE)
    if found is None:
        return
    for number, note in enumerate(json.loads(found).get("columns", [])):
        if note.get("kind") == "objects" and note.get("as") == "json":
            yield number


def spell_index(schema: Any) -> list[str]:
    """The names of the columns, those of a data frame's unnamed index as "index"."""
    note = json.loads((schema.metadata or {}).get(NOTE, b"{}"))
    names = [field.name for field in schema]
    own = len(note.get("columns", names))
    return [name if n < own or not name.startswith("__index_") else f"index {name[8:].partition('_')[0]}" for n, name in enumerate(names)]
