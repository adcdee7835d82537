"""What is known of a whole table: its columns, its rhythm, its pairs of columns, its rows; merged over shards, stored as JSON."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np

from fairway.data.batch import Batch
from fairway.data.statistics.cadence import Cadence
from fairway.data.statistics.column import ColumnStatistics
from fairway.data.statistics.correlations import Pairs
from fairway.data.statistics.sampling import RowSample
from fairway.errors import ConfigError, UnsupportedError

VERSION = 1
_KIND = "fairway-statistics"


@dataclass(frozen=True, slots=True)
class Estimate:
    """A number, and the bounds within which it is at 95 % confidence."""

    value: float
    low: float
    high: float
    is_exact: bool = False


@dataclass(slots=True, eq=False)
class TableStatistics:
    """Statistics of one table.

    `columns` by name, in the source's order; `cadences` by time column; `time`: the one of them that orders the rows, "" for none named;
    `uri`: what was measured; `measured_at`: when, ISO 8601. Everything else is asked from these. Nothing in it changes but by `merge`.
    """

    fairway_type: ClassVar[str] = "fairway.data.TableStatistics"
    rows: int
    columns: dict[str, ColumnStatistics]
    cadences: dict[str, Cadence] = field(default_factory=dict)
    pairs: Pairs | None = None
    row_sample: RowSample | None = None
    time: str = ""
    uri: str = ""
    measured_at: str = ""

    def __repr__(self) -> str:
        return f"<TableStatistics of {self.uri or 'a table'}: {self.rows:,} rows, {len(self.columns):,} columns>"

    @property
    def cadence(self) -> Cadence | None:
        """Of the column `time`; where none was named, of the only time column."""
        if self.time:
            return self.cadences.get(self.time)
        return next(iter(self.cadences.values())) if len(self.cadences) == 1 else None

    @property
    def correlations(self) -> dict[tuple[str, str], float]:
        """Pearson's, by pair of columns in the table's order; pairs in which one does not vary are left out."""
        return self.pairs.coefficients() if self.pairs else {}

    @property
    def duplicate_rows(self) -> Estimate:
        """Rows that repeat another row: as many as would be gone if each row came once. Exact up to the sample's size."""
        if self.row_sample is None:
            return Estimate(float("nan"), 0.0, float(self.rows))
        held = self.row_sample.smallest
        if held.is_whole:
            value = float(self.rows - len(held.hashes))
            return Estimate(value, value, value, is_exact=True)
        share = float((held.counts - 1).sum() / held.counts.sum())
        residue = (held.counts - 1) - share * held.counts
        spread = 1.96 * float(np.sqrt((residue**2).sum())) / float(held.counts.sum()) * self.rows
        unseen = 3.0 * self.rows / len(held.counts) if share in (0.0, 1.0) else 0.0  # the rule of three: nothing of the kind in the sample
        return Estimate(share * self.rows, max(0.0, share * self.rows - spread), min(float(self.rows), share * self.rows + spread + unseen))

    @property
    def sample(self) -> Batch:
        """Rows with the smallest hashes: a uniform sample of the distinct rows, and the same rows of every table that holds them."""
        return self.row_sample.batch() if self.row_sample else Batch(0, 0, {})

    @property
    def sample_hashes(self) -> np.ndarray:
        """Of the rows of `sample` (`hash_rows`)."""
        return self.row_sample.smallest.hashes if self.row_sample else np.empty(0, np.uint64)

    @property
    def sample_counts(self) -> np.ndarray:
        """How often each row of `sample` is in the table."""
        return self.row_sample.smallest.counts if self.row_sample else np.empty(0, np.int64)

    def html(self) -> str:
        """A page of its own: `return fw.HTML(statistics.html())` shows it with the run."""
        from fairway.data.report import render

        return render(statistics=self)

    def _repr_html_(self) -> str:
        from fairway.data.report import embed

        return embed(statistics=self)

    def merge(self, other: TableStatistics) -> TableStatistics:
        """Of both tables, `other`'s rows after these; neither is changed. Columns that one does not have are null in its rows."""
        made = self.copy()
        for name, theirs in other.columns.items():
            mine = made.columns.get(name)
            if mine is None:
                mine = made.columns[name] = theirs.copy()
                mine.rows, mine.nulls = mine.rows + self.rows, mine.nulls + self.rows
            else:
                mine.merge(theirs)
        for name, mine in made.columns.items():
            if name not in other.columns:
                mine.rows, mine.nulls = mine.rows + other.rows, mine.nulls + other.rows
        for name, cadence in other.cadences.items():
            mine_cadence = made.cadences.get(name)
            if mine_cadence is None:
                mine_cadence = made.cadences[name] = Cadence(cadence.column, cadence.arrow, cadence.by, limit=cadence.limit)
            mine_cadence.merge(cadence, self.rows)
        made.pairs = _merged(made.pairs, other.pairs)
        made.row_sample = _merged(made.row_sample, other.row_sample)
        made.rows += other.rows
        made.time = made.time or other.time
        made.uri = ", ".join(dict.fromkeys(one for one in (self.uri, other.uri) if one))
        made.measured_at = max(self.measured_at, other.measured_at)
        return made

    def copy(self) -> TableStatistics:
        return TableStatistics(
            self.rows, {name: one.copy() for name, one in self.columns.items()}, {name: one.copy() for name, one in self.cadences.items()},
            self.pairs and self.pairs.copy(), self.row_sample and self.row_sample.copy(), self.time, self.uri, self.measured_at,
        )  # fmt: skip

    def to_record(self, *, sample: bool = True) -> dict[str, Any]:
        """As JSON holds it; without the sample of rows where the data must not travel (frequent values do)."""
        return {
            "kind": _KIND,
            "version": VERSION,
            "uri": self.uri,
            "measured_at": self.measured_at,
            "rows": self.rows,
            "time": self.time,
            "columns": [one.to_record() for one in self.columns.values()],
            "cadences": [one.to_record() for one in self.cadences.values()],
            "pairs": self.pairs and self.pairs.to_record(),
            "sample": self.row_sample.to_record() if self.row_sample and sample else None,
        }

    def to_json(self, *, sample: bool = True) -> str:
        """`from_json` reads it in this and every later version."""
        return json.dumps(self.to_record(sample=sample), separators=(",", ":"), ensure_ascii=False, allow_nan=True)

    @classmethod
    def from_json(cls, text: str | bytes, *, where: str = "") -> TableStatistics:
        """ConfigError where it is damaged or no statistics, UnsupportedError where a newer Fairway wrote it; `where` is the file."""
        try:
            record = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise ConfigError(f"the statistics are no JSON: {error}", where=where, hint=_AGAIN) from error
        return cls.from_record(record, where=where)

    @classmethod
    def from_record(cls, record: Any, *, where: str = "") -> TableStatistics:
        """The same of what JSON held."""
        if not isinstance(record, dict) or record.get("kind") != _KIND:
            raise ConfigError("this is no file of statistics", where=where, hint=_AGAIN)
        version = record.get("version")
        if not isinstance(version, int) or version > VERSION:
            raise UnsupportedError(
                f"these statistics have version {version!r}; this Fairway reads up to {VERSION}",
                where=where,
                hint="Upgrade Fairway, or measure again with this one.",
            )
        try:
            return cls._read(record)
        except (KeyError, TypeError, ValueError, AttributeError, IndexError, OverflowError) as error:
            said = f"{error.args[0]!r} is missing" if isinstance(error, KeyError) and error.args else str(error)
            raise ConfigError(f"the statistics are damaged: {said}", where=where, hint=_AGAIN) from error

    @classmethod
    def _read(cls, record: Mapping[str, Any]) -> TableStatistics:
        columns = [ColumnStatistics.from_record(one) for one in record["columns"]]
        cadences = [Cadence.from_record(one) for one in record["cadences"]]
        pairs = record["pairs"] and Pairs.from_record(record["pairs"])
        sample = record["sample"] and RowSample.from_record(record["sample"])
        said = {name: str(record[name]) for name in ("time", "uri", "measured_at")}
        by_name = {one.name: one for one in columns}
        return cls(int(record["rows"]), by_name, {one.column: one for one in cadences}, pairs, sample, **said)

    @property
    def digest(self) -> str:
        """SHA-256 of what was measured, whatever it is called and whenever it was."""
        record = self.to_record()
        del record["uri"], record["measured_at"]
        return hashlib.sha256(json.dumps(record, sort_keys=True).encode()).hexdigest()


_AGAIN = "Make it again: fairway data stats URI --out FILE"


def _merged(mine: Any, theirs: Any) -> Any:
    if mine is None or theirs is None:
        return None
    mine.merge(theirs)
    return mine
