"""What nobody needs any more."""

from __future__ import annotations

import asyncio
from typing import Any

from fairway.errors import ConflictError, NotFoundError
from fairway.spec.ports import run_now
from fairway.store import gc
from fairway.web.access import check_all_projects
from fairway.web.operation import Call, Operation
from fairway.web.schema.store import GcBody, GcDone


async def collect_garbage(call: Call[Any, GcBody]) -> Any:
    """Delete what no kept run needs; with `dry_run` only say what that is."""
    check_all_projects(call.identity)
    body, services, host = call.body, call.site.services, call.site.host
    rows = await services.journal.summaries(archived=True, limit=0)
    known = {row.run for row in rows}
    for run in body.runs:
        if run not in known:
            raise NotFoundError(f"there is no run {run!r}", hint="GET /runs lists them", where="body.runs")
        if host.is_driven(run):
            raise ConflictError(f"{run} is running", hint=f"stop it first: fairway cancel {run}")
    doomed = list(body.runs)
    if body.archived:
        doomed += [row.run for row in rows if row.archived and row.status != "running"]
    if body.older_than_s or body.keep_last:
        doomed += gc.expired(rows, older_than_s=body.older_than_s, keep_last=body.keep_last)
    places = gc.Places(services.home, (services.journal,), services.artifacts, services.streams, host.driven)
    plan = await asyncio.to_thread(run_now, gc.plan(places, delete_runs=tuple(dict.fromkeys(doomed))))
    done = None if body.dry_run else await asyncio.to_thread(run_now, gc.collect(places, plan))
    return {
        "runs": list(plan.runs),
        "size_bytes": plan.size_bytes,
        "kinds": {kind: {"count": count, "size_bytes": size} for kind, (count, size) in plan.by_kind().items()},
        "deleted": None if done is None else {n: getattr(done, n) for n in done.record_fields},
    }


OPERATIONS = (
    Operation(
        "POST", "/gc", collect_garbage, "Delete what no kept run needs", "store", body=GcBody, answer=GcDone, role="admin",
        also={404: "There is no such run", 409: "It is running"},
    ),
)  # fmt: skip
