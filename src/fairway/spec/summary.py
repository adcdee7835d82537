"""What listings need to know of a run without reading its journal, and entries of the cache index."""

from __future__ import annotations

from typing import Any

from fairway.spec.artifact import ArtifactRef
from fairway.spec.outcome import TrialNotes
from fairway.spec.record import Record, field, record


@record
class RunSummary(Record):
    """One row of `fairway runs`. `status`: "running", "succeeded", "failed", "cancelled", "timeout". `counts` by task state."""

    run: str
    pipeline: str
    status: str = "running"
    project: str = ""
    name: str = ""
    source: str = ""
    target: str = "local"
    created_by: str = ""
    triggered_by: str = ""
    started_at: float = 0.0
    ended_at: float = 0.0
    params: dict[str, Any] = field(default_factory=dict)
    metrics: dict[str, float] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)
    error: str = ""
    tags: tuple[str, ...] = ()
    note: str = ""
    archived: bool = False


@record
class RunTally(Record):
    """How many `runs` of one pipeline have one status, archived or not; `newest` is the id of the last of them."""

    pipeline: str
    status: str
    archived: bool
    runs: int
    newest: str


GRAPH_OUTPUT = "(graph)"


@record
class CacheEntry(Record):
    """A task's outputs by its cache key. A dynamic task's one output is `GRAPH_OUTPUT`: the graph that its body made. `trial`: how it went,
    if it was (part of) a trial of a search."""

    key: str
    run: str
    task: str
    outputs: dict[str, ArtifactRef]
    at: float = 0.0
    metrics: dict[str, float] = field(default_factory=dict)
    trial: TrialNotes | None = None
