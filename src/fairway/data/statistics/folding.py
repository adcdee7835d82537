"""Values of a batch folded into the statistics of their column."""

from __future__ import annotations

from typing import Any

import numpy as np

from fairway.data.batch import Values, as_bits, sliced, taken
from fairway.data.hashing import first_words, mixed
from fairway.data.statistics.budget import Budget
from fairway.data.statistics.column import NUMBERS, TEXT_BYTES, TEXTS, TIMES, ColumnStatistics
from fairway.data.statistics.moments import Moments
from fairway.data.statistics.texts import count_encoding

ROWS = 1 << 16
"""Values are folded in at most so many at once: a row's number fits beside 48 bits of its hash."""
_SPAN = 1 << 17


def fold(column: ColumnStatistics, values: Values, budget: Budget) -> None:
    """Add values to a column; one of another kind counts as `unlike`."""
    for start in range(0, len(values), ROWS):
        _fold(column, values if len(values) <= ROWS else sliced(values, start, min(start + ROWS, len(values))), budget)


def _fold(column: ColumnStatistics, values: Values, budget: Budget) -> None:
    nulls = values.nulls
    column.adopt(values.kind, values.arrow)
    column.rows += len(values)
    column.nulls += nulls
    present = len(values) - nulls
    if not present:
        return
    if not column.is_like(values.kind):
        column.unlike += present
    elif values.kind in NUMBERS | TIMES:
        _fold_numbers(column, values)
    elif values.kind in TEXTS:
        _fold_texts(column, values, budget)
    elif values.kind == "list":
        _fold_lists(column, values, budget)


def _fold_numbers(column: ColumnStatistics, values: Values) -> None:
    data = values.present()
    if data.dtype.kind == "f" or column.kind in ("float", "decimal") or (data.dtype == np.uint64 and int(data.max()) >= 1 << 63):
        ordered = _finite(column, np.sort(data.astype(np.float64, copy=False)))
        if not len(ordered):
            return
        keys, counts = _runs(ordered)
        keys = keys + 0.0 if keys[0] <= 0 else keys  # no -0.0
        column.whole = column.whole and bool((np.floor(keys[:64]) == keys[:64]).all() and (np.floor(keys) == keys).all())
        column.moments = column.moments.merged(Moments.of(ordered))
    else:
        keys, counts, ordered = _whole_numbers(data)
    if len(keys) == len(values) and values.has_hashes:
        hashes, weights = values.hashes(), None
    else:
        hashes, weights = mixed(as_bits(keys)), counts
    if data.dtype.kind != "f" and column.kind not in ("float", "decimal"):
        wide = keys.astype(np.float64)
        column.moments = column.moments.merged(Moments.of(wide, counts))
        ordered = wide if counts is None else np.repeat(wide, counts)
    if keys[0] <= 0:
        below = int(np.searchsorted(keys, 0))
        column.negatives += below if counts is None else int(counts[:below].sum())
        column.zeros += (1 if counts is None else int(counts[below])) if below < len(keys) and keys[below] == 0 else 0
    column.bounds(keys[0].item(), keys[-1].item())
    column.registers.add(hashes)
    column.smallest.add(hashes, weights)
    column.frequent.add(keys, counts)
    assert ordered is not None
    column.ranks.add_sorted(ordered)


def _finite(column: ColumnStatistics, ordered: np.ndarray) -> np.ndarray:
    """Without what is no number or infinite, which is counted."""
    if np.isnan(ordered[-1]):
        held = int(np.searchsorted(ordered, np.nan))
        column.nans += len(ordered) - held
        ordered = ordered[:held]
    if len(ordered) and (np.isinf(ordered[0]) or np.isinf(ordered[-1])):
        first, last = int(np.searchsorted(ordered, -np.inf, "right")), int(np.searchsorted(ordered, np.inf))
        column.infinities += len(ordered) - (last - first)
        ordered = ordered[first:last]
    return ordered


def _whole_numbers(data: np.ndarray) -> tuple[np.ndarray, np.ndarray | None, np.ndarray | None]:
    """(distinct ascending, how often each, all ascending or None where they are close together)."""
    if data.dtype.kind == "b":
        trues = int(np.count_nonzero(data))
        found = [(key, count) for key, count in ((0, len(data) - trues), (1, trues)) if count]
        return np.array([key for key, _ in found], np.int64), np.array([count for _, count in found], np.int64), None
    low, high = int(data.min()), int(data.max())
    if high - low <= min(_SPAN, 4 * len(data)):
        every = np.bincount(data.astype(np.int64, copy=False) - low)
        places = np.flatnonzero(every)
        return places + low, every[places], None
    ordered = np.sort(data.astype(np.int64, copy=False))
    return *_runs(ordered), ordered


def _runs(ordered: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
    """(distinct ones, how often each comes or None where each comes once)."""
    changes = ordered[1:] != ordered[:-1]
    if changes.all():
        return ordered, None
    first = np.flatnonzero(changes)
    first += 1
    starts = np.empty(len(first) + 2, np.int64)
    starts[0], starts[1:-1], starts[-1] = 0, first, len(ordered)
    return ordered[starts[:-1]], np.diff(starts)


def _fold_texts(column: ColumnStatistics, values: Values, budget: Budget) -> None:
    assert values.offsets is not None
    hashes = values.hashes()
    rows = None if values.valid is None else np.flatnonzero(values.valid)
    keys, counts, first = _distinct_texts(hashes if rows is None else hashes[rows])
    first = first if rows is None else rows[first]
    column.registers.add(keys)
    column.smallest.add(keys, counts)
    column.frequent.add(keys, counts)
    _keep_texts(column, values, keys, first)
    _bound_texts(column, values, first)
    if values.kind == "string":
        column.encoding = column.encoding.merged(count_encoding(values.offsets, values.data, values.valid))
    _fold_lengths(column, values, budget)


def _distinct_texts(hashes: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(distinct hashes ascending, how often each, the first place of each). One sort of 48 bits of hash and 16 of place."""
    packed = (hashes & np.uint64(0xFFFFFFFFFFFF0000)) | np.arange(len(hashes), dtype=np.uint64)
    packed.sort()
    places = (packed & np.uint64(0xFFFF)).astype(np.int64)
    packed >>= np.uint64(16)
    new = np.flatnonzero(packed[1:] != packed[:-1])
    ordered = hashes[places]
    if np.count_nonzero(ordered[1:] != ordered[:-1]) != len(new):  # two hashes that are equal in 48 bits
        keys, first, counts = np.unique(hashes, return_index=True, return_counts=True)
        return keys, counts, first
    new += 1
    starts = np.empty(len(new) + 2, np.int64)
    starts[0], starts[1:-1], starts[-1] = 0, new, len(hashes)
    return ordered[starts[:-1]], np.diff(starts), places[starts[:-1]]


def _keep_texts(column: ColumnStatistics, values: Values, keys: np.ndarray, first: np.ndarray) -> None:
    """Hold the texts of the hashes that the sketches have taken in."""
    assert values.offsets is not None
    offsets, data, texts = values.offsets, values.data, column.texts
    for held in (column.frequent.keys, column.smallest.hashes):
        if not len(held):
            continue
        places = np.minimum(np.searchsorted(keys, held), len(keys) - 1)
        known = keys[places] == held
        for key, row in zip(held[known].tolist(), first[places[known]].tolist(), strict=True):
            if key not in texts:
                texts[key] = data[offsets[row] : min(int(offsets[row + 1]), int(offsets[row]) + TEXT_BYTES)].tobytes()
    if len(texts) > 2 * (column.frequent.capacity + column.smallest.k):
        column.forget_texts()


def _bound_texts(column: ColumnStatistics, values: Values, rows: np.ndarray) -> None:
    """The first and the last text, by their bytes: found by their first eight, then compared."""
    assert values.offsets is not None
    words = first_words(values.offsets, values.data, rows)
    for extreme, name in ((words.min(), "low"), (words.max(), "high")):
        same = rows[words == extreme]
        found = _extreme(values, same, least=name == "low")
        column.bounds(found, found)


def _extreme(values: Values, rows: np.ndarray, *, least: bool) -> bytes:
    assert values.offsets is not None
    offsets, data = values.offsets, values.data
    skip = 8
    while len(rows) > 64 and skip < 256:
        words = first_words(offsets, data, rows, skip)
        rows = rows[words == (words.min() if least else words.max())]
        skip += 8
    texts = [data[offsets[row] : min(int(offsets[row + 1]), int(offsets[row]) + TEXT_BYTES)].tobytes() for row in rows[:4096].tolist()]
    return min(texts) if least else max(texts)


def _fold_lengths(column: ColumnStatistics, values: Values, budget: Budget) -> None:
    if column.lengths is None:
        column.lengths = ColumnStatistics.empty(f"{column.name}.length", "integer", "int64", _smaller(budget))
    lengths = values.lengths()
    made = Values("integer", "int64", (lengths if values.valid is None else lengths[values.valid]).astype(np.int64, copy=False))
    _fold_numbers(column.lengths, made)
    column.lengths.rows += len(made)


def _fold_lists(column: ColumnStatistics, values: Values, budget: Budget) -> None:
    assert values.offsets is not None and values.child is not None
    hashes: Any = values.hashes() if values.valid is None else values.hashes()[values.valid]
    column.registers.add(hashes)
    column.smallest.add(hashes)
    _fold_lengths(column, values, budget)
    if column.elements is None:
        column.elements = ColumnStatistics.empty(f"{column.name}[]", values.child.kind, values.child.arrow, budget)
    if values.valid is not None:
        values = taken(values, np.flatnonzero(values.valid))
        assert values.offsets is not None and values.child is not None
    fold(column.elements, sliced(values.child, int(values.offsets[0]), int(values.offsets[-1])), budget)


def _smaller(budget: Budget) -> Budget:
    return Budget(quantiles=min(budget.quantiles, 256), registers=min(budget.registers, 10), kept=min(budget.kept, 256), top=256)
