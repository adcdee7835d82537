"""Statistics of a stream of batches, as they come."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from fairway.data.batch import Batch, Values
from fairway.data.statistics.budget import Budget
from fairway.data.statistics.cadence import Cadence
from fairway.data.statistics.column import NUMBERS, ColumnStatistics
from fairway.data.statistics.correlations import Pairs
from fairway.data.statistics.folding import ROWS, fold
from fairway.data.statistics.sampling import RowSample, hash_rows
from fairway.data.statistics.table import TableStatistics
from fairway.errors import ConfigError

_BYTES = 1 << 24
_SAMPLE_BYTES, _FEWEST = 1 << 26, 250


class Accumulator:
    """Folds batches into statistics. `time` names the column that orders the rows and `by` those within whose groups it does; every
    timestamp column has its cadence followed anyway. Not for several threads at once; `threads` are its own."""

    def __init__(self, *, time: str = "", by: Sequence[str] = (), budget: Budget | None = None, uri: str = "", threads: int = 1) -> None:
        self.budget, self.time, self.by = budget or Budget.full(), time, tuple(by)
        self._made = TableStatistics(0, {}, time=time, uri=uri)
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="statistics") if threads > 1 else None
        self._fitted = False

    def add(self, batch: Batch) -> None:
        """The rows that follow; a batch of none makes its columns known."""
        if not batch.rows:
            self._meet(batch)
        rows = _bearable(batch)
        for start in range(0, batch.rows, rows):
            self._add(batch if batch.rows <= rows else batch.slice(start, min(start + rows, batch.rows)))

    def _add(self, batch: Batch) -> None:
        self._meet(batch)
        made = self._made
        if made.row_sample is not None:
            self._each(lambda values: values.hashes(), [(one,) for one in batch.columns.values()])
        tasks: list[tuple[Callable[..., Any], tuple[Any, ...]]] = [
            (fold, (self._column(name, values), values, self.budget)) for name, values in batch.columns.items()
        ]
        tasks += [(self._fold_rows, (batch,)), (self._fold_pairs, (batch,))]
        tasks += [(self._fold_cadence, (cadence, batch)) for cadence in self._cadences(batch)]
        self._each(lambda task, given: task(*given), tasks)
        for name, column in made.columns.items():
            if name not in batch.columns:
                column.rows += batch.rows
                column.nulls += batch.rows
        made.rows += batch.rows

    def _meet(self, batch: Batch) -> None:
        if not self._fitted:
            self._fit(batch)
        for name, values in batch.columns.items():
            self._column(name, values)

    def _each(self, call: Callable[..., Any], given: Iterable[tuple[Any, ...]]) -> None:
        if self._pool is None:
            for one in given:
                call(*one)
            return
        waiting: list[Future[Any]] = [self._pool.submit(call, *one) for one in given]
        for one in waiting:
            one.result()

    def _fit(self, first: Batch) -> None:
        self._fitted = True
        self.budget = self.budget.for_columns(len(first.columns))
        for name in (self.time, *self.by):
            if name and name not in first.columns:
                raise ConfigError(f"there is no column {name!r}", hint="The columns are: " + ", ".join(first.columns))
        if self.time and first.columns[self.time].kind not in ("timestamp", "date", "null"):
            raise ConfigError(
                f"the column {self.time!r} is of kind {first.columns[self.time].kind}, not a time",
                hint="Read it as a timestamp, or name another one.",
            )
        numeric = tuple(name for name, values in first.columns.items() if values.kind in NUMBERS)[: self.budget.pairs]
        self._made.pairs = Pairs(numeric) if self.budget.pairs else None
        most = _SAMPLE_BYTES >> max(0, math.ceil(math.log2(_bytes(first) / max(1, first.rows) + 1)))
        self._made.row_sample = RowSample(min(self.budget.sample, max(_FEWEST, most))) if self.budget.sample else None

    def _column(self, name: str, values: Values) -> ColumnStatistics:
        column = self._made.columns.get(name)
        if column is None:
            column = self._made.columns[name] = ColumnStatistics.empty(name, values.kind, values.arrow, self.budget)
            column.rows = column.nulls = self._made.rows
        return column

    def _fold_rows(self, batch: Batch) -> None:
        if self._made.row_sample is not None:
            self._made.row_sample.add(hash_rows(batch.columns), batch.columns)

    def _fold_pairs(self, batch: Batch) -> None:
        pairs = self._made.pairs
        if pairs is None or not pairs.names:
            return
        found = [batch.columns.get(name) for name in pairs.names]
        columns = [one for one in found if one is not None and (one.kind in NUMBERS)]
        if len(columns) == len(pairs.names):
            pairs.add(columns)

    def _cadences(self, batch: Batch) -> list[Cadence]:
        made = self._made.cadences
        for name, values in batch.columns.items():
            if name not in made and (values.kind == "timestamp" or (name == self.time and values.kind == "date")):
                by = self.by if name == self.time else ()
                made[name] = Cadence(name, values.arrow if values.kind == "timestamp" else "timestamp[us]", by, limit=self.budget.groups)
        return [one for name, one in made.items() if name in batch.columns and batch.columns[name].kind in ("timestamp", "date")]

    def _fold_cadence(self, cadence: Cadence, batch: Batch) -> None:
        values = batch.columns[cadence.column]
        if values.kind == "date":
            values = Values("timestamp", "timestamp[us]", values.data * 86_400_000_000, values.valid)
        keys = hash_rows({name: batch.columns[name] for name in cadence.by}) if cadence.by else None
        first = self._made.rows

        def label(row: int) -> str:
            return ", ".join(str(batch.columns[name].value(row)) for name in cadence.by)

        cadence.add(values, first, keys, label)

    def merge(self, other: TableStatistics | Accumulator) -> None:
        """Take in rows that were measured elsewhere and follow these."""
        theirs = other._made if isinstance(other, Accumulator) else other
        self._made = self._made.merge(theirs) if self._fitted else theirs.copy()
        self._fitted = True

    def result(self) -> TableStatistics:
        """What is known so far; adding goes on without changing it."""
        made = self._made.copy()
        made.measured_at = dt.datetime.now(dt.UTC).isoformat(timespec="seconds")
        return made

    def close(self) -> None:
        """End its threads."""
        if self._pool is not None:
            self._pool.shutdown()


def _bearable(batch: Batch) -> int:
    """How many rows are folded at once: what is computed on the way takes several times the memory of long texts and embeddings."""
    widest = max((_bytes_of(one) for one in batch.columns.values() if one.offsets is not None), default=0)
    return max(1, min(ROWS, batch.rows * _BYTES // max(widest, _BYTES)))


def _bytes(batch: Batch) -> int:
    return sum(_bytes_of(one) for one in batch.columns.values())


def _bytes_of(one: Values) -> int:
    if one.offsets is None:
        return len(one.data) * one.data.dtype.itemsize
    held = int(one.offsets[-1]) - int(one.offsets[0])
    return held if one.child is None else held * (8 if one.child.offsets is None else 64)
