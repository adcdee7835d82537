"""May this be done by who asks? The checks that stand before every operation and every page, each in one place."""

from __future__ import annotations

import time
from collections.abc import AsyncIterable, AsyncIterator, Iterable, Mapping
from typing import Any
from urllib.parse import quote, urlsplit

from starlette.requests import Request
from starlette.responses import Response

from fairway.errors import NotFoundError
from fairway.spec.summary import RunSummary
from fairway.spec.tokens import HEADER
from fairway.web.identity import NOBODY, Identity
from fairway.web.ports import Site
from fairway.web.problem import Refused
from fairway.web.sessions import Session

CSRF_HEADER = "X-CSRF-Token"
LOGIN = "/login"
LOOK_EVERY_S = 15.0
SAFE = ("GET", "HEAD", "OPTIONS")
_SESSION = "fairway.session"
_HOW = {
    False: "ask whoever runs the server: fairway token add {user} --role {role} --replace",
    True: "ask whoever runs the server which groups have it",
}


async def find_identity(site: Site, request: Request) -> Identity:
    """Who asks: by the token in the header if there is one, else by the session of the cookie; NOBODY if by neither."""
    header = request.headers.get(HEADER, "")
    if header:
        return await site.auth.find_identity(header) or NOBODY
    session = site.sessions.find(request.cookies.get(site.sessions.cookie, ""))
    if session is None:
        return NOBODY
    request.scope[_SESSION] = session
    return session.identity


def check_role(request: Request, identity: Identity, role: str) -> None:
    """Raises 401 where nobody is known, 403 for a worker's token and for who may not do this."""
    if identity.user:
        if not identity.may(role):
            raise Refused(
                403,
                f"this needs the role {role!r}, and yours is {identity.role!r}",
                hint=_HOW[identity.via == "oidc"].format(user=identity.user, role=role),
                code="FW-FORBIDDEN",
            )
        return
    header = request.headers.get(HEADER, "")
    if header.startswith("w1."):
        raise Refused(403, "this token speaks for a worker, not for a user", hint="users have tokens of their own", code="FW-FORBIDDEN")
    raise Refused(
        401,
        f"the header {HEADER} has no valid token" if header else f"the header {HEADER} is missing",
        hint="`fairway token add NAME` makes one",
        code="FW-FORBIDDEN",
        headers={"www-authenticate": HEADER},
    )


def check_csrf(site: Site, request: Request, form_token: str = "") -> None:
    """Does a write of a browser come from one of our own pages? `form_token` is the form's field "csrf". Raises 403.

    A program that sends its token in a header need not prove it: no browser adds that by itself.
    """
    if request.method in SAFE or request.headers.get(HEADER):
        return
    check_origin(request)
    session = find_session(request)
    if session is None:
        return  # nobody's rights are used: the role's check says the rest
    token = request.headers.get(CSRF_HEADER, "") or form_token
    if not site.sessions.is_form_token(session, token):
        raise Refused(
            403, "this form is not from a page of your session", hint="load the page again, and send it from there", code="FW-FORBIDDEN"
        )


def check_origin(request: Request) -> None:
    """Raises 403 for what a browser says another site has made it send. Ports count: a page of another port is another site's.
    Reading is not asked about: what another site's script has made a browser fetch, it cannot see."""
    if request.method in SAFE:
        return
    site = request.headers.get("sec-fetch-site", "same-origin")
    origin = request.headers.get("origin")
    if site not in ("same-origin", "none") or (
        origin is not None and urlsplit(origin).netloc.lower() != request.headers.get("host", "").lower()
    ):
        raise Refused(403, "another site has made your browser send this", hint="send it from a page of this server", code="FW-FORBIDDEN")


def find_session(request: Request) -> Session | None:
    """The browser's session; None where a token was sent. After `find_identity`."""
    return request.scope.get(_SESSION)


def csrf_token(site: Site, request: Request) -> str:
    """What forms of this session carry in the field "csrf" or the header `X-CSRF-Token`; "" without a session."""
    session = find_session(request)
    return site.sessions.form_token(session) if session is not None else ""


def lead_to_login(request: Request) -> Response:
    """For a page that nobody known has asked for: the way to the login and back."""
    fragment = request.headers.get("hx-request") == "true"
    accepted = request.headers.get("accept", "")
    if request.method not in ("GET", "HEAD") or not (fragment or "text/html" in accepted or accepted in ("", "*/*")):
        return Response(status_code=401, headers={"cache-control": "no-store"})
    back = request.headers.get("hx-current-url", "") if fragment else str(request.url)
    there = urlsplit(back)
    path = there.path + (f"?{there.query}" if there.query else "")
    url = LOGIN + (f"?next={quote(path, safe='/')}" if path not in ("", "/", "/runs") and not path.startswith(LOGIN) else "")
    if fragment:
        return Response(status_code=401, headers={"hx-redirect": url, "cache-control": "no-store"})
    return Response(status_code=303, headers={"location": url, "cache-control": "no-store"})


def safe_next(path: str) -> str:
    """The path to go on to after the login, "/runs" unless it is one of ours: nobody is to be led elsewhere."""
    ours = path.startswith("/") and not path.startswith(("//", "/\\")) and path.isprintable() and "\\" not in path
    return path if ours and not path.startswith(LOGIN) else "/runs"


async def check_run(site: Site, identity: Identity, run: str) -> None:
    """Raises NotFoundError for a run that is not there, and in the same words for one that is not for these eyes."""
    if await site.services.journal.head(run) and await site.sight.sees_run(identity, run):
        return
    raise NotFoundError(f"there is no run {run!r}", hint="GET /runs?match=… finds runs by the beginning or end of an id, or by name")


async def can_see(site: Site, identity: Identity, run: str) -> bool:
    """As `check_run`, for a page that leaves out what may not be seen. A run that is not there has nothing to hide from who sees all."""
    return await site.sight.sees_run(identity, run)


def visible(identity: Identity, rows: Iterable[RunSummary]) -> list[RunSummary]:
    """Those of the rows that may be seen."""
    return [row for row in rows if identity.sees(row.project)]


async def check_named_runs(site: Site, identity: Identity, path: Mapping[str, str], *parts: Any) -> None:
    """Raises NotFoundError if the request names a run that these eyes may not see, in its path or in a field "run" or "runs" of its parts.

    Every request passes here, whatever its handler looks at. What is no whole id is the handler's to find, among what may be seen.
    """
    if identity.sees_all:
        return
    named = [path.get("run", "")]
    for value in (getattr(part, name, "") for part in parts for name in ("run", "runs")):
        several = value if isinstance(value, list | tuple) else (value,)
        named += [one for one in several if isinstance(one, str)]
    for run in named:
        if run and await site.services.journal.head(run):
            await check_run(site, identity, run)


def check_project(identity: Identity, project: str) -> None:
    """May runs of this project be started? Raises 403."""
    if not identity.sees(project):
        raise Refused(
            403,
            f"your token is not for the project {project!r}",
            hint=f"it is for: {', '.join(identity.projects)}",
            code="FW-FORBIDDEN",
        )


def check_all_projects(identity: Identity) -> None:
    """Raises 403 for who may not touch what belongs to all projects."""
    if not identity.sees_all:
        raise Refused(403, "this concerns all projects, and your token is not for all of them", code="FW-FORBIDDEN")


async def while_known(site: Site, request: Request, identity: Identity, parts: AsyncIterable[Any]) -> AsyncIterator[Any]:
    """The parts of an answer that may go on for hours, for as long as who asked for it may still have it."""
    looked_at = time.monotonic()
    async for part in parts:
        if time.monotonic() - looked_at >= LOOK_EVERY_S:
            looked_at = time.monotonic()
            if await find_identity(site, request) != identity:
                return
        yield part


def address_of(site: Site, request: Request) -> str:
    """Where the request came from. Where something stands before the server, which then has an `address` of its own, what that says: the
    last that it has written into the header, for whoever asks may write the others."""
    said = ",".join(request.headers.getlist("x-forwarded-for")).rpartition(",")[2].strip()
    if said and site.settings.address:
        return said[:64]
    return request.client.host if request.client is not None else ""


def note_done(site: Site, request: Request, identity: Identity, path: str, status: int) -> None:
    """Write down that somebody known has done something, or was refused; `path` is the route's."""
    if request.method not in SAFE and identity.user:
        site.audit.note(identity, f"{request.method} {path}", request.url.path, status, address_of(site, request))
