"""News for pages: one stream of server-sent events that says which topics have changed, as soon as they have.

A page that hears of news fetches what it shows anew: so it never shows half a change, and nothing is lost if the connection breaks.
Topics: `runs` (any run changed), `run:RUN`, `log:RUN/ATTEMPT`, `metrics:RUN/ATTEMPT` (of rank 3 of a gang `log:RUN/ATTEMPT/3`),
`endpoints` (any of them changed, or what is known of its traffic), `endpoint:NAME`. Of each topic at most one word in `QUIET_S`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from fairway.engine.bus import RUNS
from fairway.engine.ranks import stream_of
from fairway.web.operation import EVENTS
from fairway.web.ports import Site
from fairway.web.sse import HEARTBEAT, render_event, stream

QUIET_S = 0.1
"""A busy driver records hundreds of times a second: nobody can read that."""
TOPICS_LIMIT = 200
ENDPOINTS = "endpoints"
STREAMS = {"log": "log", "metrics": "metrics", "samples": "samples", "progress": "progress"}


def spell_topic(topic: str) -> str | None:
    """The bus's topic for a page's, None if there is none such."""
    kind, _, rest = topic.partition(":")
    if topic == "runs":
        return RUNS
    if kind == "run" and rest:
        return rest
    if topic == ENDPOINTS or (kind == "endpoint" and rest):
        return topic
    if kind in STREAMS and rest.count("/") == 1:
        return f"{rest}/{STREAMS[kind]}"
    if kind in STREAMS and rest.count("/") == 2:
        attempt, _, rank = rest.rpartition("/")
        return f"{attempt}/{stream_of(STREAMS[kind], int(rank))}" if rank.isdecimal() and len(rank) < 7 else None
    return None


def run_of(topic: str) -> str:
    """The run that a page's topic is about, "" for all."""
    return "" if endpoint_of(topic) else topic.partition(":")[2].partition("/")[0]


def endpoint_of(topic: str) -> str:
    """The endpoint that a page's topic is about, "" for none."""
    return topic.removeprefix("endpoint:") if topic.startswith("endpoint:") else ""


def follow(site: Site, topics: Sequence[str], request: Request) -> Response:
    """The stream of news on `topics`. The first event, "open", tells where each stands."""
    if request.method == "HEAD":
        return Response(media_type=EVENTS)
    return stream(_follow(site, topics))


async def _follow(site: Site, topics: Sequence[str]) -> AsyncIterator[bytes]:
    bus = site.host.bus
    names = {topic: name for topic in topics if (name := spell_topic(topic)) is not None}
    with bus.listen(*names.values()) as bell:
        seen = {topic: await _stand(site, topic, name) for topic, name in names.items()}
        number = 0
        yield render_event(number, "open", seen)
        while not bus.closed:
            if not await bell.wait(site.settings.heartbeat_s):
                yield HEARTBEAT
                continue
            changed: dict[str, Any] = {}
            rung = bell.take()
            for topic, name in names.items():
                if name in rung:
                    stand = await _stand(site, topic, name)
                    if stand != seen[topic]:
                        seen[topic] = changed[topic] = stand
            if changed:
                number += 1
                yield render_event(number, "news", changed)
                await asyncio.sleep(QUIET_S)


async def _stand(site: Site, topic: str, name: str) -> int:
    """How far a topic has come: the journal's head, a stream's bytes, or how often runs have changed since this server began."""
    if topic == "runs":
        return site.host.bus.changes
    if topic == ENDPOINTS or endpoint_of(topic):
        return site.settings.endpoints.stand(endpoint_of(topic)) if site.settings.endpoints is not None else 0
    if topic.startswith("run:"):
        return await site.services.journal.head(name)
    return site.services.streams.size(name)
