"""What is shown of a run while it goes on: one line per step, folded from events. Pure; drawing is elsewhere.

A mapped step is one line with a count. The steps that dynamic tasks made are one line each too, however many tasks made them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from fairway.spec.event import (
    AttemptEnded,
    AttemptGivenUp,
    AttemptPlanned,
    GraphGrown,
    RetryScheduled,
    ScopeEnded,
    TasksCached,
    TasksRefused,
    TasksSkipped,
    address,
)

OVER = ("succeeded", "cached", "skipped", "failed", "cancelled")
Key = tuple[str, str]
_WITH_NODE = frozenset({AttemptPlanned, TasksCached, TasksSkipped, TasksRefused, RetryScheduled, GraphGrown, ScopeEnded})


class Line:
    """One step of the run. Times are epoch seconds, 0 if not known yet; `counts` is tasks by status."""

    __slots__ = (
        "all_known",
        "attempts",
        "by_scope",
        "cached_from",
        "counts",
        "ended_at",
        "failure",
        "high",
        "kept",
        "key",
        "low",
        "node",
        "reason",
        "retries",
        "serves",
        "started_at",
        "unbegun",
    )

    def __init__(self, key: Key, node: str) -> None:
        self.key = key
        self.node = node
        self.started_at = 0.0
        self.ended_at = 0.0
        self.counts: dict[str, int] = {}
        self.by_scope: dict[str, dict[str, int]] = {}
        self.low: dict[str, float] = {}
        self.high: dict[str, float] = {}
        self.all_known = True
        """No list that the step is mapped over is still to be made."""
        self.retries = 0
        self.failure = ""
        """Why the last try that failed did; of several tasks with the address of the one that did."""
        self.reason = ""
        self.cached_from = ""
        self.unbegun: dict[str, int] = {}
        """By scope: tasks that were never begun because the run was ended. They count as skipped in the run's state."""
        self.kept = 0
        """Tasks that this very run had done before it was resumed."""
        self.serves = ""
        """Of a step of a search's own: the node of the trials that it suggests parameters for, or chooses the best of."""
        self.attempts: dict[str, str] = {}
        """Attempts in flight -> the address of their first task."""

    @property
    def label(self) -> str:
        """The step's name as shown: "train", "tune/train"."""
        return f"{self.key[0]}/{self.node}" if self.key[0] else self.node

    @property
    def total(self) -> int:
        return sum(self.counts.values())

    @property
    def done(self) -> int:
        return sum(self.counts.get(status, 0) for status in OVER)

    @property
    def not_begun(self) -> int:
        return min(sum(self.unbegun.values()), self.counts.get("skipped", 0))

    @property
    def is_over(self) -> bool:
        return self.total > 0 and self.done == self.total and self.all_known

    @property
    def status(self) -> str:
        """One word for all of its tasks."""
        counts = self.counts
        for status in ("failed", "running", "retrying", "cancelled", "interrupted"):
            if counts.get(status):
                return status
        if not self.is_over:
            return "running" if self.done else "waiting"
        for status in ("skipped", "cached"):
            if counts.get(status) == self.total:
                return status
        return "cancelled" if self.not_begun else "succeeded"

    def interrupt(self) -> None:
        """What runs or waits for another try does so no more: the process of its run was killed."""
        count = sum(self.counts.pop(status, 0) for status in ("running", "retrying"))
        if count:
            self.counts["interrupted"] = count

    def take_metrics(self, metrics: Mapping[str, float]) -> None:
        """Widen the range of each metric."""
        for name, value in metrics.items():
            self.low[name] = min(value, self.low.get(name, value))
            self.high[name] = max(value, self.high.get(name, value))

    def take_failure(self, attempt: Any, outcome: Any) -> None:
        """Keep the first line of why the try failed, if it did."""
        items = [(item.error, index) for item, index in zip(outcome.items, attempt.items, strict=False)]
        for error, index in ((outcome.error, attempt.items[0] if attempt.items else ()), *items):
            if error is not None:
                task = address(attempt.scope, attempt.node, index)
                self.failure = (f"{task}: " if "[" in task else "") + error.message.partition("\n")[0]
                return

    def seconds(self, now: float) -> float | None:
        """Wall time from the first plan to the last end, None if nothing has been tried, or if nobody knows until when."""
        if not self.started_at or self.status == "interrupted":
            return None
        return (self.ended_at if self.is_over and self.ended_at else now) - self.started_at


class Board:
    """The lines of one run, in the order of its graph; those of dynamic tasks stand under the step that made them."""

    def __init__(self) -> None:
        self.lines: dict[Key, Line] = {}
        self._inner: set[str] = set()
        self._printed: set[Key] = set()

    def apply(self, events: Iterable[Any], state: Any) -> list[Line]:
        """Take in what has just happened; returns the lines that are now over and were not before."""
        touched: dict[Key, Line] = {}
        for event in events:
            kind = type(event)
            scope: str = getattr(event, "scope", "")
            if kind is AttemptEnded or kind is AttemptGivenUp:
                attempt = state.attempts[event.attempt]
                scope, line = attempt.scope, self.line(attempt.scope, attempt.node, state)
                self._end(line, attempt, event)
            elif kind in _WITH_NODE:
                line = self.line(event.scope, event.node, state)
                self._note(line, event, state.run)
            else:
                continue
            self._count(line, scope, state)
            touched[line.key] = line
        return [over for line in touched.values() for over in self._newly_over(line)]

    def line(self, scope: str, node: str, state: Any) -> Line:
        """The line of that step, made if need be."""
        key = (strip_indices(scope), node)
        if key not in self.lines:
            self._add_scope(scope, state)
        return self.lines.setdefault(key, Line(key, node))

    def refresh(self, state: Any) -> None:
        """Bring all lines up to date with the state (after a resume, or to draw a run that has ended)."""
        for scope in state.scopes:
            self._add_scope(scope, state)
            for node in state.scopes[scope].nodes:
                self._count(self.lines[(strip_indices(scope), node)], scope, state)

    def start(self, state: Any, events: Sequence[Any]) -> None:
        """The board of a run that starts or goes on. What was over before `events` is not reported again."""
        self.refresh(state)
        for attempt in state.live.values():
            line = self.line(attempt.scope, attempt.node, state)
            line.started_at = line.started_at or attempt.planned_at
            line.attempts[attempt.id] = _address(attempt)
        ended = [state.attempts[event.attempt] for event in events if type(event) is AttemptEnded]
        now = {(strip_indices(event.scope), event.node) for event in [*events, *ended] if hasattr(event, "node")}
        self._printed.update(key for key, line in self.lines.items() if line.is_over and key not in now)

    def ordered(self) -> Iterator[tuple[int, Line]]:
        """(depth, line): each step, then the steps its dynamic tasks made."""

        def below(scope: str, depth: int) -> Iterator[tuple[int, Line]]:
            for (at, node), line in list(self.lines.items()):
                if at == scope:
                    yield depth, line
                    inner = f"{scope}/{node}" if scope else node
                    if inner in self._inner:
                        yield from below(inner, depth + 1)

        return below("", 0)

    def is_quiet(self, line: Line) -> bool:
        """Is it a search's own step that has nothing to say? What it does is seen by its trials, once there are any."""
        trials = self.lines.get((line.key[0], line.serves)) if line.serves else None
        if trials is None:
            return False
        return line.status not in ("failed", "retrying", "running") or (
            line.status == "running" and bool(trials.started_at) and not trials.is_over
        )

    def _add_scope(self, scope: str, state: Any) -> None:
        plain = strip_indices(scope)
        self._inner.add(plain)
        found = state.scopes.get(scope)
        for name, node in found.nodes.items() if found else ():
            if (plain, name) not in self.lines:
                line = self.lines[plain, name] = Line((plain, name), name)
                line.serves = next((expr.name for expr in node.node.inputs.values() if expr.kind == "history"), "")

    def _count(self, line: Line, scope: str, state: Any) -> None:
        """Take over the counts of this step in this scope; those of the other scopes have not changed."""
        found = state.scopes.get(scope)
        node = found.nodes.get(line.node) if found else None
        now = {status: number for status, number in (node.counts if node else {}).items() if number}
        before = line.by_scope.get(scope, {})
        if now == before:
            return
        line.by_scope[scope] = now
        if node is not None and now.get("skipped") and not line.reason:
            line.reason = next((_why(task, index, state) for index, task in node.items.items() if task.status == "skipped"), "")
        if node is not None and state.stopping and now.get("skipped") != before.get("skipped"):
            line.unbegun[scope] = sum(task.status == "skipped" and task.reason == "cancelled" for task in node.items.values())
        elif not state.stopping:
            line.unbegun.pop(scope, None)
        line.all_known = node is None or sum(now.values()) != len(node.items) or not node.settled or found.expanded(node.node.axes, {})
        for status in {*now, *before}:
            number = line.counts.get(status, 0) + now.get(status, 0) - before.get(status, 0)
            if number:
                line.counts[status] = number
            else:
                line.counts.pop(status, None)

    def _note(self, line: Line, event: Any, run: str) -> None:
        kind = type(event)
        if kind is AttemptPlanned:
            line.started_at = line.started_at or event.at
            line.attempts[event.attempt] = _address(event)
        elif kind is RetryScheduled:
            line.retries += 1
        elif kind is ScopeEnded:
            line.ended_at = max(line.ended_at, event.at)
        elif kind is TasksSkipped:
            line.reason = event.reason
        elif kind is TasksCached and event.items:
            line.cached_from = event.items[0].run
            line.kept += sum(item.run == run for item in event.items)

    def _end(self, line: Line, attempt: Any, event: Any) -> None:
        line.attempts.pop(event.attempt, None)
        line.ended_at = max(line.ended_at, event.at)
        if type(event) is AttemptEnded:
            line.take_metrics(event.outcome.metrics)
            line.take_failure(attempt, event.outcome)

    def _newly_over(self, line: Line) -> Iterator[Line]:
        """The line and those below it, to be reported now. What dynamic tasks made waits until these are over: more may come."""
        if line.key in self._printed or not line.is_over or not self._parent_over(line.key[0]):
            return
        self._printed.add(line.key)
        yield line
        if line.label in self._inner:
            for (scope, _), inner in list(self.lines.items()):
                if scope == line.label:
                    yield from self._newly_over(inner)

    def _parent_over(self, scope: str) -> bool:
        if not scope:
            return True
        outer, _, node = scope.rpartition("/")
        parent = self.lines.get((outer, node))
        return parent is not None and parent.is_over


def strip_indices(scope: str) -> str:
    """ "tune[2]/grow[0,1]" -> "tune/grow"."""
    if "[" not in scope:
        return scope
    return "/".join(part.partition("[")[0] for part in scope.split("/"))


def _why(task: Any, index: Any, state: Any) -> str:
    """Why a task was skipped: in its own words where it called `fw.skip` with some."""
    attempt = state.attempts.get(task.attempts[-1]) if task.reason == "skip" and task.attempts else None
    if attempt is None or attempt.outcome is None or index not in attempt.items:
        return task.reason
    return attempt.outcome.items[attempt.items.index(index)].reason.partition("\n")[0] or task.reason


def _address(event: Any) -> str:
    return address(event.scope, event.node, event.items[0] if event.items else ())
