"""Runs in PostgreSQL: how what they are found by is written, and how they are found."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fairway.spec.query import COUNTED, Facets, PipelineStats, RecentRun, RunQuery, RunsFound
from fairway.spec.record import Record, record
from fairway.spec.summary import RunSummary
from fairway.store import wire
from fairway.store.listing import (
    COLUMNS,
    FACET_NAMES,
    FACET_RUNS,
    RECENT,
    USUAL_RUNS,
    Listing,
    clean,
    list_summary,
    make_stats,
    most_used,
    render_cursor,
)
from fairway.store.searching import Dialect, Phase, after_cursor, make_conditions, make_phases, order_of, read_cursor

_POSTGRES = Dialect("%s", "strpos", hints=False)
_PAGE = 1000
_FEW = 2000
_UPSERT = (
    f"INSERT INTO listed ({', '.join(COLUMNS)}) VALUES (%s{', %s' * (len(COLUMNS) - 1)})"
    f" ON CONFLICT (run) DO UPDATE SET {', '.join(f'{name} = excluded.{name}' for name in COLUMNS[1:])} RETURNING no"
)


@record
class _Held(Record):
    """What must hold of a run; `few`: it does of few."""

    sql: str
    values: tuple[Any, ...]
    few: bool


def write_listing(db: Any, summary: RunSummary, before: RunSummary | None) -> None:
    """Bring what the run is found by from `before` (None: whatever there is) to `summary`."""
    new = list_summary(summary)
    old = list_summary(before) if before else Listing((), (), {})
    no = db.execute(_UPSERT, new.columns).fetchone()[0]
    if before is None:
        db.execute("DELETE FROM run_values WHERE no = %s", (no,))
    if before is None or old.tags != new.tags:
        db.execute("DELETE FROM run_tags WHERE no = %s", (no,))
        db.execute("INSERT INTO run_tags (tag, no) SELECT tag, %s FROM unnest(%s::text[]) AS tag", (no, list(new.tags)))
    _write_values(db, no, [(*key, *value) for key, value in new.values.items() if old.values.get(key) != value])
    gone = list(old.values.keys() - new.values.keys())
    if gone:
        kinds, names = (list(column) for column in zip(*gone, strict=True))
        db.execute(
            "DELETE FROM run_values v USING value_names n, unnest(%s::text[], %s::text[]) AS d (kind, name)"
            " WHERE v.no = %s AND v.name = n.id AND n.kind = d.kind AND n.name = d.name",
            (kinds, names, no),
        )


def _write_values(db: Any, no: int, rows: list[tuple[str, str, float | None, str | None]]) -> None:
    if not rows:
        return
    kinds, names, numbers, texts = (list(column) for column in zip(*rows, strict=True))
    db.execute(
        "INSERT INTO value_names (kind, name) SELECT kind, name FROM unnest(%s::text[], %s::text[]) AS v (kind, name)"
        " WHERE NOT EXISTS (SELECT FROM value_names n WHERE n.kind = v.kind AND n.name = v.name) ORDER BY 1, 2 ON CONFLICT DO NOTHING",
        (kinds, names),
    )
    db.execute(
        "INSERT INTO run_values (no, name, number, text) SELECT %s, n.id, v.number, v.text"
        " FROM unnest(%s::text[], %s::text[], %s::double precision[], %s::text[]) AS v (kind, name, number, text)"
        " JOIN value_names n ON n.kind = v.kind AND n.name = v.name"
        " ON CONFLICT (no, name) DO UPDATE SET number = excluded.number, text = excluded.text",
        (no, kinds, names, numbers, texts),
    )


def fill_listings(db: Any) -> None:
    """List all runs of a journal that was written before there were listings."""
    last = ""
    while True:
        rows = db.execute(
            "SELECT run, summary FROM runs WHERE run > %s AND summary IS NOT NULL ORDER BY run LIMIT %s", (last, _PAGE)
        ).fetchall()
        for _, text in rows:
            try:
                summary = wire.parse_summary(text)
            except (ValueError, KeyError, TypeError):
                continue  # one that nobody can read keeps nobody from the rest
            write_listing(db, summary, None)
        if len(rows) < _PAGE:
            return
        last = rows[-1][0]


def search(db: Any, query: RunQuery, *, counted: bool = True) -> RunsFound:
    """See `spec.ports.Journal.search`. Without `counted` the total is 0."""

    def ids(kinds: Sequence[str], name: str) -> list[int]:
        found = db.execute("SELECT id FROM value_names WHERE kind = ANY(%s) AND name = %s", (list(kinds), name))
        return [id for (id,) in found.fetchall()]

    phases = make_phases(query, _POSTGRES, ids)
    conditions = make_conditions(query, _POSTGRES, ids)
    if conditions is None:
        return RunsFound()
    held = " AND ".join(each.sql for each in conditions) or "true"
    values = tuple(value for each in conditions for value in each.values)
    total = 0
    if counted:
        counting = f"SELECT count(*) FROM (SELECT 1 FROM listed l WHERE {held} LIMIT {COUNTED + 1}) AS found"
        total = db.execute(counting, values).fetchone()[0]
        if not total:
            return RunsFound()
    rows, next = _page(db, query, phases, _Held(held, values, counted and total <= (COUNTED if query.sort else _FEW)))
    numbers = [row[0] for row in rows]
    found = db.execute("SELECT l.no, r.summary FROM listed l JOIN runs r ON r.run = l.run WHERE l.no = ANY(%s)", (numbers,)).fetchall()
    texts = dict[int, str](found)
    return RunsFound(tuple(wire.parse_summary(texts[no]) for no in numbers if texts.get(no)), next, min(total, COUNTED), total <= COUNTED)


def _page(db: Any, query: RunQuery, phases: Sequence[Phase], held: _Held) -> tuple[list[tuple[int, Any, Any, int]], str]:
    """((number, key, tie, phase) of the page's runs, the next cursor)."""
    at, key, tie = read_cursor(query)
    rows: list[tuple[int, Any, Any, int]] = []
    for number, phase in enumerate(phases[at:], at):
        beyond, places = after_cursor(phase, key, tie, query, _POSTGRES) if number == at else ("", ())
        source, asked, before = phase.source + phase.more, [held.sql], ""
        if held.few:  # with a limit in sight the planner would rather read all runs in order
            source, asked = source.replace("listed l", "few l"), []
            before = f"WITH few AS MATERIALIZED (SELECT * FROM listed l WHERE {held.sql}) "
        where = " AND ".join([*asked, *(each for each in (phase.sql, beyond) if each)]) or "true"
        sql = f"{before}SELECT l.no, {phase.key or 'NULL'}, {phase.tie} FROM {source} WHERE {where}"
        sql += f" ORDER BY {order_of(phase, query)} LIMIT %s"
        left = query.limit + 1 - len(rows) if query.limit else None
        rows += [(*row, number) for row in db.execute(sql, (*held.values, *places, left)).fetchall()]
        if query.limit and len(rows) > query.limit:
            _, key, tie, number = rows[query.limit - 1]
            return rows[: query.limit], render_cursor(number, key, tie) if query.sort else str(tie)
    return rows, ""


def facets(db: Any, projects: Sequence[str]) -> Facets:
    """See `spec.ports.Journal.facets`."""
    only, some = ("WHERE project = ANY(%s)", (list(map(clean, projects)),)) if projects else ("", ())
    newest = f"WITH newest AS (SELECT * FROM listed {only} ORDER BY run DESC LIMIT {FACET_RUNS})"

    def used(column: str) -> tuple[str, ...]:
        counts = db.execute(f"{newest} SELECT {column}, count(*) FROM newest GROUP BY 1", some).fetchall()
        others = db.execute(f"SELECT DISTINCT {column} FROM listed {only} LIMIT {FACET_NAMES}", some).fetchall()
        return most_used(counts, (name for (name,) in others))

    def named(kind: str) -> tuple[str, ...]:
        joined = "newest JOIN run_values v USING (no) JOIN value_names n ON n.id = v.name"
        counts = db.execute(f"{newest} SELECT n.name, count(*) FROM {joined} WHERE n.kind = %s GROUP BY 1", (*some, kind)).fetchall()
        used_at_all = "SELECT name FROM value_names n WHERE kind = %s AND EXISTS (SELECT FROM run_values v WHERE v.name = n.id)"
        others = () if projects else db.execute(used_at_all, (kind,)).fetchall()
        return most_used(counts, (name for (name,) in others))

    tags = db.execute(f"{newest} SELECT tag, count(*) FROM newest JOIN run_tags USING (no) GROUP BY 1", some).fetchall()
    others = () if projects else db.execute(f"SELECT DISTINCT tag FROM run_tags LIMIT {FACET_NAMES}").fetchall()
    return Facets(
        pipelines=used("pipeline"),
        tags=most_used(tags, (tag for (tag,) in others)),
        users=used("created_by"),
        params=named("param"),
        metrics=named("metric"),
        targets=used("target"),
        projects=used("project"),
    )


def pipeline_stats(db: Any, pipeline: str, projects: Sequence[str]) -> PipelineStats:
    """See `spec.ports.Journal.pipeline_stats`."""
    base = "FROM listed WHERE pipeline = %s AND archived = 0" + (" AND project = ANY(%s)" if projects else "")
    values = (clean(pipeline), *([list(map(clean, projects))] if projects else []))
    counts = dict[str, int](db.execute(f"SELECT status, count(*) {base} GROUP BY status", values).fetchall())
    newest = "ORDER BY run DESC LIMIT"
    took = db.execute(f"SELECT duration_s {base} AND status = 'succeeded' AND duration_s IS NOT NULL {newest} {USUAL_RUNS}", values)
    recent = db.execute(f"SELECT run, status, started_at, coalesce(duration_s, 0) {base} {newest} {RECENT}", values).fetchall()
    return make_stats(pipeline, counts, [seconds for (seconds,) in took.fetchall()], [RecentRun(*row) for row in recent])
