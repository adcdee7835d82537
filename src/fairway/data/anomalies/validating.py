"""`fw.validate`: everything that is not as a schema says, in one pass over a table."""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fairway.data.anomalies.beside import Beside
from fairway.data.anomalies.cadences import judge_cadence
from fairway.data.anomalies.columns import find_in_columns
from fairway.data.anomalies.drifts import find_drift
from fairway.data.anomalies.making import Maker
from fairway.data.anomalies.model import Anomaly, Validation
from fairway.data.anomalies.rowchecks import RowChecks
from fairway.data.anomalies.tables import (
    find_against_baseline,
    find_age,
    find_in_columns_there,
    find_in_rows,
    find_keys,
    find_partners,
    find_rejects,
)
from fairway.data.batch import Batch
from fairway.data.schema.model import TableSchema
from fairway.data.schema.parse import digest_of

if TYPE_CHECKING:
    from fairway.data.sources.rejects import RejectLimit
    from fairway.data.statistics import TableStatistics


def validate(
    table: Any,
    schema: TableSchema | dict[str, Any] | str | Path,
    *,
    environment: str = "",
    statistics: TableStatistics | None = None,
    baseline: TableStatistics | None = None,
    other: Any = None,
    fail: bool | None = None,
) -> Validation:
    """Hold a table (anything `fw.read` takes, a `Table`, batches) to a schema (parsed, a document, or a file's path), in one pass.

    `environment`: "training" or "serving": which columns are to be there. `statistics`: the table's own, where they were measured already.
    `baseline`: statistics that the table is compared with (drift; the number of rows). `other`: a table that must have no row in common
    with this one (train and test), and what drift is told against where there is no baseline. `fail`: raise DataAnomalies if anything of
    severity "error" is found; by default in a step, where it fails the task, and not elsewhere.
    """
    made = Inspection(schema_of(schema), environment, statistics=statistics, baseline=baseline, other=other).run(table)
    if fail if fail is not None else _is_in_step():
        made.raise_for_errors()
    return made


@dataclass
class Inspection:
    """One look at one table; `progress` is told the rows so far."""

    schema: TableSchema
    environment: str = ""
    statistics: TableStatistics | None = None
    baseline: TableStatistics | None = None
    other: Any = None
    progress: Callable[[int], None] | None = None
    other_statistics: TableStatistics | None = None
    """Of `other`, once it was read."""
    max_rejects: RejectLimit | None = None
    """More rows that cannot be read are an error; None: the table's own limit, above which it is not read at all."""

    def run(self, table: Any) -> Validation:
        """Everything that is wrong, the worst first."""
        from fairway.data.anomalies.distributions import find_in_distributions
        from fairway.data.anomalies.leakage import find_label_leaks

        began = time.perf_counter()
        rules = self.schema.for_environment(self.environment) if self.environment else self.schema
        read = _table_of(table)
        checks, maker = RowChecks(rules), Maker(rules)
        statistics = self._measure(read, checks, maker)
        _note_empty_columns(read, checks)
        find_in_columns_there(maker, checks)
        find_in_columns(maker, checks)
        find_in_distributions(maker, statistics)
        find_in_rows(maker, checks, statistics)
        for rule in rules.cadences:
            found = statistics.cadences.get(rule.column)
            if found is not None and found.rows and found.by == rule.by:
                judge_cadence(maker, rule, found, checks.jumps.get(rule.column))
        find_age(maker, statistics, dt.datetime.now(dt.UTC))
        find_label_leaks(maker, statistics)
        if self.baseline is not None:
            find_against_baseline(maker, statistics, self.baseline)
        before = self.baseline or self.other_statistics
        if before is not None:
            find_drift(maker, statistics, before)
        rejects = getattr(read, "rejects", None)
        if rejects is not None and self.max_rejects is not None and not self.max_rejects.allows(rejects.count, checks.rows):
            maker.severities["rows-rejected"] = "error"
        find_rejects(maker, rejects)
        return Validation(
            uri=str(getattr(read, "uri", "") or statistics.uri), rows=checks.rows, columns=len(checks.found),
            anomalies=tuple(sorted(maker.made, key=lambda one: one.rank)), notes=(*getattr(read, "notes", ()), *maker.notes),
            rejects=rejects.count if rejects is not None else 0, rejected=tuple(asdict(one) for one in (rejects.rows if rejects else ())),
            environment=self.environment, schema_where=self.schema.where, schema_digest=digest_of(self.schema.document),
            seconds=time.perf_counter() - began, statistics=statistics,
        )  # fmt: skip

    def _measure(self, read: Any, checks: RowChecks, maker: Maker) -> TableStatistics:
        from fairway.data.anomalies.leakage import RowHashes, find_overlap
        from fairway.data.statistics import measure

        rules = maker.schema
        mine = RowHashes(rules) if self.other is not None else None
        looks = [checks, *([mine] if mine is not None else [])]
        if self.statistics is None:
            grouped = next((one for one in rules.cadences if one.by), None)
            names = {field.name for field in getattr(read, "fields", ())}
            is_there = grouped is not None and {grouped.column, *grouped.by} <= names
            time_column, by = (grouped.column, grouped.by) if grouped is not None and is_there else ("", ())
            with Beside(looks) as beside:
                statistics = measure(read, time=time_column, by=by, progress=self.progress, checks=[beside.add])
        else:
            statistics = self.statistics
            for batch in _batches_of(read):
                for look in looks:
                    look(batch)
        if mine is not None:
            theirs, there = RowHashes(rules), _table_of(self.other)
            self.other_statistics = measure(there, checks=[theirs])
            find_overlap(maker, mine, theirs, str(getattr(there, "uri", "") or "the other table"))
        return statistics


def validate_batch(batch: Batch, schema: TableSchema | dict[str, Any] | str | Path) -> list[Anomaly]:
    """What the rows of one batch tell by themselves; numpy only. Shares are judged with a margin for chance."""
    return BatchChecks(schema_of(schema)).check(batch)


class BatchChecks:
    """`validate_batch` for many batches of one schema, which is compiled once. Not for several threads at a time."""

    def __init__(self, schema: TableSchema) -> None:
        self.schema = schema
        self._compiled = RowChecks(schema, with_times=False)

    def check(self, batch: Batch) -> list[Anomaly]:
        """What the rows of a batch tell by themselves, the worst first."""
        checks, maker = self._compiled.again(), Maker(self.schema)
        checks.add(batch)
        find_in_columns_there(maker, checks)
        find_in_columns(maker, checks, is_part=True)
        find_partners(maker, checks)
        find_keys(maker, checks)
        return sorted(maker.made, key=lambda one: one.rank)


def schema_of(schema: TableSchema | dict[str, Any] | str | Path) -> TableSchema:
    """A schema that is parsed, or is to be."""
    if isinstance(schema, TableSchema):
        return schema
    from fairway.data.schema.files import load_schema_file
    from fairway.data.schema.parse import parse_schema

    return parse_schema(schema) if isinstance(schema, dict) else load_schema_file(schema)


def _table_of(table: Any) -> Any:
    """A `Table`, or batches."""
    if isinstance(table, Batch):
        return [table]
    is_batches = isinstance(table, Iterator) or (isinstance(table, Sequence) and bool(table) and isinstance(table[0], Batch))
    if is_batches or hasattr(table, "batches"):
        return table
    from fairway.data.table import read

    return read(table)


def _batches_of(read: Any) -> Iterable[Batch]:
    return read.batches() if hasattr(read, "batches") else read


def _note_empty_columns(read: Any, checks: RowChecks) -> None:
    """The columns of a table without rows are there all the same."""
    for field in getattr(read, "fields", ()):
        checks.found.setdefault(field.name, field.arrow)
        checks.kinds.setdefault(field.name, field.kind)


def _is_in_step() -> bool:
    from fairway.step.context import context

    return bool(context().run)
