"""How runs are found in SQLite.

SQLite has no statistics here, so the driver of each search is chosen by counting: a filter that few runs pass gives these runs, which are
then looked at one by one; where no filter is that narrow, runs are read in the order of the page until it is full.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from typing import Any

from fairway.spec.query import COUNTED, Facets, PipelineStats, RecentRun, RunQuery, RunsFound
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
_FEW = 20_000


def search(db: sqlite3.Connection, query: RunQuery, *, counted: bool = True) -> RunsFound:
    """See `spec.ports.Journal.search`. Without `counted` the total is 0."""
    ids = _name_ids(db)
    phases = make_phases(query, _SQLITE, ids)
    conditions = make_conditions(query, _SQLITE, ids)
    if conditions is None:
        return RunsFound()
    driver, rest = _choose_driver(db, conditions)
    rows, next = _page(db, query, phases, driver, rest)
    total = _count(db, conditions, driver, rest) if counted else 0
    summaries = dict[int, str](_select(db, "SELECT no, summary FROM runs WHERE no IN", rows))
    found = tuple(wire.parse_summary(summaries[no]) for no in rows if summaries.get(no))
    return RunsFound(found, next, min(total, COUNTED), total <= COUNTED)


def _name_ids(db: sqlite3.Connection) -> Any:
    def find(kinds: Sequence[str], name: str) -> list[int]:
        sql = f"SELECT id FROM value_names WHERE kind IN ({_SQLITE.marks(kinds)}) AND name = ?"
        return [id for (id,) in db.execute(sql, (*kinds, name))]

    return find


def _choose_driver(db: sqlite3.Connection, conditions: list[Condition]) -> tuple[Condition | None, list[Condition]]:
    """(the condition that gives few runs or None, all others)."""
    best, fewest = None, _FEW + 1
    for each in conditions:
        if each.driver and fewest > 200:
            counted = db.execute(f"SELECT count(*) FROM ({each.driver} LIMIT {fewest})", each.driver_values).fetchone()[0]
            if counted < fewest:
                best, fewest = each, counted
    if best is None and any(each.sql.startswith("instr(") for each in conditions):
        where, values = _where(conditions)
        rows = db.execute(f"SELECT l.no FROM listed l NOT INDEXED WHERE {where} ORDER BY l.no DESC LIMIT {_FEW + 1}", values).fetchall()
        if len(rows) <= _FEW:
            found = wire.render_json([no for (no,) in rows])
            return Condition("", (), "SELECT value AS no FROM json_each(?)", (found,)), []
    exact = best is not None and " UNION " not in best.driver
    return best, [each for each in conditions if each is not best or not exact]


def _page(
    db: sqlite3.Connection, query: RunQuery, phases: list[Phase], driver: Condition | None, rest: list[Condition]
) -> tuple[list[int], str]:
    """(numbers of the page's runs, the next cursor)."""
    at, key, tie = read_cursor(query)
    rows: list[tuple[int, Any, Any, int]] = []
    for number, phase in enumerate(phases[at:], at):
        beyond, places = after_cursor(phase, key, tie, query, _SQLITE) if number == at else ("", ())
        where, values = _where(rest, phase.sql, beyond)
        source = f"({driver.driver}) d CROSS JOIN listed l ON l.no = d.no{phase.join}" if driver else phase.source
        sql = f"SELECT l.no, {phase.key or 'NULL'}, {phase.tie} FROM {source} WHERE {where} ORDER BY {order_of(phase, query)} LIMIT ?"
        left = query.limit + 1 - len(rows) if query.limit else -1
        found = db.execute(sql, (*(driver.driver_values if driver else ()), *values, *places, left))
        rows += [(no, key, tie, number) for no, key, tie in found]
        if query.limit and len(rows) > query.limit:
            _, key, tie, number = rows[query.limit - 1]
            return [row[0] for row in rows[: query.limit]], (render_cursor(number, key, tie) if query.sort else str(tie))
    return [row[0] for row in rows], ""


def _count(db: sqlite3.Connection, conditions: list[Condition], driver: Condition | None, rest: list[Condition]) -> int:
    """How many runs there are, at most COUNTED + 1."""
    if driver and not rest:
        sql, values = driver.driver, driver.driver_values
    elif driver:
        where, values = _where(rest)
        sql, values = (
            f"SELECT 1 FROM ({driver.driver}) d CROSS JOIN listed l ON l.no = d.no WHERE {where}",
            (*driver.driver_values, *values),
        )
    elif all(each.covered for each in conditions):
        where, values = _where(conditions)
        sql = f"SELECT 1 FROM listed l INDEXED BY listed_by_run WHERE {where}"
    else:
        wide = next((each for each in conditions if not each.covered and each.driver), None)
        source = f"({wide.driver}) d CROSS JOIN listed l ON l.no = d.no" if wide else "listed l NOT INDEXED"
        where, values = _where(
            conditions if wide is None or " UNION " in wide.driver else [each for each in conditions if each is not wide]
        )
        sql, values = f"SELECT 1 FROM {source} WHERE {where}", (*(wide.driver_values if wide else ()), *values)
    return db.execute(f"SELECT count(*) FROM ({sql} LIMIT {COUNTED + 1})", values).fetchone()[0]


def _where(conditions: Iterable[Condition], *more: str) -> tuple[str, tuple[Any, ...]]:
    conditions = list(conditions)
    parts = [each.sql for each in conditions if each.sql] + [each for each in more if each]
    return " AND ".join(parts) or "1", tuple(value for each in conditions if each.sql for value in each.values)


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


def _select(db: sqlite3.Connection, sql: str, numbers: list[int]) -> list[Any]:
    return db.execute(f"{sql} (SELECT value FROM json_each(?))", (wire.render_json(numbers),)).fetchall()
