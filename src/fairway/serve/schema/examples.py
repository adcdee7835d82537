"""An input to begin with: the schema's own example, or one made up of its columns."""

from __future__ import annotations

import csv
import io
from typing import Any

from fairway.data.schema.modelschema import Column, ModelSchema, TensorSpec


def example_of(schema: ModelSchema) -> Any:
    """An input as a request has it inside {"inputs": …}: the schema's own, or made up."""
    for one in schema.examples:
        return one["inputs"] if isinstance(one, dict) and set(one) == {"inputs"} else one
    if schema.kind == "columns":
        return [{column.name: _sample(column) for column in schema.columns}]
    if schema.kind == "tensors":
        return {spec.name: _array(spec, spec.shape) for spec in schema.tensors}
    return None


def _sample(column: Column) -> Any:
    if column.schema.get("examples"):
        return column.schema["examples"][0]
    if column.default is not None:
        return column.default
    if column.choices:
        return next((choice for choice in column.choices if choice is not None), None)
    if column.type in ("number", "integer"):
        low = column.minimum if column.minimum is not None else 0
        value = min(max(1, low), column.maximum) if column.maximum is not None else max(1, low)
        return int(value) if column.type == "integer" or value == int(value) else value
    texts = {"date": "2026-01-31", "date-time": "2026-01-31T12:00:00Z", "time": "12:00:00"}
    return {"boolean": True, "string": texts.get(column.format, "text"), "array": [], "object": {}}.get(column.type)


def _array(spec: TensorSpec, shape: tuple[int, ...]) -> Any:
    if not shape:
        return "text" if spec.datatype == "BYTES" else spec.datatype == "BOOL" if spec.datatype == "BOOL" else 0
    return [_array(spec, shape[1:]) for _n in range(min(abs(shape[0]), 4))]


def example_body(schema: ModelSchema) -> Any:
    """The example as a whole body; None if there is none."""
    found = example_of(schema)
    return found if found is None or schema.takes_body else {"inputs": found}


def example_csv(schema: ModelSchema) -> str:
    rows = example_of(schema)
    rows = rows if isinstance(rows, list) else [rows]
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(schema.names)
    for row in rows[:3]:
        values = [row.get(name) if isinstance(row, dict) else row[n] for n, name in enumerate(schema.names)]
        writer.writerow([str(value).lower() if isinstance(value, bool) else value for value in values])
    return out.getvalue()
