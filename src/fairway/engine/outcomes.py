"""Outcomes in the artifact store: read, and written by the driver only to give an attempt up or to declare it lost."""

from __future__ import annotations

import json

from fairway.errors import NotFoundError
from fairway.spec.outcome import ErrorInfo, Outcome, outcome_key
from fairway.spec.ports import ArtifactStore
from fairway.spec.record import from_plain, to_plain

_WHY = {
    "cancelled": "the run was cancelled while this ran",
    "timeout": "the run's time was over while this ran",
    "failed": "the run had failed while this ran",
}
"""By what ended the run."""


def find_outcome(store: ArtifactStore, run: str, attempt: str) -> Outcome | None:
    """How the attempt ended, None while it has not."""
    try:
        data = store.get(outcome_key(run, attempt))
    except NotFoundError:
        return None
    return from_plain(Outcome, json.loads(data))


def settle_outcome(store: ArtifactStore, run: str, outcome: Outcome) -> Outcome:
    """Write `outcome` unless there is one already; returns the one that stands. Idempotent."""
    data = json.dumps(to_plain(outcome), separators=(",", ":")).encode()
    if store.put(outcome_key(run, outcome.attempt), data, if_absent=True):
        return outcome
    return find_outcome(store, run, outcome.attempt) or outcome


def abandoned(attempt: str, reason: str) -> Outcome:
    """The outcome of an attempt that its driver gave up. One that was "superseded" by a resume is tried again."""
    if reason == "superseded":
        return Outcome(attempt, "abandoned", error=ErrorInfo("lost", "FW-LOST", "the run was resumed with other code while this ran"))
    code = "FW-TASK-TIMEOUT" if reason == "timeout" else "FW-TASK-CANCELLED"
    kind = "timeout" if reason == "timeout" else "cancelled"
    return Outcome(attempt, "abandoned", error=ErrorInfo(kind, code, _WHY.get(reason, f"given up: {reason}"), retryable=False))


def end_of(error: ErrorInfo) -> str:
    """The status of an attempt that ended with this error: to be cancelled is not to fail."""
    return "cancelled" if error.kind == "cancelled" else "failed"


def lost(attempt: str) -> Outcome:
    """The outcome of an attempt that vanished."""
    message = "the process that ran this attempt is gone and left no outcome"
    return Outcome(attempt, "failed", error=ErrorInfo("lost", "FW-LOST", message, hint="`fairway resume` tries it again"))
