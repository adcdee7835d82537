"""Folded runs, kept for a while: a page that asks again folds only what has happened since."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Sequence

from fairway.engine.apply import apply
from fairway.engine.host import Host
from fairway.engine.state import RunState
from fairway.errors import NotFoundError
from fairway.spec.event import Event
from fairway.spec.ports import Journal, run_now

KEPT_EVENTS = 40_000
"""Of all kept states together; the one used last is always kept. An event costs about 2 KB."""
_CHUNK = 1_000
_SLICE_S = 0.005
_FEW = 20


async def read_events(journal: Journal, run: str, after: int, limit: int) -> Sequence[tuple[int, Event]]:
    """At most `limit` events after number `after`; many of them are parsed beside the event loop."""
    if limit <= _FEW:
        return await journal.read(run, after, limit)
    return await asyncio.to_thread(run_now, journal.read(run, after, limit))


class States:
    """States of runs by id, each as new as the journal when it is asked for. What is returned is to be read at once, before any `await`."""

    def __init__(self, journal: Journal, host: Host) -> None:
        self._journal, self._host = journal, host
        self._kept: OrderedDict[str, tuple[int, RunState]] = OrderedDict()
        self._locks: dict[str, asyncio.Lock] = {}

    async def get(self, run: str) -> tuple[int, RunState]:
        """(head, state) of the run now; that of its driver if it has one. Raises NotFoundError."""
        driven = self._host.find_state(run)
        if driven is not None:
            self._kept.pop(run, None)
            return driven
        lock = self._locks.setdefault(run, asyncio.Lock())
        async with lock:
            try:
                return await self._advance(run)
            finally:
                if not lock._waiters:  # type: ignore[attr-defined]
                    self._locks.pop(run, None)

    async def _advance(self, run: str) -> tuple[int, RunState]:
        head, state = self._kept.pop(run, (0, RunState("")))
        now = await self._journal.head(run)
        if now < head:  # deleted, and begun again
            head, state = 0, RunState("")
        while head < now:
            rest = time.monotonic()
            for number, event in await read_events(self._journal, run, head, min(now - head, _CHUNK)):
                apply(state, event)
                head = number
                if time.monotonic() - rest > _SLICE_S:
                    await asyncio.sleep(0)  # others may go on
                    rest = time.monotonic()
        if not head:
            raise NotFoundError(f"there is no run {run!r}", hint="`fairway runs` lists them")
        self._kept[run] = head, state
        while len(self._kept) > 1 and sum(events for events, _ in self._kept.values()) > KEPT_EVENTS:
            self._kept.popitem(last=False)
        return head, state
