"""How large a store is, and what a collection would free: measured when somebody asks, for it reads every folder and every run.

That takes minutes and hundreds of megabytes where there are 100,000 runs, so a process of its own does it where it may open the journal:
`python -m fairway.web.storesize HOME`, which prints a `StoreSize` as JSON.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path

from fairway.errors import InfraError
from fairway.spec.layout import BLOBS, BUNDLES, CHECKPOINTS, DATABASE, ENVIRONMENTS, SCRATCH, STREAMS
from fairway.spec.record import Record, field, from_plain, record, to_plain
from fairway.step.folder import FolderArtifactStore, FolderStreamStore
from fairway.store import gc, open_journal

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
    """Measures one home, once at a time; who asks meanwhile gets the same answer. `beside`: in a process of its own, which needs a journal
    that others may open."""

    def __init__(self, places: Callable[[], gc.Places], *, beside: bool = False, clock: Callable[[], float] = time.time) -> None:
        self._places, self._beside, self._clock = places, beside, clock
        self._busy: asyncio.Task[StoreSize] | None = None
        self.last: StoreSize | None = None

    async def measure(self) -> StoreSize:
        """The sizes now. Raises InfraError if they cannot be found out."""
        if self._busy is None or self._busy.done():
            self._busy = asyncio.ensure_future(self._measure_beside() if self._beside else asyncio.to_thread(self._measure))
        found = await asyncio.shield(self._busy)
        self.last = found
        return found

    def quick(self) -> dict[str, int]:
        """What is known at once: bytes of the home's database (0 where the journal is elsewhere), of the disk, and free on it."""
        home = Path(self._places().home)
        try:
            disk = shutil.disk_usage(home)
        except OSError:
            return {"database": _database_size(home), "disk": 0, "free": 0}
        return {"database": _database_size(home), "disk": disk.total, "free": disk.free}

    async def _measure_beside(self) -> StoreSize:
        places = self._places()
        words = (sys.executable, "-m", "fairway.web.storesize", places.home)
        environ = {**os.environ, "FAIRWAY_JOURNAL": getattr(places.journals[0], "url", "")}
        process = await asyncio.create_subprocess_exec(*words, env=environ, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE)
        try:
            out, said = await process.communicate()
        except asyncio.CancelledError:
            process.kill()
            raise
        if process.returncode:
            last = said.decode("utf-8", "replace").strip().rpartition("\n")[2]
            raise InfraError(f"the store could not be measured: {last}", hint="try `fairway gc --dry-run`")
        return from_plain(StoreSize, json.loads(out))

    def _measure(self) -> StoreSize:
        return asyncio.run(measure(self._places(), self._clock))


async def measure(places: gc.Places, clock: Callable[[], float] = time.time) -> StoreSize:
    """Sizes of a home and what could go. It reads every folder and every run."""
    began = time.perf_counter()
    parts = {label: _folder_size(f"{places.home}/{name}") for name, label in PARTS.items()}
    ask = getattr(places.journals[0], "size_bytes", None)
    parts["journal"] = await ask() if ask is not None else _database_size(Path(places.home))
    plan = await gc.plan(places)
    return StoreSize(clock(), time.perf_counter() - began, parts, plan.by_kind(), plan.size_bytes)


def main(home: str) -> int:
    """Measure and print. Other work goes first."""
    os.nice(10)
    journal = open_journal(os.environ.get("FAIRWAY_JOURNAL") or Path(home) / DATABASE)
    places = gc.Places(home, (journal,), FolderArtifactStore(Path(home) / BLOBS), FolderStreamStore(Path(home) / STREAMS), frozenset())
    print(json.dumps(to_plain(asyncio.run(measure(places)))))
    return 0


def _database_size(home: Path) -> int:
    return sum(_size(home / name) for name in (DATABASE, f"{DATABASE}-wal"))


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


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
