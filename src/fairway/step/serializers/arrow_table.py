"""PyArrow tables as Arrow files, and any Arrow file as the table type that a reader wants."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from fairway.step.serializers import arrow_file

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


class ArrowTable:
    """pyarrow.Table and pyarrow.RecordBatch <-> Arrow IPC, mapped when read."""

    format, suffix, types = "arrow-table", ".arrow", ("pyarrow.Table", "pyarrow.RecordBatch")

    def write(self, value: Any, path: Path) -> Mapping[str, Any]:
        import pyarrow as pa

        table = pa.table(value) if isinstance(value, pa.RecordBatch) else value
        made = arrow_file.write_table(table, path)
        return {**made, "rows": table.num_rows, "columns": table.column_names[:50], "batch": isinstance(value, pa.RecordBatch)}

    def read(self, path: Path, wanted: str, meta: Mapping[str, Any]) -> Any:
        table = arrow_file.Mapping(path).table
        if wanted == "pyarrow.RecordBatch" or (not wanted and meta.get("batch")):
            return (table.combine_chunks().to_batches() or [_empty_batch(table.schema)])[0]
        return as_wanted(table, wanted)


def as_wanted(table: Any, wanted: str) -> Any:
    """An Arrow table as a data frame of the library that the reader's annotation names."""
    if wanted == "pandas.DataFrame":
        return table.to_pandas(split_blocks=True)
    if wanted in ("polars.DataFrame", "polars.LazyFrame"):
        import polars as pl

        frame: Any = pl.from_arrow(table, rechunk=False)
        return frame.lazy() if wanted == "polars.LazyFrame" else frame
    return table


def from_pandas_file(path: Path, wanted: str) -> Any:
    """What pandas wrote, for another library: index levels with a name are columns, a nameless index is left out, as those libraries do."""
    from fairway.step.serializers.pandas_frame import NOTE

    table = arrow_file.Mapping(path).table
    note = json.loads(table.schema.metadata[NOTE])
    count = len(note["columns"])
    names = note["index"]["names"] if "levels" in note["index"] else []
    keep = [*range(count), *(count + n for n, name in enumerate(names) if name is not None)]
    return as_wanted(table.select(keep).replace_schema_metadata(None), wanted)


def _empty_batch(schema: Any) -> Any:
    import pyarrow as pa

    return pa.record_batch([pa.array([], field.type) for field in schema], schema=schema)
