"""Artifacts: listed, looked at, fetched, traced in both directions."""

from __future__ import annotations

import asyncio
from itertools import islice
from typing import Any
from urllib.parse import quote

from starlette.responses import Response

from fairway.engine.sketch import Sketch
from fairway.errors import NotFoundError
from fairway.spec.artifact import ArtifactRef, blob_key
from fairway.spec.event import address
from fairway.web.access import check_run
from fairway.web.lineage import Lineage
from fairway.web.lists import LeanLibrary
from fairway.web.operation import BYTES, Call, Operation
from fairway.web.places import select
from fairway.web.previews.brief import preview
from fairway.web.previews.finding import names_artifact
from fairway.web.previews.media import media_type
from fairway.web.records import full
from fairway.web.respond import render_text
from fairway.web.routes.blobs import send_blob
from fairway.web.routes.runs import named_run
from fairway.web.schema.artifacts import (
    ArtifactDetail,
    ArtifactQuery,
    ArtifactsPage,
    ArtifactsQuery,
    ContentQuery,
    LineageData,
    LineageQuery,
    Preview,
    PreviewQuery,
)


async def list_artifacts(call: Call[ArtifactsQuery, None]) -> Any:
    """What the run's tasks have made, a page at a time; its own outputs come first."""
    query = call.query

    def work(sketch: Sketch) -> dict[str, Any]:
        found = _outputs(sketch, query) if not query.task and not query.cursor else []
        chosen = select(sketch.overview, query.task, after=query.cursor, limit=query.limit)
        sketch.load(map(sketch.find_slot, chosen.places))
        for place in chosen.places:
            task = address(*place)
            refs = sketch.task(place).outputs or {}
            found += [(f"{task}.{name}", task, name, ref) for name, ref in refs.items() if _wanted(ref, query)]
        return {
            "items": [{"artifact": name, "task": task, "output": output, "ref": full(ref)} for name, task, output, ref in found],
            "next": address(*chosen.places[-1]) if chosen.more else "",
        }

    return await call.site.overviews.read(await named_run(call), work)


async def get_artifact(call: Call[ArtifactQuery, None]) -> Any:
    """What is known of an artifact: where the run names it, and whether its bytes are there."""
    digest = _digest(call)
    await _check_seen(call, call.query.run)
    stat = await asyncio.to_thread(call.site.services.artifacts.stat, blob_key(digest))
    refs: list[dict[str, Any]] = []
    if call.query.run:
        found = await call.site.overviews.read(call.query.run, lambda sketch: list(islice(sketch.find_refs(digest), 100)))
        refs = [{"task": task, "output": output, "ref": full(ref)} for task, output, ref in found]
    if stat is None and not refs:
        raise NotFoundError(f"there is no artifact {digest[:12]}", hint="name the run that made it: ?run=ID")
    return {
        "digest": digest,
        "stored": stat is not None,
        "size_bytes": stat.size_bytes if stat is not None else refs[0]["ref"]["size_bytes"],
        "refs": refs,
    }


async def preview_artifact(call: Call[PreviewQuery, None]) -> Any:
    """The beginning of an artifact, as data that can be drawn."""
    ref = await _get_ref(call, call.query.run)
    return await asyncio.to_thread(preview, ref, call.site.services.artifacts, call.query.rows, call.site.looker)


async def read_artifact(call: Call[ContentQuery, None]) -> Response:
    """An artifact's bytes, by `Range`; of one that is a folder or a list, its manifest."""
    digest, query = _digest(call), call.query
    await _check_seen(call, query.run)
    ref = await _get_ref(call, query.run) if query.run else None
    name = quote(query.name, safe="") if query.name else ""
    if ref is not None and ref.inline is not None:
        headers = {"etag": f'"{digest[:40]}"', "x-content-type-options": "nosniff", "content-security-policy": "sandbox"}
        if name:
            headers["content-disposition"] = f"attachment; filename*=UTF-8''{name}"
        return render_text(call.request, ref.inline.encode("utf-8", "surrogatepass"), media_type(ref), headers=headers)
    response = await send_blob(call, blob_key(digest), media_type(ref), name)
    response.headers["content-security-policy"] = "sandbox"  # what a step wrote is not one of our pages
    return response


async def trace_artifact(call: Call[LineageQuery, None]) -> Any:
    """What an artifact was made of and what was made of it, in one run; and which other runs name it."""
    digest, query = _digest(call), call.query
    await check_run(call.site, call.identity, query.run)
    library = LeanLibrary(call.site.services.artifacts)

    def work(sketch: Sketch) -> tuple[list[dict[str, Any]], bool]:
        if next(sketch.find_refs(digest), None) is None:
            raise _not_named(query.run, digest)
        found = Lineage(sketch, library)
        if query.direction != "down":
            found.up(digest, query.depth)
        if query.direction != "up":
            found.down(digest, query.depth)
        return found.rows(), found.complete

    tasks, complete = await call.site.overviews.read(query.run, work)
    others = await _other_runs(call, query.run, digest, query.runs) if query.runs else []
    return {"digest": digest, "run": query.run, "tasks": tasks, "complete": complete, "other_runs": others}


def _outputs(sketch: Sketch, query: ArtifactsQuery) -> list[tuple[str, str, str, ArtifactRef]]:
    """(name, task, output, reference) of the run's own outputs."""
    return [(name, "", name, ref) for name, ref in sketch.state.outputs.items() if _wanted(ref, query)]


def _wanted(ref: ArtifactRef, query: ArtifactsQuery) -> bool:
    return not query.type or query.type in (ref.type, ref.format)


async def _get_ref(call: Call[Any, Any], run: str) -> ArtifactRef:
    digest = _digest(call)
    await check_run(call.site, call.identity, run)
    found = await call.site.overviews.read(run, lambda sketch: next(sketch.find_refs(digest), None))
    if found is None:
        raise _not_named(run, digest)
    return found[2]


def _not_named(run: str, digest: str) -> NotFoundError:
    return NotFoundError(f"run {run} does not name the artifact {digest[:12]}", hint="GET its artifacts lists them", where="query.run")


async def _check_seen(call: Call[Any, Any], run: str) -> None:
    """An artifact may be looked at through a run that may be seen; by its digest alone if any such run reaches it."""
    if run:
        await check_run(call.site, call.identity, run)
    else:
        await call.site.sight.check_blob(call.identity, blob_key(call.path["digest"]))


async def _other_runs(call: Call[Any, Any], run: str, digest: str, runs: int) -> list[str]:
    rows = await call.site.services.journal.summaries(archived=True, limit=runs)
    seen = [row.run for row in rows if row.run != run and call.identity.sees(row.project)]
    return [row for row in seen if await names_artifact(call.site, row, digest)]


def _digest(call: Call[Any, Any]) -> str:
    digest = call.path["digest"]
    if len(digest) != 64 or not set(digest) <= set("0123456789abcdef"):
        raise NotFoundError(f"not the digest of an artifact: {digest[:80]!r}", hint="a digest is 64 hexadecimal digits")
    return digest


OPERATIONS = (
    Operation("GET", "/runs/{run}/artifacts", list_artifacts, "Artifacts of it", "artifacts", query=ArtifactsQuery, answer=ArtifactsPage),
    Operation("GET", "/artifacts/{digest}", get_artifact, "An artifact", "artifacts", query=ArtifactQuery, answer=ArtifactDetail),
    Operation("GET", "/artifacts/{digest}/preview", preview_artifact, "Its beginning", "artifacts", query=PreviewQuery, answer=Preview),
    Operation(
        "GET", "/artifacts/{digest}/content", read_artifact, "Its bytes", "artifacts", query=ContentQuery, media=(BYTES, "*/*"),
        also={206: "A range of it", 304: "You have it", 416: "No such range"},
    ),
    Operation("GET", "/artifacts/{digest}/lineage", trace_artifact, "Its lineage", "artifacts", query=LineageQuery, answer=LineageData),
)  # fmt: skip
