"""What every answer carries, and under which names this server may be asked for: around the whole application."""

from __future__ import annotations

import ipaddress
from collections.abc import Awaitable, Callable, Collection, MutableMapping
from typing import Any

from starlette.requests import Request

from fairway.spec.tokens import HEADER
from fairway.web.problem import Refused, render_problem

PAGE_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; connect-src 'self'; font-src 'self'; "
    "worker-src 'self'; frame-src 'self'; manifest-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
DATA_POLICY = "default-src 'none'; frame-ancestors 'none'; sandbox"
HEADERS = {
    b"x-content-type-options": b"nosniff",
    b"referrer-policy": b"same-origin",  # with "no-referrer" forms would come without an Origin
    b"cross-origin-opener-policy": b"same-origin",
    b"cross-origin-resource-policy": b"same-origin",
    b"permissions-policy": b"camera=(), geolocation=(), microphone=(), payment=(), usb=()",
}
_UNGUARDED = ("/worker/", "/livez", "/readyz", "/metrics")
_TOKEN = HEADER.lower().encode()
_POLICY = b"content-security-policy"

Message = MutableMapping[str, Any]
App = Callable[[Any, Callable[[], Awaitable[Message]], Callable[[Message], Awaitable[None]]], Awaitable[None]]


class Guard:
    """An ASGI application around another. `hosts`: names under which the server may be asked for, beside addresses and `localhost`.

    A name that an attacker owns can be made to lead to 127.0.0.1 (DNS rebinding), and a browser takes what is there for the attacker's own
    site. Such a request says the name in its Host header. Programs with a token are no browsers: under which name they ask does not matter.
    """

    def __init__(self, app: App, hosts: Collection[str] = ()) -> None:
        self._app, self._hosts = app, frozenset(host.lower() for host in hosts)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http" or scope["path"].startswith(_UNGUARDED):
            await self._app(scope, receive, send)
            return

        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start" and message["status"] != 304:  # it would change the headers of what is kept
                message["headers"] = _add_headers(list(message.get("headers", ())))
            await send(message)

        headers = dict(scope["headers"])
        if headers.get(_TOKEN) or is_ours(headers.get(b"host", b"").decode("latin-1"), self._hosts):
            await self._app(scope, receive, guarded)
        else:
            await self._refuse(scope, receive, guarded)

    async def _refuse(self, scope: Any, receive: Any, send: Any) -> None:
        error = Refused(
            421,
            "this server is not known under this name",
            hint="ask for it by its address, such as 127.0.0.1; a name of its own is set as `address` of its target",
            code="FW-FORBIDDEN",
        )
        await render_problem(error)(Request(scope).scope, receive, send)


def is_ours(host: str, known: Collection[str]) -> bool:
    """Is the Host header one under which no stranger's page can reach us: an address, `localhost`, or a name that is known?"""
    name = host.lower()
    name = name[1:].partition("]")[0] if name.startswith("[") and "]" in name else name.partition(":")[0]
    if name == "localhost" or name.endswith(".localhost") or name in known:
        return True
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def service_names(app: str, namespace: str) -> tuple[str, ...]:
    """The names that a cluster gives the server's Service."""
    if not namespace:
        return ()
    whole = f"{app}.{namespace}"
    return (app, whole, f"{whole}.svc", f"{whole}.svc.cluster.local")


def _add_headers(headers: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """With what every answer carries, where it does not say otherwise itself."""
    there = {name.lower(): value for name, value in headers}
    page = there.get(b"content-type", b"").startswith((b"text/html", b"text/javascript"))  # a worker has its script's policy
    wanted = {**HEADERS, _POLICY: (PAGE_POLICY if page else DATA_POLICY).encode()}
    return [*headers, *((name, value) for name, value in wanted.items() if name not in there)]
