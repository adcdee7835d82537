"""A sample of the rows, by hash: the same rows in any order, batching and merging; and how many rows repeat another."""

from __future__ import annotations

from typing import Any

import numpy as np

from fairway.data.batch import Batch, Values, joined, taken
from fairway.data.hashing import hash_texts, mixed
from fairway.data.statistics.counting import Smallest
from fairway.data.statistics.packing import pack, unpack


def hash_rows(columns: dict[str, Values]) -> np.ndarray:
    """A uint64 for each row, equal for rows with equal values under equal names, in any order of the columns."""
    made: np.ndarray | None = None
    for name, values in columns.items():
        part = values.hashes() * _factor(name)
        made = part if made is None else np.add(made, part, out=made)
    return mixed(made) if made is not None else np.empty(0, np.uint64)


def _factor(name: str) -> np.uint64:
    raw = np.frombuffer(name.encode(), np.uint8)
    return hash_texts(np.array([0, len(raw)], np.int64), raw)[0] | np.uint64(1)


class RowSample:
    """The distinct rows with the smallest hashes, at most `k`, and how often each came."""

    __slots__ = ("_parts", "smallest")

    def __init__(self, k: int) -> None:
        self.smallest = Smallest(k)
        self._parts: list[tuple[np.ndarray, dict[str, Values]]] = []

    def add(self, hashes: np.ndarray, columns: dict[str, Values]) -> None:
        """One batch; `hashes` of `hash_rows`."""
        fresh = np.flatnonzero(hashes < self.smallest.limit)
        if not len(fresh):
            return
        self.smallest.add(hashes[fresh])
        fresh = fresh[hashes[fresh] < self.smallest.limit]
        new, place = np.unique(hashes[fresh], return_index=True)
        known = np.concatenate([one for one, _ in self._parts]) if self._parts else np.empty(0, np.uint64)
        place = place[~np.isin(new, known)]
        if len(place):
            rows = fresh[place]
            self._parts.append((hashes[rows], {name: taken(one, rows) for name, one in columns.items()}))
        if len(known) + len(place) > 2 * self.smallest.k or len(self._parts) > 64:
            self._tidy()

    def _tidy(self) -> None:
        """One part, of the rows that are still of the smallest, by hash."""
        if not self._parts:
            return
        hashes = np.concatenate([one for one, _ in self._parts])
        order = np.argsort(hashes, kind="stable")
        order = order[hashes[order] < self.smallest.limit]
        order = order[: len(self.smallest.hashes)]
        names = [name for name in self._parts[0][1] if all(name in columns for _, columns in self._parts)]
        columns = {name: taken(joined([columns[name] for _, columns in self._parts]), order) for name in names}
        self._parts = [(hashes[order], columns)]

    def merge(self, other: RowSample) -> None:
        """Take in another's; columns that only one has are dropped."""
        known = np.concatenate([one for one, _ in self._parts]) if self._parts else np.empty(0, np.uint64)
        self.smallest.merge(other.smallest)
        for hashes, columns in other._parts:
            fresh = np.flatnonzero((hashes < self.smallest.limit) & ~np.isin(hashes, known))
            if len(fresh):
                self._parts.append((hashes[fresh], {name: taken(one, fresh) for name, one in columns.items()}))
                known = np.concatenate([known, hashes[fresh]])
        self._tidy()

    def batch(self) -> Batch:
        """The rows, by hash."""
        self._tidy()
        if not self._parts:
            return Batch(0, 0, {})
        return Batch(0, len(self._parts[0][0]), self._parts[0][1])

    def copy(self) -> RowSample:
        self._tidy()
        made = RowSample(self.smallest.k)
        made.smallest, made._parts = self.smallest.copy(), list(self._parts)
        return made

    def to_record(self) -> dict[str, Any]:
        batch = self.batch()
        hashes = pack(self._parts[0][0]) if self._parts else pack(np.empty(0, np.uint64))
        columns = {name: _record_of(one) for name, one in batch.columns.items()}
        return {"smallest": self.smallest.to_record(), "hashes": hashes, "columns": columns}

    @classmethod
    def from_record(cls, record: dict[str, Any]) -> RowSample:
        made = cls(int(record["smallest"]["k"]))
        made.smallest = Smallest.from_record(record["smallest"])
        hashes = unpack(record["hashes"], np.uint64)
        if len(hashes):
            columns = {str(name): _values_of(one) for name, one in record["columns"].items()}
            if any(len(one) != len(hashes) for one in columns.values()):
                raise ValueError("columns of the sample have different lengths")
            made._parts = [(hashes, columns)]
        return made


def _record_of(one: Values) -> dict[str, Any]:
    made: dict[str, Any] = {"kind": one.kind, "arrow": one.arrow, "dtype": one.data.dtype.name, "data": pack(one.data)}
    if one.valid is not None:
        made["valid"] = pack(one.valid)
    if one.offsets is not None:
        made["offsets"] = pack(one.offsets.astype(np.int64))
    if one.child is not None:
        made["child"] = _record_of(one.child)
    return made


def _values_of(record: dict[str, Any]) -> Values:
    dtype = np.dtype(record["dtype"])
    if dtype.kind not in "iufb":
        raise ValueError(f"a column of {record['dtype']!r}")
    valid = unpack(record["valid"], bool) if "valid" in record else None
    offsets = unpack(record["offsets"], np.int64) if "offsets" in record else None
    child = _values_of(record["child"]) if "child" in record else None
    data = unpack(record["data"], dtype)
    inside = len(data) if child is None else len(child)
    if offsets is not None and (not len(offsets) or offsets[0] < 0 or int(offsets[-1]) > inside or bool((np.diff(offsets) < 0).any())):
        raise ValueError("the values of a column of the sample end beyond its data")
    return Values(record["kind"], str(record["arrow"]), data, valid, offsets, child)
