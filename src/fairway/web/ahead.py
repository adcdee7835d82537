"""Overviews of large runs that have ended are made before anybody opens their pages: one at a time, while the server has nothing to do."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from contextlib import suppress

from fairway.engine.bus import RUNS, Bus
from fairway.engine.sketch import Sketch
from fairway.errors import FairwayError
from fairway.spec.ports import Journal
from fairway.web.overviews import Overviews

LARGE = 5_000
"""Events or tasks."""
_NEWEST = 20
_REMEMBERED = 200
_QUIET_S = 1.0
_HOUR_S = 3600.0


class Ahead:
    """Looks at the newest runs whenever there is news of any; `close` ends it. Of the running event loop."""

    def __init__(self, journal: Journal, overviews: Overviews, bus: Bus, *, large: int = LARGE, quiet_s: float = _QUIET_S) -> None:
        self._journal, self._overviews, self._bus = journal, overviews, bus
        self._large, self._quiet_s = large, quiet_s
        self._seen: OrderedDict[tuple[str, float], None] = OrderedDict()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to listen."""
        self._task = asyncio.get_running_loop().create_task(self._listen(), name="overviews ahead")

    async def close(self) -> None:
        """Make no more."""
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task

    async def look(self) -> list[str]:
        """Make what is missing; returns the runs that it was made of."""
        made: list[str] = []
        for row in await self._journal.summaries(limit=_NEWEST, archived=True):
            key = row.run, row.ended_at
            if not row.ended_at or key in self._seen:
                continue
            self._seen[key] = None
            if len(self._seen) > _REMEMBERED:
                self._seen.popitem(last=False)
            if self._overviews.is_filed(row.run):
                continue
            if sum(row.counts.values()) > self._large or await self._journal.head(row.run) > self._large:
                with suppress(FairwayError):  # deleted meanwhile; whoever opens it is told
                    await self._overviews.read(row.run, Sketch.read_made)
                    made.append(row.run)
        return made

    async def _listen(self) -> None:
        with self._bus.listen(RUNS) as bell:
            bell.ring()  # what has ended while there was no server
            while not self._bus.closed:
                if await bell.wait(_HOUR_S):
                    await asyncio.sleep(self._quiet_s)  # what comes close together is looked at once
                    with suppress(FairwayError):
                        await self.look()
