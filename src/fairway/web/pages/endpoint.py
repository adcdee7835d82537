"""One endpoint: its traffic as it comes, its revisions and their shares, what was refused, and a form that sends a request."""

from __future__ import annotations

import asyncio
import json
from typing import Annotated, Any, Literal

import msgspec
from jinja2.utils import htmlsafe_json_dumps
from markupsafe import Markup
from msgspec import Meta
from starlette.responses import Response

from fairway.errors import FairwayError, NotFoundError
from fairway.serve.control.view import EndpointView
from fairway.serve.feedback.watchkeys import report_key
from fairway.spec.endpoint import find_revision
from fairway.spec.summary import RunSummary
from fairway.web import driftviews
from fairway.web import endpointviews as views
from fairway.web.access import can_see
from fairway.web.pages.endpoints import named_endpoint
from fairway.web.pages.page import Page, Visit

TABS = ("overview", "try", "quality", "drift", "keys", "logs", "settings")
LABELS = ("Overview", "Try it", "Quality", "Drift", "Keys", "Logs", "Settings")
BLOCKS = ("content", "head", "top", "rest", "drift")
"""Parts that are fetched anew, in elements named endpoint-…."""
REVISIONS_SHOWN = 12


class EndpointQuery(msgspec.Struct, kw_only=True):
    """`tab`: a part of the page; `all`: the old revisions too; `replica`: whose logs."""

    tab: Literal["overview", "try", "quality", "drift", "keys", "logs", "settings"] = "overview"
    all: bool = False
    replica: Annotated[str, Meta(max_length=300)] = ""


class SeriesQuery(msgspec.Struct, kw_only=True):
    """`after`: points of later than that."""

    after: float = 0.0


class LogsQuery(msgspec.Struct, kw_only=True):
    """`replica`: of that one alone; `lines`: at most so many, the last."""

    revision: Annotated[int, Meta(ge=0)] = 0
    replica: Annotated[str, Meta(max_length=300)] = ""
    lines: Annotated[int, Meta(ge=1, le=5000)] = 500


async def show_endpoint(visit: Visit) -> Response:
    """The whole page, one of its tabs, or a part that is fetched anew."""
    _, view = await named_endpoint(visit)
    block = visit.wanted.removeprefix("endpoint-")
    return visit.html("endpoint.html", block=block if block in BLOCKS else "", **await frame(visit, view))


async def frame(visit: Visit, view: EndpointView) -> dict[str, Any]:
    """What the page and its parts are drawn from."""
    keeper, now, endpoint = visit.site.settings.endpoints, visit.site.clock(), view.endpoint
    tab = getattr(visit.query, "tab", "overview")
    shown_all = getattr(visit.query, "all", False)
    rows = views.rows_of(view, await read_summaries(visit, view))
    kept = [row for n, row in enumerate(rows) if n < REVISIONS_SHOWN or row.now.weight or row.number == endpoint.shadow]
    return {
        "view": view,
        "endpoint": endpoint,
        "stand": keeper.stand(view.name) if keeper is not None else 0,
        "tab": tab,
        "replica": getattr(visit.query, "replica", ""),
        "tabs": tuple(zip(TABS, LABELS, strict=True)),
        "rows": rows if shown_all else kept,
        "left_out": 0 if shown_all else len(rows) - len(kept),
        "spark": views.spark_of(view, now),
        "bad": views.is_bad(view.figures),
        "needs_key": views.needs_key(view),
        "refused": views.join_refused(view.refused),
        "going": views.is_going(endpoint.rollout),
        "rollout": views.tell_rollout(view.rollout, now) if view.rollout is not None else "",
        "told": views.is_told(endpoint, now),
        "checks": views.judge(view.rollout) if view.rollout is not None else [],
        "scaling": views.tell_scaling(endpoint.scaling, view.scaled_by),
        "command": lambda *words: views.command(*words, on=target_of(visit)),
        "weight": views.spell_weight,
        "traffic_command": views.traffic_command(view.name, endpoint.traffic, target_of(visit)),
        "shares": {str(number): share for number, share in endpoint.traffic},
        "series": views.tell_series(view.series) if tab == "overview" and visit.wanted in ("", "endpoint-content") else {},
        "accuracy": views.tell_accuracy(view) if tab == "quality" else {},
        "drift": driftviews.tell_drift(view) if tab == "drift" else None,
        "alarmed": driftviews.find_alarmed(view),
        "form": spell_json(await asyncio.to_thread(tell_form, view)) if tab == "try" else "",
        "curl": views.curl_line(view.url, json.dumps(view.example, ensure_ascii=False), keyed=views.needs_key(view)),
    }


async def show_revision(visit: Visit) -> Response:
    """All that a revision is, and what made it."""
    _, view = await named_endpoint(visit)
    number = visit.path["number"]
    if not number.isdecimal() or find_revision(view.endpoint, int(number)) is None:
        raise NotFoundError(f"{view.name} has no revision {number!r}", hint=f"/endpoints/{view.name} lists them")
    rows = views.rows_of(view, await read_summaries(visit, view))
    row = next(row for row in rows if row.number == int(number))
    return visit.html("endpoints/revision.html", view=view, endpoint=view.endpoint, row=row, weight=views.spell_weight)


async def send_drift_report(visit: Visit) -> Response:
    """The page about the rows that came last, as it was made: a document of its own that reaches nothing."""
    _, view = await named_endpoint(visit)
    number = visit.path["number"]
    page = None
    if number.isdecimal() and any(one.revision == int(number) for one in view.drift.revisions):
        page = await asyncio.to_thread(_find_page, visit, report_key(view.name, int(number)))
    if page is None:
        hint = "it comes with the first rows that are judged"
        raise NotFoundError(f"there is no report about revision {number!r} of {view.name}", hint=hint)
    headers = {"content-security-policy": driftviews.REPORT_POLICY, "cache-control": "private, no-cache"}
    return Response(page, media_type="text/html", headers=headers)


def _find_page(visit: Visit, key: str) -> bytes | None:
    try:
        return visit.site.services.artifacts.get(key)
    except NotFoundError:
        return None


async def send_series(visit: Visit) -> Response:
    """What has happened lately, as columns for the charts."""
    _, view = await named_endpoint(visit)
    return visit.json(views.tell_series(view.series, visit.query.after))


async def show_logs(visit: Visit) -> Response:
    """What the replicas have printed."""
    keeper, view = await named_endpoint(visit)
    query = visit.query
    lines = await keeper.logs(view.name, revision=query.revision, replica=query.replica, lines=query.lines)
    return visit.html(
        "endpoints/logs.html", view=view, lines=lines, asked=query, command=lambda *words: views.command(*words, on=target_of(visit))
    )


async def read_summaries(visit: Visit, view: EndpointView) -> dict[str, RunSummary]:
    """The runs that the revisions come from, as far as they may be seen."""
    found: dict[str, RunSummary] = {}
    for run in sorted(views.runs_of(view.endpoint)):
        if await can_see(visit.site, visit.identity, run):
            summary = await visit.site.services.journal.find_summary(run)
            if summary is not None:
                found[run] = summary
    return found


def tell_form(view: EndpointView) -> dict[str, Any]:
    """What the form for a request is drawn from: the schema, spelled in the one way that all ways lead to, and an example. For a thread:
    the first time it imports what reads schemas."""
    told = {"schema": view.schema, "example": view.example, "takes_body": False}
    if view.schema is None:
        return told
    try:
        from fairway.data.schema.load import load_schema

        read = load_schema(view.schema)
    except (ImportError, FairwayError):
        return told
    example = view.example if view.example is not None else next(iter(read.examples), None)
    return {"schema": read.document, "example": example, "takes_body": read.takes_body}


def spell_json(value: Any) -> Markup:
    """JSON as it may stand in a page, in its own order: fields of a form are in that of the schema."""
    return htmlsafe_json_dumps(value, sort_keys=False, ensure_ascii=False)


def target_of(visit: Visit) -> str:
    """The target that commands name."""
    return str(visit.site.settings.target.get("name", ""))


_ONE = "/endpoints/{endpoint}"
PAGES = (
    Page("GET", _ONE, show_endpoint, query=EndpointQuery),
    Page("GET", f"{_ONE}/revisions/{{number}}", show_revision),
    Page("GET", f"{_ONE}/drift/{{number}}", send_drift_report),
    Page("GET", f"{_ONE}/series.json", send_series, query=SeriesQuery),
    Page("GET", f"{_ONE}/logs", show_logs, query=LogsQuery),
)
