"""Runs, newest first, live: found by a query as one types, with the columns one wants, and several of them changed at once."""

from __future__ import annotations

import asyncio
import hashlib
from collections import Counter
from collections.abc import Sequence
from functools import partial
from typing import Annotated, Any, Literal
from urllib.parse import unquote

import msgspec
from starlette.responses import Response

from fairway.engine.query import parse_query, parse_sort, render_query
from fairway.errors import ConfigError, DefinitionError, FairwayError
from fairway.spec.event import RunLabelled
from fairway.spec.ports import run_now
from fairway.spec.query import RUN_STATUSES, Facets, PipelineStats, RunQuery, RunsFound
from fairway.spec.record import replace
from fairway.web.access import check_run
from fairway.web.pages.columns import Column, next_sort, offered, parse_columns, render_columns, usual_columns
from fairway.web.pages.filters import command_line, error_position, error_words, narrow, only_state
from fairway.web.pages.page import Page, Visit
from fairway.web.pages.rowviews import gauge, spell_value, tell_apart
from fairway.web.pages.shell import spell_query

PAGE_ROWS = 50
FRESH_S = 5.0
"""So long what is usual, and what there is to choose from, stays as it was."""
COUNTS_FRESH_S, COUNTS_WAIT_S = 0.8, 0.03
SHOWN_LIMIT = 500
"""So many rows one page holds and keeps up to date; what is older has an address of its own."""
LABELLED_LIMIT = 500
MISTAKE = "fairway-mistake"
"""The header of a part that says why there is no list."""
HEADS = (("status", "State"), ("", "Run"), ("pipeline", "Pipeline"), ("started", "Started"), ("duration", "Duration"))


class RunsQuery(msgspec.Struct, kw_only=True):
    """`q` as in `fairway runs`, `cols` as in `columns`, `sort` as after "sort:". `kept`: columns that a page has, though its address names
    none. `shown`: how many rows. `part`: "rows" for further rows alone."""

    q: str = ""
    cols: str = ""
    sort: str = ""
    kept: str = ""
    cursor: str = ""
    shown: Annotated[int, msgspec.Meta(ge=1, le=SHOWN_LIMIT)] = PAGE_ROWS
    part: Literal["", "rows"] = ""


class LabelForm(msgspec.Struct, kw_only=True):
    """What is done to the chosen runs. `tags`: with blanks or commas between them."""

    run: Annotated[list[str], msgspec.Meta(min_length=1, max_length=LABELLED_LIMIT)]
    action: Literal["tag", "untag", "archive", "unarchive"]
    tags: Annotated[str, msgspec.Meta(max_length=1000)] = ""
    back: str = ""
    csrf: str = ""


async def show_runs(visit: Visit) -> Response:
    """The list, or the part of it that is asked for."""
    asked: RunsQuery = visit.query
    try:
        query = read_query(visit, asked)
    except (ConfigError, DefinitionError) as error:
        return await _show_mistake(visit, asked, error)
    found = await find_runs(visit, query)
    columns = await _columns(visit, asked)
    context: dict[str, Any] = {**await _table(visit, asked, query, found, columns), "mistake": None}
    if asked.part == "rows":
        return visit.html("runs.html", block="rows", **context)
    context |= await _states(visit, query, found)
    return visit.html("runs.html", block="list" if visit.fragment else "", **context)


def read_query(visit: Visit, asked: RunsQuery) -> RunQuery:
    """What is looked for: the text, the order, and no more than these eyes may see. Raises ConfigError."""
    query = parse_query(asked.q, visit.site.clock())
    if asked.sort:
        sort, ascending = parse_sort(asked.sort)
        query = replace(query, sort=sort, ascending=ascending)
    return replace(query, limit=asked.shown, cursor=asked.cursor)


async def find_runs(visit: Visit, query: RunQuery) -> RunsFound:
    """The runs, of projects that may be seen alone."""
    seen = visit.identity.projects
    if seen:
        allowed = tuple(project for project in seen if not query.projects or project in query.projects)
        if not allowed:
            return RunsFound()
        query = replace(query, projects=allowed)
    return await visit.site.services.journal.search(query)


async def _columns(visit: Visit, asked: RunsQuery) -> tuple[Column, ...]:
    """Those of the address, else those that are on the page, else those that this browser had last, else the usual ones."""
    text = asked.cols or asked.kept or unquote(visit.request.cookies.get(cookie_name(visit), ""))
    return parse_columns(text) if text else usual_columns(await get_facets(visit))


async def get_facets(visit: Visit) -> Facets:
    """Names to choose from."""
    journal, projects = visit.site.services.journal, visit.identity.projects
    return await visit.site.remembered.get(("facets", projects), lambda: journal.facets(projects), FRESH_S)


def cookie_name(visit: Visit) -> str:
    """Cookies are for all ports of a machine: each project has columns of its own."""
    target = visit.site.settings.target
    place = f"{visit.site.services.home} {target.get('name', '')} {target.get('project', '')}"
    return f"fairway-columns-{hashlib.blake2b(place.encode(), digest_size=4).hexdigest()}"


async def _table(visit: Visit, asked: RunsQuery, query: RunQuery, found: RunsFound, columns: Sequence[Column]) -> dict[str, Any]:
    now = visit.site.clock()
    stats = await _usual(visit, {row.pipeline for row in found.rows})
    took = {row.run: (row.ended_at or now) - row.started_at for row in found.rows}
    idle = {row.run for row in found.rows if row.status == "running" and not visit.site.driven(row.run)}
    address = {"q": asked.q, "cols": asked.cols, "sort": asked.sort}

    def order(sort: str) -> str:
        return _link(address, sort=next_sort(sort, query.sort, query.ascending))

    def narrowed(kind: str, name: str) -> str:
        part = RunQuery(pipelines=(name,)) if kind == "pipeline" else RunQuery(tags=(name,))
        return _link(address, q=narrow(asked.q, render_query(part)))

    return {
        "rows": found.rows,
        "found": found,
        "asked": asked,
        "query": query,
        "columns": columns,
        "chips": tell_apart(found.rows),
        "took": took,
        "idle": idle,
        "usual": stats,
        "gauges": {row.run: None if row.run in idle else gauge(took[row.run], stats.get(row.pipeline)) for row in found.rows},
        "heads": [(title, sort, order(sort) if sort else "") for sort, title in HEADS],
        "column_links": {column: order(column.sort) for column in columns if column.sort},
        "next_url": _link(address, cursor=found.next) if found.next else "",
        "filtered": bool(asked.q.strip()),
        "chosen_columns": render_columns(columns),
        "cookie": cookie_name(visit),
        "command": command_line(f"{asked.q} {f'sort:{asked.sort}' if asked.sort else ''}".strip()),
        "narrowed": narrowed,
        "spell_value": spell_value,
    }


async def _usual(visit: Visit, pipelines: set[str]) -> dict[str, PipelineStats]:
    """Of each pipeline on the page, what is usual."""
    journal, projects, found = visit.site.services.journal, visit.identity.projects, dict[str, PipelineStats]()
    for name in sorted(pipelines):
        ask = partial(journal.pipeline_stats, name, projects)
        found[name] = await visit.site.remembered.get(("usual", name, projects), ask, FRESH_S)
    return found


async def _states(visit: Visit, query: RunQuery, listed: RunsFound) -> dict[str, Any]:
    """The buttons above the list: (state, runs in it or None where that is not known, address, is it chosen). `counting`: the numbers will
    be better in a moment. `total`: runs in all pages, None for more than were counted."""
    asked: RunsQuery = visit.query
    now = visit.site.clock()
    counts, fresh = await _count_states(visit, query)
    found: list[tuple[str, int | None, str, bool]] = []
    for status in RUN_STATUSES:
        chosen = query.statuses == (status,)
        if counts is None or counts[status] or chosen:
            url = _link({"q": asked.q, "cols": asked.cols, "sort": asked.sort}, q=only_state(asked.q, "" if chosen else status, now))
            found.append((status, counts[status] if counts is not None else None, url, chosen))
    total = listed.total if listed.exact else None
    if total is None and counts is not None:
        total = sum(n for status, n in counts.items() if not query.statuses or status in query.statuses)
    return {"states": found, "counting": not fresh, "total": total}


async def _count_states(visit: Visit, query: RunQuery) -> tuple[Counter[str] | None, bool]:
    """(runs by state, whatever state is asked for, are they new?); None where counting them would mean to look for them five times."""
    plain = RunQuery(statuses=query.statuses, pipelines=query.pipelines, archived=query.archived)
    if visit.identity.projects or replace(query, sort="", ascending=False, limit=plain.limit, cursor="") != plain:
        return None, True
    journal = visit.site.services.journal
    ask = partial(asyncio.to_thread, lambda: run_now(journal.tally()))
    tallies, fresh = await visit.site.remembered.get_soon("tally", ask, COUNTS_FRESH_S, COUNTS_WAIT_S)
    if tallies is None:
        return None, False
    counts: Counter[str] = Counter()
    for tally in tallies:
        if (not query.pipelines or tally.pipeline in query.pipelines) and query.archived in (None, tally.archived):
            counts[tally.status] += tally.runs
    return counts, fresh


async def _show_mistake(visit: Visit, asked: RunsQuery, error: FairwayError) -> Response:
    """A query that cannot be read: what was found before stays where it is, and it is said what is wrong."""
    at = error_position(error, asked.q)
    mistake = {"before": asked.q[:at], "after": asked.q[at:], "words": error_words(error), "hint": error.hint}
    if visit.fragment:
        response = visit.html("runs.html", block="mistake", mistake=mistake)
        response.headers[MISTAKE] = "1"
        return response
    context = await _table(visit, asked, RunQuery(), RunsFound(), ())
    context |= {"states": [], "counting": False, "total": 0, "mistake": mistake}
    return visit.html("runs.html", status=422, **context)


async def show_columns(visit: Visit) -> Response:
    """The menu of columns."""
    facets = await get_facets(visit)
    chosen = await _columns(visit, visit.query)
    usual = render_columns(usual_columns(facets))
    return visit.html("runs/columns.html", groups=offered(facets, chosen), chosen=chosen, asked=visit.query, usual_key=usual)


async def send_facets(visit: Visit) -> Response:
    """What the filter's box can offer."""
    facets = await get_facets(visit)
    names = {name: list(getattr(facets, name)) for name in ("pipelines", "tags", "users", "params", "metrics", "targets", "projects")}
    return visit.json({"states": list(RUN_STATUSES), **names})


async def label_runs(visit: Visit) -> Response:
    """Tags and archive marks of the chosen runs."""
    form: LabelForm = visit.form
    tags = tuple(dict.fromkeys(form.tags.replace(",", " ").split()))
    if form.action in ("tag", "untag") and not tags:
        raise ConfigError("no tag was given", hint="write one or more words")
    for run in form.run:
        await check_run(visit.site, visit.identity, run)
    archived = {"archive": True, "unarchive": False}.get(form.action)
    added, removed = (tags if form.action == "tag" else ()), (tags if form.action == "untag" else ())
    for run in form.run:
        await visit.site.host.label(run, RunLabelled(visit.site.clock(), visit.user, added, removed, None, archived))
    if visit.fragment:
        return Response(status_code=204)
    return visit.go(form.back if form.back.startswith("/runs") else "/runs")


def _link(address: dict[str, str], **changed: str) -> str:
    query = spell_query({**address, **changed})
    return f"/runs?{query}" if query else "/runs"


PAGES = (
    Page("GET", "/runs", show_runs, query=RunsQuery),
    Page("POST", "/runs", label_runs, role="run", form=LabelForm),
    Page("GET", "/columns", show_columns, query=RunsQuery),
    Page("GET", "/facets.json", send_facets),
)
