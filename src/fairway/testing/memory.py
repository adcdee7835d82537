"""The stores in memory: quick, deterministic, with the same promises as the real ones (they pass the same contract suites)."""

from __future__ import annotations

import io
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

from fairway.errors import ConfigError, JournalConflict, NotFoundError
from fairway.spec.endpoint import Endpoint
from fairway.spec.event import Event
from fairway.spec.ports import BlobStat, Command
from fairway.spec.query import COUNTED, Facets, PipelineStats, RecentRun, RunQuery, RunsFound
from fairway.spec.record import to_plain
from fairway.spec.summary import CacheEntry, RunSummary, RunTally
from fairway.store import listing, wire
from fairway.store.endpoints import changed_meanwhile, parse_endpoint, render_endpoint


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

    async def search(self, query: RunQuery) -> RunsFound:
        order = listing.check_query(query)
        found = [one for one in self._summaries.values() if listing.matches(listing.list_summary(one), query)]
        ranked = [(*_rank(one, order), one) for one in found]
        down = not query.ascending
        phases = [sorted((row for row in ranked if row[0] == n), key=lambda row: row[1:3], reverse=down) for n in range(3)]
        ranked = [row for phase in phases for row in phase]
        if query.cursor:
            n, key, tie = listing.parse_cursor(query.cursor) if query.sort else (0, 0, query.cursor)
            ranked = [row for row in ranked if row[0] > n or (row[0] == n and ((key, tie) > row[1:3] if down else row[1:3] > (key, tie)))]
        page = ranked[: query.limit] if query.limit else ranked
        next = ""
        if len(page) < len(ranked):
            phase, key, tie, _ = page[-1]
            next = listing.render_cursor(phase, key, tie) if query.sort else tie
        return RunsFound(tuple(row[3] for row in page), next, min(len(found), COUNTED), len(found) <= COUNTED)

    async def facets(self, projects: Sequence[str] = ()) -> Facets:
        from collections import Counter

        some = [one for _, one in sorted(self._summaries.items()) if not projects or one.project in projects]
        counts: dict[str, Counter[str]] = {name: Counter() for name in Facets.record_fields}
        for one in some:
            counts["tags"].update(one.tags)
            counts["params"].update(list(one.params))
            counts["metrics"].update(list(one.metrics))
            for name, value in zip(
                ("pipelines", "users", "targets", "projects"), (one.pipeline, one.created_by, one.target, one.project), strict=True
            ):
                counts[name][value] += 1
        return Facets(**{name: listing.most_used(counter.items()) for name, counter in counts.items()})

    async def pipeline_stats(self, pipeline: str, projects: Sequence[str] = ()) -> PipelineStats:
        found = [
            one
            for _, one in sorted(self._summaries.items(), reverse=True)
            if one.pipeline == pipeline and not one.archived and (not projects or one.project in projects)
        ]
        counts: dict[str, int] = {}
        for one in found:
            counts[one.status] = counts.get(one.status, 0) + 1
        took = [(one, listing.duration_of(one)) for one in found]
        succeeded = [seconds for one, seconds in took if one.status == "succeeded" and seconds is not None]
        recent = [RecentRun(one.run, one.status, one.started_at, seconds or 0.0) for one, seconds in took[: listing.RECENT]]
        return listing.make_stats(pipeline, counts, succeeded[: listing.USUAL_RUNS], recent)

    async def find_summary(self, run: str) -> RunSummary | None:
        return self._summaries.get(run)

    async def find_runs(self, prefix: str) -> Sequence[str]:
        named = {run for run, summary in self._summaries.items() if prefix and summary.name == prefix}
        return sorted((run for run in self._batches if run.startswith(prefix) or run.endswith(prefix) or run in named), reverse=True)[:20]

    async def tally(self, projects: Sequence[str] = ()) -> Sequence[RunTally]:
        found: dict[tuple[str, str, bool], list[str]] = {}
        for run, summary in self._summaries.items():
            if projects and summary.project not in projects:
                continue
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


class MemoryEndpointStore:
    """See `spec.ports.EndpointStore`."""

    def __init__(self) -> None:
        self._kept: dict[str, tuple[int, str]] = {}  # name -> (version, text; "" when deleted)

    async def endpoints(self) -> Sequence[Endpoint]:
        return [parse_endpoint(text, version) for _, (version, text) in sorted(self._kept.items()) if text]

    async def find_endpoint(self, name: str) -> Endpoint | None:
        version, text = self._kept.get(name, (0, ""))
        return parse_endpoint(text, version) if text else None

    async def put_endpoint(self, endpoint: Endpoint) -> int:
        version, text = self._kept.get(endpoint.name, (0, ""))
        if endpoint.version != (version if text else 0):
            raise changed_meanwhile(endpoint.name, version if text else 0)
        self._kept[endpoint.name] = (version + 1, render_endpoint(endpoint))
        return version + 1

    async def delete_endpoint(self, name: str) -> None:
        version, text = self._kept.get(name, (0, ""))
        if text:
            self._kept[name] = (version + 1, "")

    async def close(self) -> None:
        """Nothing is open."""


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


def _rank(summary: RunSummary, order: tuple[str, str]) -> tuple[int, Any, str]:
    """(phase, key, run): where the run stands in the order."""
    kind, name = order
    keys = {"": 0, "pipeline": summary.pipeline, "status": summary.status, "started": summary.started_at}
    if kind in keys:
        return 0, keys[kind], summary.run
    if kind == "duration":
        took = listing.duration_of(summary)
        return (0, took, summary.run) if took is not None else (1, 0, summary.run)
    number, text = listing.list_summary(summary).values.get((kind, name), (None, None))
    if number is not None:
        return 0, number, summary.run
    return (1, text, summary.run) if text is not None else (2, 0, summary.run)


def _checked(stream: str) -> str:
    """What is no name to a folder is none here."""
    if not all(stream.split("/")):
        raise ConfigError(f"not the name of a stream: {stream!r}")
    return stream


def json_text(value: Any) -> str:
    """Canonical JSON: the same value gives the same text, and so the same digest."""
    import json

    return json.dumps(to_plain(value), sort_keys=True, separators=(",", ":"), ensure_ascii=False)
