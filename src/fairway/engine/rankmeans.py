"""What ranks of a gang have logged, together: a gang's metric is the mean over its ranks, at equal steps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fairway.engine.ranks import RANKS_HEARD, stream_of
from fairway.engine.reading import find_last_points, join_tries, parse_points
from fairway.spec.gang import mean_of
from fairway.spec.ports import StreamStore

Point = tuple[float, float]
Spread = tuple[float, float, float, float]
"""A step, and there the mean over ranks, the lowest and the highest."""

BINS = 400
_ALL = 1 << 62


def reduce_curves(curves: Sequence[Sequence[Point]], bins: int = BINS, *, timed: bool = False) -> list[Spread]:
    """Mean, lowest and highest over ranks at equal steps: those that as many ranks have reached as any. Of more than `bins` steps, of as
    many equal spans: there each rank counts by its mean. `timed`: x are times, which no two ranks share; what each has logged as its n-th
    belongs together, at the mean of the times. Pure."""
    if timed and max(map(len, curves), default=0) <= bins:
        rows = zip(*(points for points in curves if points), strict=False)
        return [(sum(x for x, _ in row) / len(row), *_spread([y for _, y in row])) for row in rows]
    places = sorted({x for curve in curves for x, _ in curve})
    if not places:
        return []
    low, high = places[0], places[-1]
    exact = len(places) <= bins
    width = (high - low) / bins or 1.0
    found: dict[float, list[tuple[float, float, float]]] = {}
    for curve in curves:
        mine: dict[float, list[float]] = {}
        for x, y in curve:
            at = x if exact else low + (min(int((x - low) / width), bins - 1) + 0.5) * width
            mine.setdefault(at, []).append(y)
        for at, values in mine.items():
            found.setdefault(at, []).append(_spread(values))
    most = max(len(ranks) for ranks in found.values())
    return [
        (at, sum(mean for mean, _, _ in ranks) / len(ranks), min(low for _, low, _ in ranks), max(high for _, _, high in ranks))
        for at, ranks in sorted(found.items())
        if len(ranks) == most
    ]


def _spread(values: Sequence[float]) -> tuple[float, float, float]:
    return sum(values) / len(values), min(values), max(values)


def read_curves(streams: StreamStore, run: str, attempts: Sequence[str], ranks: int = 0) -> dict[str, list[Point]]:
    """Points (step, value) by metric over all attempts, each step once; without a step, the point's number stands for it. Of a gang
    (`ranks` of it) the mean over its ranks."""
    curves: dict[str, list[Point]] = {}
    for attempt in attempts:
        logged = [_read_rank(streams, run, attempt, rank, curves) for rank in range(max(1, ranks))]
        for name in dict.fromkeys(name for mine in logged for name in mine):
            parts = [mine[name] for mine in logged if name in mine]
            whole = parts[0] if len(parts) == 1 else [point[:2] for point in reduce_curves(parts, _ALL)]
            curves[name] = join_tries([curves.get(name, []), whole])
    return curves


def _read_rank(streams: StreamStore, run: str, attempt: str, rank: int, before: dict[str, list[Point]]) -> dict[str, list[Point]]:
    mine: dict[str, list[Point]] = {}
    for _, step, values in parse_points(streams.read(f"{run}/{attempt}/{stream_of('metrics', rank)}").split(b"\n")):
        for name, value in values.items():
            if isinstance(value, int | float):
                curve = mine.setdefault(name, [])
                curve.append((len(before.get(name, ())) + len(curve) if step is None else step, value))
    return mine


def find_last_means(streams: StreamStore, run: str, attempt: str, ranks: int) -> dict[str, Any]:
    """The latest value of each metric; of a gang the mean over its ranks (of a large one over the first)."""
    if not ranks:
        return find_last_points(streams, run, attempt)
    told = [find_last_points(streams, run, attempt, rank) for rank in range(min(ranks, RANKS_HEARD))]
    return mean_of({name: value for name, value in one.items() if isinstance(value, int | float)} for one in told)
