"""Leaks: columns that tell the label almost alone, and rows that are in two tables. On samples of at most 10,000 rows, but rows exactly."""

from __future__ import annotations

from threading import Lock
from typing import TYPE_CHECKING, Any

import numpy as np

from fairway.data.anomalies.making import Maker, Wrong
from fairway.data.anomalies.model import Example
from fairway.data.anomalies.uniqueness import LIMIT_BYTES
from fairway.data.batch import Batch, Values
from fairway.data.spelling import spell_count, spell_share

if TYPE_CHECKING:
    from fairway.data.schema.model import TableSchema
    from fairway.data.statistics import TableStatistics

_FEWEST, _FEWEST_RARE = 200, 20
_LEAK, _EXACT = 0.98, 0.995
_CLASSES, _CATEGORIES, _BINS = 20, 200, 64
_SHOWN = 5


def find_label_leaks(maker: Maker, statistics: TableStatistics) -> None:
    """Columns of which each one predicts the label of rows that it was not fitted on."""
    label, sample = maker.schema.label, statistics.sample
    if not label or label not in sample.columns or sample.rows < _FEWEST:
        return
    target = _target(sample.columns[label])
    if target is None:
        return
    for name, values in sample.columns.items():
        if name == label or maker.schema.columns.get(name) is None:
            continue
        codes = _codes(values)
        score = 0.0 if codes is None else predictive(codes, target)
        if score < (_LEAK if target.dtype.kind == "i" else _EXACT):
            continue
        rule = maker.schema.columns[name]
        how = "an identifier or an order that knows the label" if rule.unique or rule.sorted else "is it known before the label is?"
        message = f"`{name}` tells `{label}` almost alone ({spell_share(score)} of what there is to tell): {how}"
        severity = {**rule.severity, "label-leak": "ignore"}
        edit = maker.column_edit(rule, {("x-fairway", "severity"): severity})
        expected = f"less than {spell_share(_LEAK)} of the label told by one column"
        maker.add("label-leak", name, message, expected=expected, found=spell_share(score), wrong=Wrong(None, sample.rows), edit=edit)


def predictive(codes: np.ndarray, target: np.ndarray) -> float:
    """How much of a label a column tells, judged on rows it was not fitted on: 0 no more than the commonest label (or the mean), 1 all.

    `codes`: small whole numbers; `target`: classes as whole numbers, or floats.
    """
    fit, test = np.arange(len(codes)) % 2 == 0, np.arange(len(codes)) % 2 == 1
    size = int(codes.max()) + 1
    if target.dtype.kind == "f":
        counts = np.bincount(codes[fit], minlength=size)
        sums = np.bincount(codes[fit], weights=target[fit], minlength=size)
        overall = float(target[fit].mean())
        guesses = np.where(counts > 0, sums / np.maximum(counts, 1), overall)[codes[test]]
        spread = float(((target[test] - overall) ** 2).sum())
        return max(0.0, 1 - float(((target[test] - guesses) ** 2).sum()) / spread) if spread else 0.0
    classes = int(target.max()) + 1
    table = np.bincount(codes[fit] * classes + target[fit], minlength=size * classes).reshape(size, classes)
    commonest = int(table.sum(axis=0).argmax())
    guesses = np.where(table.sum(axis=1) > 0, table.argmax(axis=1), commonest)[codes[test]]
    missed, base = int((guesses != target[test]).sum()), int((target[test] != commonest).sum())
    return max(0.0, 1 - missed / base) if base >= _FEWEST_RARE else 0.0


def _target(values: Values) -> np.ndarray | None:
    hashes = values.hashes()
    if values.valid is not None or len(hashes) < _FEWEST:
        return None
    distinct, codes = np.unique(hashes, return_inverse=True)
    if 2 <= len(distinct) <= _CLASSES:
        return codes.astype(np.int64)
    return values.data.astype(np.float64) if values.kind in ("integer", "float", "decimal") and len(distinct) > _CLASSES else None


def _codes(values: Values) -> np.ndarray | None:
    """A column as few whole numbers: its categories, or the ranks of its numbers in bins."""
    distinct, codes = np.unique(values.hashes(), return_inverse=True)
    if len(distinct) <= _CATEGORIES:
        return codes.astype(np.int64) if len(distinct) > 1 else None
    if values.offsets is not None:
        return None
    data = values.data.astype(np.float64)
    data = np.where(np.isfinite(data) & (True if values.valid is None else values.valid), data, -np.inf)
    edges = np.unique(np.quantile(data[np.isfinite(data)], np.linspace(0, 1, _BINS + 1)[1:-1]))
    return np.searchsorted(edges, data, side="right")


class RowHashes:
    """A hash of each row, of the columns that tell rows apart by what they say: not keys, not times."""

    def __init__(self, schema: TableSchema) -> None:
        keys = {name for key in schema.keys for name in key}
        self._left_out = keys | {name for name, rule in schema.columns.items() if rule.unique} | {one.column for one in schema.cadences}
        self._parts: list[tuple[int, np.ndarray]] = []
        self._lock = Lock()
        self.is_whole = True

    def __call__(self, batch: Batch) -> None:
        from fairway.data.statistics.sampling import hash_rows

        columns = {name: one for name, one in batch.columns.items() if name not in self._left_out and one.kind not in ("timestamp", "date")}
        made = hash_rows(columns or batch.columns)
        with self._lock:
            if (sum(len(part) for _, part in self._parts) + len(made)) * 8 > LIMIT_BYTES:
                self.is_whole = False
            else:
                self._parts.append((batch.first_row, made))

    def all(self) -> np.ndarray:
        """Of every row, in order."""
        return np.concatenate([part for _, part in sorted(self._parts, key=lambda one: one[0])] or [np.empty(0, np.uint64)])


def find_overlap(maker: Maker, mine: RowHashes, others: RowHashes, other_name: str) -> None:
    """Rows of this table that the other one holds as well, beyond those that are alike by chance."""
    here, there = mine.all(), others.all()
    if not len(here) or not len(there):
        return
    both = np.isin(here, there)
    count = int(np.count_nonzero(both))
    by_chance = 1 - len(np.unique(there)) / len(there)
    share = count / len(here)
    if not mine.is_whole or not others.is_whole:
        maker.notes.append("the tables are too large to compare every row: the first ones were")
    if count == 0 or share <= max(1.5 * by_chance, 0.0005):
        return
    examples = tuple(Example(int(row), None) for row in np.flatnonzero(both)[:_SHOWN])
    message = f"{spell_count(count, 'row')} ({spell_share(share)}) are also in {other_name}: what is tested on must not be trained on"
    severity: dict[str, Any] = {**(maker.said_of_rows("severity") or {}), "overlap": "ignore"}
    edit = maker.table_edit({("x-fairway", "severity"): severity})
    wrong = Wrong(count, len(here), examples)
    maker.add("overlap", "", message, expected="no row in both", found=spell_share(share), wrong=wrong, edit=edit)
