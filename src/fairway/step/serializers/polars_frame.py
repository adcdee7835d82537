"""Polars data frames and series as Arrow files, mapped when read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fairway.errors import DefinitionError
from fairway.step.serializers import arrow_file, arrow_table

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


class PolarsArrow:
    """polars.DataFrame, Series and LazyFrame (which is computed) <-> Arrow IPC."""

    format, suffix, types = "arrow-polars", ".arrow", ("polars.DataFrame", "polars.Series", "polars.LazyFrame")

    def write(self, value: Any, path: Path) -> Mapping[str, Any]:
        import polars as pl

        kind = type(value).__name__
        frame = value.to_frame() if isinstance(value, pl.Series) else value.collect() if isinstance(value, pl.LazyFrame) else value
        for name, dtype in frame.schema.items():
            if dtype == pl.Object:
                raise DefinitionError(
                    f"the column {name!r} holds Python objects, which a table cannot store",
                    hint=f"turn it into text or numbers, or drop it: df.drop({name!r})",
                )
        made = arrow_file.write_table(frame.to_arrow(), path)
        return {**made, "rows": frame.height, "columns": frame.columns[:50], "kind": kind}

    def read(self, path: Path, wanted: str, meta: Mapping[str, Any]) -> Any:
        import polars as pl

        table = arrow_file.Mapping(path).table
        if wanted and not wanted.startswith("polars."):
            return arrow_table.as_wanted(table, wanted)
        frame = pl.from_arrow(table, rechunk=False)
        if not isinstance(frame, pl.DataFrame):
            frame = frame.to_frame()
        if wanted == "polars.LazyFrame" or (not wanted and meta.get("kind") == "LazyFrame"):
            return frame.lazy()
        series = wanted == "polars.Series" or (not wanted and meta.get("kind") == "Series")
        return frame.to_series() if series else frame
