"""The SQL by which runs are found, for SQLite and PostgreSQL: what each part of a query asks of the tables, and the orders of a page.

Both keep the same tables (`listed`, `run_tags`, `value_names`, `run_values`). A query has *conditions* on rows of `listed` (alias l) and is
answered in one or more *phases*: an order such as "metric:auc" first gives the runs that have the metric, then those that have it not.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from fairway.spec.query import Comparison, RunQuery
from fairway.spec.record import Record, record
from fairway.store.listing import check_query, clean, comparisons_of, parse_cursor, text_of

NameIds = Callable[[Sequence[str], str], Sequence[int]]
"""(kinds, name) -> ids in `value_names`."""


@record
class Condition(Record):
    """`sql` over alias l. `driver`: SQL that gives the `no` of the runs for which it holds, each once, from an index alone; "" = there is
    none. A driver gives no archived runs where the query wants none. `covered`: the index of runs by id has all that `sql` needs."""

    sql: str
    values: tuple[Any, ...] = ()
    driver: str = ""
    covered: bool = False


@record
class Phase(Record):
    """A part of an order. `key` ("" = none) and `tie` are expressions that together are unlike for all runs of the phase; `sql` tells which
    runs are of it.

    `source` reads in this order, and has the number of each run as `no`. `more` adds `listed` AS l to it where it is not there yet; `join`
    adds to runs that come as `d.no` from elsewhere what `key` needs.
    """

    key: str
    tie: str
    source: str
    no: str = "l.no"
    more: str = ""
    join: str = ""
    sql: str = ""


class Dialect:
    """What the two databases say in different words. `mark` is a parameter's place; `contains` a function (text, part) -> number; with
    `hints` the words that bind SQLite to an index and an order of tables are left in."""

    def __init__(self, mark: str, contains: str, hints: bool) -> None:
        self.mark, self.contains, self.hints = mark, contains, hints
        self.by: Callable[[str], str] = (lambda index: f" INDEXED BY {index}") if hints else (lambda index: "")
        self.join = "CROSS JOIN" if hints else "JOIN"

    def marks(self, values: Sequence[object]) -> str:
        return ",".join([self.mark] * len(values))


def make_conditions(query: RunQuery, dialect: Dialect, ids: NameIds) -> list[Condition] | None:
    """What must hold of a run, the archive mark first; None if nothing can."""
    out: list[Condition] = []
    live = ""
    if query.archived is not None:
        live = f" AND archived = {int(query.archived)}"
        driver = f"SELECT no FROM listed{dialect.by('listed_archived')} WHERE archived = 1" if query.archived else ""
        out.append(Condition(f"l.archived = {int(query.archived)}", (), driver, covered=True))
    columns = (
        ("pipeline", "pipeline", query.pipelines),
        ("status", "status", query.statuses),
        ("created_by", "user", query.users),
        ("target", "target", query.targets),
        ("project", "project", query.projects),
    )
    for column, index, wanted in columns:
        if wanted:
            values = tuple(dict.fromkeys(map(clean, wanted)))
            asked = f"{column} IN ({dialect.marks(values)})"
            driver = f"SELECT no FROM listed{dialect.by(f'listed_by_{index}')} WHERE {asked}{live}"
            out.append(Condition(f"l.{asked}", values, driver, covered=True))
    if query.tags:
        tags = tuple(dict.fromkeys(map(clean, query.tags)))
        some = f"tag IN ({dialect.marks(tags)})"
        distinct = "DISTINCT " if len(tags) > 1 else ""
        held = f"EXISTS (SELECT 1 FROM run_tags t WHERE t.no = l.no AND t.{some})"
        out.append(Condition(held, tags, f"SELECT {distinct}no FROM run_tags WHERE {some}{live}"))
    for column, index, low, high in (
        ("started_at", "started", query.since, query.until),
        ("duration_s", "duration", query.longer_s, query.shorter_s),
    ):
        bounds = [(op, value) for op, value in ((">=", low), ("<", high)) if value]
        if bounds:
            asked = " AND ".join(f"@{column} {op} {dialect.mark}" for op, _ in bounds)
            driver = f"SELECT no FROM listed{dialect.by(f'listed_by_{index}')} WHERE {asked.replace('@', '')}{live}"
            out.append(Condition(asked.replace("@", "l."), tuple(value for _, value in bounds), driver))
    for word in query.words:
        out.append(Condition(f"{dialect.contains}(l.words, {dialect.mark}) > 0", (clean(word.lower()),)))
    for kinds, compared in comparisons_of(query):
        for one in compared:
            names = tuple(ids(kinds, clean(one.name)))
            if not names:
                return None
            out.append(_compare(one, names, dialect, live))
    return out


def _compare(one: Comparison, names: tuple[int, ...], dialect: Dialect, live: str) -> Condition:
    """A run has a value, under one of the names, that compares so."""
    sql, value, index = _compare_value(one, dialect)
    some = f"name IN ({dialect.marks(names)})"
    held = f"EXISTS (SELECT 1 FROM run_values v WHERE v.no = l.no AND v.{some} AND {sql.replace('@', 'v.')})"
    driver = ""
    if index:
        distinct = "DISTINCT " if len(names) > 1 else ""
        driver = f"SELECT {distinct}no FROM run_values{dialect.by(index)} WHERE {some} AND {sql.replace('@', '')}{live}"
    return Condition(held, (*names, value), driver)


def _compare_value(one: Comparison, dialect: Dialect) -> tuple[str, Any, str]:
    """(SQL with @ for the alias and its dot, its value, the index that has all of it or "")."""
    mark = dialect.mark
    if one.op == "~":
        return f"@text IS NOT NULL AND {dialect.contains}(lower(@text), {mark}) > 0", text_of(one.value).lower(), "run_values_by_text"
    column = "text" if isinstance(one.value, str | bool) else "number"
    wanted = text_of(one.value) if isinstance(one.value, str | bool) else float(one.value)
    if one.op == "!=":
        return f"(@{column} IS NULL OR @{column} <> {mark})", wanted, ""
    return f"@{column} {one.op} {mark}", wanted, f"run_values_by_{column}"


def make_phases(query: RunQuery, dialect: Dialect, ids: NameIds) -> list[Phase]:
    """The order of the query's pages. Raises ConfigError for one that there is not."""
    kind, name = check_query(query)
    newest = Phase("", "l.run", f"listed l{dialect.by('listed_by_run')}")
    if kind == "":
        return [newest]
    if kind in ("pipeline", "status"):
        return [Phase(f"l.{kind}", "l.run", f"listed l{dialect.by(f'listed_by_{kind}')}")]
    if kind == "started":
        return [Phase("l.started_at", "l.no", f"listed l{dialect.by('listed_by_started')}")]
    if kind == "duration":
        source = f"listed l{dialect.by('listed_by_duration')}"
        return [
            Phase("l.duration_s", "l.no", source, sql="l.duration_s IS NOT NULL"),
            Phase("", "l.no", source, sql="l.duration_s IS NULL"),
        ]
    found = tuple(ids((kind,), clean(name)))
    if not found:
        return [newest]
    out: list[Phase] = []
    for column, more in (("number", ""), ("text", " AND s.number IS NULL")):
        out.append(
            Phase(
                f"s.{column}",
                "s.no",
                f"run_values s{dialect.by(f'run_values_by_{column}')}",
                "s.no",
                f" {dialect.join} listed l ON l.no = s.no",
                f" {dialect.join} run_values s ON s.no = d.no",
                f"s.name = {found[0]} AND s.{column} IS NOT NULL{more}",
            )
        )
    none = f"NOT EXISTS (SELECT 1 FROM run_values s WHERE s.no = l.no AND s.name = {found[0]})"
    return [*out, Phase("", "l.run", newest.source, sql=none)]


def read_cursor(query: RunQuery) -> tuple[int, Any, Any]:
    """(phase, key, tie) after which the page begins; tie None = at the beginning. In the runs' own order the cursor is a run's id."""
    if not query.cursor:
        return 0, None, None
    if not query.sort:
        return 0, None, query.cursor
    return parse_cursor(query.cursor)


def after_cursor(phase: Phase, key: Any, tie: Any, query: RunQuery, dialect: Dialect) -> tuple[str, tuple[Any, ...]]:
    """The condition (SQL, values) of rows that come after (key, tie)."""
    if tie is None:
        return "", ()
    beyond, mark = (">" if query.ascending else "<"), dialect.mark
    if not phase.key:
        return f"{phase.tie} {beyond} {mark}", (tie,)
    return f"{phase.key} {beyond}= {mark} AND ({phase.key} {beyond} {mark} OR {phase.tie} {beyond} {mark})", (key, key, tie)


def order_of(phase: Phase, query: RunQuery) -> str:
    """The ORDER BY of the phase."""
    way = "ASC" if query.ascending else "DESC"
    return ", ".join(f"{expression} {way}" for expression in (phase.key, phase.tie) if expression)
