"""How an attempt ended. Written last, only if absent: the one sign of success or failure."""

from __future__ import annotations

from typing import Any

from fairway.spec.artifact import ArtifactRef
from fairway.spec.record import Record, field, record


@record
class Frame(Record):
    """One frame of a traceback; `own` if the file is the user's (not Fairway's, not a library's)."""

    file: str
    line: int
    function: str
    source: str = ""
    own: bool = False


@record
class ErrorInfo(Record):
    """What crosses processes in place of an exception.

    `kind`: the exception's class name for user code ("KeyError"), else "timeout", "oom", "crash", "lost", "cancelled", "exit:3",
    "output" (a return value that cannot be stored), "input". `code`: a stable code of `fairway.errors`. `hint`: the way out. `frames`:
    outermost first. `mro`: names of the exception's classes, so that a retry by kind can name a parent. `retryable` False forbids a retry.
    """

    kind: str
    code: str
    message: str
    hint: str = ""
    frames: tuple[Frame, ...] = ()
    traceback: str = ""
    mro: tuple[str, ...] = ()
    retryable: bool = True


@record
class Usage(Record):
    """Measured by the attempt itself: seconds and bytes. `*_at` are epoch seconds (UTC)."""

    wall_s: float = 0.0
    cpu_s: float = 0.0
    peak_memory_bytes: int = 0
    queued_at: float = 0.0
    started_at: float = 0.0
    running_at: float = 0.0
    writing_at: float = 0.0
    ended_at: float = 0.0
    host: str = ""


@record
class TrialNotes(Record):
    """What a trial of a search leaves for those after it: `reports` are (step, value) of its first metric while it ran, at most
    `spec.study.MOST_REPORTS` of them; `attrs` is what the pruner remembers of it, as JSON; `said` are those of the search's metrics that
    it has logged, whatever their values were."""

    reports: tuple[tuple[float, float], ...] = ()
    attrs: dict[str, Any] = field(default_factory=dict)
    said: tuple[str, ...] = ()


@record
class ItemOutcome(Record):
    """One item of an attempt. `status`: "succeeded", "failed", "skipped". For a dynamic step `graph` is the digest of the Graph it made
    (an artifact of format "graph", JSON of `to_plain(Graph)`). `trial`: how a trial of a search went."""

    status: str
    outputs: dict[str, ArtifactRef] = field(default_factory=dict)
    error: ErrorInfo | None = None
    graph: str = ""
    reason: str = ""
    trial: TrialNotes | None = None


@record
class Outcome(Record):
    """`status`: "ended" (see each item), "abandoned" (given up before it could end) or "failed" (no item-wise result: the whole attempt
    crashed, timed out, was killed; `error` says how and holds for every item).

    An attempt whose process dies after some items of a batch have ended reports those in `items`, in order, and the rest by `error`.
    """

    attempt: str
    status: str
    items: tuple[ItemOutcome, ...] = ()
    error: ErrorInfo | None = None
    usage: Usage = field(default_factory=Usage)
    metrics: dict[str, float] = field(default_factory=dict)
    worker: str = ""


def outcome_key(run: str, attempt: str) -> str:
    """The artifact store's key of an attempt's outcome."""
    return f"outcome/{run}/{attempt}"
