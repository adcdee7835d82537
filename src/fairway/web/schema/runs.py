"""Runs."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from fairway.spec.event import RunResumed, RunStarted
from fairway.web.records import RunId, Word, struct_of
from fairway.web.schema.words import Body, Error, Limit, Query, Ref, RunStatus, Summary, Text


class RunsQuery(Query):
    """`q`: a query as in `fairway runs QUERY`, such as "failed auc>0.8 since:2d"; `sort`: an order as in its `sort:`. `match`: beginning or
    end of an id, or a name. `tag`, `pipeline`, `status`: exactly this one. `archived`: archived ones too. `cursor`: `next` of the page
    before."""

    q: Text = ""
    sort: Word = ""
    pipeline: Word = ""
    status: RunStatus = ""
    tag: Word = ""
    archived: bool = False
    match: Word = ""
    cursor: Word = ""
    limit: Limit = 50


class RunsPage(msgspec.Struct, kw_only=True):
    """`next` is the cursor of the next page, "" on the last one. `total`: how many runs there are in all pages; more if not `exact`."""

    items: list[Summary]  # type: ignore[valid-type]
    next: str
    total: int
    exact: bool


class FacetsQuery(Query):
    """`project`: only of runs of these projects."""

    project: Annotated[tuple[Word, ...], Meta(max_length=1000)] = ()


class StartBody(Body):
    """`started` is the run's first event; who started it and when is filled in here."""

    started: struct_of(RunStarted)  # type: ignore[valid-type]


class ResumeBody(Body):
    """`resumed` says with what to go on; without it, with the code as recorded."""

    resumed: struct_of(RunResumed) | None = None  # type: ignore[valid-type]


class RerunBody(Body):
    """A new run of the same graph, code and parameters. `run`: its id; give one, so that a request whose answer was lost can be repeated.
    `cache` False: nothing is taken from the cache."""

    run: RunId | None = None
    name: Word = ""
    tags: Annotated[tuple[Word, ...], Meta(max_length=64)] = ()
    cache: bool = True


class LabelBody(Body):
    """What to change; what is left out stays."""

    add_tags: Annotated[tuple[Word, ...], Meta(max_length=64)] = ()
    remove_tags: Annotated[tuple[Word, ...], Meta(max_length=64)] = ()
    note: Text | None = None
    archived: bool | None = None


class CancelBody(Body):
    """Why the run is to stop."""

    reason: Word = ""


class CommandBody(Body):
    """A wish for the run's driver, as in its inbox."""

    kind: Literal["cancel", "label"]
    body: dict[str, Any] = msgspec.field(default_factory=dict)


class CommandSent(msgspec.Struct, kw_only=True):
    """The command's number in the inbox, 0 if it was done at once."""

    id: int


class InboxItem(msgspec.Struct, kw_only=True):
    """One command that waits for the driver."""

    id: int
    kind: str
    body: dict[str, Any]


class Inbox(msgspec.Struct, kw_only=True):
    """Commands that wait for the driver."""

    items: list[InboxItem]


class StepRow(msgspec.Struct, kw_only=True):
    """One step of the run with its tasks counted by status."""

    step: str
    status: str
    counts: dict[str, int]
    started_at: float
    ended_at: float


class RunDetail(msgspec.Struct, kw_only=True):
    """A run: its summary, its steps, its outputs. `head` is the number of its last event; `problem`: why its driver does not get on."""

    summary: Summary  # type: ignore[valid-type]
    head: int
    driven: bool
    problem: str
    steps: list[StepRow]
    outputs: dict[str, Ref]  # type: ignore[valid-type]
    error: Error | None  # type: ignore[valid-type]


class Digests(msgspec.Struct, kw_only=True):
    """Whatever in the run's events could be the SHA-256 of an artifact or a bundle."""

    digests: list[str]
