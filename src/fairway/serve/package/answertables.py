"""Answers as Arrow streams or Parquet files: written in the model's process, so that the front need not import pyarrow."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from fairway.serve.call import Result

if TYPE_CHECKING:
    from fairway.serve.call import Call

ACCEPT = "fairway-accept"
"""Among the parameters of a call: the content type its caller takes. The model is not told of it."""


def params_of(call: Call) -> dict[str, Any]:
    """Parameters that are the model's own."""
    return {name: value for name, value in call.params.items() if name != ACCEPT} if ACCEPT in call.params else call.params


def as_table(result: Result, kind: str, outputs: Any = ()) -> Result:
    """The result as bytes of `kind`; as it came if it is no table or pyarrow is not here, which the front then says."""
    try:
        import pyarrow as pa
    except ImportError:
        return result
    try:
        table = _table_of(result, [output.name for output in outputs], pa)
    except (pa.ArrowException, ValueError, TypeError, AttributeError):
        return result
    if table is None:
        return result
    sink = pa.BufferOutputStream()
    if "parquet" in kind:
        import pyarrow.parquet

        pyarrow.parquet.write_table(table, sink)
    else:
        with pa.ipc.new_stream(sink, table.schema) as writer:
            writer.write_table(table)
    made = Result("bytes", sink.getvalue().to_pybytes())
    made.content_type = kind
    return made


def _table_of(result: Result, named: list[str], pa: Any) -> Any:
    """A pyarrow.Table, None for what is none."""
    if result.form == "array":
        import numpy as np

        array = np.frombuffer(result.payload, result.dtype).reshape(result.shape)
        if array.ndim == 1:
            names = result.names or named
            return pa.table({names[0] if len(names) == 1 else "prediction": array})
        if array.ndim != 2:
            return None
        names = next((n for n in (result.names, named) if len(n) == array.shape[1]), [f"prediction_{at}" for at in range(array.shape[1])])
        return pa.table({name: np.ascontiguousarray(array[:, at]) for at, name in enumerate(names)})
    if result.form != "json":
        return None
    value = msgspec.json.decode(result.payload)
    if isinstance(value, list) and value and all(isinstance(row, dict) for row in value):
        return pa.Table.from_pylist(value)
    if isinstance(value, dict):
        return pa.table(value)
    return pa.table({named[0] if len(named) == 1 else "prediction": value}) if isinstance(value, list) else None
