"""Tasks of a run: in pages, or one with its attempts, its inputs, and why it ran."""

from __future__ import annotations

import asyncio
from typing import Any

from fairway.engine.explain import why
from fairway.engine.recorded import get_inputs
from fairway.engine.state import RunState
from fairway.errors import NotFoundError
from fairway.spec.event import Index, address
from fairway.web.endpoint import Call, Endpoint
from fairway.web.places import get_place, select
from fairway.web.records import full
from fairway.web.routes.runs import named_run
from fairway.web.schema.tasks import TaskDetail, TasksPage, TasksQuery, Why, WhyQuery
from fairway.web.views import task_detail, task_row


async def list_tasks(call: Call[TasksQuery, None]) -> Any:
    """Tasks in the order of their steps, a page at a time."""
    query = call.query
    head, state = await call.site.states.get(await named_run(call))
    found = select(state, query.match, status=query.status, after=query.cursor, limit=query.limit)
    return {
        "items": [task_row(state, *place) for place in found.places],
        "next": address(*found.places[-1]) if found.more else "",
        "total": found.total,
        "head": head,
    }


async def get_task(call: Call[Any, None]) -> Any:
    """One task by its address."""
    run = await named_run(call)
    _, state = await call.site.states.get(run)
    place = get_place(state, call.path["task"])
    detail = task_detail(state, *place)
    inputs = await asyncio.to_thread(_inputs, state, place, call.site.library)
    return {**detail, "inputs": inputs}


async def explain_task(call: Call[WhyQuery, None]) -> Any:
    """Why a task ran, or did not have to."""
    run = await named_run(call)
    _, state = await call.site.states.get(run)
    place = get_place(state, call.query.task)
    found = await asyncio.to_thread(why, call.site.workspace(), run, address(*place))
    return full(found)


def _inputs(state: RunState, place: tuple[str, str, Index], library: Any) -> dict[str, Any]:
    try:
        given = get_inputs(state, *place, library)
    except NotFoundError:  # not made yet
        return {}
    return {name: {"ref": full(value.ref) if value.ref is not None else None, "secret": value.secret} for name, value in given.items()}


ENDPOINTS = (
    Endpoint("GET", "/runs/{run}/tasks", list_tasks, "Tasks of a run", "tasks", query=TasksQuery, answer=TasksPage),
    Endpoint("GET", "/runs/{run}/tasks/{task:path}", get_task, "One task", "tasks", answer=TaskDetail),
    Endpoint("GET", "/runs/{run}/why", explain_task, "Why a task ran", "tasks", query=WhyQuery, answer=Why),
)
