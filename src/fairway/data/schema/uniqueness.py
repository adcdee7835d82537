"""Which columns identify a row: those whose values come once, and cannot have done so by chance."""

from __future__ import annotations

import re
from itertools import combinations

import numpy as np

from fairway.data.hashing import mixed
from fairway.data.statistics.column import ColumnStatistics
from fairway.data.statistics.table import TableStatistics

_FEWEST = 100
_COLLISIONS = 10.0
_MOST_CANDIDATES = 8
_ID = re.compile(r"(?:^|[^a-z])(id|uuid|guid|key|code|number|no|nr|ref|reference|serial)(?:$|[^a-z])")


def unique_columns(statistics: TableStatistics) -> set[str]:
    """Columns of identifiers: each value once, where as many values picked at random would have met."""
    return {name for name, column in statistics.columns.items() if _is_unique(column)}


def _is_unique(column: ColumnStatistics) -> bool:
    if column.kind not in ("integer", "string") or column.unlike or column.present < _FEWEST or column.nulls:
        return False
    if not comes_once(column):
        return False
    if column.kind == "integer":
        width = float(column.maximum - column.minimum + 1)
        return column.present**2 / (2 * width) >= _COLLISIONS or _is_named_so(column.name)
    return _is_named_so(column.name)


def comes_once(column: ColumnStatistics) -> bool:
    """No value of the column that was looked at comes twice, and there are as many values as rows, as far as can be told."""
    every = column.present
    if column.distinct_is_exact:
        return column.distinct == every
    return column.unique_share > 0 and column.smallest.once() == 1.0 and abs(column.distinct - every) <= 4 * column.distinct_error * every


def _is_named_so(name: str) -> bool:
    words = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower()
    return _ID.search(words) is not None or words.endswith("id")


def pairs_of(statistics: TableStatistics) -> list[tuple[str, str]]:
    """The pair of columns that identifies a row, if there is one and all rows are known: of names, whole numbers and times, few enough."""
    sample = statistics.sample
    if sample.rows < statistics.rows or statistics.rows < _FEWEST:
        return []
    fit: list[tuple[float, str]] = []
    for name, column in statistics.columns.items():
        is_fit = column.kind in ("integer", "string", "timestamp", "date") and not column.nulls and not column.unlike
        if is_fit and 1 < column.distinct < statistics.rows:
            fit.append((column.distinct, name))
    fit = [one for one in fit if one[0] * max(fit)[0] >= statistics.rows]
    best = [name for _, name in sorted(fit, reverse=True)[:_MOST_CANDIDATES]]
    order = list(statistics.columns)
    alike = {name: _alike(sample.columns[name].hashes()) for name in best}
    every = statistics.rows * (statistics.rows - 1) / 2
    found: list[tuple[float, tuple[str, str]]] = []
    for pair in combinations(sorted(best, key=order.index), 2):
        chance = alike[pair[0]] * alike[pair[1]] / every
        one, other = (sample.columns[name].hashes() for name in pair)
        if chance >= _COLLISIONS and not _alike(mixed(one ^ mixed(other))):
            found.append((chance, pair))
    return [max(found)[1]] if found else []


def _alike(hashes: np.ndarray) -> int:
    """Pairs of rows that have the same value."""
    counts = np.unique(hashes, return_counts=True)[1].astype(np.int64)
    return int((counts * (counts - 1) // 2).sum())
