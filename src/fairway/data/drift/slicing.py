"""The rows of two tables, cut into the same slices."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from fairway.data.batch import Batch, taken
from fairway.data.drift.readings import Counts, counts_of_values
from fairway.errors import ConfigError, UnsupportedError

MOST = 20
FEWEST_ROWS = 100


def split(reference: Any, current: Any, by: Sequence[str]) -> tuple[dict[str, tuple[Any, Any]], list[str]]:
    """({"column = value": (reference's rows, current rows)}, notes) for each of the most frequent values of each column of `by`."""
    sides = [_batched(reference), _batched(current)]
    keys: dict[str, Counts] = {}
    pairs: dict[str, tuple[Any, Any]] = {}
    notes: list[str] = []
    for column in by:
        keys[column] = _frequent(sides[0][0](), column)
    parts = [_parts(batches(), keys, exact=exact) for batches, exact in sides]
    for column, counts in keys.items():
        if counts.rest:
            notes.append(f"`{column}` has more values than are compared by themselves: the {MOST} most frequent are")
        for key, label in zip(counts.keys.tolist(), counts.labels, strict=True):
            before, after = (part.get((column, key)) for part in parts)
            name = f"{column} = {label}"
            if before is None or after is None or min(before.rows, after.rows) < FEWEST_ROWS:
                notes.append(f"{name}: fewer than {FEWEST_ROWS} rows on one side, not compared")
            else:
                pairs[name] = (before, after)
    return pairs, notes


def _batched(source: Any) -> tuple[Any, bool]:
    """(a function that gives the batches, whether rows are at hand)."""
    if isinstance(source, Batch):
        return (lambda: [source]), True
    if hasattr(source, "row_sample") or hasattr(source, "tracks"):
        raise UnsupportedError("slices need rows, not statistics or a baseline", hint="Name the data set itself.")
    from fairway.data.table import read

    table = source if hasattr(source, "batches") else read(source)
    return table.batches, False


def _frequent(batches: Iterable[Batch], column: str) -> Counts:
    """Of the first rows (a million at most)."""
    seen, held = 0, dict[int, list[Any]]()
    rest = 0.0
    for batch in batches:
        if column not in batch.columns:
            raise ConfigError(f"there is no column {column!r} to slice by", hint="The columns are: " + ", ".join(batch.columns))
        counts = counts_of_values(batch.columns[column])
        rest += counts.rest
        for key, label, count in zip(counts.keys.tolist(), counts.labels, counts.counts.tolist(), strict=True):
            held.setdefault(key, [label, 0.0])[1] += count
        seen += batch.rows
        if seen >= 1_000_000:
            break
    kept = sorted(held.items(), key=lambda item: (-item[1][1], item[1][0]))
    rest += sum(one[1] for _, one in kept[MOST:])
    kept = kept[:MOST]
    numbers = np.array([one[1] for _, one in kept])
    return Counts(np.array([key for key, _ in kept], np.uint64), tuple(one[0] for _, one in kept), numbers, seen, 0, rest)


def _parts(batches: Iterable[Batch], keys: dict[str, Counts], *, exact: bool) -> dict[tuple[str, int], Any]:
    made: dict[tuple[str, int], Any] = {}
    for batch in batches:
        for column, counts in keys.items():
            if column not in batch.columns:
                continue
            hashes = batch.columns[column].hashes()
            for key in counts.keys.tolist():
                rows = np.flatnonzero(hashes == np.uint64(key))
                if not len(rows):
                    continue
                part = Batch(0, len(rows), {name: taken(one, rows) for name, one in batch.columns.items() if name != column})
                if exact:
                    made[column, key] = part
                else:
                    _accumulator(made, (column, key)).add(part)
    return made if exact else {key: one.result() for key, one in made.items()}


def _accumulator(made: dict[tuple[str, int], Any], key: tuple[str, int]) -> Any:
    from fairway.data.statistics.accumulator import Accumulator

    if key not in made:
        made[key] = Accumulator()
    return made[key]
