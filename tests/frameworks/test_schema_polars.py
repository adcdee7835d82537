"""The schema that is found in a Polars table takes that table's rows."""

from __future__ import annotations

import datetime

import polars as pl

from fairway.serve.schema import compile_checker, load_schema
from fairway.serve.schema.infer import from_table
from fairway.step.serializers import signatures


def test_a_polars_table() -> None:
    day = datetime.date(2020, 1, 1)
    columns = {
        "a": [1, None],
        "x": [1.5, 2.0],
        "s": ["x", "y"],
        "d": [day, day],
        "t": [datetime.datetime(2020, 1, 1, 12)] * 2,
        "b": [True, False],
    }
    table = pl.DataFrame(columns).with_columns(pl.col("x").cast(pl.Float32), pl.col("s").cast(pl.Categorical))
    schema = load_schema(from_table(table))
    found = {column.name: (column.type, column.datatype, column.nullable, column.format) for column in schema.columns}
    assert found == {
        "a": ("integer", "INT64", True, ""),
        "x": ("number", "FP32", False, ""),
        "s": ("string", "BYTES", False, ""),
        "d": ("string", "BYTES", False, "date"),
        "t": ("string", "BYTES", False, "date-time"),
        "b": ("boolean", "BOOL", False, ""),
    }
    assert compile_checker(schema).read_rows(signatures.example_rows(table) or []).rows == 2
