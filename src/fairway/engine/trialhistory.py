"""What `Expr("history")` is: how the trials of a search have ended so far, as JSON. Pure look-ups in a run's state.

`{"trials": [entry, …], "state": …}`, entries in order of their index: `index`, `status` ("succeeded", "failed", "skipped", "cancelled",
"running"), `params` (outputs of the paced node at that index), `suggestion` (what the sampler keeps of it beyond those), and of those that
have ended `values` (one for each metric, null where there is none), `reports` ([[step, value], …]), `attrs` (of its pruner), `reason`,
`error`; of one that ended well without some metric `lacks` (those it never spoke of) and `had` (what numbers it gave instead).
`state` is what the sampler remembered last.

`Expr("history", output="ended")` and `output="rest"` are the same in two parts, for who asks again and again: a list of blocks, each the
entries of `BLOCK` trials in a row that have all ended, as artifacts that never change; and, as above, the trials that lie in no such block.
So what a suggestion carries does not grow with the search, but for the names of the blocks.

Each entry and each block is made once; what a suggestion costs beyond that is to put them together.
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

BLOCK = 64
_ERROR_CHARS = 300
_CURVE = ("reports", "attrs")
_COMPARED = ("index", "status", "reason", "values", *_CURVE)


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
    """One trial that has ended: its `entry`, and as JSON without the curve that only a pruner needs (`text`), and with nothing but what
    that needs (`brief`, "" until there is one)."""

    __slots__ = ("brief", "entry", "text")

    def __init__(self, entry: dict[str, Any], text: str) -> None:
        self.entry, self.text, self.brief = entry, text, ""


def history_text(state: RunState, scope: Scope, expr: Expr, at: Mapping[str, int], library: Library) -> str:
    """See above, as JSON. At an index of the search's own axis it tells of those before it, as they were when that task was begun.

    Reports of trials that went to their end are left out: a result that comes from the cache has none, and who does not need them should
    not depend on them.
    """
    return _written(state, scope, expr, at, library, _tell(state, scope, expr, at, library))


def rest_text(state: RunState, scope: Scope, expr: Expr, at: Mapping[str, int], library: Library) -> str:
    """As `history_text`, of the trials that are in none of `ended_blocks`."""
    by, outer, count, beside = _seen(scope, expr, at)
    rest: list[Told | dict[str, Any]] = []
    for first in range(0, count, BLOCK):
        if first + BLOCK > count or _block(state, scope, by, (*outer, first), beside, library) is None:
            rest += _tell_some(state, scope, by, outer, range(first, min(first + BLOCK, count)), beside, library)
    return _written(state, scope, expr, at, library, rest)


def ended_blocks(state: RunState, scope: Scope, expr: Expr, at: Mapping[str, int], library: Library) -> list[ArtifactRef]:
    """Blocks of trials that have all ended: each a JSON list of entries, with a blob of its own."""
    by, outer, count, beside = _seen(scope, expr, at)
    starts = range(0, count - BLOCK + 1, BLOCK)
    texts = [_block(state, scope, by, (*outer, first), beside, library) for first in starts]
    return [library.kept(text, "list") for text in texts if text is not None]


def _block(state: RunState, scope: Scope, by: NodeState, start: Index, beside: frozenset[int], library: Library) -> str | None:
    """The entries of the block that begins there, None if one of its trials has not ended."""
    outer, first = start[:-1], start[-1]
    if beside and not beside.isdisjoint(range(first, first + BLOCK)):
        return None
    text = by.blocks.get(start)
    if text is None:
        if any(by.items[*outer, i].status not in SETTLED for i in range(first, first + BLOCK)):
            return None
        found = _tell_some(state, scope, by, outer, range(first, first + BLOCK), beside, library)
        if len(found) < BLOCK or not all(isinstance(one, Told) for one in found):
            return None
        text = by.blocks[start] = f"[{','.join(_text(one, library) for one in found)}]"
    return text


def _text(one: Told | dict[str, Any], library: Library) -> str:
    return one.text if isinstance(one, Told) else library.render(one)


def _written(
    state: RunState, scope: Scope, expr: Expr, at: Mapping[str, int], library: Library, trials: list[Told | dict[str, Any]]
) -> str:
    text = f'{{"trials":[{",".join(_text(one, library) for one in trials)}]'
    k = at.get(scope.nodes[expr.name].node.axes[-1])
    paced = scope.nodes[scope.index.paced[expr.name].id]
    before = paced.items.get((*[at[a] for a in paced.node.axes[:-1]], k - 1)) if k else None
    if before is not None and before.outputs and SAMPLER_STATE in before.outputs:
        text += f',"state":{library.render(library.value(before.outputs[SAMPLER_STATE]))}'
    return text + "}"


def others_text(state: RunState, scope: Scope, by: str, place: Index, pruner: str, library: Library) -> str:
    """What a trial that may be ended early compares itself with, as JSON: entries of all others that were suggested, as they are now, as
    far as that pruner looks at them."""
    at = dict(zip(scope.nodes[by].node.axes[:-1], place, strict=False))
    found: list[str] = []
    for i, one in enumerate(_tell(state, scope, Expr("history", by), at, library)):
        if i == place[-1]:
            continue
        if isinstance(one, Told):
            one.brief = one.brief or library.render(_for_a_pruner(one.entry, pruner))
            found.append(one.brief)
        else:
            found.append(library.render(_for_a_pruner(one, pruner)))
    return f"[{','.join(found)}]"


def _for_a_pruner(trial: Mapping[str, Any], pruner: str) -> dict[str, Any]:
    """What a pruner needs of another trial that has ended: those that go by percentiles whole curves of complete ones, the others the last
    step of those."""
    told = {name: trial[name] for name in _COMPARED if name in trial}
    if told["status"] != "succeeded":
        told.pop("reports", None)
    elif pruner in ("asha", "hyperband") and "reports" in told:
        told["reports"] = told["reports"][-1:]
    return told


def _seen(scope: Scope, expr: Expr, at: Mapping[str, int]) -> tuple[NodeState, Index, int, frozenset[int]]:
    """Of which node the trials are, at which index of its outer axes, how many who is at `at` may know, and which only as they were while
    they ran."""
    by = scope.nodes[expr.name]
    outer = tuple([at[a] for a in by.node.axes[:-1]])
    axis = by.node.axes[-1]
    k = at.get(axis)
    if k is None:
        return by, outer, max(0, scope.lengths[axis].get(tuple(at[a] for a in scope.graph.axes[axis].axes), 0)), frozenset()
    paced = scope.nodes[scope.index.paced[expr.name].id]
    mine = paced.items.get((*outer, k))
    begun = mine is not None and mine.status not in ("waiting", "retrying")
    return by, outer, k, frozenset(paced.beside.get((*outer, k), ()) if begun else ())


def _tell(state: RunState, scope: Scope, expr: Expr, at: Mapping[str, int], library: Library) -> list[Told | dict[str, Any]]:
    by, outer, count, beside = _seen(scope, expr, at)
    return _tell_some(state, scope, by, outer, range(count), beside, library)


def _tell_some(
    state: RunState, scope: Scope, by: NodeState, outer: Index, which: range, beside: frozenset[int], library: Library
) -> list[Told | dict[str, Any]]:
    found: list[Told | dict[str, Any]] = []
    for i in which:
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
    suggestion = library.value(outputs[SUGGESTION]) if SUGGESTION in outputs else None
    if suggestion is not None and suggestion != {"params": entry["params"]}:  # which says nothing more
        entry["suggestion"] = suggestion
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
    if entry["status"] == "succeeded" and None in entry["values"]:
        entry |= _lacking(task, pace, entry["values"], metrics, notes.said if notes is not None else (), library)
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


def _lacking(
    task: TaskState, pace: Pace, values: list[float | None], metrics: Mapping[str, float], said: tuple[str, ...], library: Library
) -> dict[str, Any]:
    """A metric that is an output, or was logged, but is no finite number is not lacking: that is how this trial went."""
    outputs = task.outputs or {}
    names = pace.told.get("metrics", ())
    lacks = [name for name, value in zip(names, values, strict=True) if value is None and name not in said and name not in outputs]
    had = {*metrics, *(name for name, ref in outputs.items() if _number(ref, library) is not None)}
    return {"lacks": lacks, "had": sorted(had)} if lacks else {}


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
    for place in places(state, scope, node, index):
        notes = state.trial_of(*place)
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
