"""The server's API as an ASGI application: every row of the route table, behind its checks."""

from __future__ import annotations

import asyncio
import re
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import BaseRoute, Route

from fairway.engine.host import Host
from fairway.engine.library import StoreLibrary
from fairway.engine.services import Services
from fairway.errors import FairwayError, InternalError
from fairway.store import gc
from fairway.web.access import check_csrf, check_named_runs, check_role, find_identity, note_done, while_known
from fairway.web.audit import Audit
from fairway.web.content import content_routes
from fairway.web.grants import Grants
from fairway.web.guard import Guard
from fairway.web.identity import NOBODY, Identity
from fairway.web.limits import LoginLimit
from fairway.web.metrics import CurveReader
from fairway.web.operation import JSON, Call, Operation
from fairway.web.overviews import Overviews
from fairway.web.pages import load_pages
from fairway.web.pages.assets import asset_routes
from fairway.web.pages.door import page_routes, render_failure
from fairway.web.ports import Auth, ServerSettings, Site
from fairway.web.previews.looker import Looker
from fairway.web.previews.outputs import OutputReader
from fairway.web.problem import Refused, encode, render_problem
from fairway.web.prometheus import Meter, render_metrics
from fairway.web.reading import check_accept, read_body, read_path, read_query
from fairway.web.reply import Encoded, Reply
from fairway.web.respond import render_text
from fairway.web.routes import OPERATIONS
from fairway.web.sessions import ENDED, Sessions
from fairway.web.sight import Sight
from fairway.web.storesize import StoreMeter
from fairway.web.versions import VersionReader

ROOT = "/api/v1"
_LARGE_BYTES = 64 << 10


def build_app(
    services: Services, host: Host, settings: ServerSettings, auth: Auth, *, more: Sequence[BaseRoute] = (), lifespan: Any = None
) -> Starlette:
    """The API over these services. `more` are further routes (what workers talk to, pages); `lifespan` is Starlette's."""
    site = Site(
        services,
        host,
        settings,
        auth,
        CurveReader(services.streams),
        StoreLibrary(services.artifacts),
        sessions=Sessions(auth, Path(services.home) / ENDED),
        grants=Grants(auth.signing_key),
        audit=Audit(services.home),
        logins=LoginLimit(),
        looker=Looker(services.home, services.artifacts),
        overviews=Overviews(services.journal, services.home),
        sight=Sight(services.journal, services.artifacts),
        versions=VersionReader(services.journal),
        outputs=OutputReader(services.journal),
        meter=StoreMeter(
            lambda: gc.Places(services.home, (services.journal,), services.artifacts, services.streams, host.driven),
            beside=settings.target.get("kind", "local") == "local",  # in a cluster the journal is this process's alone
        ),
    )
    meter = Meter()
    by_path: dict[str, dict[str, Operation]] = {}
    for operation in OPERATIONS:
        by_path.setdefault(operation.path, {})[operation.method] = operation
    routes: list[BaseRoute] = [Route(ROOT + path, _Door(site, meter, methods)) for path, methods in by_path.items()]
    routes += [_plain("/livez", _live), _plain("/readyz", _ready(site)), _plain("/metrics", _metrics(site, meter)), *_document()]
    routes += [*asset_routes(), *content_routes(site), *page_routes(site, meter, load_pages())]
    guard = Middleware(Guard, hosts=settings.hosts)  # type: ignore[arg-type]
    app = Starlette(routes=[*routes, *more], middleware=[guard], lifespan=lifespan)
    app.state.overviews = site.overviews
    app.add_exception_handler(HTTPException, _no_route(site))
    app.add_exception_handler(Exception, _defect)
    return app


class _Door:
    """All operations of one path; it answers 405 itself, with all methods there are."""

    def __init__(self, site: Site, meter: Meter, methods: dict[str, Operation]) -> None:
        self._site, self._meter, self._methods = site, meter, methods
        names = [*methods, *(["HEAD"] if "GET" in methods else [])]
        self._allow = ", ".join(sorted(names))
        self._path = next(iter(methods.values())).path

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        request = Request(scope, receive)
        began = time.perf_counter()
        operation = self._methods.get("GET" if request.method == "HEAD" else request.method)
        identity, response = await self._admit(request, operation)
        if operation is None or operation.needed != "view":
            note_done(self._site, request, identity, self._path, response.status_code)
        took_s = None if operation is not None and operation.waits else time.perf_counter() - began
        self._meter.count(request.method, self._path, response.status_code, took_s)
        await response(scope, receive, send)

    async def _admit(self, request: Request, operation: Operation | None) -> tuple[Identity, Response]:
        identity = NOBODY
        try:
            if operation is None:
                raise Refused(405, f"{request.method} is not for this", code="FW-UNSUPPORTED", headers={"allow": self._allow})
            identity = await find_identity(self._site, request)
            if not operation.public:
                check_role(request, identity, operation.needed)
            check_csrf(self._site, request)
        except FairwayError as error:
            return identity, render_problem(error)
        except Exception as error:  # noqa: BLE001 - as below
            return identity, _defect(request, error)
        response = await self._answer(request, operation, identity)
        if isinstance(response, StreamingResponse):
            response.body_iterator = while_known(self._site, request, identity, response.body_iterator)
        return identity, response

    async def _answer(self, request: Request, operation: Operation, identity: Identity) -> Response:
        try:
            check_accept(request, operation)
            path = read_path(request)
            query = read_query(request, operation.query)
            body = await read_body(request, operation.body)
            await check_named_runs(self._site, identity, path, query, body)
            answer = await operation.handle(Call(self._site, request, identity, path, query, body))
            return await _render(request, answer, operation)
        except ClientDisconnect:
            return Response(status_code=400)
        except FairwayError as error:
            return render_problem(error)
        except Exception as error:  # noqa: BLE001 - the server's boundary: one request's defect is not the other runs'
            return _defect(request, error)


async def _render(request: Request, answer: Any, operation: Operation) -> Response:
    if isinstance(answer, Response):
        return answer
    status, headers = operation.status, dict[str, str]()
    if isinstance(answer, Reply):
        answer, status, headers = answer.value, answer.status, answer.headers
    data = answer.data if isinstance(answer, Encoded) else encode(answer)
    if len(data) < _LARGE_BYTES:
        return render_text(request, data, JSON, status, headers)
    return await asyncio.to_thread(render_text, request, data, JSON, status, headers)  # digesting and packing it takes a while


def _document() -> list[BaseRoute]:
    async def send(request: Request) -> Response:
        from fairway.web.openapi import render_document  # it takes as long as all the rest of a server's start

        return render_text(request, await asyncio.to_thread(render_document), "application/json")

    return [_plain(f"{ROOT}/openapi.json", send)]


def _plain(path: str, handle: Any) -> Route:
    return Route(path, handle, methods=["GET"], include_in_schema=False)


async def _live(request: Request) -> Response:
    return Response("ok\n", media_type="text/plain")


def _ready(site: Site) -> Any:
    async def ready(request: Request) -> Response:
        try:
            await site.services.journal.head("ready")
        except FairwayError as error:
            return render_problem(error)
        if not site.host.taken_up:
            return Response("the runs have not been taken up yet\n", 503, media_type="text/plain")
        return Response("ok\n", media_type="text/plain")

    return ready


def _metrics(site: Site, meter: Meter) -> Any:
    async def metrics(request: Request) -> Response:
        text = await render_metrics(site, meter, await find_identity(site, request))
        return render_text(request, text.encode(), "text/plain; version=0.0.4; charset=utf-8")

    return metrics


def _no_route(site: Site) -> Any:
    def answer(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        code = "FW-NOT-FOUND" if error.status_code == 404 else "FW-UNSUPPORTED" if error.status_code == 405 else "FW-USER"
        path = re.sub(r"[^ -~]", "?", request.url.path)[:200]
        detail = f"there is nothing at {path}" if error.status_code == 404 else error.detail
        hint = f"{ROOT}/openapi.json lists all there is" if path.startswith("/api") else "/runs lists all runs"
        refused = Refused(error.status_code, detail, hint=hint, code=code, headers=error.headers)
        return render_problem(refused) if path.startswith("/api") else render_failure(site, request, NOBODY, refused)

    return answer


def _defect(request: Request, error: Exception) -> Response:
    import traceback

    print(f"{request.method} {request.url.path}:", *traceback.format_exception(error), file=sys.stderr, sep="\n")
    return render_problem(InternalError("a defect of Fairway; the server's log has more", hint="please report it"))
