"""Metric points of attempts, read from their streams once and kept downsampled, so that a page that asks again reads only what is new."""

from __future__ import annotations

from collections import OrderedDict
from threading import Lock
from typing import Any

import msgspec

from fairway.engine.ranks import stream_of
from fairway.spec.ports import StreamStore
from fairway.web.curves import Curve, Point

KEPT_POINTS = 1_000
KEPT_IN_ALL = 100_000
"""Points of all attempts together, 100 bytes each; the attempt read last is always kept."""
_CHUNK_BYTES = 256 << 10
_LINE = msgspec.json.Decoder(tuple[float, float | None, dict[str, float | str | bool | None]])


class AttemptCurves:
    """Curves of one attempt as far as its stream has been read. `counted`: metrics without steps, whose points are counted instead."""

    def __init__(self) -> None:
        self.offset = 0
        self.began_at = 0.0
        self.by_step: dict[str, Curve] = {}
        self.by_time: dict[str, Curve] = {}
        self.counted: set[str] = set()
        self.lock = Lock()

    def read(self, streams: StreamStore, name: str) -> None:
        """Go on to the stream's end."""
        with self.lock:
            while data := streams.read(name, self.offset, _CHUNK_BYTES):
                whole, end, _ = data.rpartition(b"\n")
                if not end:
                    return
                self.offset += len(whole) + 1
                for line in whole.split(b"\n"):
                    self._take(line)

    def taken(self, by: str) -> dict[str, tuple[int, list[Point]]]:
        """By metric how many points there were until now, and those that are kept, along "step" or "time"."""
        with self.lock:
            return {name: (curve.count, curve.points()) for name, curve in (self.by_time if by == "time" else self.by_step).items()}

    @property
    def size(self) -> int:
        """Points that are kept, at most."""
        return sum(2 * min(curve.count, KEPT_POINTS) for curve in self.by_step.values())

    def _take(self, line: bytes) -> None:
        try:
            at, step, values = _LINE.decode(line)
        except msgspec.DecodeError:  # cut off by a kill in the middle of a write
            return
        self.began_at = self.began_at or at
        for metric, value in values.items():
            if type(value) is float:
                if metric not in self.by_step:
                    self.by_step[metric], self.by_time[metric] = Curve(KEPT_POINTS), Curve(KEPT_POINTS)
                curve = self.by_step[metric]
                if step is None:
                    self.counted.add(metric)
                curve.add(curve.count if step is None else step, value)
                self.by_time[metric].add(at - self.began_at, value)


class CurveReader:
    """Curves of attempts, those read last kept in memory. Its calls may be made from any thread."""

    def __init__(self, streams: StreamStore) -> None:
        self._streams = streams
        self._kept: OrderedDict[str, AttemptCurves] = OrderedDict()
        self._lock = Lock()

    def read(self, run: str, attempt: str, rank: int = 0) -> AttemptCurves:
        """All that the attempt (of a gang, this rank of it) has logged until now."""
        name = f"{run}/{attempt}/{stream_of('metrics', rank)}"
        with self._lock:
            found = self._kept.setdefault(name, AttemptCurves())
            self._kept.move_to_end(name)
        if found.offset > self._streams.size(name):  # deleted, and begun again
            with self._lock:
                found = self._kept[name] = AttemptCurves()
        found.read(self._streams, name)
        with self._lock:
            total = sum(one.size for one in self._kept.values())
            while total > KEPT_IN_ALL and len(self._kept) > 1:
                total -= self._kept.popitem(last=False)[1].size
        return found


def spell_curve(curve: Curve, points: int) -> dict[str, Any]:
    """A curve as JSON-ready data, in at most `points` points."""
    from fairway.web.curves import downsample

    return {"points": downsample(curve.points(), points), "count": curve.count}
