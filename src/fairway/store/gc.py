"""Find and delete what no kept run reaches. `plan` only looks; `collect` deletes, and looks again first.

It never races a run. What a blob's age says is decided at the moment it is taken away (`ArtifactStore.delete(unused_since=…)`), and
putting a blob that is there refreshes its age, so nothing is deleted that anybody relied on within the grace period. Events appended since
the plan are read before anything goes. A cache entry is forgotten before its blobs are; while a driver is at work they stay until the next
collection, because it may have looked the entry up a moment ago.

What an event or a manifest reaches is asked of its text: whatever looks like a SHA-256 counts. That errs on the side of keeping, and
needs to know nothing about formats.
"""

from __future__ import annotations

import calendar
import os
import shutil
import time
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import suppress

from fairway.spec import layout
from fairway.spec.ports import ArtifactStore, BlobStat, Journal, StreamStore
from fairway.spec.record import Record, field, record, replace
from fairway.spec.summary import CacheEntry, RunSummary
from fairway.store import wire
from fairway.store.live import live_runs
from fairway.store.runs import is_run_id

GRACE_S = 3600.0
_ENDED = frozenset({"succeeded", "failed", "cancelled", "timeout"})
_SCANNED_BYTES = 1 << 28
_TRASH = ".trash"


@record
class Places(Record):
    """Where a home keeps things. `journals`: all whose runs use this artifact store. `driven`: runs that are driven by whoever asks.

    If the home has a database of its own that is not among them (another journal was used before), its runs count too.
    """

    home: str
    journals: tuple[Journal, ...]
    artifacts: ArtifactStore
    streams: StreamStore
    driven: frozenset[str] = frozenset()


@record
class Doomed(Record):
    """One thing to be deleted, of a `kind`: "artifact", "outcome", "stream", "checkpoint", "bundle", "scratch", "leftover".

    `name` is its key, its stream's name or its path.
    """

    kind: str
    name: str
    size_bytes: int


@record
class Plan(Record):
    """What a collection would do. `heads` are the kept runs as they were; `forget` are cache keys; `now` is when it was made."""

    now: float
    grace_s: float
    runs: tuple[str, ...] = ()
    items: tuple[Doomed, ...] = ()
    forget: tuple[str, ...] = ()
    heads: dict[str, int] = field(default_factory=dict)

    @property
    def size_bytes(self) -> int:
        return sum(item.size_bytes for item in self.items)

    def by_kind(self) -> dict[str, tuple[int, int]]:
        """kind -> (how many, bytes)."""
        out: dict[str, tuple[int, int]] = {}
        for item in self.items:
            count, size = out.get(item.kind, (0, 0))
            out[item.kind] = (count + 1, size + item.size_bytes)
        return out


@record
class Collected(Record):
    """What was deleted, and how many of the planned things were spared because somebody has used them since."""

    runs: int = 0
    items: int = 0
    size_bytes: int = 0
    spared: int = 0


def expired(summaries: Iterable[RunSummary], *, older_than_s: float = 0.0, keep_last: int = 0, now: float | None = None) -> list[str]:
    """Runs that a rule lets go: ended, without tag or name, older than `older_than_s`, not among the `keep_last` newest of their pipeline.

    With neither rule given: none.
    """
    if not older_than_s and not keep_last:
        return []
    limit = (time.time() if now is None else now) - older_than_s
    seen: dict[str, int] = {}
    out: list[str] = []
    by_run = {summary.run: summary for summary in summaries}
    for _, summary in sorted(by_run.items(), reverse=True):
        seen[summary.pipeline] = seen.get(summary.pipeline, 0) + 1
        wanted = summary.tags or summary.name or summary.status not in _ENDED
        if not wanted and seen[summary.pipeline] > keep_last and (summary.ended_at or summary.started_at) < limit:
            out.append(summary.run)
    return out


async def plan(places: Places, *, delete_runs: Collection[str] = (), grace_s: float = GRACE_S, now: float | None = None) -> Plan:
    """What can go: what belongs to `delete_runs` or to runs deleted before; what no kept run reaches and nobody has used for `grace_s`."""
    now = time.time() if now is None else now
    places = _with_own_database(places)
    live = live_runs(_at(places, layout.LOCKS)) | places.driven
    doomed_runs = tuple(run for run in delete_runs if run not in live)
    heads = await _heads(places, doomed_runs)
    blobs = _list_blobs(places.artifacts)
    reached = await _reached(places, heads, blobs)
    limit = now - grace_s
    orphans = [entry for journal in places.journals for entry in await _orphans(journal, doomed_runs)]
    every = [entry for journal in places.journals for entry in await journal.cached()]
    forget = {entry.key for entry in orphans if not _blobs_of(entry) <= reached} | {
        entry.key for entry in every if _blobs_of(entry) - blobs.keys()
    }
    items = [
        Doomed("artifact", stat.key, stat.size_bytes)
        for digest, stat in blobs.items()
        if digest not in reached and stat.modified_at < limit
    ]
    items += [  # bundles on their way to workers elsewhere
        Doomed("artifact", stat.key, stat.size_bytes)
        for stat in places.artifacts.list("bundle/")
        if _digest(stat.key) not in reached and stat.modified_at < limit
    ]
    gone = _Gone(heads, frozenset(doomed_runs), limit)
    items += [
        Doomed("outcome", stat.key, stat.size_bytes) for stat in places.artifacts.list("outcome/") if gone.has(stat.key.split("/")[1])
    ]
    items += [Doomed("stream", name, places.streams.size(name)) for name in places.streams.list("") if gone.has(name.split("/")[0])]
    items += _doomed_folders(places, gone, reached, limit, anybody_live=bool(live))
    return Plan(now, grace_s, doomed_runs, tuple(items), tuple(sorted(forget)), heads)


async def collect(places: Places, made: Plan) -> Collected:
    """Do what the plan says, as far as it is still true."""
    places = _with_own_database(places)
    live = live_runs(_at(places, layout.LOCKS)) | places.driven
    runs = [run for run in made.runs if run not in live]
    spared_runs = set(made.runs) - set(runs)
    for run in runs:
        for journal in places.journals:
            await journal.delete_run(run)
    pointed_to = await _forget(places, made.forget)
    reached = await _reached_since(places, made)
    if live:
        reached |= pointed_to
    limit = made.now - made.grace_s
    deleted = size = spared = 0
    for item in made.items:
        if _is_spared(item, spared_runs, reached) or not _delete(places, item, limit):
            spared += 1
        else:
            deleted += 1
            size += item.size_bytes
    shutil.rmtree(_at(places, _TRASH), ignore_errors=True)
    return Collected(len(runs), deleted, size, spared)


class _Gone:
    """Does a run id found in a store belong to a run that is to be deleted, or was long ago?"""

    def __init__(self, kept: Collection[str], doomed: frozenset[str], limit: float) -> None:
        self._kept = kept
        self._doomed = doomed
        self._limit = limit

    def has(self, run: str) -> bool:
        if run in self._doomed:
            return True
        return run not in self._kept and is_run_id(run) and calendar.timegm(time.strptime(run[:15], "%Y%m%d-%H%M%S")) < self._limit


def _with_own_database(places: Places) -> Places:
    own = os.path.join(os.path.abspath(places.home), layout.DATABASE)
    if not os.path.exists(own) or any(getattr(journal, "path", "") == own for journal in places.journals):
        return places
    from fairway.store.sqlite import SqliteJournal

    return replace(places, journals=(*places.journals, SqliteJournal(own)))


async def _heads(places: Places, doomed: Collection[str]) -> dict[str, int]:
    out: dict[str, int] = {}
    for journal in places.journals:
        for summary in await journal.summaries(archived=True, limit=0):
            if summary.run not in doomed:
                out[summary.run] = await journal.head(summary.run)
    return out


async def _orphans(journal: Journal, doomed: Collection[str]) -> list[CacheEntry]:
    """Entries that no kept run has made, once the doomed ones are gone."""
    entries = list(await journal.cached(orphaned=True))
    if doomed:
        entries += [entry for entry in await journal.cached() if entry.run in doomed]
    return entries


async def _reached(places: Places, runs: Iterable[str], blobs: dict[str, BlobStat]) -> set[str]:
    """Digests that these runs reach: named in their events, in outcomes not yet recorded, and in manifests of those."""
    found: set[str] = set()
    for run in runs:
        for journal in places.journals:
            found |= await journal.digests(run)
        if not await _has_ended(places, run):
            found |= wire.find_digests(
                places.artifacts.get(stat.key).decode("latin-1") for stat in places.artifacts.list(f"outcome/{run}/")
            )
    found |= await _served(places)
    for stat in places.artifacts.list("traffic/"):  # manifests of captured traffic
        found |= wire.find_digests([places.artifacts.get(stat.key).decode("latin-1")])
    pending = list(found & blobs.keys())
    while pending:
        new = wire.find_digests(_scanned(places.artifacts, blobs[pending.pop()])) - found
        found |= new
        pending += new & blobs.keys()
    return found


async def _served(places: Places) -> set[str]:
    """What revisions of endpoints name: their packages, schemas, locks."""
    from fairway.store import open_endpoints
    from fairway.store.endpoints import render_endpoint

    found: set[str] = set()
    for journal in places.journals:
        if hasattr(journal, "transact"):  # a database of ours
            found |= wire.find_digests(map(render_endpoint, await open_endpoints(journal).endpoints()))
    return found


def _list_blobs(artifacts: ArtifactStore) -> dict[str, BlobStat]:
    return {_digest(stat.key): stat for stat in artifacts.list("sha256/")}


def _digest(key: str) -> str:
    return key.removeprefix("sha256/").removeprefix("bundle/").replace("/", "")


async def _has_ended(places: Places, run: str) -> bool:
    for journal in places.journals:
        summary = await journal.find_summary(run)
        if summary is not None:
            return summary.status in _ENDED
    return False


def _scanned(artifacts: ArtifactStore, stat: BlobStat) -> Iterator[str]:
    """The text of a blob that could be a manifest, a graph, or JSON with digests in it."""
    if stat.size_bytes > _SCANNED_BYTES:
        return
    with artifacts.open(stat.key) as file:
        head = file.read(1)
        if head in (b"{", b"["):
            yield file.read().decode("latin-1")


async def _reached_since(places: Places, made: Plan) -> set[str]:
    """What runs reach by events that came after the plan."""
    heads = await _heads(places, made.runs)
    moved = [run for run, head in heads.items() if made.heads.get(run) != head]
    if not moved and not await _served(places):
        return set()
    return await _reached(places, moved, _list_blobs(places.artifacts))


async def _forget(places: Places, keys: Sequence[str]) -> set[str]:
    """Forget these cache entries; returns the digests they pointed to."""
    digests: set[str] = set()
    for journal in places.journals:
        digests.update(*(_blobs_of(entry) for entry in (await journal.find_cached(keys)).values()))
        await journal.forget_cached(keys)
    return digests


def _blobs_of(entry: CacheEntry) -> set[str]:
    return {ref.digest for ref in entry.outputs.values() if ref.inline is None}


def _doomed_folders(places: Places, gone: _Gone, reached: set[str], limit: float, *, anybody_live: bool) -> list[Doomed]:
    items = [Doomed("checkpoint", path, _folder_size(path)) for name, path in _entries(places, layout.CHECKPOINTS) if gone.has(name)]
    if not anybody_live:  # who submits a run may rely on a bundle before the journal says so
        found = [path for name, path in _entries(places, layout.BUNDLES) if name not in reached and _modified_at(path) < limit]
        items += [Doomed("bundle", path, _folder_size(path)) for path in found]
        found = [] if _any_attempt_runs(places) else [path for _, path in _entries(places, layout.SCRATCH) if _modified_at(path) < limit]
        items += [Doomed("scratch", path, _folder_size(path)) for path in found]
    found = [path for _, path in _entries(places, f"{layout.BLOBS}/.tmp") if _modified_at(path) < limit and not path.endswith("/lock")]
    return items + [Doomed("leftover", path, _folder_size(path)) for path in found]


def _any_attempt_runs(places: Places) -> bool:
    """Does any process still hold an attempt's lock?"""
    import fcntl

    try:
        file = os.open(f"{_at(places, layout.LOCKS)}/{layout.ATTEMPT_LOCKS}", os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        return True
    finally:
        os.close(file)
    return False


def _is_spared(item: Doomed, spared_runs: set[str], reached: set[str]) -> bool:
    if item.kind == "artifact":
        return _digest(item.name) in reached
    if item.kind == "bundle":
        return os.path.basename(item.name) in reached
    parts = item.name.split("/")
    run = {"outcome": parts[1:2], "stream": parts[:1], "checkpoint": parts[-1:]}.get(item.kind, [])
    return bool(spared_runs.intersection(run))


def _delete(places: Places, item: Doomed, limit: float) -> bool:
    if item.kind == "artifact":
        return places.artifacts.delete(item.name, unused_since=limit)
    if item.kind == "outcome":
        return places.artifacts.delete(item.name)
    if item.kind == "stream":
        places.streams.delete(item.name)
        return True
    if item.kind == "leftover":
        with suppress(FileNotFoundError):
            os.unlink(item.name)
        return True
    return _delete_folder(places, item, limit if item.kind == "bundle" else None)


def _delete_folder(places: Places, item: Doomed, limit: float | None) -> bool:
    """Take it away whole, so that nobody finds half of it; back with it if it was used since `limit`."""
    trash = _at(places, _TRASH)
    os.makedirs(trash, exist_ok=True)
    aside = f"{trash}/{os.urandom(8).hex()}"
    try:
        os.rename(item.name, aside)
    except FileNotFoundError:
        return True
    if limit is not None and _modified_at(aside) > limit:
        os.rename(aside, item.name)
        return False
    shutil.rmtree(aside, ignore_errors=True)
    return True


def _at(places: Places, name: str) -> str:
    return f"{places.home}/{name}"


def _entries(places: Places, name: str) -> list[tuple[str, str]]:
    """(name, path) of what lies in a folder of the home."""
    folder = _at(places, name)
    try:
        return [(entry, f"{folder}/{entry}") for entry in sorted(os.listdir(folder))]
    except (FileNotFoundError, NotADirectoryError):
        return []


def _modified_at(path: str) -> float:
    try:
        return os.stat(path).st_mtime
    except FileNotFoundError:
        return float("inf")


def _folder_size(path: str) -> int:
    if not os.path.isdir(path):
        return os.path.getsize(path) if os.path.exists(path) else 0
    return sum(
        os.lstat(os.path.join(folder, name)).st_size
        for folder, _, names in os.walk(path)
        for name in names
        if os.path.lexists(os.path.join(folder, name))
    )
