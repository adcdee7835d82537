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
    """`names`: what its columns are called. `total`: its rows, -1 if that is known at the end only. `json_columns`: those whose bytes are
    JSON texts."""

    schema: Any
    names: list[str]
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
        reader = pa.ipc.open_file(opened)
        self._batches = [reader.get_batch(n) for n in range(reader.num_record_batches)]
        note = _pandas_note(reader.schema)
        own = len(note.get("columns", reader.schema))
        self._order = [*range(own, len(reader.schema)), *range(own)]  # a data frame's index stands before its columns
        self.schema = pa.schema([reader.schema.field(n) for n in self._order])
        index = len(reader.schema) - own
        self.names = [_spell_index(field.name, n, index) if n < index else field.name for n, field in enumerate(self.schema)]
        self.total = sum(batch.num_rows for batch in self._batches)
        kept = [n for n, one in enumerate(note.get("columns", [])) if one.get("kind") == "objects" and one.get("as") == "json"]
        self.json_columns = frozenset(self._order.index(n) for n in kept)

    def scan(self, columns: Sequence[int], start: int = 0) -> Iterator[tuple[int, Any]]:
        import pyarrow as pa

        first = 0
        schema = pa.schema([self.schema.field(n) for n in columns])
        for batch in self._batches:
            chosen = pa.RecordBatch.from_arrays([batch.column(self._order[n]) for n in columns], schema=schema)
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
        self.names = list(self.schema.names)
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
        self.names = list(self.schema.names)

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


def _pandas_note(schema: Any) -> dict[str, Any]:
    """What a data frame's writer has noted beside it."""
    return json.loads((schema.metadata or {}).get(NOTE, b"{}"))


def _spell_index(name: str, number: int, levels: int) -> str:
    """An index's own name, or "index"."""
    if not name.startswith("__index_"):
        return name
    return "index" if levels == 1 else f"index {number}"
