"""`fw.measure`: all statistics of a table in one pass."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from fairway.data.batch import Batch
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
    batches, uri = _batches(table, columns)
    made = Accumulator(time=time, by=by, budget=budget, uri=uri, threads=threads or os.cpu_count() or 1)
    rows = 0
    try:
        for batch in batches:
            made.add(batch)
            for check in checks:
                check(batch)
            rows += batch.rows
            if progress is not None:
                progress(rows)
        return made.result()
    finally:
        made.close()


def _batches(table: Any, columns: Sequence[str] | None) -> tuple[Iterable[Batch], str]:
    if hasattr(table, "batches"):
        return table.batches(columns), str(getattr(table, "uri", ""))
    if isinstance(table, Batch):
        table = [table]
    elif isinstance(table, str | os.PathLike | dict) or hasattr(table, "__arrow_c_stream__"):
        from fairway.data.table import read

        return _batches(read(table), columns)
    if columns is None:
        return table, ""
    return (_only(batch, columns) for batch in table), ""


def _only(batch: Batch, columns: Sequence[str]) -> Batch:
    missing = [name for name in columns if name not in batch.columns]
    if missing:
        raise ConfigError(f"there is no column {missing[0]!r}", hint="The columns are: " + ", ".join(batch.columns))
    return Batch(batch.first_row, batch.rows, {name: batch.columns[name] for name in columns})
