"""The journal in a PostgreSQL database, in a schema of its own: for several machines, or a server.

`postgresql://user@host/database?schema=NAME` (the schema is `fairway` unless named; other parameters are libpq's). One connection for each
journal. Without an event loop its calls block the thread; inside one they run in a thread beside it.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from threading import Lock
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import parse_qsl, quote, urlencode, urlsplit, urlunsplit

from fairway.errors import ConfigError, JournalConflict, StoreUnavailable, UnsupportedError
from fairway.spec.event import Event
from fairway.spec.ports import Command
from fairway.spec.query import Facets, PipelineStats, RunQuery, RunsFound
from fairway.spec.summary import CacheEntry, RunSummary, RunTally
from fairway.store import postgres_search, wire
from fairway.store.listing import listed_alike

if TYPE_CHECKING:
    from fairway.store.postgres_news import PostgresNews

T = TypeVar("T")
_SCHEMA = 3
_DEFAULT_NAME = "fairway"
_POLL_S = 0.05
_TEXTS = 500
_RETRY_PAUSES_S = (0.1, 0.5, 2.0)


class PostgresJournal:
    """See `spec.ports.Journal`. Safe to share between threads, not across a fork.

    Each commit is told to who listens (`open_news`); not with `quiet`, for a server that tells of its own by itself: the database makes
    commits that tell wait for each other. `url` is not to be shown: a password may be in it; `place` may be.
    """

    def __init__(self, url: str, *, quiet: bool = False) -> None:
        self.url = url
        self._url, self.schema = split_url(url)
        self._channel = f"fairway_{hashlib.sha256(self.schema.encode()).hexdigest()[:16]}"
        self._telling = "NULL" if quiet else f"pg_notify('{self._channel}', left(run, 200))"
        self.place = hide_password(url)
        self._lock = Lock()
        self._opened: Any = None
        self._known: dict[str, tuple[int, RunSummary]] = {}  # run -> (head, summary), as last written here

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
        """Make all of it durable at once and return the new head; see the port. A lost connection is tried again."""
        text = wire.render_events(events)
        entries = {entry.key: (entry.key, run, wire.render_cached(entry)) for entry in cache}
        head = after + len(events)

        def work(db: Any) -> int:
            if not self._move_head(db, run, after, head, summary):
                return self._find_reply(db, run, after, batch)
            if events:
                db.execute(
                    f"INSERT INTO batches (run, last, first, batch, events) VALUES (%s, %s, %s, %s, %s) RETURNING {self._telling}",
                    (run, head, after + 1, batch, text),
                )
            if entries:
                keys, runs, texts = (list(column) for column in zip(*entries.values(), strict=True))
                db.execute(
                    "INSERT INTO cache (key, run, entry) SELECT * FROM unnest(%s::text[], %s::text[], %s::text[])"
                    " ORDER BY 1 ON CONFLICT (key) DO UPDATE SET run = excluded.run, entry = excluded.entry",
                    (keys, runs, texts),
                )
            if handled:
                db.execute("DELETE FROM inbox WHERE run = %s AND id <= %s", (run, handled))
            return head

        try:
            head = await self._call("write", work)
        except BaseException:
            self._known.pop(run, None)  # what was rolled back is not known
            raise
        known = self._known.get(run)
        if latest := summary or (known[1] if known and known[0] == after else None):
            self._known[run] = (head, latest)
        return head

    def _move_head(self, db: Any, run: str, after: int, head: int, summary: RunSummary | None) -> bool:
        """Compare and swap. Where another writer is at it, wait for its end, then see its head."""
        if after == 0:
            db.execute("INSERT INTO runs (run, head) VALUES (%s, 0) ON CONFLICT (run) DO NOTHING", (run,))
        if summary is None:
            done = db.execute("UPDATE runs SET head = %s WHERE run = %s AND head = %s", (head, run, after))
        else:
            text = wire.render_summary(summary)
            done = db.execute("UPDATE runs SET head = %s, summary = %s WHERE run = %s AND head = %s", (head, text, run, after))
            known = self._known.get(run)
            before = known[1] if known and known[0] == after else None  # else somebody else has written meanwhile
            if done.rowcount and not (before and listed_alike(before, summary)):
                postgres_search.write_listing(db, summary, before)
        return bool(done.rowcount)

    def _find_reply(self, db: Any, run: str, after: int, batch: str) -> int:
        """The head, if what follows `after` is this very batch (its reply was lost). Raises JournalConflict."""
        row = db.execute(
            "SELECT head, first, batch FROM runs LEFT JOIN batches ON batches.run = runs.run AND last = head WHERE runs.run = %s", (run,)
        ).fetchone()
        if row is None:
            raise JournalConflict(f"run {run} is no longer in the journal", hint="it was deleted; start it again")
        if row[1:] != (after + 1, batch):
            raise JournalConflict(
                f"run {run} is at event {row[0]}, not at {after}: another process drives it",
                hint=f"look at it with `fairway show {run}`; only one may drive it",
            )
        return row[0]

    async def read(self, run: str, after: int = 0, limit: int = 0) -> Sequence[tuple[int, Event]]:
        """(number, event) of those after number `after`, at most `limit` (0 = all)."""
        out: list[tuple[int, Event]] = []
        for first, text in await self._batches(run, after, limit):
            out.extend(wire.parse_events(text, first, after))
            if limit and len(out) >= limit:
                return out[:limit]
        return out

    async def read_text(self, run: str, after: int = 0, limit_bytes: int = 0) -> Sequence[tuple[int, str]]:
        """Batches with events above `after`, as they were written; see the port."""
        if not limit_bytes:
            return await self._batches(run, after)
        sizes = "sum(octet_length(events)) OVER (ORDER BY last) - octet_length(events) AS before"
        some = f"SELECT first, last, events, {sizes} FROM batches WHERE run = %s AND last > %s ORDER BY last LIMIT {_TEXTS}"
        sql = f"SELECT first, events FROM ({some}) AS found WHERE before < %s ORDER BY last"
        return await self._rows(sql, (run, after, limit_bytes))

    async def head(self, run: str) -> int:
        """The number of the last event, 0 if there is no such run."""
        rows = await self._rows("SELECT head FROM runs WHERE run = %s", (run,))
        return rows[0][0] if rows else 0

    async def watch(self, run: str, after: int, timeout_s: float) -> int:
        """Return the head as soon as it is above `after`, or when `timeout_s` is over."""
        from fairway.store.sqlite import pause

        until = time.monotonic() + timeout_s
        while True:
            head = await self.head(run)
            left = until - time.monotonic()
            if head > after or left <= 0:
                return head
            await pause(min(_POLL_S, left))

    async def send(self, run: str, kind: str, body: Mapping[str, Any]) -> int:
        """Put a command into the run's inbox; returns its id."""
        values = (run, kind, wire.as_body(body))
        sql = f"INSERT INTO inbox (run, kind, body) VALUES (%s, %s, %s) RETURNING id, {self._telling}"
        return await self._call("write", lambda db: db.execute(sql, values).fetchone()[0], again=False)

    async def inbox(self, run: str, after: int = 0) -> Sequence[Command]:
        """Commands with ids above `after`, in order."""
        rows = await self._rows("SELECT id, kind, body FROM inbox WHERE run = %s AND id > %s ORDER BY id", (run, after))
        return [Command(id, kind, wire.parse_json(body)) for id, kind, body in rows]

    async def inbox_version(self) -> int:
        """How many commands were ever sent: the state of a sequence, no query of a table."""
        return (await self._rows("SELECT last_value + is_called::int FROM inbox_id_seq"))[0][0]

    async def find_cached(self, keys: Sequence[str]) -> Mapping[str, CacheEntry]:
        """The entries there are, by key."""
        rows = await self._rows("SELECT entry FROM cache WHERE key = ANY(%s)", (list(keys),))
        return {entry.key: entry for entry in (wire.parse_cached(text) for (text,) in rows)}

    async def forget_cached(self, keys: Iterable[str]) -> None:
        """Remove entries. Absent = success."""
        doomed = list(keys)
        await self._call("write", lambda db: db.execute("DELETE FROM cache WHERE key = ANY(%s)", (doomed,)))

    async def cached(self, *, orphaned: bool = False) -> Sequence[CacheEntry]:
        """All entries; `orphaned`: only those whose run was deleted."""
        sql = "SELECT entry FROM cache" + (" WHERE NOT EXISTS (SELECT FROM runs WHERE runs.run = cache.run)" if orphaned else "")
        rows = await self._rows(sql)
        return [wire.parse_cached(text) for (text,) in rows]

    async def summaries(
        self, *, pipeline: str = "", status: str = "", tag: str = "", archived: bool = False, limit: int = 50, before: str = ""
    ) -> Sequence[RunSummary]:
        """Newest first; archived ones only where `archived` is set, `limit` 0 = all; `before` is a run id."""
        query = RunQuery(
            pipelines=(pipeline,) if pipeline else (),
            statuses=(status,) if status else (),
            tags=(tag,) if tag else (),
            archived=None if archived else False,
            limit=limit,
            cursor=before,
        )
        return (await self._call("read", lambda db: postgres_search.search(db, query, counted=False))).rows

    async def search(self, query: RunQuery) -> RunsFound:
        """One page of the runs that the query asks for, and how many there are; see the port."""
        return await self._call("read", lambda db: postgres_search.search(db, query))

    async def facets(self, projects: Sequence[str] = ()) -> Facets:
        """Which names there are to ask for; see the port."""
        return await self._call("read", lambda db: postgres_search.facets(db, projects))

    async def pipeline_stats(self, pipeline: str, projects: Sequence[str] = ()) -> PipelineStats:
        """How often the pipeline's runs succeed, and how long they take."""
        return await self._call("read", lambda db: postgres_search.pipeline_stats(db, pipeline, projects))

    async def size_bytes(self) -> int:
        """What its tables and their indexes take up in the database."""
        tables = "pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.relkind = 'r' AND n.nspname = %s"
        rows = await self._rows(f"SELECT coalesce(sum(pg_total_relation_size(c.oid)), 0)::bigint FROM {tables}", (self.schema,))
        return rows[0][0]

    async def find_summary(self, run: str) -> RunSummary | None:
        """The run's summary, None if there is no such run."""
        rows = await self._rows("SELECT summary FROM runs WHERE run = %s", (run,))
        return wire.parse_summary(rows[0][0]) if rows and rows[0][0] else None

    async def find_runs(self, prefix: str) -> Sequence[str]:
        """Run ids that begin or end with `prefix`, or whose name it is; newest first, at most 20."""
        sql = (
            "SELECT run FROM runs WHERE starts_with(run, %(part)s) OR right(run, length(%(part)s)) = %(part)s"
            " OR run IN (SELECT run FROM listed WHERE name = %(part)s AND name <> '') ORDER BY run DESC LIMIT 20"
        )
        return [run for (run,) in await self._rows(sql, {"part": prefix})]

    async def tally(self, projects: Sequence[str] = ()) -> Sequence[RunTally]:
        """Runs counted by pipeline, status and archive mark."""
        only, values = ("WHERE project = ANY(%s)", (list(projects),)) if projects else ("", ())
        sql = f"SELECT pipeline, status, archived = 1, count(*), max(run) FROM listed {only} GROUP BY 1, 2, 3 ORDER BY 1, 2, 3"
        return [RunTally(*row) for row in await self._rows(sql, values)]

    async def digests(self, run: str) -> set[str]:
        """Whatever in the run's events could be the SHA-256 of an artifact or a bundle."""
        return wire.find_digests(text for _, text in await self._batches(run, 0))

    async def delete_run(self, run: str) -> None:
        """Remove its events, summary and inbox; its cache entries stay, as orphans. Absent = success."""

        def work(db: Any) -> None:
            db.execute(f"DELETE FROM runs WHERE run = %s RETURNING {self._telling}", (run,))
            for table in ("listed", "batches", "inbox"):
                db.execute(f"DELETE FROM {table} WHERE run = %s", (run,))

        await self._call("write", work)
        self._known.pop(run, None)

    def open_news(self, tell: Callable[[str], None], loop: Any) -> PostgresNews:
        """Have `tell` called in this event loop with the run of each commit of others; see PostgresNews. To be closed."""
        from fairway.store.postgres_news import PostgresNews

        return PostgresNews(self._listen, tell, loop)

    def _listen(self) -> Any:
        """A connection that is told of commits. Raises StoreUnavailable."""
        psycopg = _import_driver()
        try:
            db = self._open(psycopg)
            db.execute(f"LISTEN {self._channel}")
        except psycopg.Error as error:
            raise self._explain(error, "listen to") from error
        return db

    async def close(self) -> None:
        """Let the connection go. A later call opens another."""
        with self._lock:
            if self._opened is not None:
                self._opened.close()
                self._opened = None

    async def _batches(self, run: str, after: int, limit: int = 0) -> list[tuple[int, str]]:
        """Batches with events above `after`: all, or as many as hold `limit` of them."""
        sql = "SELECT first, events FROM batches WHERE run = %s AND last > %s"
        if not limit:
            return await self._rows(f"{sql} ORDER BY last", (run, after))
        return await self._rows(f"{sql} AND first <= %s ORDER BY last", (run, after, after + limit))

    async def transact(self, work: Callable[[Any], T], *, writes: bool) -> T:
        """What `work` makes of the database in one transaction, which may be tried again: for what else is kept in the same schema."""
        return await self._call("write" if writes else "read", work)

    async def _rows(self, sql: str, values: Any = ()) -> list[Any]:
        return await self._call("read", lambda db: db.execute(sql, values).fetchall())

    async def _call(self, verb: str, work: Callable[[Any], T], *, again: bool = True) -> T:
        """Do `work` in one transaction; `again`: on another connection if this one breaks, because doing it twice does no harm."""
        import sys

        asyncio = sys.modules.get("asyncio")
        if asyncio is not None and asyncio._get_running_loop() is not None:
            return await asyncio.to_thread(self._try, verb, work, again)
        return self._try(verb, work, again)

    def _try(self, verb: str, work: Callable[[Any], T], again: bool) -> T:
        with self._lock:
            psycopg = _import_driver()
            pauses_s = iter(_RETRY_PAUSES_S if again else ())
            while True:
                try:
                    if self._opened is None or self._opened.closed:
                        self._opened = self._open(psycopg)
                    with self._opened.transaction():
                        return work(self._opened)
                except psycopg.Error as error:
                    lost = self._opened is None or self._opened.closed
                    pause_s = next(pauses_s, None)
                    if pause_s is None or not (lost or _passes(psycopg, error)):
                        raise self._explain(error, verb) from error
                    time.sleep(pause_s)

    def _open(self, psycopg: Any) -> Any:
        db = psycopg.connect(self._url, autocommit=True, connect_timeout=10)
        try:
            name = '"' + self.schema.replace('"', '""') + '"'
            db.execute(f"SET search_path TO {name}; SET client_encoding TO 'UTF8'; SET synchronous_commit TO on")
            if self._version(db) < _SCHEMA:
                self._migrate(db, name)
            found = self._version(db)
            if found > _SCHEMA:
                raise wire.newer_schema(self.place, found, _SCHEMA)
        except BaseException:
            db.close()
            raise
        return db

    def _version(self, db: Any) -> int:
        if db.execute("SELECT to_regclass('schema_version')").fetchone()[0] is None:
            return 0
        return db.execute("SELECT coalesce(max(number), 0) FROM schema_version").fetchone()[0]

    def _migrate(self, db: Any, name: str) -> None:
        """Bring the schema to this version; of several processes that come at once, one does it."""
        with db.transaction():
            db.execute("SELECT pg_advisory_xact_lock(hashtext('fairway ' || %s))", (self.schema,))
            db.execute(f"CREATE SCHEMA IF NOT EXISTS {name}")
            db.execute("CREATE TABLE IF NOT EXISTS schema_version (number integer PRIMARY KEY, at timestamptz NOT NULL DEFAULT now())")
            found = self._version(db)
            for number, sql in wire.read_migrations(os.path.join(os.path.dirname(__file__), "postgres_schema")):
                if number > found:
                    db.execute(sql)
                    if number == 2:
                        postgres_search.fill_listings(db)
                    db.execute("INSERT INTO schema_version (number) VALUES (%s)", (number,))

    def _explain(self, error: Exception, verb: str) -> StoreUnavailable:
        what = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        return StoreUnavailable(
            f"cannot {verb} the journal {self.place}: {what}",
            hint="does the server answer (`psql` with the same URL), and may this user write there?",
        )


def split_url(url: str) -> tuple[str, str]:
    """(URL for libpq, schema name) of a journal's URL. Raises ConfigError."""
    parts = urlsplit(url)
    pairs = parse_qsl(parts.query, keep_blank_values=True)
    name = dict(pairs).get("schema", _DEFAULT_NAME)
    if not name or len(name.encode()) > 63 or "\0" in name:
        raise ConfigError(f"not a schema name: {name!r}", hint="write postgresql://…?schema=NAME with a name of 1 to 63 bytes")
    query = urlencode([(key, value) for key, value in pairs if key != "schema"], quote_via=quote)
    return urlunsplit((parts.scheme, parts.netloc or "", parts.path, query, "")) if parts.netloc else _without_host(parts, query), name


def _without_host(parts: Any, query: str) -> str:
    return f"{parts.scheme}://{parts.path}" + (f"?{query}" if query else "")


def hide_password(url: str) -> str:
    """The URL as it may be shown."""
    parts = urlsplit(url)
    user, at, host = parts.netloc.rpartition("@")
    pairs = [(key, "***" if key == "password" else value) for key, value in parse_qsl(parts.query)]
    query = urlencode(pairs, quote_via=quote, safe="/*")
    return f"{parts.scheme}://{user.split(':')[0]}{at}{host}{parts.path}" + (f"?{query}" if query else "")


def _import_driver() -> Any:
    try:
        import psycopg
    except ImportError:
        raise UnsupportedError(
            "a PostgreSQL journal needs psycopg, which is not installed", hint='install it: pip install "fairway[postgres]"'
        ) from None
    return psycopg


def _passes(psycopg: Any, error: Exception) -> bool:
    """Would the same transaction, tried again, go through?"""
    kinds = (
        psycopg.errors.SerializationFailure,
        psycopg.errors.DeadlockDetected,
        psycopg.errors.AdminShutdown,
        psycopg.errors.CannotConnectNow,
    )
    return isinstance(error, kinds)
