"""Artifacts: what runs made, what each looks like, what it was made of and what was made of it."""

from __future__ import annotations

import asyncio
from pathlib import PurePosixPath
from typing import Annotated, Any
from urllib.parse import quote

import msgspec
from msgspec import Meta
from starlette.responses import Response

from fairway.spec.artifact import blob_key
from fairway.web.access import can_see
from fairway.web.lineage import Served, find_served
from fairway.web.lists import LeanLibrary
from fairway.web.origins import draw_lineage, tell_origin
from fairway.web.pages.page import Page, Visit
from fairway.web.pages.runs import get_facets
from fairway.web.previews.finding import Meant, find_meant
from fairway.web.previews.kinds import KINDS
from fairway.web.previews.made import find_made, find_others
from fairway.web.previews.shown import Shower, describe, entries_with_kinds, items_with_kinds
from fairway.web.respond import render_text
from fairway.web.routes.blobs import send_blob

Word = Annotated[str, Meta(max_length=1024)]


class ListQuery(msgspec.Struct, kw_only=True):
    """What is looked for: words, a digest's beginning; `before`: a run."""

    q: Word = ""
    pipeline: Word = ""
    type: Word = ""
    before: Word = ""


class ArtifactQuery(msgspec.Struct, kw_only=True):
    """`run` names the artifact. `file`: which file of a folder. `within`: the list that the artifact is an item of."""

    run: Annotated[str, Meta(min_length=1, max_length=1024)]
    file: Annotated[str, Meta(max_length=4096)] = ""
    within: Word = ""


class LineageQuery(ArtifactQuery):
    """How many steps to what it was made of, and to what was made of it."""

    up: Annotated[int, Meta(ge=0, le=100)] = 100
    down: Annotated[int, Meta(ge=0, le=100)] = 1


class PartQuery(ArtifactQuery):
    """`offset`: how many come before. `under`: which folder."""

    offset: Annotated[int, Meta(ge=0)] = 0
    under: Annotated[str, Meta(max_length=4096)] = ""


class RowsQuery(PartQuery):
    """`sort`: a column's number, with "-" the greatest first. `where`: "NUMBER:FILTER"."""

    limit: Annotated[int, Meta(ge=1, le=1000)] = 200
    sort: Annotated[str, Meta(max_length=12)] = ""
    where: list[str] = []


class ArrayQuery(ArtifactQuery):
    """`at`: which part of an array of more than two axes."""

    at: list[int] = []


async def list_made(visit: Visit) -> Response:
    """The newest outputs of runs."""
    query = visit.query
    made = await find_made(visit.site, visit.identity, query)
    pipelines = (await get_facets(visit)).pipelines
    return visit.html(
        "artifacts/list.html", block="rows" if visit.fragment else "", made=made, asked=query, kinds=KINDS, pipelines=pipelines
    )


async def show_artifact(visit: Visit) -> Response:
    """One artifact: what it is, where it comes from; its preview and its lineage are fetched by the page."""
    meant = await _find(visit)
    steps = {"up": visit.query.up, "down": visit.query.down}
    return visit.html("artifacts/artifact.html", meant=meant, about=describe(meant), summary=await _summary(visit, meant), steps=steps)


async def show_preview(visit: Visit) -> Response:
    """The preview alone, as a part for a page."""
    shown = await Shower(visit.site, visit.identity, await _find(visit)).show()
    return visit.html("artifacts/_preview.html", **shown)


async def send_rows(visit: Visit) -> Response:
    """Rows of a table."""
    query = visit.query
    return await _send_look(visit, "rows", offset=query.offset, limit=query.limit, sort=query.sort, where=query.where)


async def send_columns(visit: Visit) -> Response:
    """What each column of a table holds."""
    return await _send_look(visit, "columns")


async def send_array(visit: Visit) -> Response:
    """Another part of an array."""
    return await _send_look(visit, "array", at=visit.query.at)


async def show_part(visit: Visit) -> Response:
    """More entries of a folder, or more items of a list."""
    query, meant = visit.query, await _find(visit)
    what = "items" if meant.kind == "list" else "folder"
    seen = await asyncio.to_thread(visit.site.looker.look, what, meant.subject, {"offset": query.offset, "under": query.under})
    shown = items_with_kinds(seen) if what == "items" else entries_with_kinds(seen)
    return visit.html("artifacts/_part.html", meant=meant, shown=shown, what=what, offset=query.offset, under=query.under)


async def send_bytes(visit: Visit) -> Response:
    """The bytes, as a file to be saved: a browser is not to show them."""
    meant = await _find(visit)
    name = PurePosixPath(meant.file or str(meant.ref.meta.get("name", "")) or _file_name(meant)).name
    headers = {
        "content-disposition": f"attachment; filename*=UTF-8''{quote(name, safe='')}",
        "content-security-policy": "sandbox; default-src 'none'",
        "x-content-type-options": "nosniff",
    }
    if meant.subject.inline is not None:
        return render_text(
            visit.request, meant.subject.inline.encode("utf-8", "surrogatepass"), "application/octet-stream", headers=headers
        )
    response = await send_blob(visit, blob_key(meant.subject.digest))
    response.headers.update(headers)
    return response


async def show_origin(visit: Visit) -> Response:
    """How it was made, in a sentence."""
    meant = await _find(visit)
    library = LeanLibrary(visit.site.services.artifacts)
    origin = await visit.site.overviews.read(meant.run, lambda sketch: tell_origin(sketch, library, meant.ref.digest))
    maker = origin.cached[0]
    shown = bool(maker) and await can_see(visit.site, visit.identity, maker)  # another project's run may have made it
    served = (await _served(visit)).get(meant.ref.digest, [])
    return visit.html(
        "artifacts/_origin.html", meant=meant, origin=origin, shows_maker=shown, served=served, summary=await _summary(visit, meant)
    )


async def show_lineage(visit: Visit) -> Response:
    """What it was made of and what was made of it, as a graph."""
    query, meant = visit.query, await _find(visit)
    library = LeanLibrary(visit.site.services.artifacts)
    served = await _served(visit)
    drawing = await visit.site.overviews.read(
        meant.run, lambda sketch: draw_lineage(sketch, library, meant.ref.digest, up=query.up, down=query.down, served=served)
    )
    return visit.html("artifacts/_lineage.html", meant=meant, drawing=drawing, up=query.up, down=query.down)


async def show_others(visit: Visit) -> Response:
    """Where else the same artifact is."""
    meant = await _find(visit)
    others = await find_others(visit.site, visit.identity, meant.run, meant.ref.digest)
    return visit.html("artifacts/_others.html", meant=meant, others=others)


async def _find(visit: Visit) -> Meant:
    query = visit.query
    return await find_meant(visit.site, visit.identity, query.run, visit.path["digest"], file=query.file, within=query.within)


async def _send_look(visit: Visit, what: str, **args: Any) -> Response:
    meant = await _find(visit)
    if what != "array":
        args["form"] = meant.form
    return visit.json(await asyncio.to_thread(visit.site.looker.look, what, meant.subject, args))


async def _served(visit: Visit) -> dict[str, list[Served]]:
    """What endpoints serve, as far as they may be seen."""
    keeper = visit.site.settings.endpoints
    views = await keeper.views() if keeper is not None else ()
    return find_served(view.endpoint for view in views if visit.identity.sees(view.endpoint.project))


async def _summary(visit: Visit, meant: Meant) -> Any:
    return await visit.site.services.journal.find_summary(meant.run)


def _file_name(meant: Meant) -> str:
    endings = {
        "json": ".json",
        "metrics": ".json",
        "table": ".json",
        "text": ".txt",
        "npy": ".npy",
        "html": ".html",
        "data-report": ".html",
        "parquet-table": ".parquet",
        "markdown": ".md",
        "npz": ".npz",
    }
    form = meant.ref.format
    return meant.shown_name.replace("/", "-") + (".arrow" if form.startswith("arrow") else endings.get(form, ""))


_ONE = "/artifacts/{digest}"
PAGES = (
    Page("GET", "/artifacts", list_made, query=ListQuery),
    Page("GET", _ONE, show_artifact, query=LineageQuery),
    Page("GET", f"{_ONE}/preview", show_preview, query=ArtifactQuery),
    Page("GET", f"{_ONE}/table.json", send_rows, query=RowsQuery),
    Page("GET", f"{_ONE}/columns.json", send_columns, query=ArtifactQuery),
    Page("GET", f"{_ONE}/array.json", send_array, query=ArrayQuery),
    Page("GET", f"{_ONE}/part", show_part, query=PartQuery),
    Page("GET", f"{_ONE}/origin", show_origin, query=ArtifactQuery),
    Page("GET", f"{_ONE}/lineage", show_lineage, query=LineageQuery),
    Page("GET", f"{_ONE}/others", show_others, query=ArtifactQuery),
    Page("GET", f"{_ONE}/download", send_bytes, query=ArtifactQuery),
)
