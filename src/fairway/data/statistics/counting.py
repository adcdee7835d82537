"""Distinct values, values that come once, frequent values: three sketches over the hashes of `Values.hashes`."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from fairway.data.statistics.packing import pack, unpack

_ONES = np.uint64(0xFFFFFFFFFFFFFFFF)


class Registers:
    """HyperLogLog (Flajolet et al. 2007) with Ertl's estimator (2017). The same values in any order give the same registers."""

    __slots__ = ("_floor", "held", "p")

    def __init__(self, p: int) -> None:
        self.p, self.held, self._floor = p, np.zeros(1 << p, np.uint8), 0

    def add(self, hashes: np.ndarray) -> None:
        """Values that cannot raise even the lowest register are passed over at once: after a million, nearly all."""
        if self._floor:
            hashes = hashes[(hashes << np.uint64(self.p)) < np.uint64(1 << (64 - self._floor))]
        if not len(hashes):
            return
        place = (hashes >> np.uint64(64 - self.p)).astype(np.intp)
        rest = (hashes << np.uint64(self.p)) >> np.uint64(11)
        length = np.frexp(rest.astype(np.float64))[1]  # bits of `rest`; exact, it has at most 53
        np.maximum.at(self.held, place, (54 - length).astype(np.uint8))
        self._floor = int(self.held.min())

    def merge(self, other: Registers) -> None:
        """Take in another's; the fewer registers are kept."""
        if other.p < self.p:
            self.p, self.held = other.p, self.folded(other.p)
        np.maximum(self.held, other.folded(self.p), out=self.held)
        self._floor = int(self.held.min())

    def folded(self, p: int) -> np.ndarray:
        """What `2 ** p` registers would hold."""
        held, now = self.held, self.p
        while now > p:  # the lowest bit of the place becomes the first bit of the rest
            pairs = held.reshape(-1, 2)
            even = np.where(pairs[:, 0] > 0, pairs[:, 0] + 1, 0)
            held = np.maximum(even, np.where(pairs[:, 1] > 0, 1, 0)).astype(np.uint8)
            now -= 1
        return held

    @property
    def error(self) -> float:
        """Relative standard error."""
        return 1.04 / math.sqrt(1 << self.p)

    def estimate(self) -> float:
        size, most = 1 << self.p, 54
        counts = np.bincount(self.held, minlength=most + 1).astype(np.float64)
        z = size * _tau(1 - counts[most] / size)
        for one in range(most - 1, 0, -1):
            z = 0.5 * (z + counts[one])
        z += size * _sigma(counts[0] / size)
        return 0.0 if math.isinf(z) else size * size / (2 * math.log(2)) / z

    def copy(self) -> Registers:
        made = Registers(self.p)
        made.held, made._floor = self.held.copy(), self._floor
        return made

    def to_record(self) -> dict[str, Any]:
        return {"p": self.p, "held": pack(self.held)}

    @classmethod
    def from_record(cls, record: dict[str, Any]) -> Registers:
        made = cls(int(record["p"]))
        held = unpack(record["held"], np.uint8)
        if len(held) != 1 << made.p:
            raise ValueError(f"{len(held)} registers instead of {1 << made.p}")
        made.held, made._floor = held, int(held.min())
        return made


def _sigma(x: float) -> float:
    if x == 1.0:
        return math.inf
    y, z, before = 1.0, x, -1.0
    while z != before:
        x, before = x * x, z
        z += x * y
        y += y
    return z


def _tau(x: float) -> float:
    if x in (0.0, 1.0):
        return 0.0
    y, z, before = 1.0, 1 - x, -1.0
    while z != before:
        x, before = math.sqrt(x), z
        y *= 0.5
        z -= (1 - x) ** 2 * y
    return z / 3


class Smallest:
    """The `k` smallest hashes that ever came, with how often each came (a theta sketch; Dasgupta et al. 2016): exact while no more
    than `k` distinct ones came, a uniform sample of the distinct ones afterwards. What is held is the same in any order and batching."""

    __slots__ = ("counts", "hashes", "k", "limit")

    def __init__(self, k: int) -> None:
        self.k, self.limit = k, _ONES  # every hash below `limit` that came is held
        self.hashes, self.counts = np.empty(0, np.uint64), np.empty(0, np.int64)

    @property
    def is_whole(self) -> bool:
        """Whether every distinct one is held."""
        return self.limit == _ONES

    def add(self, hashes: np.ndarray, counts: np.ndarray | None = None) -> None:
        """Hashes in any order, equal ones among them; `counts`: how often each comes."""
        if not self.is_whole:
            low = np.flatnonzero(hashes < self.limit)
            if not len(low):
                return
            hashes, counts = hashes[low], counts if counts is None else counts[low]
        elif not len(hashes):
            return
        weights = np.ones(len(hashes), np.int64) if counts is None else counts
        every = np.concatenate([self.hashes, hashes])
        weight = np.concatenate([self.counts, weights])
        order = np.argsort(every, kind="stable")
        every, weight = every[order], weight[order]
        first = np.flatnonzero(np.concatenate([[True], every[1:] != every[:-1]]))
        self.hashes, self.counts = every[first], np.add.reduceat(weight, first)
        self._cut()

    def _cut(self) -> None:
        if len(self.hashes) > self.k:
            self.limit = self.hashes[self.k]
            self.hashes, self.counts = self.hashes[: self.k].copy(), self.counts[: self.k].copy()

    def merge(self, other: Smallest) -> None:
        """Take in another's; the smaller `k` is kept."""
        self.k, self.limit = min(self.k, other.k), min(self.limit, other.limit)
        kept = self.hashes < self.limit
        self.hashes, self.counts = self.hashes[kept], self.counts[kept]
        below = other.hashes < self.limit
        self.add(other.hashes[below], other.counts[below])
        self._cut()

    def distinct(self) -> float:
        """How many distinct ones came; exact while `is_whole`, else with the relative standard error 1 / sqrt(k - 1)."""
        return float(len(self.hashes)) if self.is_whole else len(self.hashes) / (float(self.limit) / 2.0**64)

    def once(self) -> float:
        """Share of the distinct ones that came once."""
        return float(np.count_nonzero(self.counts == 1) / len(self.counts)) if len(self.counts) else 0.0

    def copy(self) -> Smallest:
        made = Smallest(self.k)
        made.hashes, made.counts, made.limit = self.hashes.copy(), self.counts.copy(), self.limit
        return made

    def to_record(self) -> dict[str, Any]:
        return {"k": self.k, "limit": str(int(self.limit)), "hashes": pack(self.hashes), "counts": pack(self.counts)}

    @classmethod
    def from_record(cls, record: dict[str, Any]) -> Smallest:
        made = cls(int(record["k"]))
        made.hashes, made.counts = unpack(record["hashes"], np.uint64), unpack(record["counts"], np.int64)
        made.limit = np.uint64(int(record["limit"]))
        if len(made.hashes) != len(made.counts):
            raise ValueError("hashes without counts")
        return made


class Frequent:
    """Values that come often: batches of Misra and Gries (1982), merged as Agarwal et al. (2012) do.

    A value that is held came at least `seen` and at most `seen + error` times; one that is not held came at most `missed` times, which is
    never more than all values / (capacity + 1). While no more than `capacity` distinct values came, all counts are exact and `missed` is 0.
    `keys`: the numbers themselves (int64 or float64), or hashes of texts (uint64), ascending.
    """

    __slots__ = ("capacity", "error", "keys", "missed", "seen")

    def __init__(self, capacity: int, dtype: Any) -> None:
        self.capacity, self.missed = capacity, 0
        self.keys = np.empty(0, dtype)
        self.seen, self.error = np.empty(0, np.int64), np.empty(0, np.int64)

    def add(self, keys: np.ndarray, counts: np.ndarray | None) -> None:
        """Distinct keys, ascending, with how often each comes; None: once."""
        if counts is None and len(keys) > self.capacity + len(self.keys):  # more new ones than can be held, each of which came once
            known = self._known(keys)
            self.seen[known >= 0] += 1
            self._cut(self.missed + 1)
            return
        self._take(keys, np.ones(len(keys), np.int64) if counts is None else counts, None, 0)

    def merge(self, other: Frequent) -> None:
        """Take in another's."""
        self.capacity = min(self.capacity, other.capacity)
        if other.keys.dtype != self.keys.dtype:  # whole numbers beside floats
            self.keys = self.keys.astype(np.float64)
        self._take(other.keys.astype(self.keys.dtype), other.seen, other.error, other.missed)

    def _known(self, keys: np.ndarray) -> np.ndarray:
        """Where each held key is in `keys`; -1 where it is not."""
        place = np.minimum(np.searchsorted(keys, self.keys), len(keys) - 1)
        return np.where(keys[place] == self.keys, place, -1)

    def _take(self, keys: np.ndarray, seen: np.ndarray, error: np.ndarray | None, missed: int) -> None:
        fresh = np.ones(len(keys), bool)
        if len(self.keys) and len(keys):
            place = self._known(keys)
            known = place >= 0
            at = place[known]
            self.seen[known] += seen[at]
            if error is not None:
                self.error[known] += error[at]
            self.error[~known] += missed
            fresh[at] = False
        else:
            self.error += missed
        before, self.missed = self.missed, self.missed + missed
        more = np.flatnonzero(fresh)
        more_seen = seen[more]
        more_error = np.zeros(len(more), np.int64) if error is None else error[more]
        if len(more) > 2 * self.capacity:  # only the most frequent of many can stay
            upper = more_seen + more_error
            least = _nth_largest(upper, self.capacity + 1)
            kept = upper > least
            more, more_seen, more_error = more[kept], more_seen[kept], more_error[kept]
            self.missed = max(self.missed, least + before)
        if len(more):
            self.keys = np.concatenate([self.keys, keys[more]])
            self.seen = np.concatenate([self.seen, more_seen])
            self.error = np.concatenate([self.error, more_error + before])
            self._keep(np.argsort(self.keys, kind="stable"))
        if len(self.keys) > self.capacity:
            self._cut(max(self.missed, _nth_largest(self.seen + self.error, self.capacity + 1)))
        elif self.missed:
            self._cut(self.missed)

    def _cut(self, missed: int) -> None:
        """Drop what came no more often than what is not held may have come."""
        self.missed = missed
        self._keep(self.seen + self.error > missed)

    def _keep(self, places: np.ndarray) -> None:
        self.keys, self.seen, self.error = self.keys[places], self.seen[places], self.error[places]

    @property
    def is_complete(self) -> bool:
        """Whether every value that came is held, with its exact count."""
        return self.missed == 0

    def ranked(self) -> np.ndarray:
        """Places in `keys`, the most frequent first; equal ones by key."""
        return np.lexsort((np.arange(len(self.keys)), -self.seen))

    def copy(self) -> Frequent:
        made = Frequent(self.capacity, self.keys.dtype)
        made.keys, made.seen, made.error, made.missed = self.keys.copy(), self.seen.copy(), self.error.copy(), self.missed
        return made

    def to_record(self) -> dict[str, Any]:
        keys, seen, error = pack(self.keys), pack(self.seen), pack(self.error)
        return {"capacity": self.capacity, "missed": self.missed, "dtype": self.keys.dtype.name, "keys": keys, "seen": seen, "error": error}

    @classmethod
    def from_record(cls, record: dict[str, Any]) -> Frequent:
        if record["dtype"] not in ("int64", "uint64", "float64"):
            raise ValueError(f"keys of {record['dtype']!r}")
        made = cls(int(record["capacity"]), record["dtype"])
        made.keys = unpack(record["keys"], record["dtype"])
        made.seen, made.error = unpack(record["seen"], np.int64), unpack(record["error"], np.int64)
        made.missed = int(record["missed"])
        if not len(made.keys) == len(made.seen) == len(made.error):
            raise ValueError("keys without counts")
        return made


def _nth_largest(counts: np.ndarray, n: int) -> int:
    """Of whole numbers, many of them equal (which is what partitioning is slow at)."""
    if int(counts.max()) < 4 * len(counts):
        return len(upto := np.cumsum(np.bincount(counts)[::-1])) - 1 - int(np.searchsorted(upto, n))
    return int(np.sort(counts)[-n])
