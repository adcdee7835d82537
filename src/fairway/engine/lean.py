"""A run's events with only the fields that an overview needs: decoded many times faster than whole, and small.

The classes are named as in `spec.event` and their fields mean the same. What a batch holds beyond them (outputs, keys, tracebacks) is
stepped over.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import msgspec

from fairway.spec import event as ev
from fairway.spec.event import parse_event
from fairway.spec.record import to_plain
from fairway.store.wire import parse_events, parse_json

Index = tuple[int, ...]


class Lean(msgspec.Struct, gc=False):
    """One event."""


class MapExpanded(Lean):
    scope: str
    axis: str
    index: Index
    count: int
    error: Error | None = None


class AttemptPlanned(Lean):
    attempt: str
    scope: str
    node: str
    items: list[Index]
    n: int
    at: float


class Error(Lean):
    """Of an `ErrorInfo` what people read, and what decides on a retry."""

    kind: str
    code: str
    message: str
    hint: str = ""
    mro: tuple[str, ...] = ()
    retryable: bool = True


class CachedItem(Lean):
    index: Index
    run: str = ""
    graph: str = ""
    metrics: dict[str, float] = {}


class TasksCached(Lean):
    scope: str
    node: str
    items: list[CachedItem]
    at: float


class TasksSkipped(Lean):
    scope: str
    node: str
    items: list[Index]
    reason: str


class TasksRefused(Lean):
    scope: str
    node: str
    items: list[Index]
    error: Error
    at: float


class AttemptObserved(Lean):
    attempt: str
    phase: str
    reason: str = ""
    at: float = 0.0


class ItemOutcome(Lean):
    status: str
    error: Error | None = None
    graph: str = ""


class Usage(Lean):
    started_at: float = 0.0
    running_at: float = 0.0
    writing_at: float = 0.0
    ended_at: float = 0.0


class Outcome(Lean):
    status: str
    items: list[ItemOutcome] = []
    error: Error | None = None
    usage: Usage | None = None
    metrics: dict[str, float] = {}


class AttemptEnded(Lean):
    attempt: str
    outcome: Outcome
    at: float


class RetryScheduled(Lean):
    scope: str
    node: str
    items: list[Index]
    n: int
    due_at: float


class AttemptGivenUp(Lean):
    attempt: str
    reason: str
    at: float


class ScopeEnded(Lean):
    scope: str
    node: str
    index: Index
    status: str
    at: float
    error: Error | None = None


class ClockAdvanced(Lean):
    at: float
    idle_s: float = 0.0


LEAN: dict[str, Any] = {
    cls.__name__: cls
    for cls in (
        MapExpanded,
        AttemptPlanned,
        TasksCached,
        TasksSkipped,
        TasksRefused,
        AttemptObserved,
        AttemptEnded,
        RetryScheduled,
        AttemptGivenUp,
        ScopeEnded,
        ClockAdvanced,
    )
}
"""Those of which a run has many. The few others are read whole."""


def _tagged(name: str) -> Any:
    return msgspec.defstruct(name, [("fields", LEAN.get(name, msgspec.Raw))], tag=name, array_like=True, gc=False)


_TAGGED = [_tagged(name) for name in ev.EVENTS]


@cache
def _decoder() -> Any:
    union: Any = _TAGGED[0]
    for cls in _TAGGED[1:]:
        union = union | cls
    batch: Any = list[union]
    return msgspec.json.Decoder(batch)


def read_lean(text: str, first: int, after: int = 0) -> list[tuple[int, Any]]:
    """(number, event) of those numbered above `after`, in a batch that begins with number `first`; rare events are those of `spec.event`.

    Raises UnsupportedError for an event that this version does not know.
    """
    try:
        found = _decoder().decode(text)
    except (msgspec.DecodeError, UnicodeEncodeError):  # lone surrogates, which only the standard library reads; or something unknown
        return [(number, _thin(event)) for number, event in parse_events(text, first, after)]
    numbered = enumerate(found[after + 1 - first :] if after >= first else found, max(first, after + 1))
    return [(number, _whole(one) if type(one.fields) is msgspec.Raw else one.fields) for number, one in numbered]


def _whole(tagged: Any) -> Any:
    return parse_event(type(tagged).__name__, parse_json(bytes(tagged.fields)))


def _thin(event: Any) -> Any:
    cls = LEAN.get(type(event).__name__)
    return event if cls is None else msgspec.convert(to_plain(event), cls)
