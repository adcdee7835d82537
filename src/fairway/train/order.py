"""In which order the items of an epoch come, and who takes which: pure arithmetic, the same on every machine and for every world size.

An order is a permutation that is computed place by place, so that nobody keeps a list of a billion numbers.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

_MASK = (1 << 64) - 1
_GOLDEN, _MIX_1, _MIX_2 = 0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB
_SORTED = 1 << 16
"""So many items are put in order by sorting random numbers; more by a network of rounds, which needs no memory."""
_FEW = 256
"""So few are sorted faster without NumPy."""
_ROUNDS = 6
_BLOCK = 1 << 14
"""With NumPy so many places are computed at once: batches are small, and calls dear."""


class Order:
    """A permutation of range(size) that depends on `seed` and `epoch` only; the identity without `shuffle`."""

    def __init__(self, size: int, *, seed: int = 0, epoch: int = 0, shuffle: bool = True) -> None:
        self._size, self._shuffle = size, shuffle and size > 1
        self._key = mix(mix(seed & _MASK) ^ mix((epoch + 1) * _GOLDEN & _MASK))
        self._sorted: list[int] | None = None
        self._begun, self._block = 0, list[int]()

    def take(self, start: int, stop: int) -> Sequence[int]:
        """The items at the places from `start` to `stop`."""
        if not self._shuffle:
            return range(start, stop)
        if self._size <= _SORTED:
            if self._sorted is None:
                self._sorted = self._sort()
            return self._sorted[start:stop]
        half = (self._size.bit_length() + 1) // 2
        np = sys.modules.get("numpy")
        if np is None:
            return [self._walk(place, half) for place in range(start, stop)]
        if not self._begun <= start <= stop <= self._begun + len(self._block):
            self._begun = start
            self._block = self._walk_many(np, start, max(stop, min(start + _BLOCK, self._size)), half)
        return self._block[start - self._begun : stop - self._begun]

    def _sort(self) -> list[int]:
        np = sys.modules.get("numpy")
        if np is None or self._size < _FEW:
            keys = [mix(self._key + number & _MASK) for number in range(self._size)]
            return sorted(range(self._size), key=keys.__getitem__)
        with np.errstate(over="ignore"):
            return np.argsort(_mix_many(np, np.uint64(self._key) + np.arange(self._size, dtype=np.uint64)), kind="stable").tolist()

    def _walk(self, place: int, half: int) -> int:
        """Through the rounds, again and again until it falls into the range: a permutation stays one."""
        low_mask = (1 << half) - 1
        while True:
            left, right = place >> half, place & low_mask
            for turn in range(_ROUNDS):
                left, right = right, left ^ (mix(self._key + right * _GOLDEN + turn & _MASK) & low_mask)
            place = left << half | right
            if place < self._size:
                return place

    def _walk_many(self, np: Any, start: int, stop: int, half: int) -> list[int]:
        """The same for many places at once."""
        places = np.arange(start, stop, dtype=np.uint64)
        low_mask, shift, key, golden = np.uint64((1 << half) - 1), np.uint64(half), np.uint64(self._key), np.uint64(_GOLDEN)
        waiting = np.arange(stop - start)
        now = places.copy()
        with np.errstate(over="ignore"):
            while len(waiting):
                left, right = now >> shift, now & low_mask
                for turn in range(_ROUNDS):
                    left, right = right, left ^ (_mix_many(np, key + right * golden + np.uint64(turn)) & low_mask)
                now = left << shift | right
                inside = now < self._size
                places[waiting[inside]] = now[inside]
                waiting, now = waiting[~inside], now[~inside]
        return places.tolist()


class WindowedOrder:
    """As `Order`, but items are shuffled only within windows of `window` that lie side by side."""

    def __init__(self, size: int, window: int, *, seed: int = 0, epoch: int = 0, shuffle: bool = True) -> None:
        self._size, self._window, self._seed, self._epoch, self._shuffle = size, window, seed, epoch, shuffle
        self._number, self._order = -1, Order(0)

    def take(self, start: int, stop: int) -> Sequence[int]:
        """The items at the places from `start` to `stop`."""
        if not self._shuffle:
            return range(start, stop)
        taken: list[int] = []
        while start < stop:
            number, within = divmod(start, self._window)
            begin = number * self._window
            end = min(stop, begin + self._window)
            taken += [begin + place for place in self._order_of(number).take(within, end - begin)]
            start = end
        return taken

    def _order_of(self, number: int) -> Order:
        if number != self._number:
            size = min(self._window, self._size - number * self._window)
            self._number, self._order = number, Order(size, seed=self._seed + number, epoch=self._epoch)
        return self._order


def mix(number: int) -> int:
    """A number of 64 bits that looks as if it had nothing to do with `number` (splitmix64's last step)."""
    number = (number ^ number >> 30) * _MIX_1 & _MASK
    number = (number ^ number >> 27) * _MIX_2 & _MASK
    return number ^ number >> 31


def _mix_many(np: Any, numbers: Any) -> Any:
    numbers = (numbers ^ numbers >> np.uint64(30)) * np.uint64(_MIX_1)
    numbers = (numbers ^ numbers >> np.uint64(27)) * np.uint64(_MIX_2)
    return numbers ^ numbers >> np.uint64(31)


def round_size(left: int, batch: int, world_size: int, last: str) -> int:
    """How many of the `left` items of an epoch the next round takes over all ranks; 0 at the epoch's end.

    Every rank gets `batch` of them while they last. "keep": the last rounds take what is left, so shared that no rank goes without while
    others have some (a few are left over for that from the round before). "drop": what does not fill a round is left out. "pad": it makes
    a round, filled up by its own items again.
    """
    full = batch * world_size
    if left >= full:
        rest = left - full
        if last == "keep" and 0 < rest < world_size and batch > 1 and full - (world_size - rest) >= world_size:
            return full - (world_size - rest)
        return full
    return 0 if last == "drop" else left


def share(size: int, batch: int, rank: int, world_size: int, last: str) -> Sequence[int]:
    """Which of a round's `size` items are this rank's. Every item is one rank's; with "pad" each rank has `batch`, some items twice."""
    if last == "pad" and size < batch * world_size:
        return [place % size for place in range(rank * batch, (rank + 1) * batch)]
    each, more = divmod(size, world_size)
    start = rank * each + min(rank, more)
    return range(start, start + each + (rank < more))


def rounds(size: int, batch: int, rank: int, world_size: int, last: str) -> int:
    """In how many rounds of an epoch with `size` items left this rank has a batch."""
    full = batch * world_size
    count, rest = divmod(size, full)
    if not rest or last == "drop":
        return count
    shared = last == "pad" or rest >= world_size or (count and round_size(full + rest, batch, world_size, last) < full)
    return count + bool(shared or rank < rest)
