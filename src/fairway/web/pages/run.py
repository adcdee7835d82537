"""One run: what became of it, its graph, where its time went, its steps and the many tasks of a mapped one."""

from __future__ import annotations

from typing import Annotated

import msgspec
from starlette.responses import Response

from fairway.engine.overview import Overview, graph_data
from fairway.errors import NotFoundError
from fairway.spec.record import replace
from fairway.spec.summary import RunSummary
from fairway.web.pages.page import Page, Visit
from fairway.web.pages.runparts import draw_strip, find_failure, list_outputs, list_rows, read_step, split_step
from fairway.web.respond import render_text

VIEWS = ("graph", "timeline", "steps")
PAGE_ITEMS = 50
FIRST_WORD_S = 0.7
Address = Annotated[str, msgspec.Meta(max_length=2048)]


class RunQuery(msgspec.Struct, kw_only=True):
    """What of the run is looked at, as in the address: `task` names a task, or a step that has many; `tab` is one of its panel's."""

    task: Address = ""
    tab: Address = ""
    view: str = ""


class ItemsQuery(msgspec.Struct, kw_only=True):
    """Tasks of the `step` ("tune", "refine/score") from number `after` on; those of one `status`, "" for all, failed ones first."""

    step: Address = ""
    status: str = ""
    after: Annotated[int, msgspec.Meta(ge=0, le=10_000_000)] = 0


async def show_run(visit: Visit) -> Response:
    """The page, or the part of it that has news."""
    summary = await find_run(visit)
    if summary is None:
        return visit.go(f"/runs/{await _whole_id(visit)}")
    view = visit.query.view if visit.query.view in VIEWS else "graph"
    whole = True
    if visit.fragment:
        overview = await overview_of(visit, summary.run)
    else:  # a very long run that nobody has looked at yet is shown as far as it has been read; the page asks for the rest at once
        overview, share = await visit.site.overviews.get_quick(summary.run, FIRST_WORD_S)
        whole = share == 1.0
    summary = _as_it_is(visit, summary, overview) if whole else summary
    block = {"run-head": "head", "run-steps": "steps"}.get(visit.wanted, "")
    rows = list_rows(graph_data(overview)) if block == "steps" or (not block and view == "steps") else ()
    return visit.html(
        "run.html",
        block=block,
        run=summary,
        overview=overview,
        whole=whole,
        failure=find_failure(overview, summary),
        outputs=list_outputs(overview),
        view=view,
        rows=rows,
        task=visit.query.task,
        tab=visit.query.tab,
        searches=any(node.node.pace is not None for node in overview.nodes),
        is_step=read_step(overview, visit.query.task) is not None,
        total=sum(summary.counts.values()),
    )


async def send_graph(visit: Visit) -> Response:
    """The graph with its states, for the page's script."""
    return send_json(visit, await visit.site.overviews.graph_json(await _named(visit)))


async def send_timeline(visit: Visit) -> Response:
    """What ran when, for the page's script."""
    return send_json(visit, await visit.site.overviews.timeline_json(await _named(visit)))


async def show_items(visit: Visit) -> Response:
    """Tasks of a mapped step: all of them as a strip of cells, and a page of the list."""
    run = await _named(visit)
    overview = await overview_of(visit, run)
    query = visit.query
    node = read_step(overview, query.step)
    if node is None:
        raise NotFoundError(f"run {run!r} has no step {query.step[:200]!r}", hint="the steps are listed on the run's page")
    scope, name = split_step(query.step)
    items, more = overview.items(
        scope, name, status=query.status if query.status in node.counts else "", after=query.after, limit=PAGE_ITEMS
    )
    block = {"run-items-top": "top", "run-items-list": "list", "run-more": "more"}.get(visit.wanted, "")
    listed = block in ("", "list") and not query.status and not query.after
    return visit.html(
        "run/items.html",
        block=block,
        run=run,
        step=query.step,
        only=query.status,
        after=query.after,
        node=node,
        failed=overview.items(scope, name, status="failed", limit=PAGE_ITEMS)[0] if listed else (),
        items=items,
        next=items[-1].number + 1 if more else 0,
        strip=draw_strip(overview, scope, name) if block in ("", "top") else None,
    )


def send_json(visit: Visit, text: bytes) -> Response:
    """JSON that has been encoded already."""
    return render_text(visit.request, text, "application/json")


async def overview_of(visit: Visit, run: str) -> Overview:
    """The run as its journal stands now."""
    return await visit.site.overviews.get(run)


async def find_run(visit: Visit) -> RunSummary | None:
    """The summary of the path's run; None if there is no run of just this id."""
    journal = visit.site.services.journal
    run = visit.path["run"]
    found = await journal.find_summary(run)
    if found is None and await journal.head(run):
        return RunSummary(run, "")  # begun a moment ago
    return found


async def _named(visit: Visit) -> str:
    run = visit.path["run"]
    if not await visit.site.services.journal.head(run):
        raise _no_run(run)
    return run


async def _whole_id(visit: Visit) -> str:
    """The newest run that may be seen of those that the path can mean: by an end of the id, or by name. Raises NotFoundError."""
    wanted = visit.path["run"]
    for run in await visit.site.services.journal.find_runs(wanted):
        if await visit.site.sight.sees_run(visit.identity, run):
            return run
    raise _no_run(wanted)


def _no_run(run: str) -> NotFoundError:
    return NotFoundError(f"there is no run {run!r}", hint="it may have been deleted; /runs lists all there are")


def _as_it_is(visit: Visit, summary: RunSummary, overview: Overview) -> RunSummary:
    """Summaries are written a moment after the events; and of a run that nobody drives the journal does not know that."""
    status = overview.status
    if status == "running" and not visit.site.driven(summary.run):
        status = "interrupted"
    return replace(summary, status=status, pipeline=overview.graph.name, counts=overview.counts(), ended_at=overview.ended_at)


PAGES = (
    Page("GET", "/runs/{run}", show_run, query=RunQuery),
    Page("GET", "/runs/{run}/graph.json", send_graph),
    Page("GET", "/runs/{run}/timeline.json", send_timeline),
    Page("GET", "/runs/{run}/items", show_items, query=ItemsQuery),
)
