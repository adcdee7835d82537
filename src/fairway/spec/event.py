"""Events: the facts of a run, in order. The journal keeps them; `engine.apply` folds them into a run's state.

Few and durable. Task addresses are a `scope` ("" for the pipeline itself; the address of a dynamic task, such as "tune[2]",
for the graph it made), a node id and an index per axis. `address(scope, node, index)` spells it: "tune[2]/train[0,3]".
"""

from __future__ import annotations

from typing import Any

from fairway.spec.artifact import ArtifactRef
from fairway.spec.graph import Graph
from fairway.spec.outcome import ErrorInfo, Outcome, TrialNotes
from fairway.spec.record import Record, field, from_plain, record, to_plain

Index = tuple[int, ...]


def address(scope: str, node: str, index: Index = ()) -> str:
    """The task's name within its run."""
    inner = f"[{','.join(map(str, index))}]" if index else ""
    return f"{scope}/{node}{inner}" if scope else f"{node}{inner}"


@record
class RunOptions(Record):
    """What was asked for this run. `cache` False: no task is taken from the cache (results are still written to it)."""

    cache: bool = True
    max_parallel: int = 0
    timeout_s: float = 0.0
    fail_fast: bool = False


@record
class RunStarted(Record):
    """The first event of every run. `params` are artifacts (small values inline). `graph` has its steps' code digests filled in.
    `environment` is what the driver's own interpreter was (python, platform, packages digest, …), for people and `diff`."""

    run: str
    graph: Graph
    params: dict[str, ArtifactRef]
    bundle: str
    at: float
    project: str = ""
    created_by: str = ""
    triggered_by: str = ""
    target: str = "local"
    name: str = ""
    source: str = ""
    options: RunOptions = field(default_factory=RunOptions)
    tags: tuple[str, ...] = ()
    environment: dict[str, Any] = field(default_factory=dict)


@record
class RunResumed(Record):
    """A resume; failed, cancelled and skipped-by-failure tasks are tried again. `graph` and `bundle` are set if the code was edited,
    `environment` (as in `RunStarted`) if it has changed."""

    at: float
    by: str = ""
    graph: Graph | None = None
    bundle: str = ""
    options: RunOptions | None = None
    environment: dict[str, Any] = field(default_factory=dict)


@record
class MapExpanded(Record):
    """The length of an axis became known, for one index of the axes it lies on. -1 if its source was skipped, so that nothing on it will
    be; `error` if its sources cannot be mapped over."""

    scope: str
    axis: str
    index: Index
    count: int
    error: ErrorInfo | None = None


@record
class AttemptPlanned(Record):
    """Intent before effect: durable before the executor hears of it. `keys` are the cache keys by item ("" = not cached)."""

    attempt: str
    scope: str
    node: str
    items: tuple[Index, ...]
    n: int
    at: float
    keys: tuple[str, ...] = ()


@record
class CachedItem(Record):
    """An item whose outputs were found in the cache. `run` and `task` made them, and had logged `metrics` last; `trial` is how that went if
    it was (part of) a trial. Of a dynamic task it is its graph (a digest) instead, whose tasks are looked up one by one."""

    index: Index
    key: str
    outputs: dict[str, ArtifactRef]
    run: str = ""
    task: str = ""
    graph: str = ""
    metrics: dict[str, float] = field(default_factory=dict)
    trial: TrialNotes | None = None


@record
class TasksCached(Record):
    scope: str
    node: str
    items: tuple[CachedItem, ...]
    at: float


@record
class TasksSkipped(Record):
    """`reason`: "condition", "upstream" (an input was skipped or failed), "cancelled"."""

    scope: str
    node: str
    items: tuple[Index, ...]
    reason: str


@record
class TasksRefused(Record):
    """Tasks that failed without an attempt: an input could not be resolved."""

    scope: str
    node: str
    items: tuple[Index, ...]
    error: ErrorInfo
    at: float


@record
class AttemptObserved(Record):
    """Why an attempt is still waiting, or where it runs. Recorded when it changes, not by the clock."""

    attempt: str
    phase: str
    reason: str = ""
    at: float = 0.0


@record
class AttemptEnded(Record):
    attempt: str
    outcome: Outcome
    at: float


@record
class RetryScheduled(Record):
    """The items will be planned again, as attempt `n`, no earlier than `due_at`."""

    scope: str
    node: str
    items: tuple[Index, ...]
    n: int
    due_at: float


@record
class AttemptGivenUp(Record):
    """The driver stops waiting: an `abandoned` outcome is written first, if absent, then the executor is told. `reason`: "timeout",
    "cancelled", "superseded" (by a resume with other code or settings)."""

    attempt: str
    reason: str
    at: float


@record
class GraphGrown(Record):
    """A dynamic task has made its graph; it runs in the scope named by the task's address."""

    scope: str
    node: str
    index: Index
    graph: Graph


@record
class ScopeEnded(Record):
    """The graph of a dynamic task has ended; `outputs` are that task's, `error` set if it failed. `status`: "succeeded", "failed",
    "skipped", "cancelled"."""

    scope: str
    node: str
    index: Index
    status: str
    at: float
    outputs: dict[str, ArtifactRef] = field(default_factory=dict)
    error: ErrorInfo | None = None


@record
class ClockAdvanced(Record):
    """A timer was due; or a driver has taken the run over from one that died, after `idle_s` seconds in which nothing was recorded."""

    at: float
    idle_s: float = 0.0


@record
class CancelRequested(Record):
    at: float
    by: str = ""
    reason: str = ""


@record
class RunLabelled(Record):
    """Tags, note, archive, name: None means unchanged."""

    at: float
    by: str = ""
    add_tags: tuple[str, ...] = ()
    remove_tags: tuple[str, ...] = ()
    note: str | None = None
    archived: bool | None = None


@record
class RunEnded(Record):
    """`status`: "succeeded", "failed", "cancelled", "timeout"."""

    status: str
    at: float
    outputs: dict[str, ArtifactRef] = field(default_factory=dict)
    error: ErrorInfo | None = None


Event = (
    RunStarted
    | RunResumed
    | MapExpanded
    | AttemptPlanned
    | TasksCached
    | TasksSkipped
    | TasksRefused
    | AttemptObserved
    | AttemptEnded
    | RetryScheduled
    | AttemptGivenUp
    | GraphGrown
    | ScopeEnded
    | ClockAdvanced
    | CancelRequested
    | RunLabelled
    | RunEnded
)

EVENTS: dict[str, type[Any]] = {cls.__name__: cls for cls in Event.__args__}


def render_event(event: Event) -> tuple[str, dict[str, Any]]:
    """(name, plain data) as kept in a journal."""
    return type(event).__name__, to_plain(event)


def parse_event(name: str, data: dict[str, Any]) -> Event:
    """The inverse of `render_event`. Raises KeyError for a name this version does not know."""
    return from_plain(EVENTS[name], data)
