"""Where a visit begins."""

from __future__ import annotations

from starlette.responses import Response

from fairway.web.pages.page import Page, Visit


async def show_home(visit: Visit) -> Response:
    """The runs are what people come for."""
    return visit.go("/runs")


PAGES = (Page("GET", "/", show_home),)
