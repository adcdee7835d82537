"""A stream as windows of records, at least once: what a window's `commit` did not reach comes again."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

from fairway.data.batch import Batch
from fairway.data.streams.offsets import OffsetFile
from fairway.data.streams.rejects import StreamRejects
from fairway.data.streams.transport import EndOfStream, Records, Transport
from fairway.data.streams.windows import Held, Windowing

_SLICE_S = 0.2
"""How long is waited at a time, so that a stream that is stopped ends soon."""


class Decoder(Protocol):
    """Records → a batch; what is no record goes to the stream's rejects."""

    def decode(self, payloads: list[bytes], first: int) -> Batch: ...


@dataclass
class Window:
    """Some rows of a stream. `begin_s`, `end_s`: seconds since 1970, of arrival or of the time that rows tell. `batch.rows` may be less
    than `records` (some were rejects) and 0 (nothing came in the window's time). `offsets`: the numbers of its first and last record."""

    batch: Batch
    begin_s: float
    end_s: float
    records: int
    late: int
    offsets: Any
    _commit: Callable[[], None]

    def commit(self) -> None:
        """This window is done: it does not come again once all before it are done too. Idempotent."""
        self._commit()


class Ledger:
    """Which windows were given away and not committed, and where the stream stood after each piece that came."""

    def __init__(self) -> None:
        self._pieces: deque[tuple[int, Records]] = deque()
        self._given: dict[int, int] = {}
        self._windows = 0
        self.count = 0
        self.committed = 0

    def add(self, records: Records) -> int:
        """The number of the piece's first record."""
        first = self.count
        self._pieces.append((first, records))
        self.count += len(records.payloads)
        return first

    def give(self, first: int) -> int:
        """A window that is given away now gets a number; `first`: its first record, -1 if it has none."""
        self._windows += 1
        if first >= 0:
            self._given[self._windows] = first
        return self._windows

    def done(self, window: int, oldest: int | None) -> tuple[int, list[Any]] | None:
        """A window is committed; `oldest`: the first record that is in no window yet. The number of records that are done now, from the
        first on, and the positions after each piece of those; None if that has not changed."""
        self._given.pop(window, None)
        low = min([self.count if oldest is None else oldest, *self._given.values()])
        if low <= self.committed:
            return None
        self.committed = low
        positions: list[Any] = []
        while self._pieces and self._pieces[0][0] < low:
            first, records = self._pieces[0]
            positions.append(records.mark(min(low - first, len(records.payloads))))
            if first + len(records.payloads) > low:
                break
            self._pieces.popleft()
        return low, positions


class Stream:
    """Windows of a stream, one after the other: `for window in stream: …; window.commit()`. Reads no more than the next window needs."""

    def __init__(
        self,
        uri: str,
        transport: Transport,
        decoder: Decoder,
        windowing: Callable[[float], Windowing],
        rejects: StreamRejects,
        *,
        offsets: OffsetFile | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.uri = uri
        self.rejects = rejects
        self._transport, self._decoder, self._windowing, self._offsets, self._clock = transport, decoder, windowing, offsets, clock
        self._ledger = Ledger()
        self._stopped = False
        self._closed = False
        self._before = 0

    @property
    def notes(self) -> list[str]:
        """What happened that the reader should know: a file was rotated, a server could not resume."""
        return self._transport.notes

    @property
    def keeps_numbers(self) -> bool:
        """Whether records have the same numbers when they come again to another process."""
        return self._offsets is not None

    @property
    def records(self) -> int:
        """How many records came since this stream was opened."""
        return self._ledger.count

    def stop(self) -> None:
        """Take no more in, give what is there as a last window, and end. May be called from a signal's handler or another thread."""
        self._stopped = True

    def close(self) -> None:
        if not self._closed:
            self._closed = True
            self._transport.close()
            if self._offsets is not None:
                self._offsets.close()

    def __enter__(self) -> Stream:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __iter__(self) -> Iterator[Window]:
        try:
            self._open()
            yield from self._windows(self._windowing(self._clock()))
        finally:
            self.close()

    def _open(self) -> None:
        told = self._offsets.load() if self._offsets is not None else None
        if told is not None:
            self._before = told["records"]
            header = told.get("header")
            if header and not getattr(self._decoder, "header", True):
                self._decoder.header = header  # type: ignore[attr-defined]  # of records of CSV
        self._transport.open(told["position"] if told is not None else None)

    def _windows(self, windowing: Windowing) -> Iterator[Window]:
        ended = False
        while not ended and not self._stopped:
            wait_s = windowing.wait_s(self._clock())
            try:
                records = self._transport.receive(_SLICE_S if wait_s is None else min(_SLICE_S, wait_s))
            except EndOfStream:
                ended, records = True, None
            now = self._clock()
            if records is not None:
                windowing.add(records.payloads, self._ledger.add(records), now)
            yield from self._give(windowing.closed(now), windowing)
        yield from self._give(windowing.flush(self._clock()), windowing)

    def _give(self, closed: list[Held], windowing: Windowing) -> Iterator[Window]:
        # all are in the ledger before the first is given away: its commit must not reach beyond those that still wait
        for held, number in [(held, self._ledger.give(held.first)) for held in closed]:
            yield self._window(held, number, windowing)

    def _window(self, held: Held, number: int, windowing: Windowing) -> Window:
        first = self._before + max(held.first, 0)
        return Window(
            self._decoder.decode(held.payloads, first),
            held.begin_s,
            held.end_s,
            len(held.payloads),
            held.late,
            {"first": first, "last": self._before + held.numbers[-1]} if held.numbers else None,
            lambda: self._commit(number, windowing),
        )

    def _commit(self, number: int, windowing: Windowing) -> None:
        done = self._ledger.done(number, windowing.oldest())
        if done is None:
            return
        count, positions = done
        self._transport.commit(positions)
        if self._offsets is not None:
            header = getattr(self._decoder, "header", None)
            self._offsets.save({"uri": self.uri, "records": self._before + count, "position": positions[-1], "header": header})
