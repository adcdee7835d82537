"""Rows of two tables as one would draw them: samples of distinct rows with how often each came, made samples of rows."""

from __future__ import annotations

from typing import Any

import numpy as np

from fairway.data.batch import Batch, taken

_MOST = 20_000


def drawn(statistics: Any) -> Batch:
    """The statistics' sample, each distinct row as often as it came (at most 20,000 rows)."""
    counts = statistics.sample_counts
    return repeated(statistics.sample, counts)


def repeated(batch: Batch, counts: np.ndarray) -> Batch:
    """A sample with each row as often as it came."""
    if not batch.rows or len(counts) != batch.rows or (counts <= 1).all():
        return batch
    total = int(counts.sum())
    places = (
        np.repeat(np.arange(batch.rows), counts)
        if total <= 10 * _MOST
        else np.random.default_rng(5).choice(batch.rows, _MOST, p=counts / total)
    )
    if len(places) > _MOST:
        places = np.sort(np.random.default_rng(5).choice(places, _MOST, replace=False))
    return Batch(0, len(places), {name: taken(one, places) for name, one in batch.columns.items()})


def pair(reference: Any, current: Any) -> tuple[Batch, Batch]:
    """Samples of the rows of two `TableStatistics` (or batches) that can be told apart only if the tables can.

    Where rows repeat, a sample of distinct rows knows only those with small hashes: then both sides are cut to the same hashes, or their
    very choice would tell them apart."""
    if isinstance(reference, Batch) or isinstance(current, Batch):
        return _rows(reference), _rows(current)
    sides = (reference, current)
    if not any(len(one.sample_counts) and one.sample_counts.mean() > 1.02 for one in sides):
        return _rows(reference), _rows(current)
    whole = [int(one.sample_counts.sum()) >= one.rows for one in sides]
    limit = min(
        (one.sample_hashes.max() for one, all_ in zip(sides, whole, strict=True) if not all_ and len(one.sample_hashes)), default=None
    )
    if limit is None:
        return _rows(reference), _rows(current)
    cut: list[Batch] = []
    for one in sides:
        places = np.flatnonzero(one.sample_hashes <= limit)
        kept = Batch(0, len(places), {name: taken(values, places) for name, values in one.sample.columns.items()})
        cut.append(repeated(kept, one.sample_counts[places]))
    return cut[0], cut[1]


def _rows(source: Any) -> Batch:
    if not isinstance(source, Batch):
        return drawn(source)
    if source.rows <= _MOST:
        return source
    places = np.sort(np.random.default_rng(5).choice(source.rows, _MOST, replace=False))
    return Batch(0, _MOST, {name: taken(one, places) for name, one in source.columns.items()})
