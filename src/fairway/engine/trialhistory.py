"""What `Expr("history")` is: how the trials of a search have ended so far, as JSON. Pure look-ups in a run's state.

`{"trials": [entry, …], "state": …}`, entries in order of their index: `index`, `status` ("succeeded", "failed", "skipped", "cancelled",
"running"), `params` (outputs of the paced node at that index), `suggestion` (what the sampler keeps of it), and of those that have ended
`values` (one for each metric, null where there is none), `reports` ([[step, value], …]), `attrs` (of its pruner), `reason`, `error`.
`state` is what the sampler remembered last.

Each entry is made once; what a suggestion costs beyond that is to put them together.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from fairway.engine.state import DONE_WELL, SETTLED, AttemptState, NodeState, RunState, Scope, TaskState
from fairway.spec.artifact import ArtifactRef
from fairway.spec.event import Index, address
from fairway.spec.graph import Expr, Pace
from fairway.spec.outcome import TrialNotes
from fairway.spec.study import PRUNED, SAMPLER_STATE, SUGGESTION

if TYPE_CHECKING:
    from fairway.engine.resolve import Library

_ERROR_CHARS = 300
_CURVE = ("reports", "attrs")


def why_untold(scope: Scope, expr: Expr, at: Mapping[str, int]) -> str:
    """ "" when all tasks have ended that the history tells of, else "pending"; "broken" if some never were because something failed.

    For the paced node itself its pace decides.
    """
    by = scope.nodes[expr.name]
    if by.node.axes[-1] in at:
        return ""
    if not scope.expanded(by.node.axes, {a: at[a] for a in by.node.axes[:-1] if a in at}):
        return "pending"
    outer = tuple(at[a] for a in by.node.axes[:-1])
    group = by.groups[tuple(range(len(outer)))].get(outer)
    if group is None:
        return ""
    return "pending" if group.settled < group.created else "broken" if group.broken else ""


class Told:
    """One trial that has ended: its `entry`, and as JSON without the curve that only a pruner needs."""

    __slots__ = ("entry", "text")

    def __init__(self, entry: dict[str, Any], text: str) -> None:
        self.entry, self.text = entry, text


def history_text(state: RunState, scope: Scope, expr: Expr, at: Mapping[str, int], library: Library) -> str:
    """See above, as JSON. At an index of the search's own axis it tells of those before it, as they were when that task was begun.

    Reports of trials that went to their end are left out: a result that comes from the cache has none, and who does not need them should
    not depend on them.
    """
    found = [one.text if isinstance(one, Told) else library.render(one) for one in _tell(state, scope, expr, at, library)]
    text = f'{{"trials":[{",".join(found)}]'
    k = at.get(scope.nodes[expr.name].node.axes[-1])
    paced = scope.nodes[scope.index.paced[expr.name].id]
    before = paced.items.get((*[at[a] for a in paced.node.axes[:-1]], k - 1)) if k else None
    if before is not None and before.outputs and SAMPLER_STATE in before.outputs:
        text += f',"state":{library.render(library.value(before.outputs[SAMPLER_STATE]))}'
    return text + "}"


def trials_so_far(state: RunState, scope: Scope, expr: Expr, at: Mapping[str, int], library: Library) -> list[dict[str, Any]]:
    """Entries of all trials that were suggested, as they are now, with their curves: what a pruner compares a trial with."""
    return [one.entry if isinstance(one, Told) else one for one in _tell(state, scope, expr, at, library)]


def _tell(state: RunState, scope: Scope, expr: Expr, at: Mapping[str, int], library: Library) -> list[Told | dict[str, Any]]:
    by = scope.nodes[expr.name]
    paced = scope.nodes[scope.index.paced[expr.name].id]
    outer = tuple([at[a] for a in by.node.axes[:-1]])
    axis = by.node.axes[-1]
    k = at.get(axis)
    count = max(0, scope.lengths[axis].get(tuple(at[a] for a in scope.graph.axes[axis].axes), 0)) if k is None else k
    beside: frozenset[int] = frozenset()
    if k is not None:
        mine = paced.items.get((*outer, k))
        if mine is not None and mine.status not in ("waiting", "retrying"):
            beside = frozenset(paced.beside.get((*outer, k), ()))
    found: list[Told | dict[str, Any]] = []
    for i in range(count):
        index = (*outer, i)
        told = None if i in beside else by.told.get(index)
        if told is None:
            entry = tell_trial(state, scope, by, index, library, beside=i in beside)
            if entry is None:  # nor was any after it suggested
                break
            if entry["status"] == "running":
                found.append(entry)
                continue
            bare = entry.get("reason") != PRUNED
            text = library.render({name: entry[name] for name in entry if name not in _CURVE} if bare else entry)
            told = by.told[index] = Told(entry, text)
        found.append(told)
    return found


def tell_trial(
    state: RunState, scope: Scope, by: NodeState, index: Index, library: Library, *, beside: bool = False
) -> dict[str, Any] | None:
    """The entry of one trial, None for one that was never suggested. `beside`: as it was while it ran."""
    paced = scope.nodes[scope.index.paced[by.node.id].id]
    suggested, task = paced.items.get(index), by.items.get(index)
    if suggested is None or task is None or suggested.status not in DONE_WELL:
        return None
    entry = _suggested(suggested, index, library)
    if task.status not in SETTLED or beside:
        return entry
    assert paced.node.pace is not None
    return _ended(state, scope, by, index, paced.node.pace, entry, library)


def _suggested(task: TaskState, index: Index, library: Library) -> dict[str, Any]:
    entry: dict[str, Any] = {"index": index[-1], "status": "running"}
    outputs = task.outputs or {}
    entry["params"] = {name: library.value(ref) for name, ref in outputs.items() if name not in (SUGGESTION, SAMPLER_STATE)}
    if SUGGESTION in outputs:
        entry["suggestion"] = library.value(outputs[SUGGESTION])
    return entry


def _ended(
    state: RunState, scope: Scope, by: NodeState, index: Index, pace: Pace, entry: dict[str, Any], library: Library
) -> dict[str, Any]:
    task = by.items[index]
    entry["status"] = "succeeded" if task.status in DONE_WELL else task.status
    metrics: dict[str, float] = dict(logged(state, scope.name, by.node.id, index))
    entry["values"] = [_value(name, task, metrics, library) for name in pace.told.get("metrics", ())]
    notes = notes_of(state, scope.name, by.node.id, index)
    if notes is not None:
        entry["reports"], entry["attrs"] = [list(one) for one in notes.reports], notes.attrs
    if is_pruned(state, scope.name, by.node.id, index):
        entry["reason"] = PRUNED
    elif task.status == "skipped":
        entry["reason"] = task.reason
    if task.error is not None:
        entry["error"] = f"{task.error.kind}: {task.error.message}"[:_ERROR_CHARS]
    return entry


def _value(name: str, task: TaskState, metrics: Mapping[str, float], library: Library) -> float | None:
    """The metric by this name: an output, else what was logged last."""
    ref = (task.outputs or {}).get(name) if task.status in DONE_WELL else None
    value = _number(ref, library) if ref is not None else None
    return metrics.get(name) if value is None else value


def _number(ref: ArtifactRef, library: Library) -> float | None:
    value = library.value(ref) if ref.inline is not None else None
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) and value - value == 0 else None


def places(state: RunState, scope: str, node: str, index: Index) -> Iterator[tuple[str, str, Index]]:
    """The task and, if it is dynamic, those of the graphs it made."""
    yield scope, node, index
    inner = state.scopes.get(address(scope, node, index))
    if inner is not None:
        for one in inner.nodes.values():
            for place in one.items:
                yield from places(state, inner.name, one.node.id, place)


def _last_attempts(state: RunState, scope: str, node: str, index: Index) -> Iterator[AttemptState]:
    for place in places(state, scope, node, index):
        attempts = state.task(*place).attempts
        attempt = state.attempts.get(attempts[-1]) if attempts else None
        if attempt is not None and attempt.outcome is not None:
            yield attempt


def logged(state: RunState, scope: str, node: str, index: Index) -> Mapping[str, float]:
    """The metrics that the trial, or a step of it, logged last."""
    found: dict[str, float] = {}
    for place in places(state, scope, node, index):
        found.update(state.metrics_of(*place))
    return found


def notes_of(state: RunState, scope: str, node: str, index: Index) -> TrialNotes | None:
    """What the trial, or the step of it that reported most, left about how it went."""
    found: TrialNotes | None = None
    for attempt in _last_attempts(state, scope, node, index):
        notes = next((item.trial for item in attempt.outcome.items), None) if attempt.outcome is not None else None
        if notes is not None and (found is None or len(notes.reports) > len(found.reports)):
            found = notes
    return found


def is_pruned(state: RunState, scope: str, node: str, index: Index) -> bool:
    """The trial, or a step of it, was ended early because it promised too little."""
    return any(
        item.status == "skipped" and item.reason == PRUNED
        for attempt in _last_attempts(state, scope, node, index)
        if attempt.outcome is not None
        for item in attempt.outcome.items
    )


def find_trial(state: RunState, scope: Scope, node: str, index: Index) -> tuple[Scope, NodeState, Index] | None:
    """(scope, paced node, index) of the search whose trial this task is, or is a part of; None if it is of none."""
    while True:
        paced = scope.index.paced.get(node)
        if paced is not None:
            return scope, scope.nodes[paced.id], index
        if scope.owner is None:
            return None
        name, node, index = scope.owner
        scope = state.scopes[name]
