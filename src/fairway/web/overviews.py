"""Overviews of runs, kept for a while in memory and, of long runs, on disk: a page that asks again folds only what has happened since."""

from __future__ import annotations

import asyncio
import os
import time
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from fairway.engine.lean import read_lean
from fairway.engine.overview import Overview, graph_data, timeline_data
from fairway.engine.overviewfile import dump_overview, load_overview, remove_file, save_overview
from fairway.engine.resolve import Library
from fairway.engine.sketch import Sketch
from fairway.engine.story import TaskStory, plan_story, tell_story
from fairway.errors import NotFoundError
from fairway.spec.layout import CACHE
from fairway.spec.ports import Journal, run_now
from fairway.store.runs import is_run_id

T = TypeVar("T")
KEPT_BYTES = 32 << 20
"""Of all kept overviews together; the one used last is always kept."""
FOLDER_BYTES = 256 << 20
_CHUNK_BYTES = 1 << 20
_FEW_BYTES = 64 << 10
_SLICE_S = 0.004
_SAVED_FROM = 5_000
"""Events that are worth a file."""
_SAVED_FROM_BYTES = 4 << 20
_LARGE = 5_000


class _Kept:
    """An overview, how much of it was folded since it was last saved, and what was made of it for pages. `lock` is held while it changes,
    and while a thread reads it."""

    __slots__ = ("fresh_bytes", "fresh_events", "lock", "overview", "texts", "wanted")

    def __init__(self, overview: Overview) -> None:
        self.overview = overview
        self.lock = asyncio.Lock()
        self.wanted = 0
        self.fresh_bytes = self.fresh_events = 0
        self.texts: dict[str, tuple[int, bytes]] = {}  # what -> (head, JSON)

    @property
    def size_bytes(self) -> int:
        return self.overview.size_bytes + sum(len(text) for _, text in self.texts.values())


class Overviews:
    """Overviews by run. What is returned is to be read at once, before any `await`; it is the same object that later calls bring
    up to date.

    Those of long runs that have ended are kept as files below `home`; "" for none.
    """

    def __init__(self, journal: Journal, home: str = "") -> None:
        self._journal = journal
        self._folder = f"{home}/{CACHE}/overviews" if home else ""
        self._kept: OrderedDict[str, _Kept] = OrderedDict()
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._saving: set[asyncio.Task[None]] = set()

    async def get(self, run: str) -> Overview:
        """The run as it is now. Raises NotFoundError."""
        under_way = self._tasks.get(run)
        if under_way is not None:  # it may have looked at the journal's head long ago
            await asyncio.wait([under_way])
        await asyncio.shield(self._task(run))
        return self._kept[run].overview if run in self._kept else await self.get(run)

    async def get_quick(self, run: str, wait_s: float = 0.08) -> tuple[Overview, float]:
        """What is folded of the run after `wait_s` at the latest, and which share of it that is (0 to 1); folding goes on.

        Raises NotFoundError.
        """
        task = self._task(run)
        await asyncio.wait([task], timeout=wait_s)
        if task.done():
            task.result()
        kept = self._kept.get(run)
        if kept is None:  # not even its first event has been read
            return Overview(run), 0.0
        return kept.overview, min(1.0, kept.overview.head / kept.wanted) if kept.wanted and not task.done() else 1.0

    async def story(self, run: str, task: str, library: Library | None = None) -> TaskStory:
        """The task with this address as it is now; with its inputs if there is a `library`. Raises NotFoundError."""
        plan = plan_story(await self.get(run), task)
        return await asyncio.to_thread(run_now, tell_story(self._journal, plan, library))

    async def read(self, run: str, work: Callable[[Sketch], T]) -> T:
        """What `work` makes of the run as it is now, in a thread. Raises NotFoundError."""
        while True:
            await self.get(run)
            kept = self._kept.get(run)
            if kept is not None:
                made = kept.overview.made
                known = len(made.slots)
                async with kept.lock:
                    found = await asyncio.to_thread(work, Sketch(self._journal, kept.overview))
                kept.fresh_events += len(made.slots) - known  # the index is kept with the rest
                self._save(run, kept)
                return found

    async def graph_json(self, run: str) -> bytes:
        """`graph_data` of the run as it is now."""
        return await self._text(run, "graph", graph_data)

    async def timeline_json(self, run: str) -> bytes:
        """`timeline_data` of the run as it is now."""
        return await self._text(run, "timeline", timeline_data)

    def is_at_hand(self, run: str) -> bool:
        """May it be had without reading all of a long journal?"""
        return run in self._kept or self.is_filed(run)

    def is_filed(self, run: str) -> bool:
        """Is there a file of it? It may be older than the run's last event."""
        return bool(self._folder) and is_run_id(run) and Path(self._path(run)).exists()

    async def settle(self) -> None:
        """Return when all files that are being written are there."""
        await asyncio.gather(*self._saving)

    async def _text(self, run: str, what: str, make: Callable[[Overview], Any]) -> bytes:
        overview = await self.get(run)
        kept = self._kept[run]
        head, text = kept.texts.get(what, (0, b""))
        if head != overview.head:
            if len(overview.columns.planned_at) > _LARGE:
                async with kept.lock:
                    head = overview.head
                    text = await asyncio.to_thread(lambda: msgspec.json.encode(make(overview)))
            else:
                head, text = overview.head, msgspec.json.encode(make(overview))
            kept.texts[what] = head, text
        return text

    def _task(self, run: str) -> asyncio.Task[None]:
        """The task that brings the run up to date; one for all that wait."""
        task = self._tasks.get(run)
        if task is None:
            task = self._tasks[run] = asyncio.get_running_loop().create_task(self._advance(run), name=f"overview {run}")
            task.add_done_callback(lambda done: self._done(run, done))
        return task

    def _done(self, run: str, task: asyncio.Task[None]) -> None:
        self._tasks.pop(run, None)
        if not task.cancelled():
            task.exception()  # whoever waits has it too

    async def _advance(self, run: str) -> None:
        now = await self._journal.head(run)
        kept = self._kept.get(run)
        if not now:
            self._forget(run)
            raise NotFoundError(f"there is no run {run!r}", hint="`fairway runs` lists them")
        if kept is None or now < kept.overview.head:  # or deleted, and begun again
            kept = self._kept[run] = _Kept(await self._load(run, now))
        kept.wanted = now
        self._kept.move_to_end(run)
        async with kept.lock:
            await self._fold(run, kept, now)
        self._let_go(run)
        self._save(run, kept)

    async def _fold(self, run: str, kept: _Kept, now: int) -> None:
        """Read and decode beside the loop, a portion at a time; fold in slices, between which others go on."""
        overview = kept.overview
        while overview.head < now:
            few = now - overview.head < 20
            read = _read(self._journal, run, overview.head, _FEW_BYTES if few else _CHUNK_BYTES)
            size, numbered = await (read if few else asyncio.to_thread(run_now, read))
            if not numbered:
                return  # deleted meanwhile
            kept.fresh_bytes += size
            kept.fresh_events += len(numbered)
            began, rest = 0, time.monotonic()
            while began < len(numbered):
                overview.fold_events(numbered[began : began + 8])
                began += 8
                if time.monotonic() - rest > _SLICE_S:
                    await asyncio.sleep(0)
                    rest = time.monotonic()

    async def _load(self, run: str, now: int) -> Overview:
        if not self._folder or not is_run_id(run):
            return Overview(run)
        found = await asyncio.to_thread(load_overview, self._path(run))
        if found is None or found.run != run or found.head > now:
            return Overview(run)
        summary = await self._journal.find_summary(run)
        return found if summary is not None and summary.started_at == found.started_at else Overview(run)

    def _save(self, run: str, kept: _Kept) -> None:
        """Keep the overview of a long run that has ended; with the file, only what comes after it is ever folded again."""
        if not self._folder or not is_run_id(run) or kept.overview.status in ("new", "running"):
            return
        if kept.fresh_events < _SAVED_FROM and kept.fresh_bytes < _SAVED_FROM_BYTES:
            return
        kept.fresh_events = kept.fresh_bytes = 0
        data = dump_overview(kept.overview)
        path = self._path(run)

        def save() -> None:
            save_overview(path, data)
            _trim(self._folder)

        task = asyncio.get_running_loop().create_task(asyncio.to_thread(save))
        self._saving.add(task)
        task.add_done_callback(self._saving.discard)

    def _let_go(self, run: str) -> None:
        sizes = {name: kept.size_bytes for name, kept in self._kept.items()}
        total = sum(sizes.values())
        for name in list(self._kept):
            if total <= KEPT_BYTES:
                return
            if name != run and name not in self._tasks:
                total -= sizes[name]
                del self._kept[name]

    def _forget(self, run: str) -> None:
        self._kept.pop(run, None)
        if self._folder and is_run_id(run):
            remove_file(self._path(run))

    def _path(self, run: str) -> str:
        return f"{self._folder}/{run}"


async def _read(journal: Journal, run: str, after: int, limit_bytes: int) -> tuple[int, list[tuple[int, Any]]]:
    size = 0
    numbered: list[tuple[int, Any]] = []
    for first, text in await journal.read_text(run, after, limit_bytes):
        size += len(text)
        numbered += read_lean(text, first, after)
    return size, numbered


def _trim(folder: str) -> None:
    """Remove the files that were written longest ago while there are too many."""
    try:
        files = sorted(((entry.stat().st_mtime, entry.stat().st_size, entry.path) for entry in os.scandir(folder)), reverse=True)
    except OSError:
        return
    total = 0
    for _, size, path in files:
        total += size
        if total > FOLDER_BYTES:
            remove_file(path)
