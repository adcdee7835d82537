"""From ready tasks to attempts: inputs resolved, cache keys computed, everything a worker needs put into an `AttemptSpec`."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

from fairway.engine.keys import StepKey, packages_of
from fairway.engine.resolve import BROKEN, Library, Missing, resolve
from fairway.engine.state import AttemptState, NodeState, RunState, Scope
from fairway.engine.trialhistory import find_trial, others_text
from fairway.errors import InternalError
from fairway.spec.artifact import ArtifactRef
from fairway.spec.attempt import AttemptItem, AttemptSpec, Input, attempt_id
from fairway.spec.event import Index, address
from fairway.spec.graph import Expr, StepDef


class NodePlan:
    """What the attempts of one node share."""

    __slots__ = ("batch", "key", "limits", "own", "shared", "shared_inputs", "step")

    def __init__(self, scope: Scope, node: NodeState, key: StepKey) -> None:
        graph = scope.graph
        self.step: StepDef = graph.steps[node.node.step]
        self.key = key
        self.shared: dict[str, Expr] = {}
        self.own: dict[str, Expr] = {}
        for name, expr in node.node.inputs.items():
            differs = scope.index.axes_of(expr) or (expr.kind == "history" and node.node.pace is not None)
            (self.own if differs else self.shared)[name] = expr
        self.shared_inputs: dict[str, Input] | None = None
        axes = [graph.axes[a] for a in node.node.axes]
        self.batch = axes[-1].batch if axes and self.step.kind != "container" else 1  # a container runs its program once
        self.limits = [(scope.name, a.id, a.max_parallel) for a in axes if a.max_parallel]


class Planner:
    """Plans attempts of one run. Remembers what does not change between attempts; forget it all (`reset`) when the graph changes."""

    def __init__(self, state: RunState, library: Library, python: str) -> None:
        self.state = state
        self.library = library
        self.python = python
        self._plans: dict[tuple[str, str], NodePlan] = {}
        self._context: dict[str, Any] | None = None

    def reset(self) -> None:
        """Forget everything: the run has been resumed."""
        self._plans.clear()

    def of(self, scope: Scope, node: NodeState) -> NodePlan:
        """The node's plan."""
        name = (scope.name, node.node.id)
        plan = self._plans.get(name)
        if plan is None:
            step = scope.graph.steps[node.node.step]
            packages = packages_of(self.state.environment, scope.name, node.node.step, step)
            plan = self._plans[name] = NodePlan(scope, node, StepKey(step, step.environment.python or self.python, packages))
        return plan

    def inputs(self, scope: Scope, node: NodeState, index: Index) -> tuple[dict[str, Input], dict[str, Input]]:
        """(shared, own) inputs of one task. Raises FairwayError where one cannot be had."""
        plan = self.of(scope, node)
        if plan.shared_inputs is None or node.node.exit:
            plan.shared_inputs = {n: self._input(scope, node, e, {}) for n, e in plan.shared.items()}
        if not plan.own:
            return plan.shared_inputs, {}
        at = dict(zip(node.node.axes, index, strict=True))
        return plan.shared_inputs, {n: self._input(scope, node, e, at) for n, e in plan.own.items()}

    def _input(self, scope: Scope, node: NodeState, expr: Expr, at: Mapping[str, int]) -> Input:
        value = resolve(self.state, scope, expr, at, self.library)
        if isinstance(value, ArtifactRef):
            return Input(ref=value)
        if isinstance(value, Input):
            return value
        if node.node.exit or value is BROKEN:
            return Input(ref=self.library.constant(None))
        raise InternalError(f"input of {node.node.id} was planned but is {value.why if isinstance(value, Missing) else value}")

    def key(self, scope: Scope, node: NodeState, shared: Mapping[str, Input], own: Mapping[str, Input]) -> str:
        """The task's cache key, "" for what has none."""
        plan = self.of(scope, node)
        if node.node.exit:
            return ""
        refs = {name: i.ref or ArtifactRef(f"secret:{i.secret}", 0, "secret") for name, i in (*shared.items(), *own.items())}
        return plan.key.key(refs)

    def spec(self, attempt: AttemptState, items: Sequence[tuple[Index, dict[str, Input]]], shared: dict[str, Input]) -> AttemptSpec:
        """The complete attempt. `items` are (index, own inputs), in the order of `attempt.items`."""
        scope = self.state.scopes[attempt.scope]
        node = scope.nodes[attempt.node]
        step = scope.graph.steps[node.node.step]
        keys = attempt.keys or ("",) * len(items)
        secrets = {i.secret for i in shared.values() if i.secret} | {i.secret for _, own in items for i in own.values() if i.secret}
        return AttemptSpec(
            id=attempt.id,
            run=self.state.run,
            node=address(attempt.scope, attempt.node),
            n=attempt.n,
            step=step,
            bundle=self.state.bundle,
            items=tuple(
                AttemptItem(address(scope.name, node.node.id, index), own, task_seed(scope.name, node.node.id, index), key)
                for (index, own), key in zip(items, keys, strict=True)
            ),
            inputs=shared,
            resources=step.resources,
            environment=step.environment,
            timeout_s=step.timeout_s,
            secrets=tuple(sorted(secrets | set(step.secrets))),
            context=self.context() if not self._searches(scope) else {**self.context(), **self._trial(scope, node, attempt.items[0])},
        )

    def _searches(self, scope: Scope) -> bool:
        """Tasks of the scope may be trials, or parts of them."""
        return bool(scope.index.paced) or (scope.owner is not None and self._searches(self.state.scopes[scope.owner[0]]))

    def _trial(self, scope: Scope, node: NodeState, index: Index) -> dict[str, Any]:
        """What a task that is (part of) a trial is told of its search, and a paced task of when that began. Not part of any key."""
        pace = node.node.pace
        if pace is not None:
            return {"search": {"started_at": node.started_at or self.state.now}}
        found = find_trial(self.state, scope, node.node.id, index)
        if found is None:
            return {}
        outer, paced, place = found
        assert paced.node.pace is not None
        told = paced.node.pace.told
        trial: dict[str, Any] = {"number": place[-1], "told": told}
        pruner = told.get("pruner", {}).get("kind", "patience")
        if pruner != "patience":  # which looks at nobody else
            trial["trials"] = others_text(self.state, outer, paced.node.pace.by, place, pruner, self.library)
            search = address(outer.name, paced.node.pace.by, place[:-1])
            trial["live"] = f"{self.state.run}/search-{hashlib.sha256(search.encode()).hexdigest()[:12]}/reports"
        return {"trial": trial}

    def context(self) -> dict[str, Any]:
        """What `fw.context()` shows of the run."""
        if self._context is None:
            params = {n: self.library.value(r) for n, r in self.state.params.items() if r.inline is not None}
            self._context = {"pipeline": self.state.graph.name, "params": params, "project": self.state.project}
        return self._context


def task_seed(scope: str, node: str, index: Index) -> int:
    """32 bits that depend on the task only, not on the run: the same graph gives the same artifacts wherever and whenever it runs."""
    return int.from_bytes(hashlib.sha256(address(scope, node, index).encode()).digest()[:4], "big")


def name_attempt(state: RunState, scope: str, node: str, items: Sequence[Index]) -> tuple[str, int]:
    """(id, number) of the next attempt at these items."""
    first = address(scope, node, items[0])
    if len(items) > 1:
        rest = hashlib.sha256(repr(tuple(items)).encode()).hexdigest()[:12]
        name = f"{first}+{len(items) - 1}:{rest}"
    else:
        name = first
    tasks = state.scopes[scope].nodes[node].items
    n = max(tasks[i].n for i in items)
    if state.tries:
        n = max(n, *(state.tries.get(address(scope, node, i), 0) for i in items))
    return attempt_id(state.run, name, n + 1), n + 1
