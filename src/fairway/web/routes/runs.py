"""Runs: list, start, look, change, stop, go on, again, delete."""

from __future__ import annotations

import re
from typing import Any

from starlette.responses import Response

from fairway.engine.nodecolumns import worst_status
from fairway.engine.overview import Overview, as_error
from fairway.engine.query import parse_query, parse_sort
from fairway.errors import ConfigError, ConflictError, NotFoundError
from fairway.spec.event import RunLabelled, RunResumed, RunStarted, address
from fairway.spec.query import Facets, RunQuery, RunsFound
from fairway.spec.record import replace, to_plain
from fairway.spec.summary import RunSummary
from fairway.store.runs import new_run_id
from fairway.web.access import check_project, check_run
from fairway.web.checks import check_graph, check_started
from fairway.web.operation import Call, Operation
from fairway.web.reading import convert
from fairway.web.records import full, read_record
from fairway.web.reply import Reply
from fairway.web.schema.runs import (
    CancelBody,
    CommandBody,
    CommandSent,
    Digests,
    FacetsQuery,
    Inbox,
    LabelBody,
    RerunBody,
    ResumeBody,
    RunDetail,
    RunsPage,
    RunsQuery,
    StartBody,
)
from fairway.web.schema.words import FacetsData, GraphData, Summary
from fairway.web.sight import seen_projects


async def list_runs(call: Call[RunsQuery, None]) -> dict[str, Any]:
    """Runs, newest first unless another order is asked for, a page at a time."""
    asked = call.query
    if asked.match:
        found = [await find_summary(call, run) for run in await call.site.services.journal.find_runs(asked.match)]
        items = [full(summary) for summary in found if _matches(summary, asked) and call.identity.sees(summary.project)]
        return {"items": items, "next": "", "total": len(items), "exact": True}
    query = _read_query(asked, call.site.clock())
    page = await call.site.sight.search(call.identity, query) if query else RunsFound()
    return {"items": [full(row) for row in page.rows], "next": page.next, "total": page.total, "exact": page.exact}


async def list_facets(call: Call[FacetsQuery, None]) -> Any:
    """Names that can be asked for: pipelines, tags, users, parameters, metrics, targets, projects."""
    projects = seen_projects(call.identity, call.query.project)
    return full(Facets() if projects is None else await call.site.services.journal.facets(projects))


async def start_run(call: Call[Any, StartBody]) -> Reply:
    """Start a run. The same run again is answered with what there is."""
    asked = replace(read_record(RunStarted, call.body.started), created_by=call.user, at=call.site.clock())
    check_project(call.identity, asked.project)
    started = check_started(asked, call.site)
    return await _start(call, started)


async def get_run_detail(call: Call[Any, None]) -> dict[str, Any]:
    """A run with its steps and outputs."""
    run = await named_run(call)
    overview = await call.site.overviews.get(run)
    head, steps = overview.head, _steps(overview)
    outputs = {name: full(ref) for name, ref in overview.outputs.items()}
    error = full(as_error(overview.error)) if overview.error else None
    host = call.site.host
    problem = host.find_problem(run)
    return {
        "summary": full(await find_summary(call, run)),
        "head": head,
        "driven": host.is_driven(run),
        "problem": problem.message if problem else "",
        "steps": steps,
        "outputs": outputs,
        "error": error,
    }


async def get_summary(call: Call[Any, None]) -> Any:
    """A run's summary, as in the list. Cheap: its events are not read."""
    run = await named_run(call)
    summary = await call.site.services.journal.find_summary(run)
    if summary is None:
        raise NotFoundError(f"run {run!r} has no summary yet", hint="ask again in a moment")
    return full(summary)


async def get_graph(call: Call[Any, None]) -> Any:
    """The run's pipeline as data."""
    overview = await call.site.overviews.get(await named_run(call))
    return to_plain(overview.graph)


async def label_run(call: Call[Any, LabelBody]) -> Any:
    """Change tags, note, archive mark."""
    run = await named_run(call)
    body = call.body
    event = RunLabelled(call.site.clock(), call.user, body.add_tags, body.remove_tags, body.note, body.archived)
    return full(await call.site.host.label(run, event))


async def cancel_run(call: Call[Any, CancelBody]) -> Any:
    """Ask for the run's end. One that has ended stays as it is."""
    run = await named_run(call)
    await call.site.host.cancel(run, by=call.user, reason=call.body.reason)
    return full(await find_summary(call, run))


async def resume_run(call: Call[Any, ResumeBody]) -> Any:
    """Go on with a run that has ended without success."""
    run = await named_run(call)
    resumed = None
    if call.body.resumed is not None:
        resumed = replace(read_record(RunResumed, call.body.resumed), by=call.user, at=call.site.clock())
        if resumed.graph is not None:
            check_graph(resumed.graph, call.site)
    summary = await find_summary(call, run)
    if summary.status == "succeeded":
        raise ConflictError(f"{run} has succeeded: there is nothing to go on with", hint="start a new run; what has not changed is cached")
    if summary.status != "running" and resumed is None:
        resumed = RunResumed(call.site.clock(), call.user)
    await call.site.host.resume(run, resumed)
    return full(await find_summary(call, run))


async def rerun(call: Call[Any, RerunBody]) -> Reply:
    """Start a new run of the same graph, code and parameters."""
    run = await named_run(call)
    body = call.body
    (_, first), *_ = await call.site.services.journal.read(run, 0, 1)
    if not isinstance(first, RunStarted):
        raise ConflictError(f"the journal of {run} does not begin with its start", hint="start the pipeline anew")
    started = replace(
        first,
        run=body.run or new_run_id(),
        name=body.name,
        tags=body.tags,
        options=replace(first.options, cache=body.cache),
        created_by=call.user,
        triggered_by=f"rerun of {run}",
        at=call.site.clock(),
    )
    return await _start(call, check_started(started, call.site))


async def delete_run(call: Call[Any, None]) -> Response:
    """Delete a run that has ended. Its artifacts go with the next collection."""
    run = await named_run(call)
    if call.site.host.is_driven(run):
        raise ConflictError(f"{run} is running", hint=f"stop it first: fairway cancel {run}")
    await call.site.services.journal.delete_run(run)
    return Response(status_code=204)


async def send_command(call: Call[Any, CommandBody]) -> CommandSent:
    """Put a command into the run's inbox; a label of a run that nobody drives is put on at once."""
    run = await named_run(call)
    host, body = call.site.host, call.body
    if body.kind == "cancel":
        reason = convert(body.body, CancelBody, "body.body").reason
        return CommandSent(id=await host.cancel(run, by=call.user, reason=reason))
    wanted = convert(body.body, LabelBody, "body.body")
    event = RunLabelled(call.site.clock(), call.user, wanted.add_tags, wanted.remove_tags, wanted.note, wanted.archived)
    await host.label(run, event)
    return CommandSent(id=0)


async def list_commands(call: Call[Any, None]) -> dict[str, Any]:
    """Commands that the driver has not taken up yet."""
    found = await call.site.services.journal.inbox(await named_run(call))
    return {"items": [{"id": command.id, "kind": command.kind, "body": command.body} for command in found]}


async def list_digests(call: Call[Any, None]) -> Digests:
    """What the run may reach in the store."""
    return Digests(digests=sorted(await call.site.services.journal.digests(await named_run(call))))


async def named_run(call: Call[Any, Any]) -> str:
    """The run of the path, by its whole id: what is changed or deleted is never guessed. Raises NotFoundError, also for one that the
    caller may not see."""
    run = call.path["run"]
    await check_run(call.site, call.identity, run)
    return run


async def find_summary(call: Call[Any, Any], run: str) -> RunSummary:
    """The run's summary; an empty one for a run that has none yet."""
    return await call.site.services.journal.find_summary(run) or RunSummary(run, "")


async def _start(call: Call[Any, Any], started: RunStarted) -> Reply:
    begun = await call.site.host.start(started)
    if not begun:
        await _check_same(call, started)
    summary = await find_summary(call, started.run)
    return Reply(full(summary), 201 if begun else 200, {"location": f"/api/v1/runs/{started.run}"})


async def _check_same(call: Call[Any, Any], started: RunStarted) -> None:
    events = await call.site.services.journal.read(started.run, 0, 1)
    there = events[0][1] if events else None
    if not isinstance(there, RunStarted):
        raise NotFoundError(f"run {started.run} was deleted while it was looked at", hint="start it under a new id")
    if to_plain(replace(there, at=0.0, created_by="")) != to_plain(replace(started, at=0.0, created_by="")):
        raise ConflictError(f"there is another run {started.run}", hint="start it under a new id")


def _steps(overview: Overview) -> list[dict[str, Any]]:
    """Steps in order; those of graphs that mapped dynamic tasks have made are taken together, as they differ by their index alone."""
    found: dict[str, dict[str, Any]] = {}
    for scope in overview.scopes.values():
        above = _INDEX.sub("", scope.name)
        for node in scope.nodes.values():
            name = address(above, node.node.id)
            row = found.setdefault(name, {"step": name, "status": "", "counts": {}, "started_at": 0.0, "ended_at": 0.0})
            for status, n in node.named_counts().items():
                row["counts"][status] = row["counts"].get(status, 0) + n
            if node.started_at and (not row["started_at"] or node.started_at < row["started_at"]):
                row["started_at"] = node.started_at
            row["ended_at"] = max(row["ended_at"], node.ended_at)
    return [{**row, "status": worst_status(row["counts"])} for row in found.values()]


def _read_query(asked: RunsQuery, now: float) -> RunQuery | None:
    """What the parameters ask for together; None where they exclude each other. Raises ConfigError."""
    query = parse_query(asked.q, now)
    if asked.sort:
        sort, ascending = parse_sort(asked.sort)
        query = replace(query, sort=sort, ascending=ascending)
    if asked.tag and query.tags not in ((), (asked.tag,)):
        raise ConfigError("the tag is asked for twice", hint="as `tag` or in `q`")
    for name, value in (("pipelines", asked.pipeline), ("statuses", asked.status), ("tags", asked.tag)):
        there: tuple[str, ...] = getattr(query, name)
        if value and there and value not in there:
            return None
        if value:
            query = replace(query, **{name: (value,)})
    archived = None if asked.archived and query.archived is False else query.archived
    return replace(query, archived=archived, limit=asked.limit, cursor=asked.cursor)


def _matches(summary: RunSummary, query: RunsQuery) -> bool:
    return (
        (not query.pipeline or summary.pipeline == query.pipeline)
        and (not query.status or summary.status == query.status)
        and (not query.tag or query.tag in summary.tags)
        and (query.archived or not summary.archived)
    )


_INDEX = re.compile(r"\[[\d,]*\]")
_BUSY = {409: "It changes too often just now"}

OPERATIONS = (
    Operation("GET", "/runs", list_runs, "Find runs, newest first", "runs", query=RunsQuery, answer=RunsPage),
    Operation("GET", "/facets", list_facets, "Names to find runs by", "runs", query=FacetsQuery, answer=FacetsData),
    Operation(
        "POST", "/runs", start_run, "Start a run", "runs", body=StartBody, answer=Summary, status=201,
        also={200: "This very run was there", 409: "Another run has this id"},
    ),
    Operation("GET", "/runs/{run}", get_run_detail, "One run", "runs", answer=RunDetail),
    Operation("PATCH", "/runs/{run}", label_run, "Tags, note, archive", "runs", body=LabelBody, answer=Summary, also=_BUSY),
    Operation(
        "DELETE", "/runs/{run}", delete_run, "Delete a run that has ended", "runs", status=204, also={409: "It is running"}, role="admin",
    ),
    Operation("GET", "/runs/{run}/summary", get_summary, "A run's summary", "runs", answer=Summary),
    Operation("GET", "/runs/{run}/graph", get_graph, "The pipeline of a run", "runs", answer=GraphData),
    Operation("POST", "/runs/{run}/cancel", cancel_run, "Ask for a run's end", "runs", body=CancelBody, answer=Summary, status=202),
    Operation(
        "POST", "/runs/{run}/resume", resume_run, "Go on with a run", "runs", body=ResumeBody, answer=Summary, status=202,
        also={409: "It goes on already, or has succeeded"},
    ),
    Operation(
        "POST", "/runs/{run}/rerun", rerun, "Start the same again as a new run", "runs", body=RerunBody, answer=Summary, status=201,
        also={200: "This very run was there", 409: "Another run has this id"},
    ),
    Operation(
        "POST", "/runs/{run}/commands", send_command, "Put a command into the inbox", "runs", body=CommandBody, answer=CommandSent,
        status=202, also=_BUSY,
    ),
    Operation("GET", "/runs/{run}/commands", list_commands, "Commands that wait", "runs", answer=Inbox),
    Operation("GET", "/runs/{run}/digests", list_digests, "Digests that a run names", "runs", answer=Digests),
)  # fmt: skip
