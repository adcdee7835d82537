"""Runs, newest first, live."""

from __future__ import annotations

import msgspec
from starlette.responses import Response

from fairway.web.pages.page import Page, Visit


class RunsQuery(msgspec.Struct, kw_only=True):
    """What is asked for, as in the address."""

    q: str = ""
    cursor: str = ""


async def show_runs(visit: Visit) -> Response:
    """The list, or the part of it that has changed."""
    rows = await visit.site.services.journal.summaries(limit=50, before=visit.query.cursor)
    return visit.html("runs.html", block="table" if visit.fragment else "", rows=rows, q=visit.query.q)


PAGES = (Page("GET", "/runs", show_runs, query=RunsQuery),)
