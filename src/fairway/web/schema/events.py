"""Events."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from msgspec import Meta

from fairway.web.schema.words import Count, Query


class EventsQuery(Query):
    """`after`: the number of the last event known. `wait`: seconds to wait for the first one if there are none."""

    after: Count = 0
    limit: Annotated[int, Meta(ge=1, le=5000)] = 1000
    wait: Annotated[float, Meta(ge=0, le=60)] = 0.0


class EventItem(msgspec.Struct, kw_only=True):
    """Event number `seq` of the run; `event` has the fields that `type` has in the reference of events, without those at their default."""

    seq: int
    type: str
    event: dict[str, Any]


class EventsPage(msgspec.Struct, kw_only=True):
    """`head` is the number of the run's last event."""

    items: list[EventItem]
    head: int
