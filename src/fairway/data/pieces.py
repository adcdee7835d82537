"""Pieces of a table that can be read apart from the rest: the row groups of Parquet files on this machine."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fairway.data.batch import Batch, batches_of
from fairway.data.sources.engine import chosen, connect, flattened, text
from fairway.data.sources.parquet import ParquetSource

if TYPE_CHECKING:
    from fairway.data.table import Table


@dataclass(frozen=True, slots=True)
class Piece:
    """`rows` rows of a file, from `start` on."""

    path: str
    start: int
    rows: int


def find_pieces(table: Table) -> list[Piece]:
    """All of a table, in order; none where its source has to be read from the front."""
    source = table.source
    if not isinstance(source, ParquetSource) or any(step[0] != "select" for step in table.steps):
        return []
    listed = ", ".join(map(text, source.paths))
    query = f"SELECT DISTINCT file_name, row_group_id, row_group_num_rows FROM parquet_metadata([{listed}])"
    connection = connect()
    try:
        groups = {(path, number): rows for path, number, rows in connection.execute(query).fetchall()}
    finally:
        connection.close()
    places = {path: place for place, path in enumerate(source.paths)}
    found: list[Piece] = []
    for path, number in sorted(groups, key=lambda one: (places[one[0]], one[1])):
        start = found[-1].start + found[-1].rows if found and found[-1].path == path else 0
        found.append(Piece(path, start, groups[path, number]))
    return found


def read_piece(table: Table, piece: Piece, start: int, stop: int) -> Iterator[Batch]:
    """The rows of a piece from `start` to `stop`. The scan skips other files and row groups."""
    source = table.source
    assert isinstance(source, ParquetSource)
    connection = connect()
    try:
        first = piece.start + start
        where = f"file_row_number >= {first} AND file_row_number < {piece.start + stop}"
        relation = flattened(connection.sql(f"SELECT * FROM {source.scan([piece.path], numbered=True)} WHERE {where}"))
        missing = [one for one in table.columns if one not in relation.columns]
        if missing:  # other files have them
            named = ", ".join(f'NULL AS "{name}"' for name in missing)
            relation = relation.project(f"*, {named}")
        yield from batches_of(chosen(relation, table.columns))
    finally:
        connection.close()
