"""A run's events: by page, or as they come."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any

from starlette.responses import Response

from fairway.engine.bus import RUNS
from fairway.spec.event import Event
from fairway.spec.ports import Journal, run_now
from fairway.spec.record import to_plain
from fairway.web.identity import Identity
from fairway.web.operation import EVENTS, JSON, Call, Operation
from fairway.web.ports import Site
from fairway.web.problem import encode
from fairway.web.records import full
from fairway.web.reply import Encoded
from fairway.web.routes.runs import named_run
from fairway.web.schema.events import EventsPage, EventsQuery
from fairway.web.sse import HEARTBEAT, last_seen, render_event, stream

_CHUNK = 1000
_LISTED = 200
_RUNS_EVERY_S = 0.25
_FEW = 20


async def read_events(journal: Journal, run: str, after: int, limit: int) -> Sequence[tuple[int, Event]]:
    """At most `limit` events after number `after`; many of them are parsed beside the event loop."""
    if limit <= _FEW:
        return await journal.read(run, after, limit)
    return await asyncio.to_thread(run_now, journal.read(run, after, limit))


async def list_events(call: Call[EventsQuery, None]) -> Any:
    """Events after number `after`. As server-sent events (`Accept: text/event-stream`) they go on for as long as the client listens."""
    run = await named_run(call)
    query, site = call.query, call.site
    if call.wants(EVENTS):
        after = last_seen(call.request, query.after)
        if call.request.method == "HEAD":
            return Response(media_type=EVENTS)
        return stream(_follow(site, run, after))
    journal = site.services.journal
    with site.host.bus.listen(run) as bell:
        head = await journal.head(run)
        if head <= query.after and query.wait:
            await bell.wait(query.wait)
            head = await journal.head(run)
    few = head - query.after <= _FEW
    found = await read_events(journal, run, query.after, min(query.limit, head - query.after)) if head > query.after else ()
    return _page(found, head) if few else await asyncio.to_thread(_page, found, head)


async def follow_runs(call: Call[Any, None]) -> Response:
    """Summaries of runs as they change, for a page that lists them. What changed while nobody listened is not repeated."""
    if call.request.method == "HEAD":
        return Response(media_type=EVENTS)
    return stream(_follow_runs(call.site, call.identity))


async def _follow(site: Site, run: str, after: int) -> AsyncIterator[bytes]:
    journal = site.services.journal
    with site.host.bus.listen(run) as bell:
        while not site.host.bus.closed:
            head = await journal.head(run)
            found = await read_events(journal, run, after, min(head - after, _CHUNK)) if head > after else ()
            if found:
                yield _render(found) if len(found) <= _FEW else await asyncio.to_thread(_render, found)
                after = found[-1][0]
            if not found and not await bell.wait(site.settings.heartbeat_s):
                yield HEARTBEAT


async def _follow_runs(site: Site, identity: Identity) -> AsyncIterator[bytes]:
    with site.host.bus.listen(RUNS) as bell:
        known = {row.run: row for row in await site.sight.summaries(identity, limit=_LISTED, archived=True, before="")}
        number = 0
        yield HEARTBEAT
        while not site.host.bus.closed:
            if not await bell.wait(site.settings.heartbeat_s):
                yield HEARTBEAT
                continue
            await asyncio.sleep(_RUNS_EVERY_S)  # a busy driver records hundreds of times a second: nobody can read that
            rows = {row.run: row for row in await site.sight.summaries(identity, limit=_LISTED, archived=True, before="")}
            for run, row in rows.items():
                if known.get(run) != row:
                    number += 1
                    yield render_event(number, "run", full(row))
            oldest = min(rows, default="")
            for run in known.keys() - rows.keys():
                if run > oldest:
                    number += 1
                    yield render_event(number, "deleted", {"run": run})
            known = rows


def _render(found: Sequence[tuple[int, Event]]) -> bytes:
    return b"".join(render_event(number, type(event).__name__, _item(number, event)) for number, event in found)


def _page(found: Sequence[tuple[int, Event]], head: int) -> Encoded:
    return Encoded(encode({"items": [_item(number, event) for number, event in found], "head": head}))


def _item(number: int, event: Event) -> dict[str, Any]:
    return {"seq": number, "type": type(event).__name__, "event": to_plain(event)}


OPERATIONS = (
    Operation(
        "GET", "/runs/{run}/events", list_events, "Events of a run, by page or as they come", "events",
        query=EventsQuery, answer=EventsPage, media=(JSON, EVENTS), waits=True,
    ),
    Operation("GET", "/events", follow_runs, "Summaries of runs as they change", "events", media=(EVENTS,)),
)  # fmt: skip
