"""Tasks and attempts."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from fairway.engine.explain import Explanation
from fairway.spec.outcome import Usage
from fairway.web.records import Values, Word, struct_of
from fairway.web.schema.words import Error, Limit, Query, Ref, ResourcesData

TaskStatus = Literal["", "waiting", "running", "retrying", "succeeded", "cached", "skipped", "failed", "cancelled"]


class TasksQuery(Query):
    """`match`: a step, an address or a glob. `cursor`: `next` of the page before."""

    match: Word = ""
    status: TaskStatus = ""
    cursor: Word = ""
    limit: Limit = 200


class ShortError(msgspec.Struct, kw_only=True):
    """What went wrong, without its traceback."""

    kind: str
    code: str
    message: str
    hint: str


class Origin(msgspec.Struct, kw_only=True):
    """The task that made it."""

    run: str
    task: str


class TaskRow(msgspec.Struct, kw_only=True):
    """`reason`: why it was skipped. `waits`: why its attempt waits. `attempts`: ids, oldest first. Times are those of its last attempt that
    ended, epoch seconds, 0 if there is none."""

    task: str
    step: str
    scope: str
    node: str
    index: list[int]
    status: str
    reason: str
    waits: str
    attempts: list[str]
    cached_from: Origin | None
    error: ShortError | None
    started_at: float
    ended_at: float


class TasksPage(msgspec.Struct, kw_only=True):
    """`total`: tasks of the whole list. `next` is the cursor of the next page, "" on the last one."""

    items: list[TaskRow]
    next: str
    total: int
    head: int


class AttemptDetail(msgspec.Struct, kw_only=True):
    """One try. `items` are the indices of its tasks; `usage` is measured by the attempt, null while it runs."""

    id: str
    n: int
    items: list[list[int]]
    planned_at: float
    status: str
    reason: str
    usage: struct_of(Usage) | None  # type: ignore[valid-type]
    metrics: Values
    worker: str
    error: Error | None  # type: ignore[valid-type]


class GivenInput(msgspec.Struct, kw_only=True):
    """An artifact, or a secret's name."""

    ref: Ref | None  # type: ignore[valid-type]
    secret: str


class TaskDetail(msgspec.Struct, kw_only=True):
    """`inputs` are {} while one of them has not been made. `key` is the cache key, "" if it has none. `where` is the step's place."""

    row: TaskRow
    asked: ResourcesData  # type: ignore[valid-type]
    inputs: dict[str, GivenInput]
    outputs: dict[str, Ref]  # type: ignore[valid-type]
    error: Error | None  # type: ignore[valid-type]
    key: str
    doc: str
    where: str
    attempts: list[AttemptDetail]


class WhyQuery(Query):
    """`task`: its address."""

    task: Annotated[str, Meta(min_length=1, max_length=1024)]


Why = struct_of(Explanation)
