"""The stream of news that open pages listen to."""

from __future__ import annotations

from typing import Annotated

import msgspec
from starlette.responses import Response

from fairway.web.live import TOPICS_LIMIT, endpoint_of, follow, run_of
from fairway.web.pages.endpoints import find_endpoint
from fairway.web.pages.page import Page, Visit


class LiveQuery(msgspec.Struct, kw_only=True):
    """`topic`: as in `fairway.web.live`, any number of times."""

    topic: Annotated[list[str], msgspec.Meta(max_length=TOPICS_LIMIT)] = []


async def send_news(visit: Visit) -> Response:
    """Server-sent events on the topics."""
    site, identity = visit.site, visit.identity
    topics = [topic for topic in visit.query.topic if not (run := run_of(topic)) or await site.sight.sees_run(identity, run)]
    topics = [topic for topic in topics if not (name := endpoint_of(topic)) or await find_endpoint(visit, name) is not None]
    return follow(site, topics, visit.request)


PAGES = (Page("GET", "/live", send_news, query=LiveQuery),)
