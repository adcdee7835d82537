"""Every page behind its checks: who asks, what is asked for; what goes wrong is a page, too."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Annotated, Any, get_args, get_origin
from urllib.parse import parse_qsl

import msgspec
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import BaseRoute, Route

from fairway.errors import FairwayError, InternalError
from fairway.spec.tokens import HEADER
from fairway.web.access import check_csrf, check_named_runs, check_origin, check_role, find_identity, lead_to_login, note_done, while_known
from fairway.web.identity import NOBODY, Identity
from fairway.web.pages.page import Page, Visit
from fairway.web.ports import Site
from fairway.web.problem import Refused, render_problem, status_of
from fairway.web.prometheus import Meter
from fairway.web.reading import read_path

FORM_LIMIT_BYTES = 1 << 20


def page_routes(site: Site, meter: Meter, pages: Sequence[Page]) -> list[BaseRoute]:
    """Routes of all pages."""
    by_path: dict[str, dict[str, Page]] = {}
    for page in pages:
        by_path.setdefault(page.path, {})[page.method] = page
    return [Route(path, PageDoor(site, meter, methods)) for path, methods in by_path.items()]


class PageDoor:
    """All pages of one path."""

    def __init__(self, site: Site, meter: Meter, methods: Mapping[str, Page]) -> None:
        self._site, self._meter, self._methods = site, meter, methods
        self._path = next(iter(methods.values())).path

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        request = Request(scope, receive)
        began = time.perf_counter()
        page = self._methods.get("GET" if request.method == "HEAD" else request.method)
        identity, response = await self._admit(request, page)
        if page is not None and not page.public:
            note_done(self._site, request, identity, self._path, response.status_code)
        self._meter.count(request.method, self._path, response.status_code, time.perf_counter() - began)
        await response(scope, receive, send)

    async def _admit(self, request: Request, page: Page | None) -> tuple[Identity, Response]:
        identity = NOBODY
        try:
            if page is None:
                raise Refused(405, f"{request.method} is not for this page", code="FW-UNSUPPORTED")
            identity = await find_identity(self._site, request)
            if not page.public:
                if not identity.user and not request.headers.get(HEADER):
                    return identity, lead_to_login(request)
                check_role(request, identity, page.role)
            response = await self._answer(request, page, identity)
            if isinstance(response, StreamingResponse):
                response.body_iterator = while_known(self._site, request, identity, response.body_iterator)
            return identity, response
        except ClientDisconnect:
            return identity, Response(status_code=400)
        except FairwayError as error:
            return identity, render_failure(self._site, request, identity, error)
        except Exception as error:  # noqa: BLE001 - the server's boundary: one page's defect is not the other runs'
            return identity, render_failure(self._site, request, identity, say_defect(request, error))

    async def _answer(self, request: Request, page: Page, identity: Identity) -> Response:
        query = read_fields(page.query, request.query_params.multi_items(), "query")
        items = await _read_form(request) if page.form is not None else []
        if page.public:
            check_origin(request)
        else:
            check_csrf(self._site, request, dict(items).get("csrf", ""))
        form = read_fields(page.form, items, "form") if page.form is not None else None
        path = read_path(request)
        await check_named_runs(self._site, identity, path, query, form)
        visit = Visit(self._site, request, identity, path, query, form)
        visit.items = items
        return await page.handle(visit)


def say_defect(request: Request, error: Exception) -> InternalError:
    """What a defect of ours is told as; the server's log has the whole of it."""
    import sys
    import traceback

    print(f"{request.method} {request.url.path}:", *traceback.format_exception(error), file=sys.stderr, sep="\n")
    return InternalError("a defect of Fairway; the server's log has more", hint="please report it")


def render_failure(site: Site, request: Request, identity: Identity, error: FairwayError) -> Response:
    """An error as a page, as a part of one, or as a problem for who wants no HTML."""
    accepted = request.headers.get("accept", "")
    if "text/html" not in accepted and request.headers.get("hx-request") != "true":
        return render_problem(error)
    status = status_of(error)
    visit = Visit(site, request, identity, {}, None)
    shown = {"error": error, "number": status, "phrase": HTTPStatus(status).phrase}
    response = visit.html("error.html", block="message" if visit.fragment else "", status=status, **shown)
    response.headers["cache-control"] = "no-store"
    response.headers.update(error.headers if isinstance(error, Refused) else {})
    return response


def read_fields(kind: type[msgspec.Struct], items: Sequence[tuple[str, str]], where: str) -> Any:
    """Query or form as `kind`. Fields it does not have are left alone; a field that is a list may come several times. Raises 422."""
    fields = {field.encode_name: field for field in msgspec.structs.fields(kind)}
    given: dict[str, Any] = {}
    for name, value in items:
        if "\0" in value:
            raise Refused(422, f"{name[:80]!r} holds a NUL, which nothing here is called", where=f"{where}.{name[:80]}", code="FW-CONFIG")
        if name in fields:
            if _holds_many(fields[name].type):
                given.setdefault(name, []).append(value)
            else:
                given[name] = value
    try:
        return msgspec.convert(given, kind, strict=False)
    except msgspec.ValidationError as error:
        text = str(error)
        said, _, field = text.partition(" - at `$.")
        raise Refused(
            422, said, where=f"{where}.{field.rstrip('`')}", hint="mend the address, or start from /runs", code="FW-CONFIG"
        ) from None


async def _read_form(request: Request) -> list[tuple[str, str]]:
    media = request.headers.get("content-type", "").partition(";")[0].strip()
    if media not in ("application/x-www-form-urlencoded", ""):
        raise Refused(415, f"a form is expected, not {media[:80]}", code="FW-UNSUPPORTED")
    data = b""
    async for chunk in request.stream():
        data += chunk
        if len(data) > FORM_LIMIT_BYTES:
            raise Refused(413, f"a form may have {FORM_LIMIT_BYTES >> 20} MiB at most", code="FW-USER")
    try:
        return parse_qsl(data.decode("utf-8"), keep_blank_values=True, max_num_fields=10_000)
    except ValueError:
        raise Refused(422, "the form cannot be read", code="FW-CONFIG") from None


def _holds_many(hint: Any) -> bool:
    bare = get_args(hint)[0] if get_origin(hint) is Annotated else hint
    return get_origin(bare) in (list, tuple)
