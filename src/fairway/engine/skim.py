"""`skim(overview, number, event)`: fold one event into an overview, by the rules of `engine.apply`; only what pages show is kept.

It takes the events of `engine.lean` and those of `spec.event` alike.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from fairway.engine.columns import NONE
from fairway.engine.lean import Error
from fairway.engine.nodecolumns import (
    CACHED,
    CANCELLED,
    DONE_WELL,
    FAILED,
    RETRYING,
    RUNNING,
    SETTLED_FROM,
    SKIPPED,
    SUCCEEDED,
    WAITING,
    NodeColumns,
    ScopeColumns,
)
from fairway.spec.event import Index, address
from fairway.spec.graph import Graph
from fairway.spec.retry import LOSSES, UNCOUNTED, may_retry

if TYPE_CHECKING:
    from fairway.engine.overview import Overview

_FAILED_SAYING_NOTHING = Error("unknown", "FW-TASK-FAILED", "failed without saying why")
_INNER_FAILED = Error("unknown", "FW-TASK-FAILED", "an inner task failed")
_NO_WORD = Error("lost", "FW-LOST", "the attempt ended without a word on this item")


def skim(overview: Overview, number: int, event: Any) -> None:
    """Change `overview` by the event of this number."""
    at = getattr(event, "at", 0.0)
    if at > overview.now:
        overview.now = at
    overview.head = number
    _SKIM[type(event).__name__](overview, number, event)


class Seen:
    """What was observed of an attempt that lives."""

    __slots__ = ("phase", "reason", "running_at", "starting_at")

    def __init__(self) -> None:
        self.phase, self.reason = "queued", ""
        self.starting_at = self.running_at = 0.0


_BEGUN = (
    "run", "graph", "params", "bundle", "options", "project", "created_by", "triggered_by", "target", "name", "source", "tags",
    "environment",
)  # fmt: skip


def _started(o: Overview, number: int, event: Any) -> None:
    for name in _BEGUN:
        setattr(o, name, getattr(event, name))
    o.status, o.started_at = "running", event.at
    _open(o, "", event.graph, None)


def _open(o: Overview, name: str, graph: Graph, owner: tuple[str, str, Index] | None) -> None:
    scope = ScopeColumns(name, graph, owner)
    o.scopes[name] = scope
    for node in scope.nodes.values():
        node.row = len(o.nodes)
        o.nodes.append(node)
        if not node.node.axes:
            _create(o, node, (), 1)


def _create(o: Overview, node: NodeColumns, prefix: Index, count: int) -> None:
    """The items whose indices begin with `prefix`; all of them at once, as its list is known now."""
    start = o.columns.add_items(count)
    node.add_block(prefix, start, count)
    o.block_start.append(start)
    o.block_node.append(node.row)
    o.block_prefix.append(prefix)
    node.counts[WAITING] += count
    o.totals[WAITING] += count
    before = o.past.get((node.scope, node.node.id))
    if before is not None and prefix in before.blocks:  # attempts from before the graph was edited go on being this task's
        old, known = before.blocks[prefix]
        common = min(count, known)
        o.columns.last[start : start + common] = o.columns.last[old : old + common]


def _move(o: Overview, node: NodeColumns, slots: Sequence[int], status: int) -> None:
    """Give items of one node a status."""
    column, counts, totals = o.columns.status, node.counts, o.totals
    for slot in slots:
        old = column[slot]
        counts[old] -= 1
        totals[old] -= 1
        column[slot] = status
    counts[status] += len(slots)
    totals[status] += len(slots)
    if status == RUNNING and not node.started_at:
        node.started_at = o.now
    if status >= SETTLED_FROM and slots:
        node.ended_at = o.now


def _expanded(o: Overview, number: int, event: Any) -> None:
    scope = o.scopes[event.scope]
    axis = scope.graph.axes[event.axis]
    scope.lengths[event.axis][event.index] = event.count
    if event.error is not None and o.error is None:
        o.error = event.error
    fixed = dict(zip(axis.axes, event.index, strict=True))
    for name in scope.index.axis_users[event.axis]:
        node = scope.nodes[name]
        for prefix, count in scope.blocks(node.node.axes, fixed):
            if prefix not in node.blocks:
                _create(o, node, prefix, count)


def _planned(o: Overview, number: int, event: Any) -> None:
    node = o.scopes[event.scope].nodes[event.node]
    slots = node.slots(event.items)
    row = o.columns.add_attempt(event.attempt, event.n, node.row, number, event.at, slots)
    o.live[event.attempt] = row
    node.attempts += 1
    _move(o, node, slots, RUNNING)


def _observed(o: Overview, number: int, event: Any) -> None:
    row = o.live.get(event.attempt)
    if row is None:
        return
    o.columns.add_observation(row, number)
    seen = o.seen.setdefault(row, Seen())
    seen.phase, seen.reason = event.phase, event.reason
    if event.phase == "starting":
        seen.starting_at = seen.starting_at or event.at
    elif event.phase == "running":
        seen.running_at = seen.running_at or event.at


def _given_up(o: Overview, number: int, event: Any) -> None:
    row = o.live.get(event.attempt)
    if row is not None:
        o.columns.add_observation(row, number)


def _ended(o: Overview, number: int, event: Any) -> None:
    row = o.live.pop(event.attempt, None)
    if row is None:
        return
    outcome, columns = event.outcome, o.columns
    node = o.nodes[columns.node[row]]
    slots = columns.slots_of(row)
    columns.ended_no[row] = number
    if node.total == 1 and outcome.metrics:
        o.metrics.update(outcome.metrics)
    items = outcome.items
    if len(items) >= len(slots) and all(item.status == "succeeded" and not item.graph and item.error is None for item in items):
        _move(o, node, slots, SUCCEEDED)
        worst = SUCCEEDED
    else:
        worst = max((_end_item(o, node, slot, *_item_of(outcome, position)) for position, slot in enumerate(slots)), default=SUCCEEDED)
    _close_attempt(o, node, row, worst, outcome.usage, event.at)


def _close_attempt(o: Overview, node: NodeColumns, row: int, outcome: int, usage: Any, at: float) -> None:
    """Keep when it did what. Clocks differ between machines: no phase ends before it began."""
    columns = o.columns
    columns.outcome[row] = outcome
    seen = o.seen.pop(row, None)
    started = running = writing = ended = 0.0
    if usage is not None:
        started, running, writing, ended = usage.started_at, usage.running_at, usage.writing_at, usage.ended_at
    if seen is not None:
        started, running = started or seen.starting_at, running or seen.running_at
    planned = columns.planned_at[row]
    end = max(0.0, (ended or at) - planned)
    columns.ended[row] = end
    begun = 0.0
    spent = node.spent
    started = started or running or writing
    running = running or writing
    for phase, (column, moment) in enumerate(((columns.started, started), (columns.running, running), (columns.writing, writing))):
        if not moment:
            spent[phase] += end - begun
            return
        moment = min(end, max(begun, moment - planned))
        column[row] = moment
        spent[phase] += moment - begun
        begun = moment
    spent[3] += end - begun


def _item_of(outcome: Any, position: int) -> tuple[str, Any, str]:
    """(status, error, graph) of one item."""
    if position < len(outcome.items):
        item = outcome.items[position]
        return item.status, item.error, item.graph
    if outcome.status == "abandoned" and (outcome.error is None or outcome.error.kind != "lost"):
        return "cancelled", outcome.error, ""
    return "failed", outcome.error or _NO_WORD, ""


def _end_item(o: Overview, node: NodeColumns, slot: int, status: str, error: Any, graph: str) -> int:
    """One item of an attempt has ended; returns how, a failure that is tried again being one all the same."""
    if status != "succeeded" or error is not None:  # what it was tried again for is told of what goes well
        o.set_error(slot, error)
    if status == "succeeded" and graph:
        o.set_reason(slot, "graph")
        return SUCCEEDED
    if status == "succeeded":
        _move(o, node, (slot,), SUCCEEDED)
        return SUCCEEDED
    if status == "skipped":
        o.set_reason(slot, "skip")
        _move(o, node, (slot,), SKIPPED)
        return SKIPPED
    if status == "cancelled":
        _move(o, node, (slot,), CANCELLED)
        return FAILED if error is not None and error.kind == "timeout" else CANCELLED
    error = error or _FAILED_SAYING_NOTHING
    lost = o.lost.get(slot, 0)
    if error.code in UNCOUNTED:
        o.columns.tried[slot] = max(0, o.columns.tried[slot] - 1)
    elif error.kind in LOSSES:
        lost = o.lost[slot] = lost + 1
    if not o.stopping and may_retry(node.retry, error, o.columns.tried[slot], lost):
        o.set_error(slot, error)
        o.set_reason(slot, "")
        _move(o, node, (slot,), RETRYING)
    else:
        _fail(o, node, slot, error)
    return FAILED


def _fail(o: Overview, node: NodeColumns, slot: int, error: Any) -> None:
    o.set_error(slot, error)
    if node.first_failed < 0:
        node.first_failed = slot
    _move(o, node, (slot,), FAILED)
    inner = o.scopes[node.scope].owner is not None
    (o.tolerated if node.tolerant else o.failed).append(slot)
    if not node.tolerant and not inner:
        o.broken = True
        if o.options.fail_fast and not o.stopping:
            o.stopping = "failed"


def _cached(o: Overview, number: int, event: Any) -> None:
    node = o.scopes[event.scope].nodes[event.node]
    if not node.started_at:
        node.started_at = event.at
    groups: dict[int, list[int]] = {}
    for item in event.items:
        slot = node.slot(item.index)
        o.columns.told[slot] = number
        if node.total == 1 and item.metrics:
            o.metrics.update(item.metrics)
        if item.graph:
            o.set_reason(slot, "graph")
            o.cached_graphs[slot] = number
        groups.setdefault(RUNNING if item.graph else SUCCEEDED if item.run == o.run else CACHED, []).append(slot)
    for status, slots in groups.items():
        _move(o, node, slots, status)


def _skipped(o: Overview, number: int, event: Any) -> None:
    node = o.scopes[event.scope].nodes[event.node]
    slots = [slot for slot in node.slots(event.items) if o.columns.status[slot] < SETTLED_FROM]
    for slot in slots:
        o.columns.told[slot] = number
        o.set_reason(slot, event.reason)
    _move(o, node, slots, SKIPPED)


def _refused(o: Overview, number: int, event: Any) -> None:
    node = o.scopes[event.scope].nodes[event.node]
    for slot in node.slots(event.items):
        o.columns.told[slot] = number
        _fail(o, node, slot, event.error)


def _retry(o: Overview, number: int, event: Any) -> None:
    node = o.scopes[event.scope].nodes[event.node]
    slots = tuple(node.slots(event.items))
    heapq.heappush(o.retries, (event.due_at, event.n, node.row, slots))
    for slot in slots:
        if o.columns.status[slot] == RETRYING:
            o.set_reason(slot, "scheduled")


def _grown(o: Overview, number: int, event: Any) -> None:
    name = address(event.scope, event.node, event.index)
    _open(o, name, event.graph, (event.scope, event.node, tuple(event.index)))


def _scope_ended(o: Overview, number: int, event: Any) -> None:
    inner = o.scopes.get(address(event.scope, event.node, event.index))
    if inner is not None:
        inner.ended = True
    node = o.scopes[event.scope].nodes[event.node]
    slot = node.slot(event.index)
    o.columns.told[slot] = number
    o.set_reason(slot, "skip" if event.status == "skipped" else "")
    if event.status == "failed":
        _fail(o, node, slot, event.error or _INNER_FAILED)
    else:
        _move(o, node, (slot,), {"succeeded": SUCCEEDED, "skipped": SKIPPED, "cancelled": CANCELLED}[event.status])


def _clock(o: Overview, number: int, event: Any) -> None:
    o.idle_s += event.idle_s
    timeout_s = o.options.timeout_s or o.graph.timeout_s
    if timeout_s and not o.stopping and event.at >= (o.resumed_at or o.started_at) + o.idle_s + timeout_s:
        o.stopping = "timeout"
        o.error = Error("timeout", "FW-TASK-TIMEOUT", f"the run took longer than its timeout of {timeout_s:g} s")
        return
    while o.retries and o.retries[0][0] <= event.at:
        _, _, row, slots = heapq.heappop(o.retries)
        _move(o, o.nodes[row], [slot for slot in slots if o.columns.status[slot] == RETRYING], WAITING)


def _cancel(o: Overview, number: int, event: Any) -> None:
    if o.stopping in ("", "failed") and o.status == "running":
        o.stopping = "cancelled"
        o.error = Error("cancelled", "FW-TASK-CANCELLED", event.reason or "cancelled" + (f" by {event.by}" if event.by else ""))


def _labelled(o: Overview, number: int, event: Any) -> None:
    kept = [tag for tag in o.tags if tag not in event.remove_tags]
    o.tags = tuple(dict.fromkeys([*kept, *event.add_tags]))
    o.note = o.note if event.note is None else event.note
    o.archived = o.archived if event.archived is None else event.archived


def _run_ended(o: Overview, number: int, event: Any) -> None:
    o.status, o.ended_at, o.outputs = event.status, event.at, event.outputs
    o.error = event.error or o.error


def _resumed(o: Overview, number: int, event: Any) -> None:
    for row in o.live.values():  # what lives on is no more of this run's
        _close_attempt(o, o.nodes[o.columns.node[row]], row, CANCELLED, None, o.now)
    o.status, o.stopping, o.error, o.ended_at, o.broken = "running", "", None, 0.0, False
    o.resumed_at, o.idle_s = o.now, 0.0
    o.live.clear()
    o.retries.clear()
    del o.failed[:], o.tolerated[:]
    o.resumes += 1
    if event.options is not None:
        o.options = event.options
    if event.environment:
        o.environment = dict(event.environment)
    if event.graph is not None:
        o.graph = event.graph
        o.bundle = event.bundle or o.bundle
        for scope in list(o.scopes.values()):
            _drop(o, scope)
        o.errors.clear()
        o.lost.clear()
        o.totals = [0] * len(o.totals)
        _open(o, "", event.graph, None)
        return
    for scope in list(o.scopes.values()):
        if scope.name in o.scopes and not (scope.owner is not None and scope.ended):
            _reopen(o, scope)
    o.totals = [sum(node.counts[code] for scope in o.scopes.values() for node in scope.nodes.values()) for code in range(len(o.totals))]


def _drop(o: Overview, scope: ScopeColumns) -> None:
    del o.scopes[scope.name]
    for node in scope.nodes.values():
        o.past[scope.name, node.node.id] = node


def _reopen(o: Overview, scope: ScopeColumns) -> None:
    for lengths in scope.lengths.values():
        for index in [i for i, count in lengths.items() if count == -2]:
            del lengths[index]
    scope.ended = False
    for node in scope.nodes.values():
        node.first_failed = -1
        _reopen_node(o, node)


def _reopen_node(o: Overview, node: NodeColumns) -> None:
    if not node.node.exit and sum(node.counts[code] for code in DONE_WELL) == node.total:
        return
    columns = o.columns
    for prefix, (start, count) in node.blocks.items():
        for slot in range(start, start + count):
            if not node.node.exit and not _to_redo(o, slot):
                continue
            index = (*prefix, slot - start) if node.node.axes else ()
            if len(o.scopes) > 1:
                _drop_inner(o, address(node.scope, node.node.id, index))
            columns.status[slot], columns.reason[slot], columns.tried[slot] = WAITING, 0, 0
            o.errors.pop(slot, None)
            o.lost.pop(slot, None)
    node.counts = [0] * len(node.counts)
    for start, count in node.blocks.values():
        part = columns.status[start : start + count]
        node.counts = [n + part.count(code) for code, n in enumerate(node.counts)]


def _drop_inner(o: Overview, inner: str) -> None:
    if inner in o.scopes:
        for name in [name for name in o.scopes if name == inner or name.startswith(inner + "/")]:
            _drop(o, o.scopes[name])


def _to_redo(o: Overview, slot: int) -> bool:
    status = o.columns.status[slot]
    if status in DONE_WELL:
        return False
    return status != SKIPPED or o.reason(slot) in ("failed", "cancelled")


_SKIM: Mapping[str, Callable[[Any, int, Any], None]] = {
    "RunStarted": _started,
    "RunResumed": _resumed,
    "MapExpanded": _expanded,
    "AttemptPlanned": _planned,
    "TasksCached": _cached,
    "TasksSkipped": _skipped,
    "TasksRefused": _refused,
    "AttemptObserved": _observed,
    "AttemptEnded": _ended,
    "RetryScheduled": _retry,
    "AttemptGivenUp": _given_up,
    "GraphGrown": _grown,
    "ScopeEnded": _scope_ended,
    "ClockAdvanced": _clock,
    "CancelRequested": _cancel,
    "RunLabelled": _labelled,
    "RunEnded": _run_ended,
}
__all__ = ["NONE", "Seen", "skim"]
