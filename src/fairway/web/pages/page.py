"""A page: what is called, what it takes, who may call it. The dashboard's route table is made of these rows."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from fairway.spec.record import Record, record
from fairway.web.access import csrf_token
from fairway.web.identity import Identity
from fairway.web.operation import Call, NoQuery
from fairway.web.ports import Site


class Visit(Call[Any, Any]):
    """One request of a browser, checked: as `Call`; `body` is the form. `form` is the same."""

    __slots__ = ("items", "stand")

    def __init__(self, site: Site, request: Request, identity: Identity, path: Mapping[str, str], query: Any, body: Any = None) -> None:
        super().__init__(site, request, identity, path, query, body)
        self.items: list[tuple[str, str]] = []  # of a form: all fields as they were sent, those with names of the user's too
        self.stand = site.host.bus.changes  # of what is shown: whatever changes from now on is news to the page

    @property
    def form(self) -> Any:
        """What was sent with a POST, as the page's struct."""
        return self.body

    @property
    def csrf(self) -> str:
        """What forms of this session carry in their field "csrf"; "" without a session."""
        return csrf_token(self.site, self.request)

    @property
    def fragment(self) -> bool:
        """Does the page itself ask, for a part of it?"""
        return self.request.headers.get("hx-request") == "true" and self.request.headers.get("hx-history-restore-request") != "true"

    @property
    def wanted(self) -> str:
        """The id of the element that the answer goes into; "" for a whole page."""
        return self.request.headers.get("hx-target", "") if self.fragment else ""

    def html(self, template: str, *, block: str = "", status: int = 200, **context: Any) -> Response:
        """The template as an answer: the whole page, or one `block` of it."""
        from fairway.web.pages.shell import render_page

        return render_page(self, template, context, block=block, status=status)

    def json(self, value: Any) -> Response:
        """`value` as compact JSON, for a script of the page."""
        from fairway.web.problem import encode
        from fairway.web.respond import render_text

        return render_text(self.request, encode(value), "application/json")

    def go(self, url: str) -> Response:
        """Lead the browser to `url`, after a form or from a fragment."""
        if self.fragment:
            return Response(status_code=204, headers={"hx-redirect": url})
        return Response(status_code=303, headers={"location": url})


@record
class Page(Record):
    """One row of the page table. `path` as in `Operation`, below the root. `role`: the least that is needed. `form`: the struct of a POST's
    fields. `public`: nobody need be known."""

    method: str
    path: str
    handle: Callable[[Visit], Awaitable[Response]]
    role: str = "view"
    query: type[msgspec.Struct] = NoQuery
    form: type[msgspec.Struct] | None = None
    public: bool = False
