"""Tasks of a run: in pages, or one with its attempts, its inputs, and why it ran."""

from __future__ import annotations

from typing import Any

from fairway.engine.sketch import Sketch
from fairway.spec.event import Index, address
from fairway.web.explaining import explain
from fairway.web.lists import LeanLibrary
from fairway.web.operation import Call, Operation
from fairway.web.places import get_place, select
from fairway.web.records import full
from fairway.web.routes.runs import named_run
from fairway.web.schema.tasks import TaskDetail, TasksPage, TasksQuery, Why, WhyQuery
from fairway.web.views import task_detail, task_row


async def list_tasks(call: Call[TasksQuery, None]) -> Any:
    """Tasks in the order of their steps, a page at a time."""
    query = call.query

    def work(sketch: Sketch) -> dict[str, Any]:
        found = select(sketch.overview, query.match, status=query.status, after=query.cursor, limit=query.limit)
        sketch.load(map(sketch.find_slot, found.places), attempts=True)
        return {
            "items": [task_row(sketch.state, *place) for place in found.places],
            "next": address(*found.places[-1]) if found.more else "",
            "total": found.total,
            "head": sketch.overview.head,
        }

    return await call.site.overviews.read(await named_run(call), work)


async def get_task(call: Call[Any, None]) -> Any:
    """One task by its address."""
    run, library = await named_run(call), LeanLibrary(call.site.services.artifacts)

    def work(sketch: Sketch) -> dict[str, Any]:
        place = get_place(sketch.overview, call.path["task"])
        sketch.load((sketch.find_slot(place),), attempts=True)
        return {**task_detail(sketch.state, *place), "inputs": _inputs(sketch, place, library)}

    return await call.site.overviews.read(run, work)


async def explain_task(call: Call[WhyQuery, None]) -> Any:
    """Why a task ran, or did not have to."""
    return full(await explain(call.site, call.identity, await named_run(call), call.query.task))


def _inputs(sketch: Sketch, place: tuple[str, str, Index], library: LeanLibrary) -> dict[str, Any]:
    (given,) = sketch.given([place], library)
    return {name: {"ref": full(value.ref) if value.ref is not None else None, "secret": value.secret} for name, value in given.items()}


OPERATIONS = (
    Operation("GET", "/runs/{run}/tasks", list_tasks, "Tasks of a run", "tasks", query=TasksQuery, answer=TasksPage),
    Operation("GET", "/runs/{run}/tasks/{task:path}", get_task, "One task", "tasks", answer=TaskDetail),
    Operation("GET", "/runs/{run}/why", explain_task, "Why a task ran", "tasks", query=WhyQuery, answer=Why),
)
