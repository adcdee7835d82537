"""How large a store is, and what a collection would free: measured when somebody asks, for it reads every folder."""

from __future__ import annotations

import asyncio
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path

from fairway.spec.layout import BLOBS, BUNDLES, CHECKPOINTS, DATABASE, ENVIRONMENTS, SCRATCH, STREAMS
from fairway.spec.ports import run_now
from fairway.spec.record import Record, field, record
from fairway.store import gc

PARTS = {
    BLOBS: "artifacts",
    STREAMS: "logs and metrics",
    ENVIRONMENTS: "environments",
    BUNDLES: "code",
    CHECKPOINTS: "checkpoints",
    SCRATCH: "scratch",
}


@record
class StoreSize(Record):
    """Sizes in bytes by part, and what `fairway gc` would delete: kind -> (count, bytes). `took_s`: how long it took to find out."""

    at: float
    took_s: float
    parts: dict[str, int] = field(default_factory=dict)
    kinds: dict[str, tuple[int, int]] = field(default_factory=dict)
    freed_bytes: int = 0

    @property
    def total_bytes(self) -> int:
        """All parts together."""
        return sum(self.parts.values())


class StoreMeter:
    """Measures one home, once at a time; who asks meanwhile gets the same answer."""

    def __init__(self, places: Callable[[], gc.Places], clock: Callable[[], float] = time.time) -> None:
        self._places, self._clock = places, clock
        self._busy: asyncio.Task[StoreSize] | None = None
        self.last: StoreSize | None = None

    async def measure(self) -> StoreSize:
        """The sizes now."""
        if self._busy is None or self._busy.done():
            self._busy = asyncio.ensure_future(asyncio.to_thread(self._measure))
        found = self.last = await asyncio.shield(self._busy)
        return found

    def quick(self) -> dict[str, int]:
        """What is known at once: bytes of the database, of the disk, and free on it."""
        home = Path(self._places().home)
        database = sum(_size(home / name) for name in (DATABASE, f"{DATABASE}-wal"))
        try:
            disk = shutil.disk_usage(home)
        except OSError:
            return {"database": database, "disk": 0, "free": 0}
        return {"database": database, "disk": disk.total, "free": disk.free}

    def _measure(self) -> StoreSize:
        began = time.perf_counter()
        places = self._places()
        parts = {label: _folder_size(f"{places.home}/{name}") for name, label in PARTS.items()}
        parts["journal"] = self.quick()["database"]
        plan = run_now(gc.plan(places))
        return StoreSize(self._clock(), time.perf_counter() - began, parts, plan.by_kind(), plan.size_bytes)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _folder_size(path: str) -> int:
    """Bytes of all files below; links are not followed, and what goes away meanwhile is not counted."""
    total = 0
    waiting = [path]
    while waiting:
        try:
            with os.scandir(waiting.pop()) as entries:
                for entry in entries:
                    try:
                        if entry.is_dir(follow_symlinks=False):
                            waiting.append(entry.path)
                        else:
                            total += entry.stat(follow_symlinks=False).st_size
                    except OSError:
                        continue
        except OSError:
            continue
    return total
