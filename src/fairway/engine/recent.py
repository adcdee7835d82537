"""What attempts wrote lately at a target that is elsewhere, kept here for a display that draws many times a second."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from typing import Any

from fairway.errors import FairwayError
from fairway.spec.ports import StreamStore

KEPT_BYTES = 16_384
ASKED_FOR_S = 5.0
WAIT_S = 1.0
_FORGOTTEN = 512


class _Recent:
    """The end of one stream: `data` begins at byte `start`. `asked_at`: when somebody last wanted it."""

    __slots__ = ("asked_at", "data", "start")

    def __init__(self, now: float) -> None:
        self.data, self.start, self.asked_at = b"", 0, now


class RecentStreams:
    """See `spec.ports.StreamStore`; only what is asked for now and then is followed, all of it in one exchange at a time, by a thread.

    What is read is what has come so far: nothing waits for the network. `far` has `read_many`.
    """

    def __init__(self, far: Any) -> None:
        self._far = far
        self._known: dict[str, _Recent] = {}
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    def append(self, stream: str, data: bytes) -> None:
        """As of the store that is elsewhere."""
        self._far.append(stream, data)

    def read(self, stream: str, offset: int = 0, limit: int = 0) -> bytes:
        """What has come of it; what lies before the last few kilobytes is not there any more."""
        with self._lock:
            found = self._want(stream)
            data = found.data[max(0, offset - found.start) :]
        return data[:limit] if limit else data

    def size(self, stream: str) -> int:
        """Bytes as far as they are known here."""
        with self._lock:
            found = self._want(stream)
            return found.start + len(found.data)

    def list(self, prefix: str) -> Iterator[str]:
        """As of the store that is elsewhere."""
        return self._far.list(prefix)

    def delete(self, prefix: str) -> None:
        """As of the store that is elsewhere."""
        self._far.delete(prefix)

    def refresh(self, wait_s: float = 0.0) -> bool:
        """Fetch what is new of all streams that somebody wants; False if nobody wants any."""
        now = time.monotonic()
        with self._lock:
            wanted = {name: one for name, one in self._known.items() if now - one.asked_at < ASKED_FOR_S}
            if len(self._known) > _FORGOTTEN:
                self._known = dict(wanted)
            by_run: dict[str, dict[str, int]] = {}
            for name, one in wanted.items():
                run, _, rest = name.partition("/")
                by_run.setdefault(run, {})[rest] = one.start + len(one.data)
        for run, offsets in by_run.items():
            for rest, data in self._far.read_many(run, offsets, wait_s=wait_s).items():
                with self._lock:
                    one = wanted[f"{run}/{rest}"]
                    whole = one.data + data[max(0, one.start + len(one.data) - offsets[rest]) :]  # another thread may have been quicker
                    one.start += max(0, len(whole) - KEPT_BYTES)
                    one.data = whole[-KEPT_BYTES:]
        return bool(wanted)

    def _want(self, stream: str) -> _Recent:
        found = self._known.get(stream)
        if found is None:
            found = self._known[stream] = _Recent(time.monotonic())
        found.asked_at = time.monotonic()
        if self._thread is None:
            self._thread = threading.Thread(target=self._follow, name="recent streams", daemon=True)
            self._thread.start()
        return found

    def _follow(self) -> None:
        """Until nobody has wanted anything for a while; the next reader begins anew."""
        while True:
            began = time.monotonic()
            try:
                wanted = self.refresh(WAIT_S)
            except FairwayError:
                wanted = True  # the session says what is wrong; a picture can do without
            if not wanted:
                with self._lock:
                    self._thread = None
                return
            threading.Event().wait(max(0.2, WAIT_S / 2 - (time.monotonic() - began)))


def as_recent(far: StreamStore) -> StreamStore:
    """`far`, if it can be read many streams at a time, behind what is recent of it."""
    return RecentStreams(far) if hasattr(far, "read_many") else far
