"""Curves of any length in a bounded number of points: every peak and every dip stays, and so do both ends.

While points come, they are gathered in buckets, of which only the least and the greatest point are kept. When there are too many buckets,
neighbours are merged. So a curve of a million points is read once, from the front, in the memory of a few hundred.
"""

from __future__ import annotations

from collections.abc import Iterable

Point = tuple[float, float]
LEAST_POINTS = 6


class Curve:
    """At most `limit` points of a curve to which points are added one by one. As long as they fit, all of them are kept."""

    __slots__ = ("_buckets", "_capacity", "_filled", "_first", "_last", "_limit", "_raw", "count")

    def __init__(self, limit: int) -> None:
        self._limit = max(limit, LEAST_POINTS)
        self._raw: list[Point] | None = []
        self._buckets: list[tuple[int, Point, int, Point]] = []  # (number of the least point, it, number of the greatest, it)
        self._capacity = 1
        self._filled = 0
        self._first: Point = (0.0, 0.0)
        self._last: Point = (0.0, 0.0)
        self.count = 0

    def add(self, x: float, y: float) -> None:
        """The next point."""
        point = (x, y)
        if not self.count:
            self._first = point
        self._last = point
        self.count += 1
        if self._raw is not None:
            self._raw.append(point)
            if len(self._raw) > self._limit:
                self._compress(self._raw)
            return
        self._take(self.count - 1, point)

    def points(self) -> list[Point]:
        """What is kept, in order."""
        if self._raw is not None:
            return list(self._raw)
        found: dict[int, Point] = {0: self._first}
        for low_at, low, high_at, high in self._buckets:
            found[low_at] = low
            found[high_at] = high
        found[self.count - 1] = self._last
        return [found[number] for number in sorted(found)]

    def _compress(self, raw: list[Point]) -> None:
        self._raw = None
        for number, point in enumerate(raw):
            self._take(number, point)

    def _take(self, number: int, point: Point) -> None:
        if self._buckets and self._filled < self._capacity:
            self._buckets[-1] = _merge(self._buckets[-1], (number, point, number, point))
            self._filled += 1
            return
        if len(self._buckets) >= (self._limit - 2) // 2:
            pairs = [self._buckets[i : i + 2] for i in range(0, len(self._buckets), 2)]
            odd = len(pairs[-1]) == 1
            self._buckets = [_merge(pair[0], pair[-1]) for pair in pairs]
            self._filled = self._capacity if odd else self._capacity * 2
            self._capacity *= 2
            self._take(number, point)
            return
        self._buckets.append((number, point, number, point))
        self._filled = 1


def downsample(points: Iterable[Point], limit: int) -> list[Point]:
    """At most `limit` (6 or more) of the points: all if they fit, else both ends and the peaks and dips between them."""
    curve = Curve(limit)
    for x, y in points:
        curve.add(x, y)
    return curve.points()


def _merge(one: tuple[int, Point, int, Point], other: tuple[int, Point, int, Point]) -> tuple[int, Point, int, Point]:
    low = one if one[1][1] <= other[1][1] else other
    high = one if one[3][1] >= other[3][1] else other
    return low[0], low[1], high[2], high[3]
