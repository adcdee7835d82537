"""Batches: what every source yields, and every statistic, check and monitor eats. Arrow arrives through nanoarrow, without copies."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from fairway.data.hashing import hash_texts, mixed

Kind = Literal["float", "integer", "boolean", "string", "timestamp", "date", "time", "duration", "decimal", "binary", "list", "null"]
"""What a column holds, whatever its width. Structs are not a kind: their fields are columns named `outer.inner`."""


@dataclass(slots=True)
class Values:
    """One column of one batch.

    `data`: float and integer as they came (`float32` …, `int64` …); boolean as bool; timestamp as int64 microseconds since 1970 in UTC (or
    of the wall clock, where `arrow` names no time zone); date as int64 days; time and duration as int64 microseconds; decimal as float64;
    string and binary as the bytes of all values, uint8, value i between `offsets[i]` and `offsets[i + 1]`; list likewise, its elements in
    `child`. What stands where `valid` is False is undefined. `valid` None: nothing is null.
    """

    kind: Kind
    arrow: str
    data: np.ndarray
    valid: np.ndarray | None = None
    offsets: np.ndarray | None = None
    child: Values | None = None
    _hashes: np.ndarray | None = field(default=None, repr=False)

    def __len__(self) -> int:
        return len(self.data) if self.offsets is None else len(self.offsets) - 1

    @property
    def nulls(self) -> int:
        return 0 if self.valid is None else len(self) - int(np.count_nonzero(self.valid))

    def present(self) -> np.ndarray:
        """`data` without the nulls (not for string, binary, list)."""
        return self.data if self.valid is None else self.data[self.valid]

    def hashes(self) -> np.ndarray:
        """A uint64 for each row, equal for equal values in every batch, file, process and version; null rows have 0. -0.0 is 0.0, every NaN
        is one; a whole number has the same hash as a float of its value."""
        if self._hashes is None:
            self._hashes = self._hash()
        return self._hashes

    @property
    def has_hashes(self) -> bool:
        """Whether `hashes` costs nothing any more."""
        return self._hashes is not None

    def _hash(self) -> np.ndarray:
        if self.kind in ("string", "binary"):
            assert self.offsets is not None
            made = hash_texts(self.offsets, self.data)
        elif self.kind == "list":
            assert self.offsets is not None and self.child is not None
            first, last = int(self.offsets[0]), int(self.offsets[-1])
            made = _hash_lists(self.offsets - first, sliced(self.child, first, last).hashes())
        else:
            made = mixed(as_bits(self.data))
        if self.valid is not None:
            made = np.where(self.valid, made, np.uint64(0))
        return made

    def lengths(self) -> np.ndarray:
        """Characters of each string; bytes of each binary, elements of each list."""
        assert self.offsets is not None
        first, last = int(self.offsets[0]), int(self.offsets[-1])
        part = self.data[first:last]
        if self.kind != "string" or not len(part) or part.max() < 0x80:
            return np.diff(self.offsets)
        count = np.zeros(len(part) + 1, np.int64)
        np.cumsum((part & 0xC0) != 0x80, out=count[1:])
        return count[self.offsets[1:] - first] - count[self.offsets[:-1] - first]

    def value(self, row: int) -> Any:
        """Row `row` as a Python value; None where it is null. Timestamps as ISO 8601 text."""
        return next(iter(self.values([row])))

    def values(self, rows: Sequence[int] | np.ndarray) -> list[Any]:
        """Some rows as Python values."""
        return [self._value(int(row)) for row in rows]

    def _value(self, row: int) -> Any:
        if self.valid is not None and not self.valid[row]:
            return None
        if self.offsets is not None:
            start, end = int(self.offsets[row]), int(self.offsets[row + 1])
            if self.kind == "list":
                assert self.child is not None
                return self.child.values(range(start, end))
            raw = self.data[start:end].tobytes()
            return raw.decode("utf-8", "replace") if self.kind == "string" else raw
        plain = self.data[row].item()
        if self.kind == "timestamp":
            return np.datetime_as_string(np.datetime64(plain, "us"), timezone="naive") + ("Z" if "," in self.arrow else "")
        if self.kind == "date":
            return str(np.datetime64(plain, "D"))
        if self.kind == "time":
            return str(np.datetime64(plain, "us"))[11:]
        return plain


@dataclass(slots=True)
class Batch:
    """Some rows that follow each other; `first_row` is the number of the first, from 0, in its source."""

    first_row: int
    rows: int
    columns: dict[str, Values]

    @classmethod
    def of(cls, columns: Mapping[str, Any], first_row: int = 0) -> Batch:
        """From arrays or lists of Python values by name: None is null; scalars of Python and numpy, text, lists of them."""
        made = {name: values_of(column) for name, column in columns.items()}
        rows = {len(one) for one in made.values()}
        if len(rows) > 1:
            raise ValueError(f"columns of {sorted(rows)} rows")
        return cls(first_row, rows.pop() if rows else 0, made)

    def slice(self, start: int, end: int) -> Batch:
        """Rows `start` to `end` of this batch, sharing its memory."""
        return Batch(self.first_row + start, end - start, {name: sliced(one, start, end) for name, one in self.columns.items()})


def sliced(one: Values, start: int, end: int) -> Values:
    """Rows `start` to `end` of a column, sharing its memory."""
    valid = None if one.valid is None else one.valid[start:end]
    hashes = None if one._hashes is None else one._hashes[start:end]
    if one.offsets is None:
        return Values(one.kind, one.arrow, one.data[start:end], valid, _hashes=hashes)
    return Values(one.kind, one.arrow, one.data, valid, one.offsets[start : end + 1], one.child, hashes)


def taken(one: Values, rows: np.ndarray) -> Values:
    """Some rows of a column, in the order asked for, copied."""
    valid = None if one.valid is None else one.valid[rows]
    hashes = None if one._hashes is None else one._hashes[rows]
    if one.offsets is None:
        return Values(one.kind, one.arrow, one.data[rows], valid, _hashes=hashes)
    starts = one.offsets[:-1][rows].astype(np.int64)
    counts = one.offsets[1:][rows] - starts
    offsets = np.zeros(len(rows) + 1, np.int64)
    np.cumsum(counts, out=offsets[1:])
    places = np.arange(int(offsets[-1])) + np.repeat(starts - offsets[:-1], counts)
    if one.child is not None:
        return Values(one.kind, one.arrow, one.data, valid, offsets, taken(one.child, places), hashes)
    return Values(one.kind, one.arrow, one.data[places], valid, offsets, None, hashes)


def joined(parts: Sequence[Values]) -> Values:
    """Columns one after the other. Whole numbers beside floats become floats; values of another kind than the first are null."""
    kinds: list[Values] = [one for one in parts if one.kind != "null"] or list(parts[:1])
    first = next((one for one in kinds if one.kind == "float" and kinds[0].kind in ("integer", "decimal")), kinds[0])
    parts = [one if _alike(one, first) else _absent(first, len(one)) for one in parts]
    valid = None
    if any(one.valid is not None for one in parts):
        valid = np.concatenate([np.ones(len(one), bool) if one.valid is None else one.valid for one in parts])
    if first.offsets is None:
        return Values(first.kind, first.arrow, np.concatenate([one.data for one in parts]), valid)
    tight = [taken(one, np.arange(len(one))) for one in parts]
    counts = np.concatenate([np.diff(one.offsets) for one in tight if one.offsets is not None])
    offsets = np.zeros(len(counts) + 1, np.int64)
    np.cumsum(counts, out=offsets[1:])
    child = joined([one.child for one in tight if one.child is not None]) if first.child is not None else None
    return Values(first.kind, first.arrow, np.concatenate([one.data for one in tight]), valid, offsets, child)


def _alike(one: Values, other: Values) -> bool:
    numbers = ("float", "integer", "decimal")
    return one.kind == other.kind or (one.kind in numbers and other.kind in numbers)


def _absent(like: Values, rows: int) -> Values:
    valid = np.zeros(rows, bool)
    if like.offsets is None:
        return Values(like.kind, like.arrow, np.zeros(rows, like.data.dtype), valid)
    child = None if like.child is None else sliced(like.child, 0, 0)
    return Values(like.kind, like.arrow, np.empty(0, np.uint8), valid, np.zeros(rows + 1, np.int64), child)


def values_of(column: Any) -> Values:
    """A numpy array or a list of Python values as Values; a list of unlike values becomes text."""
    from fairway.data.pythonvalues import from_numpy, from_python

    return from_numpy(column) if isinstance(column, np.ndarray) and column.dtype != object else from_python(list(column))


def batches_of(stream: Any, first_row: int = 0) -> Iterator[Batch]:
    """The batches of anything with `__arrow_c_stream__` (DuckDB, pyarrow, polars, pandas ≥ 2.2 …). Memory is the stream's own chunk's."""
    from fairway.data.arrowvalues import read_stream

    for rows, columns in read_stream(stream):
        yield Batch(first_row, rows, columns)
        first_row += rows


def as_bits(data: np.ndarray) -> np.ndarray:
    """64 bits of each number, equal for equal numbers of any type."""
    if data.dtype.kind == "f":
        wide = data.astype(np.float64) + 0.0
        wide[np.isnan(wide)] = np.nan
        return wide.view(np.uint64)
    if data.dtype.kind in "iub" and data.dtype != np.uint64:
        plain = data.astype(np.int64)
        small = np.abs(plain) <= 1 << 53
        if small.all():
            return plain.astype(np.float64).view(np.uint64)
        return np.where(small, plain.astype(np.float64).view(np.uint64), plain.view(np.uint64))
    return data.astype(np.float64).view(np.uint64)


def _hash_lists(offsets: np.ndarray, hashes: np.ndarray) -> np.ndarray:
    turned = np.zeros(len(hashes) + 1, np.uint64)
    counts = np.diff(offsets)
    within = np.arange(1, len(hashes) + 1, dtype=np.uint64) - np.repeat(offsets[:-1].astype(np.uint64), counts)
    np.cumsum(mixed(hashes ^ mixed(within)), out=turned[1:])
    return mixed(turned[offsets[1:]] - turned[offsets[:-1]] + counts.astype(np.uint64))
