"""Data that is read in stretches: all items of an epoch stand in one order, and each rank takes one stretch of what is left of it.

What is left is known from how often and among how many it was divided, and how many rounds each division has had: a few numbers, from which
every rank, of whatever world, computes the same. Pure arithmetic, but for `read_stretch`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import accumulate, islice
from typing import Any, NamedTuple

from fairway.train.order import Order
from fairway.train.sources import Ranged

Stretch = tuple[int, int]


class Cut(NamedTuple):
    """What was left of an epoch, divided among ranks that take `batch` items a round: `rounds` of them are taken."""

    world_size: int
    batch: int
    rounds: int


def shares(total: int, world_size: int, batch: int, last: str) -> list[int]:
    """How many items each rank gets."""
    if last == "drop":
        return [total // (batch * world_size) * batch] * world_size
    each, more = divmod(total, world_size)
    return [each + (rank < more) for rank in range(world_size)]


def chunks(divided: Sequence[int], rank: int, batch: int, last: str) -> list[int]:
    """The sizes of a rank's batches. All ranks have as many, unless there are fewer items than ranks, or batches of one."""
    own, most = divided[rank], max(divided)
    count = -(-most // batch)
    if last == "pad":
        return [batch] * count if own else []
    made = [batch] * (own // batch) + ([own % batch] if own % batch else [])
    if own and len(made) < count and batch > 1:
        made[-1:] = [batch - 1, 1]
    return made


def position_of(divided: Sequence[int], rounds: int, batch: int, last: str) -> int:
    """How many items all ranks together have taken of a division after so many rounds."""
    taken = {own: min(own, sum(chunks(divided, divided.index(own), batch, last)[:rounds])) for own in set(divided)}
    return sum(taken[own] for own in divided)


def left_of(size: int, cuts: Sequence[Cut], last: str) -> list[Stretch]:
    """What is left of `size` items after these divisions."""
    left: list[Stretch] = [(0, size)] if size else []
    for cut in cuts:
        total = sum(stop - start for start, stop in left)
        divided = shares(total, cut.world_size, cut.batch, last)
        rest: list[Stretch] = []
        at = 0
        for rank, own in enumerate(divided):
            taken = min(own, sum(chunks(divided, rank, cut.batch, last)[: cut.rounds]))
            rest += slice_of(left, at + taken, at + own)
            at += own
        left = rest + slice_of(left, at, total)
    return left


def slice_of(stretches: Sequence[Stretch], start: int, stop: int) -> list[Stretch]:
    """The part from `start` to `stop` of stretches that stand one behind the other."""
    found: list[Stretch] = []
    at = 0
    for first, last in stretches:
        low, high = max(start, at), min(stop, at + last - first)
        if low < high:
            found.append((first + low - at, first + high - at))
        at += last - first
    return found


def read_stretch(source: Ranged, pieces: Sequence[int], stretch: Stretch, window: int, told: tuple[int, int, bool]) -> Iterator[Any]:
    """The items of a stretch of the order in which `pieces` stand one behind the other, each shuffled window by window. `told`: seed,
    epoch, whether it is shuffled at all."""
    seed, epoch, shuffle = told
    ends = list(accumulate(source.sizes[number] for number in pieces))
    for place, number in enumerate(pieces):
        size = source.sizes[number]
        begin = ends[place] - size
        low, high = max(stretch[0] - begin, 0), min(stretch[1] - begin, size)
        if low >= high:
            continue
        first = low // window * window
        items = source.read(number, first, min(-(-high // window) * window, size))
        for at in range(first, high, window):
            held = list(islice(items, min(window, size - at)))
            order = Order(len(held), seed=seed + number * 1_000_003 + at // window, epoch=epoch, shuffle=shuffle)
            yield from (held[one] for one in order.take(max(low - at, 0), min(high - at, len(held))))
