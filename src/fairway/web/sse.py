"""Server-sent events: numbered, so that a client that comes back goes on where it was."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from starlette.requests import Request
from starlette.responses import StreamingResponse

from fairway.web.operation import EVENTS
from fairway.web.problem import Refused, encode

HEARTBEAT = b": still here\n\n"
_HEADERS = {"cache-control": "no-store", "x-accel-buffering": "no"}


def stream(parts: AsyncIterator[bytes]) -> StreamingResponse:
    """An answer that goes on for as long as the client listens. A client that does not read holds up nobody but itself: the next part is
    made when the one before has left."""
    return StreamingResponse(parts, headers=_HEADERS, media_type=EVENTS)


def render_event(id: str | int, kind: str, data: Any) -> bytes:
    """One event. `data` is JSON on one line."""
    return b"id: %s\nevent: %s\ndata: %s\n\n" % (str(id).encode(), kind.encode(), encode(data))


def last_seen(request: Request, otherwise: int) -> int:
    """The number of the last event that the client has, by `Last-Event-ID`. Raises 422 for what is no number."""
    given = request.headers.get("last-event-id", "").strip()
    if not given:
        return otherwise
    if not (given.isascii() and given.isdigit() and len(given) <= 16):
        raise Refused(422, "Last-Event-ID is not a number of an event", where="header.last-event-id", code="FW-CONFIG")
    return int(given)
