"""Tables written to files, row by row as they are read; the file appears under its name when it is whole."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fairway.data.wholefiles import whole
from fairway.errors import ConfigError

if TYPE_CHECKING:
    from fairway.data.table import Table

_ENDINGS = {
    "parquet": "parquet", "pq": "parquet", "csv": "csv", "tsv": "tsv", "ndjson": "ndjson", "jsonl": "ndjson", "json": "json",
    "arrow": "arrow", "feather": "arrow", "ipc": "arrow", "arrows": "stream",
}  # fmt: skip
_COPIES = {
    "parquet": "FORMAT parquet, COMPRESSION zstd, ROW_GROUP_SIZE 122880",
    "csv": "FORMAT csv, HEADER true",
    "tsv": "FORMAT csv, HEADER true, DELIMITER '\t'",
    "ndjson": "FORMAT json",
    "json": "FORMAT json, ARRAY true",
}


def write_table(table: Table, path: str, format_name: str = "") -> int:
    """Write all rows; returns how many. Raises ConfigError, NotFoundError, DataAnomalies: then there is no file."""
    name = format_name or _ENDINGS.get(path.rpartition(".")[2].lower(), "")
    if name not in (*_COPIES, "arrow", "stream"):
        raise ConfigError(f"{path}: no format to write is known by that ending", hint="format=parquet, csv, tsv, ndjson, json or arrow")
    with whole(path) as beside:
        return _arrow(table, beside, name) if name in ("arrow", "stream") else _copy(table, beside, name)


def _copy(table: Table, path: str, name: str) -> int:
    from fairway.data.sources.engine import connect, text
    from fairway.data.table import _first_line, translated

    connection = connect()
    try:
        table.rejects.begin()
        relation = table._relation(connection)
        try:
            relation.create_view("rows_to_write")
            done = connection.execute(f"COPY rows_to_write TO {text(path)} ({_COPIES[name]}, USE_TMP_FILE false)").fetchall()
        except Exception as error:
            if path in str(error):
                raise OSError(_first_line(error).replace(path, "it")) from error
            raise translated(error, table.uri) from error
        finally:
            table._source.finish(connection)
        rows = int(done[0][0])
    finally:
        connection.close()
    table.settle(rows)
    return rows


def _arrow(table: Table, path: str, name: str) -> int:
    from fairway.data.arrowwriting import write_ipc

    return write_ipc(table, path, name == "arrow")
