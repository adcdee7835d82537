"""Curves of what tasks log, and runs side by side."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from fairway.engine.differ import diff
from fairway.engine.history import read_history
from fairway.engine.sketch import Sketch, outline
from fairway.errors import NotFoundError
from fairway.spec.event import address
from fairway.spec.ports import run_now
from fairway.spec.summary import RunSummary
from fairway.web.curves import downsample
from fairway.web.explaining import is_small
from fairway.web.metrics import CurveReader
from fairway.web.operation import Call, Operation
from fairway.web.places import select
from fairway.web.ports import Site
from fairway.web.rankcurves import read_lines
from fairway.web.records import full
from fairway.web.routes.runs import named_run
from fairway.web.runcurves import Place, place_of
from fairway.web.schema.metrics import CompareQuery, Comparison, CurvesPage, CurvesQuery


async def list_curves(call: Call[CurvesQuery, None]) -> Any:
    """Curves of the run's tasks, each in at most `points` points that keep every peak and every dip."""
    query = call.query
    run = await named_run(call)

    def work(sketch: Sketch) -> tuple[int, list[Place], str]:
        overview = sketch.overview
        found = select(overview, query.task, after=query.cursor, limit=query.limit)
        tried = (place_of(overview, sketch.find_slot(place), run, address(*place)) for place in found.places)
        return overview.head, [place for place in tried if place is not None], address(*found.places[-1]) if found.more else ""

    head, wanted, more = await call.site.overviews.read(run, work)
    items = await asyncio.to_thread(_read_curves, call.site.curves, wanted, query)
    return {"items": items, "next": more, "head": head}


async def compare_runs(call: Call[CompareQuery, None]) -> Any:
    """Parameters, metrics and states of several runs side by side; of two, everything that differs."""
    journal = call.site.services.journal
    runs = list(dict.fromkeys(call.query.run))
    rows: list[RunSummary] = []
    for run in runs:
        summary = await journal.find_summary(run)
        if summary is None or not call.identity.sees(summary.project):
            raise NotFoundError(f"there is no run {run!r}", hint="GET /runs lists them", where="query.run")
        rows.append(summary)
    differences = await _diff(call.site, runs[0], runs[1]) if len(runs) == 2 else []
    return {
        "runs": [full(row) for row in rows],
        "parameters": _side_by_side([row.params for row in rows]),
        "metrics": _side_by_side([row.metrics for row in rows]),
        "differences": differences,
    }


def _read_curves(reader: CurveReader, wanted: Sequence[Place], query: CurvesQuery) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = []
    for place in wanted:
        attempts = place.attempts if query.tries == "all" else place.attempts[-1:]
        for metric, line in read_lines(reader, place.maker, attempts, place.ranks, query.by).items():
            if not query.metric or metric in query.metric:
                found = {"points": downsample(line.points, query.points), "count": line.logged, "restarts": line.restarts}
                items.append({"task": place.task, "attempt": attempts[-1], "metric": metric, **found})
    return items


def _side_by_side(tables: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    names = dict.fromkeys(name for table in tables for name in table)
    return [{"name": name, "values": [table.get(name) for table in tables]} for name in names]


async def _diff(site: Site, first: str, second: str) -> list[Any]:
    """Between two small runs as `fairway diff` finds it; of a large one only what its overview knows."""
    overviews = {run: await site.overviews.get(run) for run in (first, second)}
    if all(is_small(one.head, one.total) for one in overviews.values()):
        return await asyncio.to_thread(_diff_whole, site, first, second)
    outlines = {run: outline(await site.overviews.get(run)) for run in (first, second)}
    times = {run: took for run, (_, took) in outlines.items()}
    states = [state for state, _ in outlines.values()]
    found = await asyncio.to_thread(diff, states[0], states[1], site.services.home, lambda state: times[state.run])
    return [full(one) for one in found]


def _diff_whole(site: Site, first: str, second: str) -> list[Any]:
    """In a thread, on states of its own: those of the loop change meanwhile."""
    states = [run_now(read_history(site.services.journal, run)).state for run in (first, second)]
    return [full(one) for one in diff(states[0], states[1], site.services.home)]


OPERATIONS = (
    Operation("GET", "/runs/{run}/metrics", list_curves, "Curves of a run", "metrics", query=CurvesQuery, answer=CurvesPage),
    Operation(
        "GET",
        "/compare",
        compare_runs,
        "Runs side by side",
        "metrics",
        query=CompareQuery,
        answer=Comparison,
        also={404: "There is no such run"},
    ),
)
