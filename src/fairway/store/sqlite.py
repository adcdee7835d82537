"""The journal in one SQLite file: one transaction and one fsync for each append, readers never wait for writers.

Any number of processes on one machine may use the file at once. On a network file system, where SQLite's shared memory does not work, a
process takes the file for itself alone.
"""

from __future__ import annotations

import os
import sqlite3
import time
from _thread import allocate_lock
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NoReturn, TypeVar

from fairway.errors import JournalConflict, StoreUnavailable
from fairway.spec.event import Event
from fairway.spec.ports import Command
from fairway.spec.query import Facets, PipelineStats, RunQuery, RunsFound
from fairway.spec.summary import CacheEntry, RunSummary, RunTally
from fairway.store import sqlite_listing, wire
from fairway.store.listing import listed_alike

T = TypeVar("T")
_SCHEMA = 3
_CHUNK = 500
_POLL_S = 0.02


class SqliteJournal:
    """See `spec.ports.Journal`. Its calls never suspend. Safe to share between threads, not across a fork.

    `exclusive`: from its first write on the file is this process's alone, as on a network file system.
    """

    def __init__(self, path: str | os.PathLike[str], *, busy_timeout_s: float = 60.0, exclusive: bool = False) -> None:
        self.path = os.path.abspath(os.fspath(path))
        self._busy_timeout_s = busy_timeout_s
        self._lock = allocate_lock()
        self._opened: sqlite3.Connection | None = None
        self._file: tuple[int, int] = (0, 0)
        self._exclusive = ""
        self._alone = exclusive
        self._sent = 0
        self._known: dict[str, tuple[int, RunSummary]] = {}  # run -> (head, summary), as last written here
        self._numbers: dict[str, int] = {}  # run -> runs.no

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
        entries = [(_key(entry.key), wire.render_cached(entry)) for entry in cache]
        head = after + len(events)

        def work(db: sqlite3.Connection) -> int:
            no = self._move_head(db, run, after, head, summary)
            if not no:
                return self._find_reply(db, run, after, batch)
            if events:
                db.execute("INSERT INTO batches VALUES (?, ?, ?, ?)", (no << 32 | head, after + 1, batch, text))
            if entries:
                db.executemany(
                    "INSERT INTO cache (key, run, entry) VALUES (?, ?, ?)"
                    " ON CONFLICT (key) DO UPDATE SET run = excluded.run, entry = excluded.entry",
                    [(key, no, entry) for key, entry in entries],
                )
            if handled:
                db.execute("DELETE FROM inbox WHERE run = ? AND id <= ?", (run, handled))
            return head

        try:
            return self._write(work)
        except BaseException:
            self._known.pop(run, None)  # what was rolled back is not known
            self._numbers.pop(run, None)
            raise

    def _move_head(self, db: sqlite3.Connection, run: str, after: int, head: int, summary: RunSummary | None) -> int:
        """Compare and swap; returns the run's number, 0 if the head was not where it should be."""
        no = self._numbers.get(run, 0)
        if after == 0 and not no:
            db.execute("INSERT INTO runs (run, head) VALUES (?, 0) ON CONFLICT (run) DO NOTHING", (run,))
        if summary is None:
            done = db.execute("UPDATE runs SET head = ? WHERE run = ? AND head = ?", (head, run, after))
        else:
            text = wire.render_summary(summary)
            done = db.execute("UPDATE runs SET head = ?, summary = ? WHERE run = ? AND head = ?", (head, text, run, after))
        if not done.rowcount:
            return 0
        if not no:
            no = db.execute("SELECT no FROM runs WHERE run = ?", (run,)).fetchone()[0]
            self._numbers[run] = no
        known = self._known.get(run)
        before = known[1] if known and known[0] == after else None  # else somebody else has written meanwhile
        if summary is not None and not (before and listed_alike(before, summary)):
            sqlite_listing.write_listing(db, no, summary, before)
        if latest := summary or before:
            self._known[run] = (head, latest)
        return no

    def _find_reply(self, db: sqlite3.Connection, run: str, after: int, batch: str) -> int:
        """The head, if what follows `after` is this very batch (its reply was lost). Raises JournalConflict."""
        self._numbers.pop(run, None)
        row = db.execute("SELECT no, head FROM runs WHERE run = ?", (run,)).fetchone()
        if row is None:
            raise _conflict(run, after, 0)
        last = db.execute("SELECT first, batch FROM batches WHERE id = ?", (row[0] << 32 | row[1],)).fetchone()
        if last != (after + 1, batch):
            raise _conflict(run, after, row[1])
        return row[1]

    async def read(self, run: str, after: int = 0, limit: int = 0) -> Sequence[tuple[int, Event]]:
        """(number, event) of those after number `after`, at most `limit` (0 = all)."""
        out: list[tuple[int, Event]] = []
        for first, text in self._batches(run, after, limit):
            out.extend(wire.parse_events(text, first, after))
            if limit and len(out) >= limit:
                return out[:limit]
        return out

    async def read_text(self, run: str, after: int = 0, limit_bytes: int = 0) -> Sequence[tuple[int, str]]:
        """Batches with events above `after`, as they were written; see the port."""
        return self._batches(run, after, limit_bytes=limit_bytes)

    async def head(self, run: str) -> int:
        """The number of the last event, 0 if there is no such run."""
        return self._read(lambda db: db.execute("SELECT head FROM runs WHERE run = ?", (run,)).fetchone() or (0,))[0]

    async def watch(self, run: str, after: int, timeout_s: float) -> int:
        """Return the head as soon as it is above `after`, or when `timeout_s` is over. Without an event loop it blocks the thread."""
        until = time.monotonic() + timeout_s
        seen = None
        head = 0
        while True:
            version = await self.inbox_version()
            if version != seen:
                seen, head = version, await self.head(run)
            left = until - time.monotonic()
            if head > after or left <= 0:
                return head
            await pause(min(_POLL_S, left))

    async def send(self, run: str, kind: str, body: Mapping[str, Any]) -> int:
        """Put a command into the run's inbox; returns its id."""
        values = (run, kind, wire.as_body(body))
        id = self._write(lambda db: db.execute("INSERT INTO inbox (run, kind, body) VALUES (?, ?, ?)", values).lastrowid)
        self._sent += 1
        return id or 0

    async def inbox(self, run: str, after: int = 0) -> Sequence[Command]:
        """Commands with ids above `after`, in order."""
        sql = "SELECT id, kind, body FROM inbox WHERE run = ? AND id > ? ORDER BY id"
        rows = self._read(lambda db: db.execute(sql, (run, after)).fetchall())
        return [Command(id, kind, wire.parse_json(body)) for id, kind, body in rows]

    async def inbox_version(self) -> int:
        """A number that changes with every commit of anybody else, and with every command sent here. Costs about 5 µs."""
        return self._read(lambda db: db.execute("PRAGMA data_version").fetchone()[0]) + (self._sent << 32)

    async def find_cached(self, keys: Sequence[str]) -> Mapping[str, CacheEntry]:
        """The entries there are, by key."""

        def work(db: sqlite3.Connection) -> list[str]:
            out: list[str] = []
            for some in _chunks([_key(key) for key in keys]):
                out.extend(text for (text,) in db.execute(f"SELECT entry FROM cache WHERE key IN ({_marks(some)})", some))
            return out

        return {entry.key: entry for entry in map(wire.parse_cached, self._read(work))}

    async def forget_cached(self, keys: Iterable[str]) -> None:
        """Remove entries. Absent = success."""
        doomed = [(_key(key),) for key in keys]
        self._write(lambda db: db.executemany("DELETE FROM cache WHERE key = ?", doomed))

    async def cached(self, *, orphaned: bool = False) -> Sequence[CacheEntry]:
        """All entries; `orphaned`: only those whose run was deleted."""
        sql = "SELECT entry FROM cache" + (" WHERE run NOT IN (SELECT no FROM runs)" if orphaned else "")
        rows = self._read(lambda db: db.execute(sql).fetchall())
        return [wire.parse_cached(text) for (text,) in rows]

    async def summaries(
        self, *, pipeline: str = "", status: str = "", tag: str = "", archived: bool = False, limit: int = 50, before: str = ""
    ) -> Sequence[RunSummary]:
        """Newest first; archived ones only where `archived` is set, `limit` 0 = all; `before` is a run id."""
        from fairway.store import sqlite_search  # what only starts a run need not import it

        query = RunQuery(
            pipelines=(pipeline,) if pipeline else (),
            statuses=(status,) if status else (),
            tags=(tag,) if tag else (),
            archived=None if archived else False,
            limit=limit,
            cursor=before,
        )
        return self._read(lambda db: sqlite_search.search(db, query, counted=False)).rows

    async def search(self, query: RunQuery) -> RunsFound:
        """One page of the runs that the query asks for, and how many there are; see the port."""
        from fairway.store import sqlite_search

        return self._read(lambda db: sqlite_search.search(db, query))

    async def facets(self, projects: Sequence[str] = ()) -> Facets:
        """What runs (of these projects) have, for who wants to ask for it; see the port."""
        from fairway.store import sqlite_search

        return self._read(lambda db: sqlite_search.facets(db, projects))

    async def pipeline_stats(self, pipeline: str, projects: Sequence[str] = ()) -> PipelineStats:
        """How often the pipeline's runs succeed, and how long they take."""
        from fairway.store import sqlite_search

        return self._read(lambda db: sqlite_search.pipeline_stats(db, pipeline, projects))

    async def find_summary(self, run: str) -> RunSummary | None:
        """The run's summary, None if there is no such run."""
        row = self._read(lambda db: db.execute("SELECT summary FROM runs WHERE run = ?", (run,)).fetchone())
        return wire.parse_summary(row[0]) if row and row[0] else None

    async def find_runs(self, prefix: str) -> Sequence[str]:
        """Run ids that begin or end with `prefix`, or whose name it is; newest first, at most 20."""
        sql = (
            "SELECT run FROM runs WHERE run >= ?1 AND run < ?2"
            " UNION SELECT run FROM listed WHERE name = ?1 AND name <> ''"
            " UNION SELECT run FROM runs WHERE substr(run, -length(?1)) = ?1 ORDER BY run DESC LIMIT 20"
        )
        if not prefix:
            sql = "SELECT run FROM runs ORDER BY run DESC LIMIT 20"
        values = (prefix, prefix + "\U0010ffff") if prefix else ()
        return [run for (run,) in self._read(lambda db: db.execute(sql, values).fetchall())]

    async def tally(self, projects: Sequence[str] = ()) -> Sequence[RunTally]:
        """Runs counted by pipeline, status and archive mark."""
        from fairway.store import sqlite_search

        rows = self._read(lambda db: sqlite_search.tally(db, projects))
        return [RunTally(pipeline, status, bool(archived), runs, newest) for pipeline, status, archived, runs, newest in rows]

    async def digests(self, run: str) -> set[str]:
        """Whatever in the run's events could be the SHA-256 of an artifact or a bundle."""
        return wire.find_digests(text for _, text in self._batches(run, 0))

    async def delete_run(self, run: str) -> None:
        """Remove its events, summary and inbox; its cache entries stay, as orphans. Absent = success."""

        def work(db: sqlite3.Connection) -> None:
            for (no,) in db.execute("SELECT no FROM runs WHERE run = ?", (run,)).fetchall():
                db.execute("DELETE FROM batches WHERE id > ? AND id < ?", (no << 32, (no + 1) << 32))
                sqlite_listing.remove_listing(db, no)
            for table in ("inbox", "runs"):
                db.execute(f"DELETE FROM {table} WHERE run = ?", (run,))

        self._write(work)
        self._numbers.pop(run, None)
        self._known.pop(run, None)

    async def close(self) -> None:
        """Let the file go. A later call opens it again."""
        with self._lock:
            if self._opened is not None:
                self._opened.close()
                self._opened = None

    def _batches(self, run: str, after: int, limit: int = 0, limit_bytes: int = 0) -> list[tuple[int, str]]:
        """Batches with events above `after`: all, or as many as hold `limit` of them or `limit_bytes`."""

        def work(db: sqlite3.Connection) -> list[tuple[int, str]]:
            row = db.execute("SELECT no FROM runs WHERE run = ?", (run,)).fetchone()
            if row is None:
                return []
            low, high = row[0] << 32 | after, (row[0] + 1) << 32
            rows: list[tuple[int, str]] = []
            size = 0
            for id, first, text in db.execute("SELECT id, first, events FROM batches WHERE id > ? AND id < ? ORDER BY id", (low, high)):
                rows.append((first, text))
                size += len(text)
                if (limit and (id & 0xFFFFFFFF) - after >= limit) or 0 < limit_bytes <= size:
                    break
            return rows

        return self._read(work)

    def transact(self, work: Callable[[sqlite3.Connection], T], *, writes: bool) -> T:
        """What `work` makes of the database, in one transaction if it writes: for what else is kept in the same file."""
        return self._write(work) if writes else self._read(work)

    def _read(self, work: Callable[[sqlite3.Connection], T]) -> T:
        with self._lock:
            try:
                return work(self._opened or self._open())
            except sqlite3.Error as error:
                self._raise(error, "read")

    def _write(self, work: Callable[[sqlite3.Connection], T]) -> T:
        with self._lock:
            db = None
            try:
                db = self._opened or self._open()
                self._check_file()
                db.execute("BEGIN IMMEDIATE")
                out = work(db)
                db.execute("COMMIT")
                return out
            except BaseException as error:
                if db is not None and db.in_transaction:
                    db.execute("ROLLBACK")
                if isinstance(error, sqlite3.Error):
                    self._raise(error, "write")
                raise

    def _check_file(self) -> None:
        """A file deleted under us would swallow every write: nobody could ever read it again."""
        try:
            found = os.stat(self.path)
            if (found.st_dev, found.st_ino) == self._file:
                return
        except OSError:
            pass
        raise StoreUnavailable(
            f"the journal {self.path} was deleted or replaced while in use", hint="nothing more is recorded; start the run again"
        )

    def _open(self) -> sqlite3.Connection:
        folder = os.path.dirname(self.path)
        try:
            os.makedirs(folder, exist_ok=True)
        except OSError as error:
            raise StoreUnavailable(
                f"cannot make the folder {folder}: {error.strerror}", hint="set FAIRWAY_HOME to a folder you can write to"
            ) from error
        from fairway.store.network import find_network_type

        self._exclusive = find_network_type(folder) or ("exclusive use" if self._alone else "")
        timeout_s = min(self._busy_timeout_s, 5.0) if self._exclusive else self._busy_timeout_s
        db = sqlite3.connect(self.path, timeout=timeout_s, isolation_level=None, check_same_thread=False)
        try:
            if self._exclusive:
                db.execute("PRAGMA locking_mode = EXCLUSIVE")
            found = db.execute("PRAGMA user_version").fetchone()[0]
            if found < _SCHEMA:
                self._migrate(db)
            elif found > _SCHEMA:
                raise wire.newer_schema(self.path, found, _SCHEMA)
            db.execute("PRAGMA synchronous = FULL")
            stat = os.stat(self.path)
        except BaseException:
            db.close()
            raise
        self._file = (stat.st_dev, stat.st_ino)
        self._opened = db
        return db

    def _migrate(self, db: sqlite3.Connection) -> None:
        """Bring the file to this version's schema; of several processes that come at once, one does it."""
        import fcntl

        lock = os.open(os.path.dirname(self.path), os.O_RDONLY | os.O_CLOEXEC)
        try:
            if not self._exclusive:
                fcntl.flock(lock, fcntl.LOCK_EX)
            db.execute("PRAGMA journal_mode = WAL")
            found = db.execute("PRAGMA user_version").fetchone()[0]
            for number, sql in wire.read_migrations(os.path.join(os.path.dirname(__file__), "sqlite_schema")):
                if number > found:
                    db.executescript(f"BEGIN IMMEDIATE; {sql}")
                    if number == 2:
                        sqlite_listing.fill_listings(db)
                    db.execute(f"PRAGMA user_version = {number}")
                    db.execute("COMMIT")
        finally:
            os.close(lock)

    def _raise(self, error: sqlite3.Error, verb: str) -> NoReturn:
        code = getattr(error, "sqlite_errorname", "") or ""
        hint = "set FAIRWAY_HOME to a folder on another disk"
        if code.startswith(("SQLITE_FULL", "SQLITE_IOERR_SHMSIZE")):  # the second: no room for the index that readers need too
            what, hint = "the disk is full", "free some space, try `fairway gc`, or set FAIRWAY_HOME to a bigger disk"
        elif code.startswith(("SQLITE_READONLY", "SQLITE_PERM")):
            what, hint = "it is read-only", f"make {os.path.dirname(self.path)} writable, or set FAIRWAY_HOME to a folder that is"
        elif code.startswith("SQLITE_CANTOPEN"):
            what, hint = "it cannot be opened", f"can you write to {os.path.dirname(self.path)}?"
        elif code.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")) and self._exclusive:
            why = "a server takes it for itself alone"
            if not self._alone:
                why = f"it lies on a network file system ({self._exclusive}) where only one may"
            what = f"another process uses it, and {why}"
            hint = "wait for the other one, set FAIRWAY_HOME to a local disk, or use a PostgreSQL journal"
        elif code.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
            what, hint = (
                f"it was locked for {self._busy_timeout_s:g} s",
                "does a process hold it that hangs? (`fuser` on the file names it)",
            )
        elif code.startswith(("SQLITE_NOTADB", "SQLITE_CORRUPT")):
            what, hint = "it is damaged, or not a journal at all", "restore it from a copy, or move it away to begin anew"
        else:
            what = str(error)
        raise StoreUnavailable(f"cannot {verb} the journal {self.path}: {what}", hint=hint) from error


async def pause(seconds: float) -> None:
    """Sleep; where an event loop runs in this thread, let it go on meanwhile."""
    import sys

    asyncio = sys.modules.get("asyncio")
    if asyncio is not None and asyncio._get_running_loop() is not None:
        await asyncio.sleep(seconds)
    else:
        time.sleep(seconds)


def _conflict(run: str, after: int, head: int) -> JournalConflict:
    if not head:
        return JournalConflict(f"run {run} is no longer in the journal", hint="it was deleted; start it again")
    return JournalConflict(
        f"run {run} is at event {head}, not at {after}: another process drives it",
        hint=f"look at it with `fairway show {run}`; only one may drive it",
    )


def _key(key: str) -> bytes | str:
    """A SHA-256 takes 32 bytes instead of 64: a smaller index to rewrite with every append."""
    if len(key) == 64:
        try:
            return bytes.fromhex(key)
        except ValueError:
            return key
    return key


def _chunks(values: list[T]) -> Iterable[list[T]]:
    return (values[i : i + _CHUNK] for i in range(0, len(values), _CHUNK))


def _marks(values: Sequence[object]) -> str:
    return ",".join("?" * len(values))
