"""Logs and other streams."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

from fairway.web.records import Word
from fairway.web.schema.words import Body, Count, Query

Rank = Annotated[int, Meta(ge=-1, lt=1_000_000)]


class LogQuery(Query):
    """`tail`: only the last lines. `offset`: from this byte. `search`: only lines with this text, whatever its case. `limit`: lines of one
    JSON answer. `follow`: the text goes on until the attempt has ended. `rank`: what this rank of a gang wrote (-1: what its leader
    said, and all that a plain step wrote)."""

    tail: Annotated[int, Meta(ge=0, le=1_000_000)] = 0
    offset: Count = 0
    search: Word = ""
    limit: Annotated[int, Meta(ge=1, le=10_000)] = 1000
    follow: bool = False
    rank: Rank = -1


class LogLineItem(msgspec.Struct, kw_only=True):
    """A line, where it begins in the stream, and when it was written (UTC, "" if not known)."""

    offset: int
    at: str
    text: str


class LogLines(msgspec.Struct, kw_only=True):
    """`next`: the offset to go on from; `size`: bytes of the whole log so far."""

    items: list[LogLineItem]
    next: int
    size: int


class StreamsQuery(Query):
    """`prefix`: the beginning of names ("ATTEMPT/")."""

    prefix: Annotated[str, Meta(pattern="^[A-Za-z0-9._/-]{0,200}$")] = ""


class StreamItem(msgspec.Struct, kw_only=True):
    """A stream "ATTEMPT/log", "…/metrics", "…/samples", "…/progress" (of rank 3 of a gang "…/log.3"), and its bytes so far."""

    name: str
    size: int


class StreamsPage(msgspec.Struct, kw_only=True):
    """The run's streams."""

    items: list[StreamItem]


class StreamsReadBody(Body):
    """From which byte on each stream is wanted, how many bytes in all at most, and how long to wait for the first."""

    offsets: Annotated[
        dict[Annotated[str, Meta(pattern="^[A-Za-z0-9._-]{1,128}/[a-z]{1,32}(\\.[0-9]{1,6})?$")], Count], Meta(max_length=10_000)
    ]
    limit: Annotated[int, Meta(ge=1, le=8 << 20)] = 1 << 20
    wait: Annotated[float, Meta(ge=0, le=60)] = 0.0


class StreamPart(msgspec.Struct, kw_only=True):
    """Bytes (base64) of a stream from `offset` on."""

    offset: int
    data: bytes


class StreamsData(msgspec.Struct, kw_only=True):
    """What is new, by stream. `head`: the number of the run's last event; it also ends the wait."""

    items: dict[str, StreamPart]
    head: int
