"""Tables of `fw.read` as Parquet files: written as they are read, read lazily again."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


class DataTable:
    """fairway.data.Table <-> Parquet; memory does not grow with the rows. A reader may ask for any library's data frame."""

    format, suffix, types = "parquet-table", ".parquet", ("fairway.data.Table",)

    def write(self, value: Any, path: Path) -> Mapping[str, Any]:
        rows = import_module("fairway.data.writing").write_table(value, str(path), "parquet")
        return {"rows": rows, "columns": value.columns[:50]}

    def read(self, path: Path, wanted: str, meta: Mapping[str, Any]) -> Any:
        table = import_module("fairway.data.table").read(str(path), format="parquet")
        table.uri = "the table"  # where it lies in the store tells nobody anything
        if wanted == "pandas.DataFrame":
            return table.pandas()
        if wanted == "pyarrow.Table":
            return table.arrow()
        if wanted in ("polars.DataFrame", "polars.LazyFrame"):
            frame = table.polars()
            return frame.lazy() if wanted == "polars.LazyFrame" else frame
        return table
