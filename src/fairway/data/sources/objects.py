"""Objects in memory: columns, rows, and whatever speaks Arrow's C stream interface."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from fairway.data.batch import Batch
from fairway.data.sources.engine import fields_of, flattened
from fairway.data.sources.rejects import Rejects
from fairway.errors import ConfigError


class ObjectSource:
    """A source over an object with `__arrow_c_stream__` that gives its rows more than once."""

    format = "memory"

    def __init__(self, stream: Any) -> None:
        self._stream = stream
        self.notes: tuple[str, ...] = ()
        self.rejects = Rejects("memory")
        self.fields = fields_of(self.relation)

    def relation(self, connection: Any, columns: Sequence[str] | None) -> Any:
        """See the protocol."""
        del columns
        return flattened(connection.from_arrow(self._stream))

    def finish(self, connection: Any) -> None:
        """Nothing was opened."""


def open(source: Any, options: dict[str, Any]) -> ObjectSource:
    """From a dict of columns, a list of dicts, an Arrow-like object. Raises ConfigError."""
    del options
    if hasattr(source, "__arrow_c_stream__"):
        if "Reader" in type(source).__name__:
            raise ConfigError(f"a {type(source).__name__} gives its rows once only", hint="read it whole first: reader.read_all()")
        return ObjectSource(source)
    if type(source).__module__.partition(".")[0] == "polars" and hasattr(source, "collect"):
        return ObjectSource(source.collect())
    if isinstance(source, Batch):
        return ObjectSource(_of_columns({name: one.values(range(source.rows)) for name, one in source.columns.items()}))
    if isinstance(source, Mapping):
        return ObjectSource(_of_columns(source))
    if isinstance(source, list | tuple) and all(isinstance(row, Mapping) for row in source):
        from fairway.data.table import columns_of

        return ObjectSource(_of_columns(columns_of(source)))
    raise ConfigError(
        f"a {type(source).__name__} is no table",
        hint="give a path or URL, a dict of columns, a list of dicts, or a table of pandas, Polars, PyArrow or DuckDB",
    )


def _of_columns(columns: Mapping[str, Any]) -> Any:
    """Columns of Python values or numpy arrays as one Arrow stream that can be read again."""
    from fairway.data.arrowcapsules import Chunks

    made: dict[str, Any] = {}
    for name, column in columns.items():
        made[str(name)] = column if isinstance(column, np.ndarray) else list(column)
    lengths = {name: len(column) for name, column in made.items()}
    if len(set(lengths.values())) > 1:
        raise ConfigError(f"the columns are not of one length: {', '.join(f'{n} {k}' for n, k in list(lengths.items())[:5])}")
    return Chunks([Batch.of(made)])
