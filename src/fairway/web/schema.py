"""What requests take and answers hold, beyond the records of `fairway.spec`: one struct each, with its limits."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from fairway.engine.differ import Difference
from fairway.spec.artifact import ArtifactRef
from fairway.spec.event import EVENTS, RunResumed, RunStarted
from fairway.spec.graph import Graph
from fairway.spec.outcome import ErrorInfo
from fairway.spec.resources import Resources
from fairway.spec.summary import CacheEntry, RunSummary, RunTally
from fairway.web.records import struct_of

Count = Annotated[int, Meta(ge=0, le=2**53)]
Limit = Annotated[int, Meta(ge=1, le=1000)]
Word = Annotated[str, Meta(max_length=1024)]
Text = Annotated[str, Meta(max_length=65536)]
Digest = Annotated[str, Meta(pattern="^[0-9a-f]{64}$")]
Key = Annotated[str, Meta(pattern="^[A-Za-z0-9._/-]{1,512}$")]
RunStatus = Literal["", "running", "succeeded", "failed", "cancelled", "timeout"]

Ref = struct_of(ArtifactRef)
Summary = struct_of(RunSummary)
Error = struct_of(ErrorInfo)
Entry = struct_of(CacheEntry)
GraphData = struct_of(Graph)
DifferenceData = struct_of(Difference)
ResourcesData = struct_of(Resources)


class Query(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Parameters of a request."""


class Body(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """The body of a request."""


# --- server


class Health(msgspec.Struct, kw_only=True):
    """`drivers`: runs that are driven now; `problems`: by run, why it does not get on."""

    status: Literal["ok", "starting"]
    version: str
    drivers: int
    problems: dict[str, str]


class Target(msgspec.Struct, kw_only=True):
    """`blobs_port`: where signed URLs lead, 0 if blobs go through the API alone. `capabilities` are the executor's."""

    name: str
    version: str
    user: str
    blobs_port: int
    capabilities: list[str]
    settings: dict[str, Any]


class Cluster(msgspec.Struct, kw_only=True):
    """What the target has, what is free, the most that one attempt may ask for; `facts` and `more` as far as they are known."""

    total: ResourcesData  # type: ignore[valid-type]
    free: ResourcesData  # type: ignore[valid-type]
    largest: ResourcesData  # type: ignore[valid-type]
    facts: dict[str, Any]
    more: dict[str, Any]


class Secrets(msgspec.Struct, kw_only=True):
    """Names only: nothing here ever shows a value."""

    names: list[str]


# --- runs


class RunsQuery(Query):
    """`match`: the beginning or end of an id, or a name. `tag`, `pipeline`, `status`: exactly this one. `cursor`: `next` of the page
    before."""

    pipeline: Word = ""
    status: RunStatus = ""
    tag: Word = ""
    archived: bool = False
    match: Word = ""
    cursor: Word = ""
    limit: Limit = 50


class RunsPage(msgspec.Struct, kw_only=True):
    """`next` is the cursor of the next page, "" on the last one."""

    items: list[Summary]  # type: ignore[valid-type]
    next: str


class StartBody(Body):
    """`started` is the run's first event; who started it and when is filled in here."""

    started: struct_of(RunStarted)  # type: ignore[valid-type]


class ResumeBody(Body):
    """`resumed` says with what to go on; without it, with the code as recorded."""

    resumed: struct_of(RunResumed) | None = None  # type: ignore[valid-type]


class RerunBody(Body):
    """A new run of the same graph, code and parameters. `cache` False: nothing is taken from the cache."""

    run: Annotated[str, Meta(max_length=64)] = ""
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


# --- pipelines, cache


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


# --- events


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


KNOWN_EVENTS = tuple(EVENTS)


# --- blobs


class SignBody(Body):
    """Keys of blobs to be read, and keys with sizes of blobs to be written."""

    get: Annotated[tuple[Key, ...], Meta(max_length=1000)] = ()
    put: Annotated[tuple[tuple[Key, Count], ...], Meta(max_length=1000)] = ()


class Signed(msgspec.Struct, kw_only=True):
    """URLs by key: absolute, or a path and query on the blobs' port. Of what is to be written, null if the store has it already."""

    get: dict[str, str]
    put: dict[str, str | None]


# --- streams


class LogQuery(Query):
    """`tail`: only the last lines. `offset`: from this byte. `search`: only lines with this text, whatever its case. `limit`: lines of one
    JSON answer. `follow`: the text goes on until the attempt has ended."""

    tail: Annotated[int, Meta(ge=0, le=1_000_000)] = 0
    offset: Count = 0
    search: Word = ""
    limit: Annotated[int, Meta(ge=1, le=10_000)] = 1000
    follow: bool = False


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
    """A stream "ATTEMPT/log", "…/metrics", "…/samples", "…/progress", and its bytes so far."""

    name: str
    size: int


class StreamsPage(msgspec.Struct, kw_only=True):
    """The run's streams."""

    items: list[StreamItem]


class StreamsReadBody(Body):
    """From which byte on each stream is wanted, how many bytes in all at most, and how long to wait for the first."""

    offsets: Annotated[dict[Annotated[str, Meta(pattern="^[A-Za-z0-9._-]{1,128}/[a-z]{1,32}$")], Count], Meta(max_length=10_000)]
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


# --- blobs


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
