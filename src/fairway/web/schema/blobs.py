"""Blobs."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

from fairway.web.schema.words import Body, Count, Key, Limit, Query


class SignBody(Body):
    """Keys of blobs to be read, and keys with sizes of blobs to be written."""

    get: Annotated[tuple[Key, ...], Meta(max_length=1000)] = ()
    put: Annotated[tuple[tuple[Key, Count], ...], Meta(max_length=1000)] = ()


class Signed(msgspec.Struct, kw_only=True):
    """URLs by key: absolute, or a path and query on the blobs' port. Of what is to be written, null if the store has it already."""

    get: dict[str, str]
    put: dict[str, str | None]


class BlobsQuery(Query):
    """`prefix`: the beginning of keys. `cursor`: `next` of the page before."""

    prefix: Annotated[str, Meta(pattern="^[A-Za-z0-9._/-]{0,512}$")] = ""
    cursor: Annotated[str, Meta(pattern="^[A-Za-z0-9._/-]{0,512}$")] = ""
    limit: Limit = 1000


class BlobItem(msgspec.Struct, kw_only=True):
    """A blob: its key, its bytes, when it was last put (epoch seconds)."""

    key: str
    size_bytes: int
    modified_at: float


class BlobsPage(msgspec.Struct, kw_only=True):
    """`next` is the cursor of the next page, "" on the last one."""

    items: list[BlobItem]
    next: str


class Stored(msgspec.Struct, kw_only=True):
    """`stored`: False if the blob was there already."""

    stored: bool
