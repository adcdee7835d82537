"""How runs are found in SQLite.

SQLite has no statistics here, so what drives a search is chosen by counting: a filter that few runs pass gives these runs, which are then
looked at one by one. Where no filter is that narrow, runs are read in the order of the page; should the first few thousand not fill it, the
narrowest filter gives the runs after all.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from typing import Any

from fairway.spec.query import COUNTED, Facets, PipelineStats, RecentRun, RunQuery, RunsFound
from fairway.spec.record import Record, record
from fairway.store import wire
from fairway.store.listing import (
    FACET_NAMES,
    FACET_RUNS,
    RECENT,
    USUAL_RUNS,
    clean,
    make_stats,
    most_used,
    render_cursor,
)
from fairway.store.searching import Condition, Dialect, Phase, after_cursor, make_conditions, make_phases, order_of, read_cursor

_SQLITE = Dialect("?", "instr", hints=True)
_FEW = 1000
_MANY = 20_000
_WINDOW = 3000


@record
class _Driver(Record):
    """SQL that gives the `no` of so many `runs` ("" = it would be too many); `rest`: what is still to be asked of them."""

    sql: str
    values: tuple[Any, ...]
    rest: tuple[Condition, ...]
    runs: int


def search(db: sqlite3.Connection, query: RunQuery, *, counted: bool = True) -> RunsFound:
    """See `spec.ports.Journal.search`. Without `counted` the total may be 0."""

    def ids(kinds: Sequence[str], name: str) -> list[int]:
        sql = f"SELECT id FROM value_names WHERE kind IN ({_SQLITE.marks(kinds)}) AND name = ?"
        return [id for (id,) in db.execute(sql, (*kinds, name))]

    phases = make_phases(query, _SQLITE, ids)
    conditions = make_conditions(query, _SQLITE, ids)
    if conditions is None:
        return RunsFound()
    driver = _choose_driver(db, conditions, _FEW)
    total = -1
    if driver is None and any(each.sql.startswith("instr(l.words") for each in conditions):
        driver = _read_words(db, conditions)
        total = driver.runs
    plain = all(each.covered for each in conditions) and (not query.sort or len(conditions) <= (query.archived is not None))
    rows, next = _page(db, query, phases, conditions, driver, plain=plain)
    if not next and not query.cursor:
        total = len(rows)
    exact = True
    if total < 0 and counted:
        total, exact = _count(db, conditions, driver)
    texts = db.execute("SELECT no, summary FROM runs WHERE no IN (SELECT value FROM json_each(?))", (wire.render_json(rows),))
    summaries = dict[int, str](texts.fetchall())
    found = tuple(wire.parse_summary(summaries[no]) for no in rows if summaries.get(no))
    return RunsFound(found, next, min(max(total, len(rows)), COUNTED), exact and total <= COUNTED)


def _choose_driver(db: sqlite3.Connection, conditions: list[Condition], most: int) -> _Driver | None:
    """The condition that gives the fewest runs; None if all give more than `most`."""
    best, fewest = None, most + 1
    for each in conditions:
        if each.driver and fewest > 100:
            counted = db.execute(f"SELECT count(*) FROM ({each.driver} LIMIT {fewest})", each.values).fetchone()[0]
            if counted < fewest:
                best, fewest = each, counted
    return _Driver(best.driver, best.values, _others(conditions, best), fewest) if best else None


def _others(conditions: list[Condition], driver: Condition) -> tuple[Condition, ...]:
    """What a driver leaves open: it looks after the archive mark."""
    return tuple(each for each in conditions if each is not driver and not each.sql.startswith("l.archived"))


def _read_words(db: sqlite3.Connection, conditions: list[Condition]) -> _Driver:
    """The runs that have the words, and all else that is wanted: no index knows words, so all are read, until enough are counted."""
    where, values = _where(conditions)
    sql = f"SELECT l.no FROM listed l NOT INDEXED WHERE {where} ORDER BY l.no DESC LIMIT {COUNTED + 1}"
    numbers = [no for (no,) in db.execute(sql, values)]
    if len(numbers) > COUNTED:
        return _Driver("", (), tuple(conditions), len(numbers))
    return _Driver("SELECT value AS no FROM json_each(?)", (wire.render_json(numbers),), (), len(numbers))


def _page(
    db: sqlite3.Connection, query: RunQuery, phases: list[Phase], conditions: list[Condition], driver: _Driver | None, *, plain: bool
) -> tuple[list[int], str]:
    """(numbers of the page's runs, the next cursor). `plain`: reading runs in order is quick whatever the conditions."""
    at, key, tie = read_cursor(query)
    rows: list[tuple[int, Any, Any, int]] = []
    for number, phase in enumerate(phases[at:], at):
        beyond = after_cursor(phase, key, tie, query, _SQLITE) if number == at else ("", ())
        left = query.limit + 1 - len(rows) if query.limit else -1
        if driver and driver.runs <= _FEW:
            found = _collect(db, query, phase, beyond, driver, left)
        elif plain or left < 0:
            found = _scan(db, query, phase, beyond, conditions, left)
        else:
            found = _look(db, query, phase, beyond, conditions, left)
            if found is None:
                narrow = driver if driver and driver.sql else _choose_driver(db, conditions, _MANY)
                args = db, query, phase, beyond
                found = _collect(*args, narrow, left) if narrow else _scan(*args, conditions, left)
        rows += [(no, key, tie, number) for no, key, tie in found]
        if query.limit and len(rows) > query.limit:
            _, key, tie, number = rows[query.limit - 1]
            return [row[0] for row in rows[: query.limit]], (render_cursor(number, key, tie) if query.sort else str(tie))
    return [row[0] for row in rows], ""


_Beyond = tuple[str, tuple[Any, ...]]


def _collect(db: sqlite3.Connection, query: RunQuery, phase: Phase, beyond: _Beyond, driver: _Driver, limit: int) -> list[Any]:
    """Look at each run that the driver gives, and put them in order."""
    where, values = _where(driver.rest, phase.sql, beyond[0])
    source = f"({driver.sql}) d{phase.join} CROSS JOIN listed l ON l.no = d.no"
    sql = f"SELECT l.no, {phase.key or 'NULL'}, {phase.tie} FROM {source} WHERE {where} ORDER BY {order_of(phase, query)} LIMIT ?"
    return db.execute(sql, (*driver.values, *values, *beyond[1], limit)).fetchall()


def _scan(db: sqlite3.Connection, query: RunQuery, phase: Phase, beyond: _Beyond, conditions: list[Condition], limit: int) -> list[Any]:
    """Read all runs in order until there are enough."""
    where, values = _where(conditions, phase.sql, beyond[0])
    sql = f"SELECT l.no, {phase.key or 'NULL'}, {phase.tie} FROM {phase.source}{phase.more} WHERE {where}"
    sql += f" ORDER BY {order_of(phase, query)} LIMIT ?"
    return db.execute(sql, (*values, *beyond[1], limit)).fetchall()


def _look(
    db: sqlite3.Connection, query: RunQuery, phase: Phase, beyond: _Beyond, conditions: list[Condition], limit: int
) -> list[Any] | None:
    """Read the first of all runs in order; None if there are more and those were not enough."""
    first, _ = _where((), phase.sql, beyond[0])
    where, values = _where(conditions)
    window = f"SELECT {phase.no} AS no, {phase.key or 'NULL'} AS key, {phase.tie} AS tie FROM {phase.source}"
    window += f" WHERE {first} ORDER BY {order_of(phase, query)} LIMIT {_WINDOW}"
    way = "ASC" if query.ascending else "DESC"
    sql = f"SELECT w.no, w.key, w.tie FROM ({window}) w CROSS JOIN listed l ON l.no = w.no WHERE {where}"
    sql += f" ORDER BY w.key {way}, w.tie {way} LIMIT ?"
    found = db.execute(sql, (*beyond[1], *values, limit)).fetchall()
    if len(found) >= limit:
        return found
    more = db.execute(f"SELECT 1 FROM {phase.source} WHERE {first} LIMIT 1 OFFSET {_WINDOW}", beyond[1]).fetchone()
    return None if more else found


def _count(db: sqlite3.Connection, conditions: list[Condition], driver: _Driver | None) -> tuple[int, bool]:
    """(how many runs there are, at most COUNTED + 1; is it so, or are there more)."""
    wide = [each for each in conditions if not each.sql.startswith("l.archived")]
    limit = f"LIMIT {COUNTED + 1}"
    if len(wide) == 1 and wide[0].driver:
        return db.execute(f"SELECT count(*) FROM ({wide[0].driver} {limit})", wide[0].values).fetchone()[0], True
    if all(each.covered for each in conditions):
        where, values = _where(conditions)
        return db.execute(
            f"SELECT count(*) FROM (SELECT 1 FROM listed l INDEXED BY listed_by_run WHERE {where} {limit})", values
        ).fetchone()[0], True
    driver = driver or _choose_driver(db, conditions, _MANY)
    some = f"{driver.sql}" if driver else "SELECT no FROM listed INDEXED BY listed_by_run ORDER BY run DESC"
    where, values = _where(driver.rest if driver else conditions)
    sql = f"SELECT count(*) FROM (SELECT 1 FROM ({some} LIMIT {_MANY}) d CROSS JOIN listed l ON l.no = d.no WHERE {where} {limit})"
    counted = db.execute(sql, (*(driver.values if driver else ()), *values)).fetchone()[0]
    return counted, driver is not None or counted > COUNTED


def _where(conditions: Iterable[Condition], *more: str) -> tuple[str, tuple[Any, ...]]:
    conditions = list(conditions)
    parts = [*(each.sql for each in conditions), *(each for each in more if each)]
    return " AND ".join(parts) or "1", tuple(value for each in conditions for value in each.values)


def facets(db: sqlite3.Connection, projects: Sequence[str]) -> Facets:
    """See `spec.ports.Journal.facets`."""
    only = f"WHERE project IN ({_SQLITE.marks(projects)})" if projects else ""
    values = tuple(map(clean, projects))
    newest = db.execute(f"SELECT no FROM listed INDEXED BY listed_by_run {only} ORDER BY run DESC LIMIT {FACET_RUNS}", values)
    numbers = wire.render_json([no for (no,) in newest])
    some = "FROM json_each(?) d CROSS JOIN"

    def used(column: str, index: str) -> tuple[str, ...]:
        counts = db.execute(f"SELECT {column}, count(*) {some} listed ON no = d.value GROUP BY 1", (numbers,)).fetchall()
        return most_used(counts, _distinct(db, column, index, set(projects)))

    def named(kind: str) -> tuple[str, ...]:
        sql = f"SELECT v.name, count(*) {some} run_values v ON v.no = d.value GROUP BY 1"
        counts = dict[int, int](db.execute(sql, (numbers,)).fetchall())
        names = db.execute("SELECT id, name FROM value_names WHERE kind = ?", (kind,)).fetchall()
        rest = () if projects else (name for id, name in names if id not in counts and _is_used(db, id))
        return most_used([(name, counts[id]) for id, name in names if id in counts], rest)

    tags = db.execute(f"SELECT tag, count(*) {some} run_tags INDEXED BY run_tags_by_run ON no = d.value GROUP BY 1", (numbers,)).fetchall()
    return Facets(
        pipelines=used("pipeline", "pipeline"),
        tags=most_used(tags, () if projects else _all_tags(db)),
        users=used("created_by", "user"),
        params=named("param"),
        metrics=named("metric"),
        targets=used("target", "target"),
        projects=used("project", "project"),
    )


def _distinct(db: sqlite3.Connection, column: str, index: str, projects: set[str]) -> list[str]:
    """Values of an indexed column, by leaps in the index; of some projects only those seen with them."""
    out: list[str] = []
    value: Any = ""
    while len(out) < FACET_NAMES:
        row = db.execute(
            f"SELECT {column} FROM listed INDEXED BY listed_by_{index} WHERE {column} > ? ORDER BY 1 LIMIT 1", (value,)
        ).fetchone()
        if row is None:
            break
        value = row[0]
        if not projects or _seen(db, column, index, value, projects):
            out.append(value)
    return out


def _seen(db: sqlite3.Connection, column: str, index: str, value: str, projects: set[str]) -> bool:
    if column == "project":
        return value in projects
    sql = f"SELECT 1 FROM listed INDEXED BY listed_by_{index} WHERE {column} = ? AND project IN ({_SQLITE.marks(list(projects))}) LIMIT 1"
    return db.execute(sql, (value, *projects)).fetchone() is not None


def _all_tags(db: sqlite3.Connection) -> list[str]:
    out, tag = list[str](), ""
    while len(out) < FACET_NAMES:
        row = db.execute("SELECT tag FROM run_tags WHERE tag > ? ORDER BY tag LIMIT 1", (tag,)).fetchone()
        if row is None:
            break
        tag = row[0]
        out.append(tag)
    return out


def _is_used(db: sqlite3.Connection, name: int) -> bool:
    """Has any run a value of this name? (A run that had it may have been deleted.)"""
    return any(
        db.execute(
            f"SELECT 1 FROM run_values INDEXED BY run_values_by_{column} WHERE name = ? AND {column} IS NOT NULL LIMIT 1", (name,)
        ).fetchone()
        for column in ("number", "text")
    )


def tally(db: sqlite3.Connection, projects: Sequence[str]) -> list[Any]:
    """(pipeline, status, archived, how many, the newest) in order."""
    only = f"WHERE project IN ({_SQLITE.marks(projects)})" if projects else ""
    sql = f"SELECT pipeline, status, archived, count(*), max(run) FROM listed INDEXED BY listed_by_kind {only}"
    return db.execute(f"{sql} GROUP BY 1, 2, 3 ORDER BY 1, 2, 3", tuple(map(clean, projects))).fetchall()


def pipeline_stats(db: sqlite3.Connection, pipeline: str, projects: Sequence[str]) -> PipelineStats:
    """See `spec.ports.Journal.pipeline_stats`."""
    where = "pipeline = ? AND archived = 0" + (f" AND project IN ({_SQLITE.marks(projects)})" if projects else "")
    values = (clean(pipeline), *map(clean, projects))
    base = f"FROM listed INDEXED BY listed_by_pipeline WHERE {where}"
    counts = dict[str, int](db.execute(f"SELECT status, count(*) {base} GROUP BY status", values).fetchall())
    newest = "ORDER BY run DESC LIMIT"
    took = db.execute(
        f"SELECT duration_s {base} AND status = 'succeeded' AND duration_s IS NOT NULL {newest} {USUAL_RUNS}", values
    ).fetchall()
    recent = db.execute(f"SELECT run, status, started_at, coalesce(duration_s, 0.0) {base} {newest} {RECENT}", values)
    return make_stats(pipeline, counts, [seconds for (seconds,) in took], [RecentRun(*row) for row in recent])
