"""`decide(state, touches, library)`: what to record next, and which tasks have become ready.

Pure: it reads the state and immutable artifacts only. Its cost is the number of tasks that the touches concern. `apply` what it returns and
call it again with the new touches until it returns no events.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from fairway.engine.apply import Touch
from fairway.engine.keys import fill_codes, fill_environments
from fairway.engine.resolve import BROKEN, PENDING, SKIPPED, Library, Missing, final_status, group_status, is_broken, resolve
from fairway.engine.scopegraph import Edge, ScopeGraph
from fairway.engine.state import DONE_WELL, SETTLED, NodeState, RunState, Scope, TaskState
from fairway.engine.trialhistory import why_untold
from fairway.errors import DefinitionError, FairwayError
from fairway.spec import event as ev
from fairway.spec.artifact import ArtifactRef
from fairway.spec.attempt import Input
from fairway.spec.event import Event, Index, address
from fairway.spec.graph import Expr, Node
from fairway.spec.outcome import ErrorInfo
from fairway.spec.retry import wait_s

Ready = tuple[str, str, Index]
"""(scope, node, index) of a task that may start."""


class Decision:
    """`events` to record, `ready` tasks to start when there is room."""

    __slots__ = ("events", "ready")

    def __init__(self, events: list[Event], ready: list[Ready]) -> None:
        self.events = events
        self.ready = ready


def decide(state: RunState, touches: Sequence[Touch], library: Library) -> Decision:
    """What follows from what was touched. Empty when the run has ended or has not started."""
    round_ = _Round(state, library)
    if state.status == "running":
        for what, scope, name, index in touches:
            if scope in state.scopes or what == "stop":
                round_.look(what, scope, name, index)
        round_.finish()
    return Decision(round_.events, round_.ready)


def collected(scope: Scope, expr: Expr) -> Expr:
    """A pipeline's output: a value that lies on axes is gathered to a list."""
    return Expr("collect", args=(expr,)) if scope.index.axes_of(expr) else expr


class _Round:
    def __init__(self, state: RunState, library: Library) -> None:
        self.state = state
        self.library = library
        self.events: list[Event] = []
        self.ready: list[Ready] = []
        self.skips: dict[tuple[str, str, str], dict[Index, None]] = {}
        self.retries: dict[tuple[str, str, str], list[Index]] = {}
        self.decided: set[tuple[str, str, Index]] = set()
        self.scopes: dict[str, None] = {}

    def look(self, what: str, scope_name: str, name: str, index: Index) -> None:
        if what == "stop":
            self._stop()
            return
        scope = self.state.scopes[scope_name]
        if what == "settled":
            self._settled(scope, name, index)
        elif what in ("created", "due"):
            self._task(scope, scope.nodes[name], index)
        elif what == "expanded":
            self._expanded(scope, name, index)
        elif what == "open":
            self._open(scope)
        elif what == "grown":
            self._grown(scope, name, index)
        elif what == "retrying":
            task = scope.nodes[name].items[index]
            if task.status == "retrying" and task.reason != "scheduled" and not self.state.stopping:
                self.retries.setdefault((scope_name, name, task.attempts[-1]), []).append(index)

    def _open(self, scope: Scope) -> None:
        self.scopes[scope.name] = None
        for axis in scope.graph.axes.values():
            if not axis.axes:
                self._axis(scope, axis.id, ())
        for node in scope.nodes.values():
            if not node.node.axes:
                self._task(scope, node, ())

    def _settled(self, scope: Scope, name: str, index: Index) -> None:
        self.scopes[scope.name] = None
        node = scope.nodes[name]
        at = dict(zip(node.node.axes, index, strict=True)) if index else {}
        for edge in scope.index.edges[name]:
            self._follow(scope, node, edge, at)
        paced = node.node if node.node.pace is not None else scope.index.paced.get(name)
        if paced is not None:
            self._next(scope, scope.nodes[paced.id], index[:-1])

    def _next(self, scope: Scope, paced: NodeState, outer: Index) -> None:
        """The one task that a pace may let go now: those before it have ended."""
        group = paced.groups[tuple(range(len(outer)))].get(outer)
        if group is not None and group.settled < group.created:
            self._task(scope, paced, (*outer, group.settled))

    def _pace(self, scope: Scope, node: Node, index: Index) -> str | None:
        """None if its pace lets the task go, else as `_verdict`."""
        assert node.pace is not None
        outer, k = index[:-1], index[-1]
        if k:
            before = scope.nodes[node.id].items[*outer, k - 1]
            if before.status not in SETTLED:
                return ""
            if before.status not in DONE_WELL:
                return "failed" if is_broken(scope.nodes[node.id], before) else "upstream"
        group = scope.nodes[node.pace.by].groups[tuple(range(len(outer)))].get(outer)
        return None if k - (group.settled if group is not None else 0) < node.pace.ahead else ""

    def _follow(self, scope: Scope, node: NodeState, edge: Edge, at: Mapping[str, int]) -> None:
        if edge.group is None:
            self._candidates(scope, edge, at)
            return
        axes = node.node.axes
        fixed = {axes[p]: at[axes[p]] for p in edge.group}
        group = node.groups[edge.group].get(tuple(fixed.values()))
        if group is None or group.settled == group.created:
            self._candidates(scope, edge, fixed)

    def _expanded(self, scope: Scope, axis: str, index: Index) -> None:
        self.scopes[scope.name] = None
        at = dict(zip(scope.graph.axes[axis].axes, index, strict=True))
        for name in scope.index.axis_users[axis]:
            for edge in scope.index.edges[name]:
                if edge.group is not None:
                    self._candidates(scope, edge, at)
        for child in scope.index.axis_children[axis]:
            self._candidates(scope, Edge(child, True, None), at)
        for edge in scope.index.axis_collectors[axis]:
            self._candidates(scope, edge, at)

    def _candidates(self, scope: Scope, edge: Edge, at: Mapping[str, int]) -> None:
        axes = scope.graph.axes[edge.target].axes if edge.axis else scope.nodes[edge.target].node.axes
        if all(a in at for a in axes):
            found: Sequence[Index] = [tuple([at[a] for a in axes])]
        else:
            found = list(scope.indices(axes, {a: i for a, i in at.items() if a in axes}))
        for index in found:
            if edge.axis:
                self._axis(scope, edge.target, index)
            else:
                self._task(scope, scope.nodes[edge.target], index)

    def _axis(self, scope: Scope, name: str, index: Index) -> None:
        axis = scope.graph.axes[name]
        if index in scope.lengths[name] or (scope.name, "|" + name, index) in self.decided or self.state.stopping:
            return
        at = dict(zip(axis.axes, index, strict=True))
        count, error = -1, None
        try:
            counts: list[int] = []
            for source in axis.sources:
                value = resolve(self.state, scope, source, at, self.library)
                if value is PENDING:
                    return
                if isinstance(value, ArtifactRef):
                    counts.append(len(self.library.split(value)))
                elif isinstance(value, Input):
                    raise DefinitionError("a secret cannot be mapped over", hint="use it inside a step")
                else:
                    counts.append(-2 if value is BROKEN else -1)
            count = min(counts)
            if count >= 0 and len(set(counts)) > 1:
                lengths = " and ".join(map(str, counts))
                raise_hint = "lists given to one fw.each are walked together; use one fw.each per list for all combinations"
                error = ErrorInfo("MapError", "FW-DEFINITION", f"{axis.where}: fw.each got lists of {lengths} items", hint=raise_hint)
        except FairwayError as problem:
            error = ErrorInfo("MapError", problem.code, f"{axis.where}: {problem.message}", hint=problem.hint)
        self.decided.add((scope.name, "|" + name, index))
        self.events.append(ev.MapExpanded(scope.name, name, index, -2 if error else count, error))

    def _task(self, scope: Scope, node: NodeState, index: Index) -> None:
        task = node.items.get(index)
        key = (scope.name, node.node.id, index)
        if task is None or task.status != "waiting" or key in self.decided:
            return
        if node.node.exit:
            if main_done(self.state):
                self.decided.add(key)
                self.ready.append(key)
            return
        if self.state.stopping:
            return
        try:
            verdict = self._verdict(scope, node.node, index)
        except FairwayError as problem:
            self.decided.add(key)
            info = ErrorInfo(type(problem).__name__, problem.code, problem.message, hint=problem.hint, retryable=False)
            self.events.append(ev.TasksRefused(scope.name, node.node.id, (index,), info, self.state.now))
            return
        if verdict == "":
            return
        self.decided.add(key)
        if verdict == "ready":
            self.ready.append(key)
        else:
            self.skips.setdefault((scope.name, node.node.id, verdict), {})[index] = None

    def _verdict(self, scope: Scope, node: Node, index: Index) -> str:
        """ "ready", a reason to skip, or "" (not yet)."""
        at = dict(zip(node.axes, index, strict=True)) if index else {}
        held = self._pace(scope, node, index) if node.pace is not None else None
        if held is not None:
            return held
        for guard in node.guards:
            value = resolve(self.state, scope, guard.expr, at, self.library)
            if isinstance(value, Missing):
                return _reason(value)
            if not isinstance(value, Input) and bool(self.library.value(value)) is not guard.wanted:
                return "condition"
        missing = [self._after(scope, other, at) for other in node.after]
        missing += [self._probe(scope, expr, at) for expr in node.inputs.values()]
        # All inputs are awaited, so that the verdict does not depend on which of them was first.
        for why in (PENDING, BROKEN, SKIPPED):
            if why in missing:
                return _reason(why)
        return "ready"

    def _probe(self, scope: Scope, expr: Expr, at: Mapping[str, int]) -> Missing | None:
        """Why `expr` has no value yet; without gathering the lists that it may consist of."""
        if expr.kind in ("const", "param", "secret", "artifact", "run", "item"):
            return None
        if expr.kind == "history":
            return {"": None, "pending": PENDING, "broken": BROKEN}[why_untold(scope, expr, at)]
        if expr.kind == "collect":
            axes = scope.index.axes_of(expr.args[0])
            return group_status(scope, expr.args[0], axes, {a: at[a] for a in axes if a in expr.over and a in at})
        if expr.kind == "list":
            missing = [self._probe(scope, arg, at) for arg in expr.args]
            return next((why for why in (PENDING, BROKEN, SKIPPED) if why in missing), None)
        value = resolve(self.state, scope, expr, at, self.library)
        return value if isinstance(value, Missing) else None

    def _after(self, scope: Scope, other: str, at: Mapping[str, int]) -> Missing | None:
        axes = scope.nodes[other].node.axes
        why = group_status(scope, Expr("output", name=other), axes, {a: at[a] for a in axes if a in at})
        return None if why is SKIPPED else why

    def _grown(self, scope: Scope, name: str, index: Index) -> None:
        task = scope.nodes[name].items[index]
        if task.status != "running" or address(scope.name, name, index) in self.state.scopes:
            return
        if self.state.stopping:
            self.events.append(ev.ScopeEnded(scope.name, name, index, "cancelled", self.state.now))
            return
        try:
            owner = scope.graph.steps[scope.nodes[name].node.step]
            graph = fill_codes(self.library.graph(task.reason), self.state.environment, owner)
            graph = fill_environments(graph, self.state.environment)
            ScopeGraph(graph)  # it came from an attempt: one that does not hold together fails the task, not the driver
            self.events.append(ev.GraphGrown(scope.name, name, index, graph))
        except FairwayError as problem:
            info = ErrorInfo(type(problem).__name__, problem.code, problem.message, hint=problem.hint, retryable=False)
            self.events.append(ev.ScopeEnded(scope.name, name, index, "failed", self.state.now, error=info))

    def _stop(self) -> None:
        for scope, node, index, task in self.state.tasks():
            if task.status in ("waiting", "retrying") and not self.state.scopes[scope].nodes[node].node.exit:
                self.skips.setdefault((scope, node, "cancelled"), {})[index] = None
        for name in self.state.scopes:
            self.scopes[name] = None

    def finish(self) -> None:
        """Turn what was gathered into events; see whether scopes, or the run, have ended."""
        for (scope, node, reason), items in self.skips.items():
            self.events.append(ev.TasksSkipped(scope, node, tuple(items), reason))
        for (scope, node, attempt), items in self.retries.items():
            step = self.state.scopes[scope].graph.steps[self.state.scopes[scope].nodes[node].node.step]
            task = self.state.task(scope, node, items[0])
            due_at = self.state.now + wait_s(step.retry, attempt, task.tried)
            self.events.append(ev.RetryScheduled(scope, node, tuple(items), task.n + 1, due_at))
        for name in self.scopes:
            scope = self.state.scopes.get(name)
            if scope is not None and not scope.ended and scope.owner is not None and scope_done(self.state, scope):
                self._end_scope(scope, scope.owner)
        if self.scopes and main_done(self.state):
            self._end_run()

    def _end_scope(self, scope: Scope, owner: Ready) -> None:
        status, outputs, error = "succeeded", {}, None
        for node in scope.nodes.values():
            for index, task in node.items.items():
                if task.status == "failed" and not node.tolerant:
                    inner = address(scope.name, node.node.id, index)
                    error = _within(inner, task)
                    status = "failed"
                    break
            if error:
                break
        if self.state.stopping and not error:
            status = "cancelled"
        elif not error:
            outputs, missing = self._outputs(scope)
            status = "skipped" if missing and not outputs else "succeeded"
        self.events.append(ev.ScopeEnded(*owner, status, self.state.now, outputs, error))

    def _outputs(self, scope: Scope) -> tuple[dict[str, ArtifactRef], bool]:
        found: dict[str, ArtifactRef] = {}
        missing = False
        for name, expr in scope.graph.outputs.items():
            value = resolve(self.state, scope, collected(scope, expr), {}, self.library)
            if isinstance(value, ArtifactRef):
                found[name] = value
            else:
                missing = True
        return found, missing

    def _end_run(self) -> None:
        state = self.state
        root = state.scopes[""]
        handlers = [n for n in root.nodes.values() if n.node.exit]
        open_handlers = [n for n in handlers if not n.settled]
        if open_handlers:
            for node in open_handlers:
                self._task(root, node, ())
            return
        status = final_status(state)
        error = state.error
        if error is None and status == "failed":
            first = state.first_failure()
            error = first[1] if first else None
        outputs: dict[str, ArtifactRef] = {}
        try:
            outputs = self._outputs(root)[0]
        except FairwayError as problem:
            status = "failed" if status == "succeeded" else status
            error = error or ErrorInfo(type(problem).__name__, problem.code, problem.message, hint=problem.hint)
        self.events.append(ev.RunEnded(status, state.now, outputs, error))


def _reason(missing: Missing) -> str:
    return {"pending": "", "skipped": "upstream", "broken": "failed"}[missing.why]


def _within(inner: str, task: TaskState) -> ErrorInfo:
    error = task.error or ErrorInfo("unknown", "FW-TASK-FAILED", "failed")
    return ErrorInfo(error.kind, error.code, f"{inner}: {error.message}", hint=error.hint, frames=error.frames, retryable=False)


def scope_done(state: RunState, scope: Scope) -> bool:
    """Nothing in it will run any more."""
    if scope.unsettled:
        return False
    if state.stopping:
        return True
    return all(scope.expanded(n.node.axes, {}) for n in scope.nodes.values())


def main_done(state: RunState) -> bool:
    """All but the exit handlers have ended."""
    return scope_done(state, state.scopes[""])
