"""Where browsers sign in and out: by the code of a link, by a token, or at the identity provider."""

from __future__ import annotations

from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from fairway.errors import NotFoundError
from fairway.web.access import address_of, find_session, safe_next
from fairway.web.identity import NOBODY, Identity
from fairway.web.oidc import CALLBACK, FLOW_S, OidcLogin
from fairway.web.operation import NoQuery
from fairway.web.pages.page import Page, Visit
from fairway.web.ports import Site
from fairway.web.problem import Refused
from fairway.web.sessions import SESSION_S


class LoginQuery(msgspec.Struct, kw_only=True):
    """`next`: the page to go on to."""

    next: str = ""


class SessionForm(msgspec.Struct, kw_only=True):
    """A `code` from a link, or a `token`."""

    code: str = ""
    token: str = ""
    next: str = ""


async def show_login(visit: Visit) -> Response:
    """The way in. A link's code is in the address's fragment, which no server ever sees: the page's script sends it."""
    return _show(visit, visit.query.next)


async def begin_session(visit: Visit) -> Response:
    """Sign in. Who asks for JSON is told where to go on; a form is led there."""
    form: SessionForm = visit.form
    site, request = visit.site, visit.request
    place = address_of(site, request)
    site.logins.check(place)
    identity = site.sessions.take_code(form.code.strip()) if form.code else await site.auth.find_identity(form.token.strip())
    if identity is None:
        site.logins.fail(place)
        site.audit.note(NOBODY, "login", request.url.path, 401, place)
        if _wants_page(request):
            wrong = "This code has been used, or its minute is over." if form.code else "The server does not know this token."
            return _show(visit, form.next, wrong=wrong, status=401)
        raise Refused(401, "this code or token is not valid (any more)", hint="open the link again: fairway ui", code="FW-FORBIDDEN")
    site.logins.succeed(place)
    response = visit.go(safe_next(form.next)) if _wants_page(request) else visit.json({"user": identity.user, "next": safe_next(form.next)})
    sign_in(site, request, response, identity)
    return response


async def leave_for_provider(visit: Visit) -> Response:
    """To the identity provider, which sends the browser back to the callback."""
    oidc = _get_oidc(visit)
    url, cookie = await oidc.begin(safe_next(visit.query.next))
    response = visit.go(url)
    # Who comes back comes from another site: this cookie has to come along, and it opens nothing.
    response.set_cookie(
        oidc.cookie,
        cookie,
        max_age=int(FLOW_S),
        path=CALLBACK,
        httponly=True,
        samesite="lax",
        secure=is_secure(visit.site, visit.request),
    )
    response.headers["cache-control"] = "no-store"
    return response


async def return_from_provider(visit: Visit) -> Response:
    """Back from the provider. The answer is a page that goes on by itself: so the next request is our own, and has the session's cookie."""
    site, request, oidc = visit.site, visit.request, _get_oidc(visit)
    place = address_of(site, request)
    site.logins.check(place)
    try:
        identity, next = await oidc.finish(request.query_params, request.cookies.get(oidc.cookie, ""))
    except Refused as error:
        site.logins.fail(place)
        site.audit.note(NOBODY, "login", CALLBACK, error.status, place)
        raise
    site.logins.succeed(place)
    response = visit.html("signed_in.html", next=safe_next(next), who=identity)
    response.delete_cookie(oidc.cookie, path=CALLBACK, httponly=True, samesite="lax", secure=is_secure(site, request))
    sign_in(site, request, response, identity)
    return response


async def tell_session(visit: Visit) -> Response:
    """Who is signed in, as JSON; nobody: "". A link from another site comes without the cookie, which the login page finds out here."""
    session = find_session(visit.request)
    found = {"user": "", "role": ""} if session is None else {"user": session.identity.user, "role": session.identity.role}
    response = visit.json(found)
    response.headers["cache-control"] = "no-store"
    return response


async def end_session(visit: Visit) -> Response:
    """Sign out, for good: a copy of the cookie is void, too."""
    site, session = visit.site, find_session(visit.request)
    response = visit.go("/login")
    if session is not None:
        site.sessions.end(session)
        response.delete_cookie(site.sessions.cookie, path="/", httponly=True, samesite="strict", secure=is_secure(site, visit.request))
    return response


def sign_in(site: Site, request: Request, response: Response, identity: Identity) -> None:
    """Begin a session of `identity`, whose cookie `response` sets."""
    session, cookie = site.sessions.begin(identity)
    response.set_cookie(
        site.sessions.cookie,
        cookie,
        max_age=int(SESSION_S),
        path="/",
        httponly=True,
        samesite="strict",
        secure=is_secure(site, request),
    )
    response.headers["cache-control"] = "no-store"
    site.audit.note(session.identity, "login", request.url.path, response.status_code, address_of(site, request))


def is_secure(site: Site, request: Request) -> bool:
    """Do browsers reach the server by https? What is in front of it may end that."""
    return request.url.scheme == "https" or site.settings.address.startswith("https://")


def _get_oidc(visit: Visit) -> OidcLogin:
    oidc = visit.site.settings.oidc
    if oidc is None:
        raise NotFoundError("this server knows no identity provider", hint="sign in with a token")
    return oidc


def _show(visit: Visit, next: str, *, wrong: str = "", status: int = 200) -> Response:
    oidc = visit.site.settings.oidc
    told: dict[str, Any] = {"next": safe_next(next), "wrong": wrong, "provider": oidc.name if oidc is not None else ""}
    response = visit.html("login.html", status=status, **told)
    response.headers["cache-control"] = "no-store"
    return response


def _wants_page(request: Request) -> bool:
    return "text/html" in request.headers.get("accept", "")


PAGES = (
    Page("GET", "/login", show_login, query=LoginQuery, public=True),
    Page("GET", "/oidc/start", leave_for_provider, query=LoginQuery, public=True),
    Page("GET", CALLBACK, return_from_provider, public=True),
    Page("GET", "/session", tell_session, public=True),
    Page("POST", "/session", begin_session, form=SessionForm, public=True),
    Page("POST", "/logout", end_session, form=NoQuery),
)
