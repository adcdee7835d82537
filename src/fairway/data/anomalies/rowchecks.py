"""What can be said of each row by itself, compiled from a schema once and checked on whole columns; numpy only.

`RowChecks(schema).add(batch)` may be called from several threads; counts are exact and examples are those of the lowest rows.
"""

from __future__ import annotations

from copy import copy
from threading import Lock
from typing import Any

import numpy as np

from fairway.data.anomalies.columnchecks import ColumnChecks, Tally
from fairway.data.anomalies.edits import find_at, tokens_of
from fairway.data.anomalies.times import Jumps
from fairway.data.anomalies.uniqueness import Repeats
from fairway.data.batch import Batch, Values
from fairway.data.schema.model import TableSchema


class RowChecks:
    """The row checks of one schema over the batches of one table. `with_keys`: repeated values of unique columns and keys are looked for
    as well, which keeps 8 bytes a row and key (at most 256 MB in all, then the rest is not looked at)."""

    def __init__(self, schema: TableSchema, *, with_keys: bool = True, with_times: bool = True) -> None:
        self.schema = schema
        self.rows = 0
        self.columns = {name: ColumnChecks(rule) for name, rule in schema.columns.items()}
        self.found: dict[str, str] = {}
        """The Arrow type of each column that came, in the order of the source."""
        self.kinds: dict[str, str] = {}
        self.partners: dict[tuple[str, str], Tally] = {}
        unique = [(name,) for name, rule in schema.columns.items() if rule.unique] if with_keys else []
        keys = [key for key in schema.keys if with_keys and (len(key) > 1 or key not in unique)]
        self.repeats = Repeats([*unique, *keys])
        self.jumps = {one.column: Jumps(one.column) for one in schema.cadences if with_times and not one.by}
        self._pairs = _pairs_of(schema)
        self._alike = tuple(tuple(group) for group in _row_schema(schema).get("x-fairway", {}).get("lengths", ()))
        self._lock = Lock()

    def again(self) -> RowChecks:
        """For other rows of the same schema, which is not compiled again: nothing is counted yet."""
        made = copy(self)
        made.rows, made.found, made.kinds, made.partners = 0, {}, {}, {}
        made.columns = {name: one.again() for name, one in self.columns.items()}
        made.repeats = Repeats(self.repeats.keys)
        made.jumps = {name: Jumps(name) for name in self.jumps}
        made._lock = Lock()
        return made

    def __call__(self, batch: Batch) -> None:
        self.add(batch)

    def add(self, batch: Batch) -> None:
        """Checks the rows of a batch."""
        for name, checks in self.columns.items():
            values = batch.columns.get(name)
            if values is not None:
                checks.add(values, batch.first_row)
        for name, jumps in self.jumps.items():
            if name in batch.columns:
                jumps.add(batch.columns[name], batch.first_row)
        partners = self._missing_partners(batch)
        self.repeats.add(batch)
        with self._lock:
            self.rows += batch.rows
            for name, values in batch.columns.items():
                if self.found.get(name, "null") == "null":
                    self.found[name] = values.arrow
                    self.kinds[name] = values.kind
            for pair, bad in partners:
                values = batch.columns[pair[0]]
                self.partners.setdefault(pair, Tally()).note(bad, values, batch.first_row)

    def _missing_partners(self, batch: Batch) -> list[tuple[tuple[str, str], np.ndarray]]:
        made: list[tuple[tuple[str, str], np.ndarray]] = []
        for one, other in self._pairs:
            if one in batch.columns:
                here = _present(batch.columns[one])
                there = _present(batch.columns[other]) if other in batch.columns else np.zeros(batch.rows, bool)
                made.append(((one, other), here & ~there))
        for first, *rest in self._alike:
            for other in rest:
                if first in batch.columns and other in batch.columns:
                    a, b = batch.columns[first], batch.columns[other]
                    if a.offsets is not None and b.offsets is not None:
                        made.append(((first, f"={other}"), (np.diff(a.offsets) != np.diff(b.offsets)) & _present(a) & _present(b)))
        return [(pair, bad) for pair, bad in made if bad.any()]


def _present(values: Values) -> np.ndarray:
    return np.ones(len(values), bool) if values.valid is None else values.valid


def _pairs_of(schema: TableSchema) -> tuple[tuple[str, str], ...]:
    said: dict[str, Any] = _row_schema(schema).get("dependentRequired", {})
    return tuple((one, other) for one, others in said.items() for other in others if one in schema.columns and other in schema.columns)


def _row_schema(schema: TableSchema) -> dict[str, Any]:
    return find_at(schema.document, tokens_of(schema.at)) or {}
