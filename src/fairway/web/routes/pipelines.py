"""What has been run: pipelines with their runs counted, and the index of the cache."""

from __future__ import annotations

from typing import Any

from starlette.responses import Response

from fairway.spec.query import PipelineStats
from fairway.web.access import check_all_projects
from fairway.web.operation import Call, Operation
from fairway.web.records import full
from fairway.web.schema.pipelines import CacheFound, CachePage, CacheQuery, KeysBody, PipelinesPage
from fairway.web.schema.runs import FacetsQuery
from fairway.web.schema.words import PipelineStatsData
from fairway.web.sight import seen_projects


async def list_pipelines(call: Call[FacetsQuery, None]) -> Any:
    """Pipelines, the one that ran last first."""
    projects = seen_projects(call.identity, call.query.project)
    tally = [] if projects is None else await call.site.services.journal.tally(projects)
    found: dict[str, dict[str, Any]] = {}
    for row in tally:
        if not row.archived:
            one = found.setdefault(row.pipeline, {"name": row.pipeline, "runs": 0, "by_status": {}, "newest": ""})
            one["runs"] += row.runs
            one["by_status"][row.status] = row.runs
            one["newest"] = max(one["newest"], row.newest)
    return {"items": sorted(found.values(), key=lambda one: one["newest"], reverse=True), "tally": [full(row) for row in tally]}


async def get_stats(call: Call[FacetsQuery, None]) -> Any:
    """How often the pipeline's runs succeed, how long they usually take, and the newest of them."""
    projects, name = seen_projects(call.identity, call.query.project), call.path["pipeline"]
    return full(PipelineStats(name) if projects is None else await call.site.services.journal.pipeline_stats(name, projects))


async def find_cached(call: Call[Any, KeysBody]) -> Any:
    """Entries of the cache's index by key."""
    found = await call.site.services.journal.find_cached(call.body.keys)
    seen = await call.site.sight.entries(call.identity, found.values())
    return {"entries": {entry.key: full(entry) for entry in seen}}


async def list_cached(call: Call[CacheQuery, None]) -> Any:
    """Entries of the cache's index, by key."""
    query = call.query
    found = await call.site.services.journal.cached(orphaned=query.orphaned)
    rest = sorted((entry for entry in found if entry.key > query.cursor), key=lambda entry: entry.key)
    rest = await call.site.sight.entries(call.identity, rest)
    page = rest[: query.limit]
    return {"items": [full(entry) for entry in page], "next": page[-1].key if len(rest) > query.limit else ""}


async def forget_cached(call: Call[Any, KeysBody]) -> Response:
    """Remove entries of the cache's index: what they stand for is done again when it is next needed. Absent = success."""
    check_all_projects(call.identity)
    await call.site.services.journal.forget_cached(call.body.keys)
    return Response(status_code=204)


OPERATIONS = (
    Operation("GET", "/pipelines", list_pipelines, "Pipelines", "pipelines", query=FacetsQuery, answer=PipelinesPage),
    Operation(
        "GET", "/pipelines/{pipeline}/stats", get_stats, "A pipeline's runs in figures", "pipelines", query=FacetsQuery,
        answer=PipelineStatsData,
    ),
    Operation("GET", "/cache", list_cached, "The cache's index", "store", query=CacheQuery, answer=CachePage),
    Operation("POST", "/cache/find", find_cached, "Look keys up in the cache", "store", body=KeysBody, answer=CacheFound, role="view"),
    Operation("POST", "/cache/forget", forget_cached, "Forget keys of the cache", "store", body=KeysBody, status=204, role="admin"),
)  # fmt: skip
