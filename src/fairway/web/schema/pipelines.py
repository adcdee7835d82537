"""Pipelines and the cache's index."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

from fairway.spec.summary import RunTally
from fairway.web.records import Word, struct_of
from fairway.web.schema.words import Body, Entry, Limit, Query


class PipelineRow(msgspec.Struct, kw_only=True):
    """A pipeline with its runs counted by status, archived ones left out; `newest` is the id of the last."""

    name: str
    runs: int
    by_status: dict[str, int]
    newest: str


class PipelinesPage(msgspec.Struct, kw_only=True):
    """`tally` counts all runs by pipeline, status and archive mark."""

    items: list[PipelineRow]
    tally: list[struct_of(RunTally)]  # type: ignore[valid-type]


class KeysBody(Body):
    """Cache keys."""

    keys: Annotated[tuple[Word, ...], Meta(max_length=10_000)]


class CacheFound(msgspec.Struct, kw_only=True):
    """Entries by key, of those that there are."""

    entries: dict[str, Entry]  # type: ignore[valid-type]


class CacheQuery(Query):
    """`orphaned`: only entries whose run was deleted. `cursor`: `next` of the page before."""

    orphaned: bool = False
    cursor: Word = ""
    limit: Limit = 1000


class CachePage(msgspec.Struct, kw_only=True):
    """`next` is the cursor of the next page, "" on the last one."""

    items: list[Entry]  # type: ignore[valid-type]
    next: str
