"""The hyperparameter searches of a run, read from what its journal folds to."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from fairway.engine.state import DONE_WELL, SETTLED, NodeState, RunState, Scope, TaskState
from fairway.engine.trialhistory import places, tell_trial
from fairway.spec import event as ev
from fairway.spec.artifact import ArtifactRef
from fairway.spec.event import Event, Index, address
from fairway.spec.study import Study, Trial, best_of

_STATES = {"succeeded": "complete", "skipped": "failed", "failed": "failed", "cancelled": "cancelled", "running": "running"}


class _Inline:
    """Values that travel in their references: parameters and metrics do."""

    def value(self, ref: ArtifactRef) -> Any:
        return json.loads(ref.inline) if ref.inline is not None else None


_INLINE: Any = _Inline()


def studies_of(state: RunState) -> list[Study]:
    """Every search that the run's graphs hold, with its trials so far; [] for a run without one.

    A search that lies on an axis itself is one study for each index. Pure: it reads the state only, and changes nothing in it.
    """
    return Studies().read(state)


class _Known:
    """Of one search the trials that have ended, up to the first that has not, and which of them no other of them beats."""

    __slots__ = ("front", "trials")

    def __init__(self) -> None:
        self.trials: list[Trial] = []
        self.front: list[Trial] = []


class Studies:
    """The searches of one run, for who asks again and again while it goes on: a trial that has ended is looked at once."""

    def __init__(self) -> None:
        self._ended: dict[str, tuple[tuple[Any, ...], Trial]] = {}
        self._known: dict[tuple[str, str, Index], _Known] = {}
        self._resumes = 0

    def read(self, state: RunState) -> list[Study]:
        """As `studies_of`."""
        if state.resumes != self._resumes:  # then what had ended may be tried again
            self._resumes = state.resumes
            self._known.clear()
        found: list[Study] = []
        for scope in state.scopes.values():
            for by, paced in scope.index.paced.items():
                node = scope.nodes[paced.id]
                outers = scope.nodes[by].groups[tuple(range(len(paced.axes) - 1))]
                found += [self._study(state, scope, node, scope.nodes[by], outer) for outer in outers]
        return found

    def _study(self, state: RunState, scope: Scope, paced: NodeState, by: NodeState, outer: Index) -> Study:
        pace = paced.node.pace
        assert pace is not None
        told: Mapping[str, Any] = pace.told
        asked = by.groups[tuple(range(len(outer)))][outer].created
        known = self._known.setdefault((scope.name, by.node.id, outer), _Known())
        later: list[Trial] = []
        directions = tuple(told.get("directions", ()))
        for k in range(len(known.trials), asked):
            trial = self._trial(state, scope, by, (*outer, k))
            if trial is None:
                break
            if not later and by.items[*outer, k].status in SETTLED:
                known.trials.append(trial)
                if trial.state == "complete":
                    known.front.append(trial)
            else:
                later.append(trial)
        best = best_of([*known.front, *later], directions)
        chosen = set(best_of(known.front, directions))
        known.front = [trial for trial in known.front if trial.number in chosen]
        space: dict[str, Any] = told.get("space", {})
        return Study(
            name=address(scope.name, by.node.id, outer),
            metrics=tuple(told.get("metrics", ())),
            directions=directions,
            params=tuple(space),
            space=space,
            sampler=told.get("sampler", {}).get("kind", ""),
            pruner=told.get("pruner", {}).get("kind", ""),
            asked=asked,
            parallel=pace.ahead,
            trials=(*known.trials, *later),
            best=best,
        )

    def _trial(self, state: RunState, scope: Scope, by: NodeState, index: Index) -> Trial | None:
        name, task = address(scope.name, by.node.id, index), by.items[index]
        mark = (task.status, task.attempts, task.cached, state.resumes)
        known = self._ended.get(name)
        if known is not None and known[0] == mark:
            return known[1]
        entry = tell_trial(state, scope, by, index, _INLINE)
        if entry is None:
            return None
        trial = _trial(state, scope, by, index[:-1], entry)
        if task.status in SETTLED:
            self._ended[name] = mark, trial
        return trial


class BestTrials:
    """The metrics of the best trials so far of a run's searches, for who asks after each batch of events: only trials that have ended in it
    are looked at."""

    def __init__(self) -> None:
        self._fronts: dict[str, tuple[tuple[str, ...], list[Trial]]] | None = None

    def read(self, state: RunState, events: Sequence[Event]) -> dict[str, float]:
        """Metric -> its value in the best trial so far, after `events`; {} once the run has succeeded: then the step that
        chooses them says them."""
        if state.status == "succeeded":
            return {}
        if self._fronts is None or any(isinstance(event, ev.RunResumed) for event in events):
            self._fronts = {one.name: (one.metrics, _choose(one.trials, one.directions)) for one in studies_of(state)}
        else:
            for scope, node, index in _ended(state, events):
                self._take(self._fronts, state, scope, scope.nodes[node], index)
        found: dict[str, float] = {}
        for metrics, front in self._fronts.values():
            if front:
                found.update(zip(metrics, front[0].values, strict=True))
        return found

    def _take(
        self, fronts: dict[str, tuple[tuple[str, ...], list[Trial]]], state: RunState, scope: Scope, by: NodeState, index: Index
    ) -> None:
        pace = scope.index.paced[by.node.id].pace
        entry = tell_trial(state, scope, by, index, _INLINE)
        if entry is None or pace is None:
            return
        trial = _trial(state, scope, by, index[:-1], entry)
        if trial.state == "complete":
            _, front = fronts.setdefault(address(scope.name, by.node.id, index[:-1]), (tuple(pace.told.get("metrics", ())), []))
            others = [one for one in front if one.number != trial.number]
            front[:] = _choose([*others, trial], tuple(pace.told.get("directions", ())))


def _choose(trials: Sequence[Trial], directions: tuple[str, ...]) -> list[Trial]:
    """Those of `best_of`, in its order."""
    by_number = {trial.number: trial for trial in trials}
    return [by_number[number] for number in best_of(list(trials), directions)]


def _ended(state: RunState, events: Sequence[Event]) -> Iterator[tuple[Scope, str, Index]]:
    """The trials that have ended well in these events."""
    for event in events:
        if isinstance(event, ev.AttemptEnded):
            attempt = state.attempts.get(event.attempt)
            found = (attempt.scope, attempt.node, attempt.items) if attempt is not None else ("", "", ())
        elif isinstance(event, ev.TasksCached):
            found = event.scope, event.node, tuple(item.index for item in event.items)
        elif isinstance(event, ev.ScopeEnded):
            found = event.scope, event.node, (event.index,)
        else:
            continue
        scope = state.scopes.get(found[0])
        if scope is None or found[1] not in scope.index.paced:
            continue
        items = scope.nodes[found[1]].items
        yield from ((scope, found[1], index) for index in found[2] if index in items and items[index].status in DONE_WELL)


def _trial(state: RunState, scope: Scope, by: NodeState, outer: Index, entry: Mapping[str, Any]) -> Trial:
    index = (*outer, entry["index"])
    task = by.items[index]
    values = [value for value in entry.get("values", ()) if value is not None]
    reports = tuple((float(step), float(value)) for step, value in entry.get("reports", ()))
    whole = bool(values) and len(values) == len(entry["values"])
    status = _STATES.get(entry["status"], "failed")
    error = entry.get("error", "")
    if entry.get("reason") == "pruned":
        status = "pruned"
        values = values if whole else [value for _, value in reports[-1:]] if len(entry["values"]) == 1 else []
    elif status == "complete" and not whole:
        status, values, error = "failed", [], "it gave no value for the metric"
    elif entry.get("reason") == "cancelled":  # the run ended before it began, or before it was tried again
        status = "cancelled" if task.attempts else "waiting"
    elif status == "failed" and not error:
        error = f"skipped ({entry.get('reason', '')})"
    if status == "running" and not task.attempts and task.status == "waiting":
        status = "waiting"
    started_at, ended_at = _times(state, scope, by, index, task)
    name = address(scope.name, by.node.id, index)
    return Trial(
        number=entry["index"],
        state=status,
        params=entry["params"],
        values=tuple(values) if status in ("complete", "pruned") else (),
        reports=reports,
        task=name,
        attempt=task.attempts[-1] if task.attempts else "",
        started_at=started_at,
        ended_at=ended_at,
        error=error.replace(f"{name}/", "") if status == "failed" else "",  # of a step of a pipeline: which of its steps it was is enough
    )


def _times(state: RunState, scope: Scope, by: NodeState, index: Index, task: TaskState) -> tuple[float, float]:
    """When its last try was planned, and when that had ended; of a pipeline from the first of its steps to the last. The time between a
    try that was cut off and the next one is nobody's."""
    planned: list[float] = []
    ended: list[float] = []
    for attempt in _last_attempts(state, scope, by, index):
        planned.append(attempt.planned_at)
        if attempt.outcome is not None:
            ended.append(attempt.outcome.usage.ended_at)
    return min(planned, default=0.0), max(ended, default=0.0) if task.status in SETTLED else 0.0


def _last_attempts(state: RunState, scope: Scope, by: NodeState, index: Index) -> Iterator[Any]:
    for place in places(state, scope.name, by.node.id, index):
        attempts = state.task(*place).attempts
        if attempts and attempts[-1] in state.attempts:
            yield state.attempts[attempts[-1]]
