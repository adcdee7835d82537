"""`fw.measure`: all statistics of a table in one pass."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from fairway.data.batch import Batch, Values
from fairway.data.statistics.accumulator import Accumulator
from fairway.data.statistics.budget import Budget
from fairway.data.statistics.table import TableStatistics
from fairway.errors import ConfigError


def measure(
    table: Any,
    *,
    columns: Sequence[str] | None = None,
    time: str = "",
    by: Sequence[str] = (),
    budget: Budget | None = None,
    threads: int | None = None,
    progress: Callable[[int], None] | None = None,
    checks: Sequence[Callable[[Batch], None]] = (),
) -> TableStatistics:
    """All statistics of a `Table`, of anything `fw.read` reads, or of an iterable of `Batch`es, in one pass and bounded memory.

    `columns`: only these. `time`: the column that orders the rows; `by`: columns within whose groups it does. `checks` see each batch, with
    all that is measured. `progress` is told the rows so far after each batch. `threads`: one a core by default.
    """
    table = _opened(table)
    made = Accumulator(time=time, by=by, budget=budget, uri=str(getattr(table, "uri", "")), threads=threads or os.cpu_count() or 1)
    rows = 0
    try:
        for batch in _batches(table, columns):
            made.add(batch)
            for check in checks:
                check(batch)
            rows += batch.rows
            if progress is not None:
                progress(rows)
        if not rows and hasattr(table, "fields"):
            made.add(Batch(0, 0, {one.name: _nothing(one) for one in table.fields if columns is None or one.name in columns}))
        return made.result()
    finally:
        made.close()


def _nothing(like: Any) -> Values:
    """No values, of a field's kind."""
    offsets = np.zeros(1, np.int64) if like.kind in ("string", "binary", "list") else None
    child = Values("null", "null", np.zeros(0, bool)) if like.kind == "list" else None
    return Values(like.kind, like.arrow, np.empty(0, np.uint8), None, offsets, child)


def _opened(table: Any) -> Any:
    if isinstance(table, Batch):
        return [table]
    if hasattr(table, "batches") or not (isinstance(table, str | os.PathLike | dict) or hasattr(table, "__arrow_c_stream__")):
        return table
    from fairway.data.table import read

    return read(table)


def _batches(table: Any, columns: Sequence[str] | None) -> Iterable[Batch]:
    if hasattr(table, "batches"):
        return table.batches(columns)
    return table if columns is None else (_only(batch, columns) for batch in table)


def _only(batch: Batch, columns: Sequence[str]) -> Batch:
    missing = [name for name in columns if name not in batch.columns]
    if missing:
        raise ConfigError(f"there is no column {missing[0]!r}", hint="The columns are: " + ", ".join(batch.columns))
    return Batch(batch.first_row, batch.rows, {name: batch.columns[name] for name in columns})
