"""What a step reports while it runs: metric points and progress, buffered here and appended to the attempt's streams.

A point costs a tuple and a list append; encoding happens by the thousand. Lines are JSON: `[time, step, {name: value}]`.
"""

from __future__ import annotations

import json
import math
import os
import time
from _thread import RLock
from collections import deque
from typing import TYPE_CHECKING, Any

from fairway.errors import FairwayError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from fairway.spec.ports import StreamStore

_FLUSH_POINTS = 4096
_FLUSH_EVERY_S = 0.5
_PROGRESS_EVERY_S = 0.2

_encode = json.JSONEncoder(separators=(",", ":")).encode


class PointWriter:
    """Points of one attempt on their way to the stream RUN/ATTEMPT/metrics; at most half a second of them is lost by a kill.

    `streams` is where they go; `last` are the latest values by name, for the outcome.
    `mask` is applied to text. A forked child of the step writes through, as it has
    no flushing thread. `rank`: of a gang; others than rank 0 have streams of their own ("metrics.3").
    """

    def __init__(self, streams: StreamStore, prefix: str, mask: Callable[[str], str] | None = None, *, rank: int = 0) -> None:
        self.last: dict[str, float] = {}
        self.streams = streams
        self._prefix = prefix
        self._suffix = f".{rank}" if rank else ""
        self._mask = mask
        self._names: dict[str, str] = {}  # as JSON
        self._strange: set[str] = set()  # those of which it has been said that they are no finite numbers
        self._points: deque[tuple[float, int | None, dict[str, Any]]] = deque()
        self._flushing = RLock()
        self._pid = os.getpid()
        self._thread: Any = None
        self._progress_at = 0.0
        self._worked: dict[str, Any] = {}

    def log(self, step: int | None, values: dict[str, Any], clock: Any = time.time) -> None:
        """Keep one point. Under 5 µs in a tight loop."""
        points = self._points
        points.append((clock(), step, values))
        if self._thread is None:
            self._start()
        if len(points) >= _FLUSH_POINTS:
            self.flush()

    def progress(self, done: float, total: float | None, worked: Mapping[str, Any] | None = None) -> None:
        """Keep how far the step is, and how much in all was `worked`, by name; written at most five times a second, and when it is done."""
        now = time.monotonic()
        for name, count in worked.items() if worked else ():
            self._worked[name] = self._worked.get(name, 0) + (_plain(count, None) or 0)
        if now - self._progress_at >= _PROGRESS_EVERY_S or done == total:
            self._progress_at = now
            line = [round(time.time(), 3), _plain(done, None), _plain(total, None)]
            self._append("progress", _encode([*line, self._worked] if self._worked else line) + "\n")

    def flush(self) -> None:
        """Append what is buffered, and wait for whoever is at it already. Safe from any thread."""
        with self._flushing:
            points = [self._points.popleft() for _ in range(len(self._points))]
            if points:
                self._append("metrics", self._render(points))

    def _render(self, points: list[tuple[float, int | None, dict[str, Any]]]) -> str:
        lines: list[str] = []
        last, names = self.last, self._names
        for at, step, values in points:
            fields: list[str] = []
            for name, value in values.items():
                if name not in names:
                    names[name] = _encode(name)
                if type(value) is float and value - value == 0:  # finite, and by far the most frequent
                    last[name] = value
                    fields.append(f"{names[name]}:{value!r}")
                else:
                    last[name] = plain = _plain(value, self._mask)
                    if plain is None and value is not None and name not in self._strange:
                        self._strange.add(name)
                        where = "" if step is None else f" at step {step}"
                        os.write(2, f"fairway: {name} is {float(value)}{where}: its curve has a gap there\n".encode())
                    fields.append(f"{names[name]}:{_encode(plain)}")
            place = step if type(step) is int else _encode(_plain(step, None))
            lines.append(f"[{at:.3f},{place},{{{','.join(fields)}}}]")
        lines.append("")
        return "\n".join(lines)

    def _append(self, stream: str, text: str) -> None:
        try:
            self.streams.append(f"{self._prefix}/{stream}{self._suffix}", text.encode("utf-8", "replace"))
        except FairwayError as error:  # a curve is not worth a failed training
            os.write(2, f"fairway: points were not kept: {error}\n".encode())

    def _start(self) -> None:
        if os.getpid() != self._pid:  # a forked child of the step
            self.flush()
            return
        import threading

        self._thread = threading.Thread(target=self._flush_often, name="fairway-metrics", daemon=True)
        self._thread.start()
        os.register_at_fork(after_in_child=self._forget)

    def _flush_often(self) -> None:
        while True:
            time.sleep(_FLUSH_EVERY_S)
            self.flush()

    def _forget(self) -> None:
        self._points.clear()
        self._flushing = RLock()  # whoever held it is not in this process
        self._thread = None


def _plain(value: Any, mask: Callable[[str], str] | None) -> Any:
    """A number JSON can hold: NumPy and tensor scalars become floats, NaN and infinities null."""
    if isinstance(value, bool | int) or value is None:
        return value
    try:
        number = float("nan" if isinstance(value, str) else value)
    except (TypeError, ValueError):
        number = float("nan")
        value = str(value)
    if isinstance(value, str):
        return mask(value) if mask is not None else value
    return number if math.isfinite(number) else None
