"""`apply(state, event)`: fold one event. No I/O, no clock, no randomness; the same events always give the same state."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Mapping
from sys import intern
from typing import Any

from fairway.engine.resolve import is_broken
from fairway.engine.scopegraph import ScopeGraph
from fairway.engine.state import DONE_WELL, SETTLED, AttemptState, Group, NodeState, RunState, Scope, TaskState
from fairway.engine.trialhistory import find_trial
from fairway.spec import event as ev
from fairway.spec.event import Event, Index, address
from fairway.spec.graph import Graph
from fairway.spec.outcome import ErrorInfo, ItemOutcome, Outcome
from fairway.spec.retry import LOSSES, UNCOUNTED, may_retry

Touch = tuple[str, str, str, Index]
"""Something `decide` must look at: (what, scope, node or axis, index). `what`: open, created, settled, expanded, grown, retrying, due,
stop."""


def fold(events: Iterable[Event]) -> RunState:
    """The state after all events of one run, the first of which is its `RunStarted`."""
    return replay(events)[0]


def replay(events: Iterable[Event]) -> tuple[RunState, list[Touch]]:
    """The state after all events, and everything that may need a decision."""
    state = RunState("")
    touches: list[Touch] = []
    for event in events:
        if isinstance(event, ev.RunResumed):
            touches.clear()  # it opens everything for decision again, and what came before may be no more
        touches.extend(apply(state, event))
    return state, touches


def apply(state: RunState, event: Event) -> list[Touch]:
    """Change `state` by one event; returns what `decide` has to look at."""
    touches: list[Touch] = []
    at = getattr(event, "at", 0.0)
    if at > state.now:
        state.now = at
    _APPLY[type(event)](state, event, touches)
    return touches


def _started(state: RunState, event: ev.RunStarted, touches: list[Touch]) -> None:
    for name in (
        "run",
        "graph",
        "params",
        "bundle",
        "options",
        "project",
        "created_by",
        "triggered_by",
        "target",
        "name",
        "source",
        "tags",
        "environment",
    ):
        setattr(state, name, getattr(event, name))
    state.status = "running"
    state.started_at = event.at
    _open(state, "", event.graph, None, touches)


def _open(state: RunState, name: str, graph: Graph, owner: tuple[str, str, Index] | None, touches: list[Touch]) -> None:
    scope = Scope(name, graph, ScopeGraph(graph), owner)
    state.scopes[name] = scope
    for node in scope.nodes.values():
        if not node.node.axes:
            _create(state, scope, node, ())
    touches.append(("open", name, "", ()))


def _create(state: RunState, scope: Scope, node: NodeState, index: Index) -> None:
    node.items[index] = TaskState()
    node.counts["waiting"] = node.counts.get("waiting", 0) + 1
    state.totals["waiting"] = state.totals.get("waiting", 0) + 1
    if not node.node.exit:
        scope.unsettled += 1
    for positions, groups in node.groups.items():
        key = tuple([index[p] for p in positions])
        group = groups.get(key)
        if group is None:
            group = groups[key] = Group()
        group.created += 1


def _move(state: RunState, scope: Scope, node: NodeState, index: Index, status: str, touches: list[Touch]) -> TaskState:
    """Give a task a status; when it settles, count it in its groups and say so."""
    task = node.items[index]
    for counts in (node.counts, state.totals):
        counts[task.status] -= 1
        counts[status] = counts.get(status, 0) + 1
    task.status = status
    if status == "running" and not node.started_at:
        node.started_at = state.now
    if status in SETTLED:
        node.ended_at = state.now
        if not node.node.exit:
            scope.unsettled -= 1
        broken = is_broken(node, task)
        for positions, groups in node.groups.items():
            group = groups[tuple([index[p] for p in positions])]
            group.settled += 1
            group.broken += broken
        touches.append(("settled", scope.name, node.node.id, index))
    return task


def _expanded(state: RunState, event: ev.MapExpanded, touches: list[Touch]) -> None:
    scope = state.scopes[event.scope]
    axis = scope.graph.axes[event.axis]
    scope.lengths[event.axis][event.index] = event.count
    if event.error is not None and state.error is None:
        state.error = event.error
    fixed = dict(zip(axis.axes, event.index, strict=True))
    for name in scope.index.axis_users[event.axis]:
        node = scope.nodes[name]
        for index in scope.indices(node.node.axes, fixed):
            if index not in node.items:
                _create(state, scope, node, index)
                touches.append(("created", scope.name, name, index))
    touches.append(("expanded", scope.name, event.axis, event.index))


def _planned(state: RunState, event: ev.AttemptPlanned, touches: list[Touch]) -> None:
    scope = state.scopes[event.scope]
    node = scope.nodes[event.node]
    attempt = AttemptState(event.attempt, scope.name, node.node.id, event.items)
    attempt.keys, attempt.n, attempt.planned_at = event.keys, event.n, event.at
    state.attempts[event.attempt] = state.live[event.attempt] = attempt
    for position, index in enumerate(event.items):
        task = _move(state, scope, node, index, "running", touches)
        task.n = event.n
        task.tried += 1
        task.attempts = (*task.attempts, event.attempt)
        if event.keys:
            task.key = event.keys[position]
        if node.node.pace is not None:
            node.beside[index] = find_beside(scope, node, index)


def find_beside(scope: Scope, node: NodeState, index: Index) -> tuple[int, ...]:
    """Which tasks by which the node is paced have not ended, of those before `index`."""
    pace = node.node.pace
    assert pace is not None
    by, outer = scope.nodes[pace.by], index[:-1]
    left = index[-1] - by.groups[tuple(range(len(outer)))][outer].settled
    found: list[int] = []
    for k in range(index[-1] - 1, -1, -1):
        if len(found) >= left:
            break
        if by.items[*outer, k].status not in SETTLED:
            found.append(k)
    return tuple(reversed(found))


def _observed(state: RunState, event: ev.AttemptObserved, touches: list[Touch]) -> None:
    attempt = state.attempts.get(event.attempt)
    if attempt is not None:
        attempt.phase, attempt.reason = event.phase, event.reason


def _ended(state: RunState, event: ev.AttemptEnded, touches: list[Touch]) -> None:
    attempt = state.live.pop(event.attempt, None)
    if attempt is None:
        return
    outcome = attempt.outcome = event.outcome
    _share(outcome)
    attempt.phase = "ended"
    scope = state.scopes[attempt.scope]
    node = scope.nodes[attempt.node]
    if outcome.metrics and _are_the_runs(state, scope, node):
        state.metrics.update(outcome.metrics)
    for position, index in enumerate(attempt.items):
        _end_item(state, scope, node, index, _item_of(outcome, position), attempt, touches)


def _are_the_runs(state: RunState, scope: Scope, node: NodeState) -> bool:
    """Are the node's metrics those of the whole run? Not where it is mapped, and not where it is a step of one trial among many."""
    return len(node.items) == 1 and (scope.owner is None or find_trial(state, scope, node.node.id, next(iter(node.items))) is None)


_NOTHING: dict[str, Any] = {}


def _share(outcome: Outcome) -> None:
    """What all outcomes have in common is kept once: it would be a quarter of what a task takes."""
    outcome.status, outcome.usage.host, outcome.metrics = intern(outcome.status), intern(outcome.usage.host), outcome.metrics or _NOTHING
    for item in outcome.items:
        item.status = intern(item.status)
        for ref in item.outputs.values():
            ref.format, ref.type, ref.name, ref.meta = intern(ref.format), intern(ref.type), intern(ref.name), ref.meta or _NOTHING


def _item_of(outcome: Outcome, position: int) -> ItemOutcome:
    if position < len(outcome.items):
        return outcome.items[position]
    if outcome.status == "abandoned" and (outcome.error is None or outcome.error.kind != "lost"):
        return ItemOutcome("cancelled", error=outcome.error)
    return ItemOutcome("failed", error=outcome.error or ErrorInfo("lost", "FW-LOST", "the attempt ended without a word on this item"))


def _end_item(
    state: RunState, scope: Scope, node: NodeState, index: Index, item: ItemOutcome, attempt: AttemptState, touches: list[Touch]
) -> None:
    task = node.items[index]
    task.error = item.error
    if item.status == "succeeded" and item.graph:
        task.reason = item.graph
        touches.append(("grown", scope.name, node.node.id, index))
    elif item.status == "succeeded":
        task.outputs = item.outputs
        _move(state, scope, node, index, "succeeded", touches)
    elif item.status == "skipped":
        task.reason = "skip"
        _move(state, scope, node, index, "skipped", touches)
    elif item.status == "cancelled":
        _move(state, scope, node, index, "cancelled", touches)
    else:
        error = item.error or ErrorInfo("unknown", "FW-TASK-FAILED", "failed without saying why")
        if error.code in UNCOUNTED:
            task.tried = max(0, task.tried - 1)
        else:
            task.lost += error.kind in LOSSES
        step = scope.graph.steps[node.node.step]
        if not state.stopping and may_retry(step.retry, error, task.tried, task.lost):
            task.reason = ""
            _move(state, scope, node, index, "retrying", touches)
            touches.append(("retrying", scope.name, node.node.id, index))
        else:
            _fail(state, scope, node, index, error, touches)


def _fail(state: RunState, scope: Scope, node: NodeState, index: Index, error: ErrorInfo, touches: list[Touch]) -> None:
    node.items[index].error = error
    _move(state, scope, node, index, "failed", touches)
    if not node.tolerant and scope.owner is None:
        state.failures.append((scope.name, node.node.id, index))
        if state.options.fail_fast and not state.stopping:
            state.stopping = "failed"
            touches.append(("stop", "", "", ()))


def _cached(state: RunState, event: ev.TasksCached, touches: list[Touch]) -> None:
    scope = state.scopes[event.scope]
    node = scope.nodes[event.node]
    if not node.started_at:
        node.started_at = event.at
    for item in event.items:
        task = node.items[item.index]
        task.key = item.key
        own = item.run == state.run
        if not own:
            task.cached = (item.run, item.task)
        if item.trial is not None:
            state.curves[scope.name, node.node.id, item.index] = item.trial
        if item.metrics:
            state.noted[scope.name, node.node.id, item.index] = item.metrics
            if _are_the_runs(state, scope, node):
                state.metrics.update(item.metrics)
        if node.node.pace is not None:
            node.beside[item.index] = find_beside(scope, node, item.index)
        if item.graph:
            task.reason = item.graph
            _move(state, scope, node, item.index, "running", touches)
            touches.append(("grown", scope.name, node.node.id, item.index))
            continue
        task.outputs = item.outputs
        _move(state, scope, node, item.index, "succeeded" if own else "cached", touches)


def _skipped(state: RunState, event: ev.TasksSkipped, touches: list[Touch]) -> None:
    scope = state.scopes[event.scope]
    node = scope.nodes[event.node]
    for index in event.items:
        if node.items[index].status not in SETTLED:
            node.items[index].reason = event.reason
            _move(state, scope, node, index, "skipped", touches)


def _refused(state: RunState, event: ev.TasksRefused, touches: list[Touch]) -> None:
    scope = state.scopes[event.scope]
    for index in event.items:
        _fail(state, scope, scope.nodes[event.node], index, event.error, touches)


def _retry(state: RunState, event: ev.RetryScheduled, touches: list[Touch]) -> None:
    state.push_retry(event.due_at, event.n, event.scope, event.node, event.items)
    node = state.scopes[event.scope].nodes[event.node]
    for index in event.items:
        if node.items[index].status == "retrying":  # not cancelled at the same moment
            node.items[index].reason = "scheduled"


def _given_up(state: RunState, event: ev.AttemptGivenUp, touches: list[Touch]) -> None:
    state.given_up[event.attempt] = event.reason


def _grown(state: RunState, event: ev.GraphGrown, touches: list[Touch]) -> None:
    name = address(event.scope, event.node, event.index)
    _open(state, name, event.graph, (event.scope, event.node, event.index), touches)


def _scope_ended(state: RunState, event: ev.ScopeEnded, touches: list[Touch]) -> None:
    inner = state.scopes.get(address(event.scope, event.node, event.index))
    if inner is not None:
        inner.ended = True
    scope = state.scopes[event.scope]
    node = scope.nodes[event.node]
    task = node.items[event.index]
    task.reason = ""
    if event.status == "failed":
        _fail(state, scope, node, event.index, event.error or ErrorInfo("unknown", "FW-TASK-FAILED", "an inner task failed"), touches)
        return
    task.outputs = event.outputs
    if event.status == "skipped":
        task.reason = "skip"
    _move(state, scope, node, event.index, event.status, touches)


def _clock(state: RunState, event: ev.ClockAdvanced, touches: list[Touch]) -> None:
    state.idle_s += event.idle_s
    timeout_s = state.options.timeout_s or state.graph.timeout_s
    if timeout_s and not state.stopping and event.at >= state.clock_from() + timeout_s:
        state.stopping = "timeout"
        state.error = ErrorInfo("timeout", "FW-TASK-TIMEOUT", f"the run took longer than its timeout of {timeout_s:g} s")
        touches.append(("stop", "", "", ()))
        return
    while state.retries and state.retries[0][0] <= event.at:
        _, _, scope_name, node_name, items = heapq.heappop(state.retries)
        scope = state.scopes[scope_name]
        node = scope.nodes[node_name]
        for index in items:
            if node.items[index].status == "retrying":
                _move(state, scope, node, index, "waiting", touches)
                touches.append(("due", scope_name, node_name, index))


def _cancel(state: RunState, event: ev.CancelRequested, touches: list[Touch]) -> None:
    if state.stopping in ("", "failed") and state.status == "running":
        state.stopping = "cancelled"
        state.error = ErrorInfo("cancelled", "FW-TASK-CANCELLED", event.reason or "cancelled" + (f" by {event.by}" if event.by else ""))
        touches.append(("stop", "", "", ()))


def _labelled(state: RunState, event: ev.RunLabelled, touches: list[Touch]) -> None:
    kept = [t for t in state.tags if t not in event.remove_tags]
    state.tags = tuple(dict.fromkeys([*kept, *event.add_tags]))
    state.note = state.note if event.note is None else event.note
    state.archived = state.archived if event.archived is None else event.archived


def _run_ended(state: RunState, event: ev.RunEnded, touches: list[Touch]) -> None:
    state.status, state.ended_at, state.outputs = event.status, event.at, event.outputs
    state.error = event.error or state.error


def _resumed(state: RunState, event: ev.RunResumed, touches: list[Touch]) -> None:
    """Keep what succeeded (by key, if the code was edited), forget what failed, and open everything for decision again."""
    for scope, node, index, task in state.tasks():
        if task.status in DONE_WELL and task.key and task.outputs is not None:
            known = task.outputs, state.metrics_of(scope, node, index), state.trial_of(scope, node, index)
            state.memo[address(scope, node, index)] = (task.key, *known)
    state.status, state.stopping, state.error, state.ended_at = "running", "", None, 0.0
    state.resumed_at, state.idle_s = state.now, 0.0  # not `event.at`: the clock of whoever resumes may be behind
    state.failures.clear()
    state.retries.clear()
    state.live.clear()
    state.resumes += 1
    if event.options is not None:
        state.options = event.options
    if event.environment:
        state.environment = dict(event.environment)
    if event.graph is not None:
        state.graph = event.graph
        state.bundle = event.bundle or state.bundle
        for scope, node, index, task in state.tasks():
            if task.n:
                state.tries[address(scope, node, index)] = task.n
        state.noted.clear()
        state.curves.clear()
        state.scopes.clear()
        state.totals.clear()
        _open(state, "", event.graph, None, touches)
        return
    for scope in list(state.scopes.values()):
        if scope.name in state.scopes and not (scope.owner is not None and scope.ended):  # its task has its outputs, for good
            _reopen(state, scope, touches)
    state.totals = {}
    for *_, task in state.tasks():
        state.totals[task.status] = state.totals.get(task.status, 0) + 1


def _reopen(state: RunState, scope: Scope, touches: list[Touch]) -> None:
    for lengths in scope.lengths.values():
        for index in [i for i, count in lengths.items() if count == -2]:
            del lengths[index]
    for node in scope.nodes.values():
        for index, task in node.items.items():
            if _to_redo(task) or node.node.exit:
                _forget(state, scope, node, index, task)
    _recount(scope)
    touches.append(("open", scope.name, "", ()))
    for node in scope.nodes.values():
        touches.extend(
            ("created", scope.name, node.node.id, index) for index, task in node.items.items() if task.status == "waiting" and index
        )
        touches.extend(("settled", scope.name, node.node.id, index) for index, task in node.items.items() if task.status in SETTLED)
    for axis, lengths in scope.lengths.items():
        touches.extend(("expanded", scope.name, axis, index) for index in lengths)


def _to_redo(task: TaskState) -> bool:
    if task.status in DONE_WELL:
        return False
    return task.status != "skipped" or task.reason in ("failed", "cancelled")


def _forget(state: RunState, scope: Scope, node: NodeState, index: Index, task: TaskState) -> None:
    inner = address(scope.name, node.node.id, index)
    for name in [n for n in state.scopes if n == inner or n.startswith(inner + "/")]:
        for within, inner_node, inner_index, inner_task in list(state.tasks()):
            if within == name and inner_task.n:
                state.tries[address(within, inner_node, inner_index)] = inner_task.n
        del state.scopes[name]
    task.status, task.error, task.reason, task.outputs, task.lost, task.tried = "waiting", None, "", None, 0, 0
    node.told.pop(index, None)
    node.blocks.clear()
    state.noted.pop((scope.name, node.node.id, index), None)
    state.curves.pop((scope.name, node.node.id, index), None)
    if task.n:
        state.tries[inner] = task.n


def _recount(scope: Scope) -> None:
    scope.unsettled = 0
    scope.ended = False
    for node in scope.nodes.values():
        node.counts = {}
        node.groups = {positions: {} for positions in node.groups}
        for index, task in node.items.items():
            node.counts[task.status] = node.counts.get(task.status, 0) + 1
            settled = task.status in SETTLED
            if not node.node.exit and not settled:
                scope.unsettled += 1
            for positions, groups in node.groups.items():
                group = groups.setdefault(tuple(index[p] for p in positions), Group())
                group.created += 1
                group.settled += settled
                group.broken += settled and is_broken(node, task)


_APPLY: Mapping[type, Callable[[RunState, Any, list[Touch]], None]] = {
    ev.RunStarted: _started,
    ev.RunResumed: _resumed,
    ev.MapExpanded: _expanded,
    ev.AttemptPlanned: _planned,
    ev.TasksCached: _cached,
    ev.TasksSkipped: _skipped,
    ev.TasksRefused: _refused,
    ev.AttemptObserved: _observed,
    ev.AttemptEnded: _ended,
    ev.RetryScheduled: _retry,
    ev.AttemptGivenUp: _given_up,
    ev.GraphGrown: _grown,
    ev.ScopeEnded: _scope_ended,
    ev.ClockAdvanced: _clock,
    ev.CancelRequested: _cancel,
    ev.RunLabelled: _labelled,
    ev.RunEnded: _run_ended,
}
