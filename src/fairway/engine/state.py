"""The state of a run: what its journal folds to. Plain data and indexes; `apply` changes it, everybody else reads."""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Mapping
from typing import Any

from fairway.engine.scopegraph import ScopeGraph
from fairway.spec.artifact import ArtifactRef
from fairway.spec.event import Index, RunOptions, address
from fairway.spec.graph import Graph, Node
from fairway.spec.outcome import ErrorInfo, Outcome, TrialNotes
from fairway.spec.resources import Resources

SETTLED = frozenset({"succeeded", "cached", "skipped", "failed", "cancelled"})
DONE_WELL = frozenset({"succeeded", "cached"})
NO_ATTEMPTS: tuple[str, ...] = ()


class TaskState:
    """One task. `status`: waiting, running, retrying, succeeded, cached, skipped, failed, cancelled. `n` is the number of its last attempt,
    `tried` counts those since the last resume, `lost` the ones among them that the infrastructure lost; `reason` says why it was
    skipped."""

    __slots__ = ("attempts", "cached", "error", "key", "lost", "n", "outputs", "reason", "status", "tried")

    def __init__(self) -> None:
        self.status = "waiting"
        self.n = 0
        self.lost = 0
        self.tried = 0
        self.attempts: tuple[str, ...] = NO_ATTEMPTS
        self.outputs: Mapping[str, ArtifactRef] | None = None
        self.error: ErrorInfo | None = None
        self.key = ""
        self.cached: tuple[str, str] | None = None
        self.reason = ""


class Group:
    """Counters of a node's tasks that share an index on some of its axes."""

    __slots__ = ("broken", "created", "settled")

    def __init__(self) -> None:
        self.created = 0
        self.settled = 0
        self.broken = 0


class NodeState:
    """One node in one scope: its tasks by index, counted by status.

    Of a paced node `beside` says by index which of the trials before it had not ended when it was begun; of the node it is paced by `told`
    keeps what `history` has made of each that has, `blocks` of those in a row that all have, by the first.
    """

    __slots__ = ("beside", "blocks", "counts", "ended_at", "groups", "items", "node", "started_at", "told", "tolerant")

    def __init__(self, node: Node, tolerant: bool, groupings: tuple[tuple[int, ...], ...]) -> None:
        self.node = node
        self.tolerant = tolerant
        self.items: dict[Index, TaskState] = {}
        self.counts: dict[str, int] = {}
        self.groups: dict[tuple[int, ...], dict[Index, Group]] = {g: {} for g in groupings}
        self.started_at = 0.0
        self.ended_at = 0.0
        self.beside: dict[Index, tuple[int, ...]] = {}
        self.told: dict[Index, Any] = {}
        self.blocks: dict[Index, str] = {}

    @property
    def settled(self) -> bool:
        """All tasks that exist have ended."""
        return sum(n for status, n in self.counts.items() if status in SETTLED) == len(self.items)


class Scope:
    """One graph being run: the pipeline's own ("") or one that a dynamic task made (named by the task's address)."""

    __slots__ = ("ended", "graph", "index", "lengths", "name", "nodes", "owner", "unsettled")

    def __init__(self, name: str, graph: Graph, index: ScopeGraph, owner: tuple[str, str, Index] | None) -> None:
        self.name = name
        self.graph = graph
        self.index = index
        self.owner = owner
        self.lengths: dict[str, dict[Index, int]] = {axis: {} for axis in graph.axes}
        self.nodes = {n.id: NodeState(n, index.tolerant[n.id], index.groupings[n.id]) for n in graph.nodes}
        self.unsettled = 0
        self.ended = False

    def indices(self, axes: tuple[str, ...], fixed: Mapping[str, int]) -> Iterator[Index]:
        """All known indices on `axes` that agree with `fixed`, row-major."""
        return walk_indices(self.graph, self.lengths, axes, fixed)

    def expanded(self, axes: tuple[str, ...], fixed: Mapping[str, int]) -> bool:
        """Every axis among `axes` has a known length wherever it exists under `fixed`: so also beside an axis that is empty."""
        found: dict[str, int] = {}
        empty: set[str] = set()
        graph = self.graph

        def walk(position: int) -> bool:
            if position == len(axes):
                return True
            axis = axes[position]
            outer = graph.axes[axis].axes
            if empty and not empty.isdisjoint(outer):
                return walk(position + 1)
            count = self.lengths[axis].get(tuple(found[a] for a in outer))
            if count is None:
                return False
            if axis in fixed:
                found[axis] = fixed[axis]
                return walk(position + 1)
            if count <= 0:
                empty.add(axis)
                known = walk(position + 1)
                empty.remove(axis)
                return known
            if not any(axis in graph.axes[later].axes for later in axes[position + 1 :]):
                found[axis] = 0
                return walk(position + 1)
            for i in range(count):
                found[axis] = i
                if not walk(position + 1):
                    return False
            return True

        return walk(0)


def walk_indices(
    graph: Graph, lengths: Mapping[str, Mapping[Index, int]], axes: tuple[str, ...], fixed: Mapping[str, int]
) -> Iterator[Index]:
    """All indices on `axes` as far as the axes' `lengths` are known, those that agree with `fixed`, row-major."""
    if not axes:
        yield ()
        return
    found: dict[str, int] = {}

    def walk(position: int) -> Iterator[Index]:
        if position == len(axes):
            yield tuple(found[a] for a in axes)
            return
        axis = axes[position]
        count = lengths[axis].get(tuple(found[a] for a in graph.axes[axis].axes))
        if count is None or count <= 0:
            return
        if axis in fixed:
            if fixed[axis] < count:
                found[axis] = fixed[axis]
                yield from walk(position + 1)
            return
        for i in range(count):
            found[axis] = i
            yield from walk(position + 1)

    yield from walk(0)


class AttemptState:
    """One attempt. `phase` and `reason` are what the executor last said; `outcome` is set when it has ended."""

    __slots__ = ("id", "items", "keys", "n", "node", "outcome", "phase", "planned_at", "reason", "scope")

    def __init__(self, id: str, scope: str, node: str, items: tuple[Index, ...]) -> None:
        self.id = id
        self.scope = scope
        self.node = node
        self.items = items
        self.keys: tuple[str, ...] = ()
        self.n = 1
        self.planned_at = 0.0
        self.phase = "queued"
        self.reason = ""
        self.outcome: Outcome | None = None


class RunState:
    """All that a run's journal says, folded."""

    def __init__(self, run: str = "") -> None:
        self.run = run
        self.status = "new"
        self.graph = Graph("")
        self.params: dict[str, ArtifactRef] = {}
        self.bundle = ""
        self.options = RunOptions()
        self.project = self.created_by = self.triggered_by = self.name = self.source = ""
        self.target = "local"
        self.environment: dict[str, object] = {}
        self.tags: tuple[str, ...] = ()
        self.note = ""
        self.archived = False
        self.started_at = self.resumed_at = self.ended_at = self.now = 0.0
        self.idle_s = 0.0  # since its start or last resume
        self.outputs: dict[str, ArtifactRef] = {}
        self.error: ErrorInfo | None = None
        self.stopping = ""  # "", "cancelled", "timeout", "failed"
        self.scopes: dict[str, Scope] = {}
        self.totals: dict[str, int] = {}  # tasks by status, kept up by `apply`
        self.attempts: dict[str, AttemptState] = {}
        self.live: dict[str, AttemptState] = {}
        self.given_up: dict[str, str] = {}
        self.failures: list[tuple[str, str, Index]] = []
        self.retries: list[tuple[float, int, str, str, tuple[Index, ...]]] = []  # a heap
        self.tries: dict[str, int] = {}
        self.memo: dict[str, tuple[str, Mapping[str, ArtifactRef], Mapping[str, float], TrialNotes | None]] = {}
        self.noted: dict[tuple[str, str, Index], Mapping[str, float]] = {}  # metrics of tasks that came from the cache
        self.curves: dict[tuple[str, str, Index], TrialNotes] = {}  # the same of how trials went
        self.metrics: dict[str, float] = {}
        self.resumes = 0

    def task(self, scope: str, node: str, index: Index) -> TaskState:
        """Raises KeyError for a task that does not exist (yet)."""
        return self.scopes[scope].nodes[node].items[index]

    def tasks(self) -> Iterator[tuple[str, str, Index, TaskState]]:
        """Every task as (scope, node, index, state), scopes in the order they were made."""
        for scope in list(self.scopes.values()):
            for node in scope.nodes.values():
                for index, task in node.items.items():
                    yield scope.name, node.node.id, index, task

    def metrics_of(self, scope: str, node: str, index: Index) -> Mapping[str, float]:
        """What the task had logged last, by its last attempt or by that from which its result was taken; {} of one of a batch."""
        noted = self.noted.get((scope, node, index))
        if noted is not None:
            return noted
        attempts = self.task(scope, node, index).attempts
        attempt = self.attempts.get(attempts[-1]) if attempts else None
        return attempt.outcome.metrics if attempt is not None and attempt.outcome is not None and len(attempt.items) == 1 else {}

    def trial_of(self, scope: str, node: str, index: Index) -> TrialNotes | None:
        """How the trial went that the task was (part of), by its last attempt or by that from which its result was taken."""
        known = self.curves.get((scope, node, index))
        if known is not None:
            return known
        attempts = self.task(scope, node, index).attempts
        attempt = self.attempts.get(attempts[-1]) if attempts else None
        items = attempt.outcome.items if attempt is not None and attempt.outcome is not None and len(attempt.items) == 1 else ()
        return items[0].trial if items else None

    def counts(self) -> dict[str, int]:
        """Tasks by status."""
        return {status: n for status, n in self.totals.items() if n}

    def first_failure(self) -> tuple[str, ErrorInfo] | None:
        """(address, error) of the task that failed first."""
        if not self.failures:
            return None
        scope, node, index = self.failures[0]
        error = self.task(scope, node, index).error
        assert error is not None  # nothing fails without one
        return address(scope, node, index), error

    def next_timer(self) -> float | None:
        """When `ClockAdvanced` is next worth recording (epoch seconds), None if never."""
        due = [self.retries[0][0]] if self.retries and not self.stopping else []
        timeout_s = self.options.timeout_s or self.graph.timeout_s
        if timeout_s and not self.stopping and self.status == "running":
            due.append(self.clock_from() + timeout_s)
        return min(due, default=None)

    def clock_from(self) -> float:
        """When the run's timeout began to count: its start or its last resume, later by the time in which nobody drove it."""
        return (self.resumed_at or self.started_at) + self.idle_s

    def push_retry(self, due_at: float, n: int, scope: str, node: str, items: tuple[Index, ...]) -> None:
        """Remember a retry that was scheduled."""
        heapq.heappush(self.retries, (due_at, n, scope, node, items))

    def asked(self, attempt: AttemptState) -> Resources:
        """What the attempt's step asks for."""
        graph = self.scopes[attempt.scope].graph
        node = self.scopes[attempt.scope].nodes[attempt.node].node
        return graph.steps[node.step].resources
