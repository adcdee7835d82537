"""What nobody needs any more."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

from fairway.web.records import Word
from fairway.web.schema.words import Body, Count


class GcBody(Body):
    """`runs`: delete these too. `older_than_s`, `keep_last`: delete what a rule lets go; `archived`: and archived runs."""

    runs: Annotated[tuple[Word, ...], Meta(max_length=1000)] = ()
    older_than_s: Annotated[float, Meta(ge=0)] = 0.0
    keep_last: Count = 0
    archived: bool = False
    dry_run: bool = True


class GcKind(msgspec.Struct, kw_only=True):
    """How many, and how many bytes."""

    count: int
    size_bytes: int


class GcDeleted(msgspec.Struct, kw_only=True):
    """`spared`: things that somebody has used since."""

    runs: int
    items: int
    size_bytes: int
    spared: int


class GcDone(msgspec.Struct, kw_only=True):
    """What was planned, by kind, and what was done (null in a dry run)."""

    runs: list[str]
    size_bytes: int
    kinds: dict[str, GcKind]
    deleted: GcDeleted | None
