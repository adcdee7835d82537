"""The stores in memory: quick, deterministic, with the same promises as the real ones (they pass the same contract suites)."""

from __future__ import annotations

import io
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

from fairway.errors import ConfigError, JournalConflict, NotFoundError
from fairway.spec.event import Event
from fairway.spec.ports import BlobStat, Command
from fairway.spec.record import to_plain
from fairway.spec.summary import CacheEntry, RunSummary, RunTally
from fairway.store import wire


class MemoryJournal:
    """See `spec.ports.Journal`. What is kept is the text that a database would keep, so that nothing is shared with the writer.

    `watch` never sleeps: with nobody else to append, it returns at once.
    """

    def __init__(self) -> None:
        self._batches: dict[str, list[tuple[int, int, str, str]]] = {}  # run -> (first, last, batch, text)
        self._summaries: dict[str, RunSummary] = {}
        self._inbox: list[tuple[str, Command]] = []
        self._cache: dict[str, tuple[str, CacheEntry]] = {}  # key -> (run, entry)
        self._sent = 0

    async def append(
        self,
        run: str,
        after: int,
        events: Sequence[Event],
        batch: str,
        *,
        summary: RunSummary | None = None,
        cache: Sequence[CacheEntry] = (),
        handled: int = 0,
    ) -> int:
        """Make all of it durable at once and return the new head; see the port."""
        text = wire.render_events(events)
        head = await self.head(run)
        if head != after:
            last = self._batches.get(run, [])[-1:]
            if last and last[0][0] == after + 1 and last[0][2] == batch:
                return head
            raise JournalConflict(f"run {run} is at event {head}, not at {after}: another process drives it")
        if events or not after:
            self._batches.setdefault(run, []).append((after + 1, after + len(events), batch, text))
        if summary is not None:
            self._summaries[run] = summary
        self._cache.update({entry.key: (run, entry) for entry in cache})
        self._inbox = [(to, command) for to, command in self._inbox if to != run or command.id > handled]
        return after + len(events)

    async def read(self, run: str, after: int = 0, limit: int = 0) -> Sequence[tuple[int, Event]]:
        out = [
            pair for first, last, _, text in self._batches.get(run, ()) if last > after for pair in wire.parse_events(text, first, after)
        ]
        return out[:limit] if limit else out

    async def read_text(self, run: str, after: int = 0, limit_bytes: int = 0) -> Sequence[tuple[int, str]]:
        out: list[tuple[int, str]] = []
        size = 0
        for first, last, _, text in self._batches.get(run, ()):
            if last > after:
                out.append((first, text))
                size += len(text)
                if 0 < limit_bytes <= size:
                    break
        return out

    async def head(self, run: str) -> int:
        batches = self._batches.get(run)
        return batches[-1][1] if batches else 0

    async def watch(self, run: str, after: int, timeout_s: float) -> int:
        return await self.head(run)

    async def send(self, run: str, kind: str, body: Mapping[str, Any]) -> int:
        self._sent += 1
        self._inbox.append((run, Command(self._sent, kind, wire.parse_json(wire.as_body(body)))))
        return self._sent

    async def inbox(self, run: str, after: int = 0) -> Sequence[Command]:
        return [command for to, command in self._inbox if to == run and command.id > after]

    async def inbox_version(self) -> int:
        return self._sent

    async def find_cached(self, keys: Sequence[str]) -> Mapping[str, CacheEntry]:
        return {key: self._cache[key][1] for key in keys if key in self._cache}

    async def forget_cached(self, keys: Iterable[str]) -> None:
        for key in keys:
            self._cache.pop(key, None)

    async def cached(self, *, orphaned: bool = False) -> Sequence[CacheEntry]:
        return [entry for run, entry in self._cache.values() if not orphaned or run not in self._batches]

    async def summaries(
        self, *, pipeline: str = "", status: str = "", tag: str = "", archived: bool = False, limit: int = 50, before: str = ""
    ) -> Sequence[RunSummary]:
        out = [
            summary
            for run, summary in sorted(self._summaries.items(), reverse=True)
            if (not pipeline or summary.pipeline == pipeline)
            and (not status or summary.status == status)
            and (not tag or tag in summary.tags)
            and (archived or not summary.archived)
            and (not before or run < before)
        ]
        return out[:limit] if limit else out

    async def find_summary(self, run: str) -> RunSummary | None:
        return self._summaries.get(run)

    async def find_runs(self, prefix: str) -> Sequence[str]:
        named = {run for run, summary in self._summaries.items() if prefix and summary.name == prefix}
        return sorted((run for run in self._batches if run.startswith(prefix) or run.endswith(prefix) or run in named), reverse=True)[:20]

    async def tally(self) -> Sequence[RunTally]:
        found: dict[tuple[str, str, bool], list[str]] = {}
        for run, summary in self._summaries.items():
            found.setdefault((summary.pipeline, summary.status, summary.archived), []).append(run)
        return [RunTally(*place, len(runs), max(runs)) for place, runs in sorted(found.items())]

    async def digests(self, run: str) -> set[str]:
        return wire.find_digests(text for _, _, _, text in self._batches.get(run, ()))

    async def delete_run(self, run: str) -> None:
        self._batches.pop(run, None)
        self._summaries.pop(run, None)
        self._inbox = [(to, command) for to, command in self._inbox if to != run]

    async def close(self) -> None:
        return None


class MemoryArtifactStore:
    """See `spec.ports.ArtifactStore`. `clock` dates the blobs."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self.blobs: dict[str, tuple[bytes, float]] = {}
        self._clock = clock

    def put(self, key: str, source: bytes | Path, *, if_absent: bool = True, move: bool = False) -> bool:
        if isinstance(source, bytes):
            data = source
        else:
            try:
                data = source.read_bytes()
            except FileNotFoundError:
                raise NotFoundError(f"there is no file {source}") from None
            if move:
                source.unlink()
        if if_absent and key in self.blobs:
            self.blobs[key] = (self.blobs[key][0], self._clock())
            return False
        self.blobs[key] = (data, self._clock())
        return True

    def get(self, key: str) -> bytes:
        if key not in self.blobs:
            raise NotFoundError(f"there is no {key!r} in the store")
        return self.blobs[key][0]

    def open(self, key: str) -> BinaryIO:
        return io.BytesIO(self.get(key))

    def local_path(self, key: str) -> Path | None:
        return None

    def stat(self, key: str) -> BlobStat | None:
        found = self.blobs.get(key)
        return BlobStat(key, len(found[0]), found[1]) if found else None

    def list(self, prefix: str) -> Iterator[BlobStat]:
        for key in sorted(key for key in self.blobs if key.startswith(prefix)):
            data, at = self.blobs[key]
            yield BlobStat(key, len(data), at)

    def delete(self, key: str, *, unused_since: float = 0.0) -> bool:
        found = self.blobs.get(key)
        if found and unused_since and found[1] > unused_since:
            return False
        self.blobs.pop(key, None)
        return True


class MemoryStreamStore:
    """See `spec.ports.StreamStore`."""

    def __init__(self) -> None:
        self.streams: dict[str, bytearray] = {}

    def append(self, stream: str, data: bytes) -> None:
        self.streams.setdefault(_checked(stream), bytearray()).extend(data)

    def read(self, stream: str, offset: int = 0, limit: int = 0) -> bytes:
        data = self.streams.get(_checked(stream), bytearray())
        return bytes(data[offset : offset + limit] if limit else data[offset:])

    def size(self, stream: str) -> int:
        return len(self.streams.get(_checked(stream), b""))

    def list(self, prefix: str) -> Iterator[str]:
        return iter(sorted(name for name in self.streams if name.startswith(prefix)))

    def delete(self, prefix: str) -> None:
        below = prefix.rstrip("/") + "/"
        for name in [name for name in self.streams if name == prefix or name.startswith(below)]:
            del self.streams[name]


def _checked(stream: str) -> str:
    """What is no name to a folder is none here."""
    if not all(stream.split("/")):
        raise ConfigError(f"not the name of a stream: {stream!r}")
    return stream


def json_text(value: Any) -> str:
    """Canonical JSON: the same value gives the same text, and so the same digest."""
    import json

    return json.dumps(to_plain(value), sort_keys=True, separators=(",", ":"), ensure_ascii=False)
