"""Endpoints: every name under which a model is served, how it is doing now, and where it is called."""

from __future__ import annotations

from starlette.responses import Response

from fairway.errors import NotFoundError
from fairway.serve.control.view import EndpointView
from fairway.web.driftviews import find_alarmed
from fairway.web.endpointviews import is_bad, serving, spark_of, spell_weight
from fairway.web.pages.page import Page, Visit
from fairway.web.ports import Endpoints


async def list_endpoints(visit: Visit) -> Response:
    """All endpoints that may be seen, by name."""
    keeper = visit.site.settings.endpoints
    stand = keeper.stand() if keeper is not None else 0
    found = [view for view in (await keeper.views() if keeper is not None else ()) if visit.identity.sees(view.endpoint.project)]
    now = visit.site.clock()
    rows = [
        {
            "view": view,
            "spark": spark_of(view, now),
            "serving": serving(view),
            "bad": is_bad(view.figures),
            "alarmed": len(find_alarmed(view)),
        }
        for view in found
    ]
    return visit.html("endpoints.html", block="list" if visit.fragment else "", rows=rows, stand=stand, weight=spell_weight)


async def find_endpoint(visit: Visit, name: str) -> EndpointView | None:
    """The endpoint as it is now; None for one that is not there or not for these eyes."""
    keeper = visit.site.settings.endpoints
    view = await keeper.view(name) if keeper is not None else None
    return view if view is not None and visit.identity.sees(view.endpoint.project) else None


async def named_endpoint(visit: Visit) -> tuple[Endpoints, EndpointView]:
    """Who keeps the endpoint of the path, and what it is. Raises NotFoundError."""
    name, keeper = visit.path["endpoint"], visit.site.settings.endpoints
    view = await find_endpoint(visit, name)
    if keeper is None or view is None:
        raise NotFoundError(f"there is no endpoint {name!r} here", hint="/endpoints lists those that there are")
    return keeper, view


PAGES = (Page("GET", "/endpoints", list_endpoints),)
