"""Curves of a gang: each rank's own, and what they come to together at equal steps; what each rank used and waited for, over time."""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Sequence
from threading import Lock
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

import msgspec

from fairway.engine.gangview import WAITS
from fairway.engine.rankmeans import reduce_curves
from fairway.engine.ranks import stream_of
from fairway.engine.reading import join_tries
from fairway.spec.ports import StreamStore
from fairway.web.curves import Curve, Point, downsample
from fairway.web.metrics import CurveReader

TRIES_MOST = 20
"""Attempts of a task whose curves are put together: of more the newest."""
DRAWN_RANKS = 32
"""Of a larger gang the first ones have curves of their own; all count in what they come to together."""
_KEPT_POINTS = 600
_KEPT_GANGS = 64
_CHUNK_BYTES = 256 << 10
_LINE = msgspec.json.Decoder(list[Any])
USES = ("rate", "waiting", "cpu", "memory", "gpu", "gpu_memory")


class RankUse:
    """What one rank used, as far as its samples have been read."""

    def __init__(self) -> None:
        self.curves = {use: Curve(_KEPT_POINTS) for use in USES}
        self._worked: dict[str, tuple[float, float]] = {}
        self.began_at = 0.0
        self._offset = 0
        self._done_offset = 0
        self._last: tuple[float, float, float] | None = None
        self._last_done: tuple[float, float] | None = None

    def read(self, streams: StreamStore, prefix: str, rank: int) -> None:
        """Go on to the ends of its streams."""
        for line in self._new(streams, f"{prefix}/{stream_of('samples', rank)}", "_offset"):
            self._take(line)
        for line in self._new(streams, f"{prefix}/{stream_of('progress', rank)}", "_done_offset"):
            self._take_done(float(line[0]), float(line[1] or 0.0))
            self._take_worked(float(line[0]), line[3] if len(line) > 3 else {})

    def _new(self, streams: StreamStore, name: str, offset: str) -> list[list[Any]]:
        found: list[list[Any]] = []
        while data := streams.read(name, getattr(self, offset), _CHUNK_BYTES):
            whole, end, _ = data.rpartition(b"\n")
            if not end:
                break
            setattr(self, offset, getattr(self, offset) + len(whole) + 1)
            for raw in whole.split(b"\n"):
                try:
                    line = _LINE.decode(raw)
                except msgspec.DecodeError:  # cut off by a kill in the middle of a write
                    continue
                if len(line) >= 3:
                    found.append(line)
        return found

    def _take(self, line: list[Any]) -> None:
        at, memory, cpu = (float(part) for part in line[:3])
        counts: dict[str, Any] = line[3] if len(line) > 3 else {}
        waited = sum(float(counts.get(kind, 0.0)) for kind in WAITS)
        self.began_at = self.began_at or at
        x = at - self.began_at
        self.curves["memory"].add(x, memory)
        if self._last is not None and at > self._last[0]:
            took = at - self._last[0]
            self.curves["cpu"].add(x, max(0.0, cpu - self._last[1]) / took)
            self.curves["waiting"].add(x, min(1.0, max(0.0, waited - self._last[2]) / took))
        self._take_worked(at, {"samples": counts["samples"]} if "samples" in counts else {})
        gpus = counts.get("gpu") or []
        if gpus:
            busy = [gpu[1] for gpu in gpus if gpu[1] >= 0]
            if busy:
                self.curves["gpu"].add(x, sum(busy) / len(busy))
            self.curves["gpu_memory"].add(x, sum(gpu[2] for gpu in gpus))
        self._last = at, cpu, waited

    def _take_done(self, at: float, done: float) -> None:
        last = self._last_done
        if last is None or done < last[1]:
            self._last_done = at, done
        elif at - last[0] >= 1.0:
            self.began_at = self.began_at or last[0]
            self.curves["rate"].add(max(0.0, at - self.began_at), (done - last[1]) / (at - last[0]))
            self._last_done = at, done

    def _take_worked(self, at: float, worked: dict[str, Any]) -> None:
        """What is worked through a second has a curve for each name, such as "samples/s"."""
        for name, count in worked.items():
            began, before = self._worked.get(name, (at, float("inf")))
            if count < before:
                self._worked[name] = at, float(count)
            elif at - began >= 0.9:  # samples come once a second
                self.began_at = self.began_at or began
                curve = self.curves.setdefault(f"{name}/s", Curve(_KEPT_POINTS))
                curve.add(max(0.0, at - self.began_at), (count - before) / (at - began))
                self._worked[name] = at, float(count)


class UseReader:
    """What ranks used, those of the gangs asked for last kept. Its calls may be made from any thread."""

    def __init__(self, streams: StreamStore) -> None:
        self._streams = streams
        self._kept: OrderedDict[str, dict[int, RankUse]] = OrderedDict()
        self._lock = Lock()

    def read(self, run: str, attempt: str, size: int) -> dict[str, list[dict[str, Any]]]:
        """By what was used: [{"rank", "points"}, …], only what was measured."""
        prefix = f"{run}/{attempt}"
        with self._lock:
            ranks = self._kept.setdefault(prefix, {})
            self._kept.move_to_end(prefix)
            while len(self._kept) > _KEPT_GANGS:
                self._kept.popitem(last=False)
            found: dict[str, list[dict[str, Any]]] = {}
            for rank in range(min(size, DRAWN_RANKS)):
                one = ranks.setdefault(rank, RankUse())
                one.read(self._streams, prefix, rank)
                for use, curve in one.curves.items():
                    if curve.count:
                        found.setdefault(use, []).append({"rank": rank, "points": short(curve.points())})
        named = [use for use in found if use not in USES]
        return {use: found[use] for use in (USES[0], *named, *USES[1:]) if use in found}


_READERS: WeakKeyDictionary[StreamStore, UseReader] = WeakKeyDictionary()


def uses_of(streams: StreamStore) -> UseReader:
    """The reader of this store."""
    found = _READERS.get(streams)
    if found is None:
        found = _READERS[streams] = UseReader(streams)
    return found


Try = dict[int, list[Point]]
"""What one attempt has logged of a metric, by rank."""


def read_tries(
    reader: CurveReader, run: str, attempts: Sequence[str], ranks: int, by: str, logged: Counter[str] | None = None
) -> dict[str, list[tuple[int, Try]]]:
    """By metric what each of the attempts has logged of it, one after the other, with its number among them. Along "time" all count from
    the first one's beginning; points without a step are counted on. `logged` gets how many points there were of each."""
    found: dict[str, list[tuple[int, Try]]] = {}
    counts: dict[tuple[str, int], int] = {}
    began_at = 0.0
    for n, attempt in enumerate(attempts):
        for rank in range(ranks):
            one = reader.read(run, attempt, rank)
            began_at = began_at or one.began_at
            for name, (count, points) in one.taken(by).items():
                shift = one.began_at - began_at if by == "time" else counts.get((name, rank), 0) if name in one.counted else 0
                tries = found.setdefault(name, [])
                if not tries or tries[-1][0] != n:
                    tries.append((n, {}))
                tries[-1][1][rank] = [(x + shift, y) for x, y in points]
                counts[name, rank] = counts.get((name, rank), 0) + count
                if logged is not None:
                    logged[name] += count
    return found


def spell_tries(tries: Sequence[tuple[int, Try]], points: int, *, reduced: bool, by: str = "step") -> dict[str, Any]:
    """One metric over all attempts as JSON-ready data: {"points", "restarts"}, of a gang {"ranks", "spread"}, too."""
    parts = [part for _, part in tries]
    ranks = sorted({rank for part in parts for rank in part})
    whole = {rank: join_tries(part.get(rank, []) for part in parts) for rank in (ranks[:DRAWN_RANKS] if reduced else ranks[:1])}
    begins = [min(points[0][0] for points in part.values() if points) for part in parts]
    found: dict[str, Any] = {"points": short(downsample(whole[ranks[0]], points)), "restarts": short([(x,) for x in begins[1:]])}
    if reduced:
        found["ranks"] = [{"rank": rank, "points": short(downsample(curve, points))} for rank, curve in whole.items()]
        found["spread"] = short(join_tries(reduce_curves(list(part.values()), timed=by == "time") for part in parts))
    return found


class Line(NamedTuple):
    """One metric over several attempts. `logged`: points that were logged; `restarts`: where attempts after the first begin."""

    points: list[Point]
    logged: int
    restarts: list[float]


def read_lines(reader: CurveReader, run: str, attempts: Sequence[str], ranks: int, by: str) -> dict[str, Line]:
    """By metric one line over all attempts; of a gang (`ranks` of it) the mean over its ranks."""
    counts = Counter[str]()
    read = read_tries(reader, run, attempts, max(ranks, 1), by, counts)
    lines = {name: [_mean(part, by) if ranks else part[0] for _, part in tries] for name, tries in read.items()}
    return {name: Line(join_tries(parts), counts[name], [part[0][0] for part in parts[1:] if part]) for name, parts in lines.items()}


def _mean(part: Try, by: str) -> list[Point]:
    return [(at, mean) for at, mean, _, _ in reduce_curves(list(part.values()), timed=by == "time")]


def short(points: Sequence[tuple[float, ...]]) -> list[list[float]]:
    """Six digits are more than a screen shows."""
    return [[float(f"{number:.6g}") for number in point] for point in points]
