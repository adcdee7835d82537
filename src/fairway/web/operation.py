"""An operation: what is called, what it takes, what it answers. Router, checks and OpenAPI document are made from the same row."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Generic, TypeVar

import msgspec
from starlette.requests import Request

from fairway.spec.record import Record, field, record
from fairway.web.identity import Identity
from fairway.web.ports import Site

JSON = "application/json"
EVENTS = "text/event-stream"
TEXT = "text/plain; charset=utf-8"
BYTES = "application/octet-stream"

Q = TypeVar("Q")
B = TypeVar("B")


class NoQuery(msgspec.Struct, frozen=True):
    """No parameters."""


class Call(Generic[Q, B]):
    """One request, checked: `path` parameters, `query` and `body` as the operation's structs, the `identity` that calls."""

    __slots__ = ("body", "identity", "path", "query", "request", "site")

    def __init__(self, site: Site, request: Request, identity: Identity, path: Mapping[str, str], query: Q, body: B) -> None:
        self.site, self.request, self.identity, self.path, self.query, self.body = site, request, identity, path, query, body

    @property
    def user(self) -> str:
        """The name of who calls; "" where nobody need be known."""
        return self.identity.user

    def wants(self, media: str) -> bool:
        """Does the caller ask for `media` by name?"""
        return media in self.request.headers.get("accept", "")


Handler = Callable[[Any], Awaitable[Any]]


@record
class Operation(Record):
    """One row of the route table.

    `path` is below the API's root, with `{name}` for parameters and `{name:path}` for one that may contain slashes. `query` and `body` are
    structs; `answer` is the type of the JSON answer. `media` lists what it may answer with, the usual first. `also` are further statuses,
    each with its meaning. `public`: no token is asked for. `raw`: the handler reads the body by itself.
    `waits`: it may wait for news, so that how long it took says nothing. `role`: the least that is needed; "" follows from the method:
    who may look may GET, who may run may do the rest.
    """

    method: str
    path: str
    handle: Handler
    summary: str
    tag: str
    query: type[msgspec.Struct] = NoQuery
    body: type[msgspec.Struct] | None = None
    answer: Any = None
    status: int = 200
    media: tuple[str, ...] = (JSON,)
    also: dict[int, str] = field(default_factory=dict)
    public: bool = False
    raw: bool = False
    waits: bool = False
    role: str = ""

    @property
    def needed(self) -> str:
        """The role that is needed."""
        return self.role or ("view" if self.method == "GET" else "run")

    @property
    def operation_id(self) -> str:
        """A name for clients: that of the handler."""
        return self.handle.__name__  # type: ignore[attr-defined]
