"""What a value is, given what has happened: pure look-ups in a run's state."""

from __future__ import annotations

import json
import operator
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from fairway.engine.scopegraph import sources_of
from fairway.engine.state import DONE_WELL, SETTLED, NodeState, RunState, Scope, TaskState
from fairway.engine.trialhistory import ended_blocks, history_text, rest_text, why_untold
from fairway.errors import DefinitionError
from fairway.spec.artifact import ArtifactRef
from fairway.spec.attempt import Input
from fairway.spec.graph import Expr, Graph

BROKEN_REASONS = frozenset({"failed", "cancelled"})


class Library(Protocol):
    """Functions of immutable artifacts, hence deterministic whenever they are called: they may read the artifact store."""

    def split(self, ref: ArtifactRef) -> Sequence[ArtifactRef]: ...
    def collect(self, refs: Sequence[ArtifactRef]) -> ArtifactRef: ...
    def graph(self, digest: str) -> Graph: ...
    def constant(self, value: Any) -> ArtifactRef: ...
    def render(self, value: Any) -> str: ...
    def written(self, text: str, kind: str) -> ArtifactRef: ...
    def kept(self, text: str, kind: str) -> ArtifactRef: ...
    def value(self, ref: ArtifactRef) -> Any:
        """The JSON value of a small JSON artifact. Raises DefinitionError for anything else."""
        ...


class Missing:
    """Why there is no value."""

    __slots__ = ("why",)

    def __init__(self, why: str) -> None:
        self.why = why


PENDING = Missing("pending")
SKIPPED = Missing("skipped")
BROKEN = Missing("broken")

Value = ArtifactRef | Input | Missing

OPERATORS: dict[str, Callable[..., Any]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "==": operator.eq,
    "!=": operator.ne,
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": operator.truediv,
    "//": operator.floordiv,
    "%": operator.mod,
    "and": lambda a, b: a and b,
    "or": lambda a, b: a or b,
    "not": lambda a: not a,
    "neg": operator.neg,
    "in": lambda a, b: a in b,
    "len": len,
}


def is_broken(node: NodeState, task: TaskState) -> bool:
    """The task has no value because something failed, so what needs it cannot be right to go on."""
    if task.status == "skipped":
        return task.reason in BROKEN_REASONS
    return task.status == "cancelled" or (task.status == "failed" and not node.tolerant)


def resolve(state: RunState, scope: Scope, expr: Expr, at: Mapping[str, int], library: Library) -> Value:
    """The value of `expr` at the index `at` (by axis), or why there is none."""
    return _KINDS[expr.kind](state, scope, expr, at, library)


def _output(state: RunState, scope: Scope, expr: Expr, at: Mapping[str, int], library: Library) -> Value:
    node = scope.nodes[expr.name]
    axes = node.node.axes
    task = node.items.get(tuple([at[a] for a in axes]) if axes else ())
    if task is None:
        return PENDING
    if task.status in DONE_WELL:
        ref = (task.outputs or {}).get(expr.output or "result")
        return library.constant(None) if ref is None else ref
    if task.status not in SETTLED:
        return PENDING
    return BROKEN if is_broken(node, task) else SKIPPED


def _collect(state: RunState, scope: Scope, expr: Expr, at: Mapping[str, int], library: Library) -> Value:
    arg = expr.args[0]
    axes = scope.index.axes_of(arg)
    fixed = {a: at[a] for a in axes if a in expr.over and a in at}
    ready = group_status(scope, arg, axes, fixed)
    if ready is not None:
        return ready
    if arg.kind == "output" and not fixed:
        node = scope.nodes[arg.name]
        if len(axes) == 1 and axes == node.node.axes:
            found = [task.outputs for task in node.items.values() if task.status in DONE_WELL]
            return library.collect([o[arg.output or "result"] for o in found if o])
    refs: list[ArtifactRef] = []
    for index in scope.indices(axes, fixed):
        value = resolve(state, scope, arg, dict(zip(axes, index, strict=True)), library)
        if isinstance(value, Missing):
            if value is SKIPPED:
                continue
            return value
        if isinstance(value, Input):
            raise DefinitionError("secrets cannot be collected", hint='pass fw.secret("NAME") straight to the step that needs it')
        refs.append(value)
    return library.collect(refs)


def group_status(scope: Scope, arg: Expr, axes: tuple[str, ...], fixed: Mapping[str, int]) -> Missing | None:
    """None when all tasks that `arg` is made of, under `fixed`, have ended well or been skipped."""
    why = _lists_status(scope, axes, fixed)
    if why is not None:
        return why
    for name in sources_of(arg):
        node = scope.nodes[name]
        why = _lists_status(scope, node.node.axes, fixed) if node.node.axes != axes else None
        if why is not None:
            return why
        positions = tuple(i for i, a in enumerate(node.node.axes) if a in fixed)
        group = node.groups[positions].get(tuple(fixed[node.node.axes[i]] for i in positions))
        if group is None:
            continue
        if group.settled < group.created:
            return PENDING
        if group.broken:
            return BROKEN
    return None


def _lists_status(scope: Scope, axes: tuple[str, ...], fixed: Mapping[str, int]) -> Missing | None:
    """None when the lists behind `axes` are known under `fixed`. All are awaited, so that it does not matter which of them was first."""
    found: list[Missing] = []
    for axis in axes:
        outer = scope.graph.axes[axis].axes
        if all(a in fixed for a in outer):
            count = scope.lengths[axis].get(tuple(fixed[a] for a in outer))
            if count is None:
                return PENDING
            if count < 0:
                found.append(SKIPPED if count == -1 else BROKEN)
            continue
        positions = [(i, fixed[a]) for i, a in enumerate(outer) if a in fixed]
        if any(count < -1 and all(index[i] == at for i, at in positions) for index, count in scope.lengths[axis].items()):
            found.append(BROKEN)  # some of its items will never be, because their list was lost
    if not scope.expanded(axes, fixed):
        return PENDING
    return BROKEN if BROKEN in found else SKIPPED if found else None


def _either(state: RunState, scope: Scope, expr: Expr, at: Mapping[str, int], library: Library) -> Value:
    values = [resolve(state, scope, arg, at, library) for arg in expr.args]
    if any(v is PENDING for v in values):
        return PENDING
    for value in values:
        if not isinstance(value, Missing):
            return value
    return BROKEN if any(v is BROKEN for v in values) else SKIPPED


def _list(state: RunState, scope: Scope, expr: Expr, at: Mapping[str, int], library: Library) -> Value:
    values = [resolve(state, scope, arg, at, library) for arg in expr.args]
    for why in (PENDING, BROKEN, SKIPPED):
        if why in values:
            return why
    refs = [value for value in values if isinstance(value, ArtifactRef)]
    if len(refs) < len(values):
        raise DefinitionError("a secret cannot be put into a list", hint='pass fw.secret("NAME") straight to the step that needs it')
    return library.collect(refs)


def _op(state: RunState, scope: Scope, expr: Expr, at: Mapping[str, int], library: Library) -> Value:
    values: list[Any] = []
    for arg in expr.args:
        value = resolve(state, scope, arg, at, library)
        if isinstance(value, Missing):
            return value
        if isinstance(value, Input):
            raise DefinitionError("a secret has no value in the pipeline", hint="use it inside a step")
        values.append(library.value(value))
    try:
        result = OPERATORS[expr.name](*values)
    except (TypeError, ValueError, ArithmeticError) as error:
        shown = ", ".join(_short(v) for v in values)
        raise DefinitionError(f"`{expr.name}` cannot be computed for {shown}: {error}", hint="compute it in a step") from None
    return library.constant(result)


def _short(value: Any) -> str:
    text = json.dumps(value, default=str)
    return text if len(text) < 60 else text[:57] + "..."


def _at(state: RunState, scope: Scope, expr: Expr, at: Mapping[str, int], library: Library) -> Value:
    chosen = resolve(state, scope, expr.args[1], at, library)
    if isinstance(chosen, Missing):
        return chosen
    index = library.value(chosen) if isinstance(chosen, ArtifactRef) else None
    length = scope.lengths[expr.name].get(tuple(at[a] for a in scope.graph.axes[expr.name].axes))
    if length is None or length < 0:
        return PENDING if length is None else SKIPPED if length == -1 else BROKEN
    if not isinstance(index, int) or not 0 <= index < length:
        raise DefinitionError(f"there is no item {index!r} on the axis {expr.name!r}", hint="choose the number of one of its items, from 0")
    return resolve(state, scope, expr.args[0], {**at, expr.name: index}, library)


def _history(state: RunState, scope: Scope, expr: Expr, at: Mapping[str, int], library: Library) -> Value:
    why = why_untold(scope, expr, at)
    if why:
        return PENDING if why == "pending" else BROKEN
    if expr.output == "ended":
        return library.collect(ended_blocks(state, scope, expr, at, library))
    tell = rest_text if expr.output == "rest" else history_text
    return library.written(tell(state, scope, expr, at, library), "dict")


def _param(state: RunState, scope: Scope, expr: Expr, at: Mapping[str, int], library: Library) -> Value:
    ref = state.params.get(expr.name)
    return library.constant(None) if ref is None else ref


def _item(state: RunState, scope: Scope, expr: Expr, at: Mapping[str, int], library: Library) -> Value:
    source = resolve(state, scope, scope.graph.axes[expr.name].sources[expr.position], at, library)
    if isinstance(source, Missing):
        return source
    assert not isinstance(source, Input)  # an axis over a secret is never expanded
    return library.split(source)[at[expr.name]]


def _run_fact(state: RunState, scope: Scope, expr: Expr, at: Mapping[str, int], library: Library) -> Value:
    facts: dict[str, Any] = {"id": state.run, "status": final_status(state), "started_at": state.started_at, "error": None}
    first = state.first_failure()
    error = state.error or (first[1] if first else None)
    if error is not None:
        facts["error"] = f"{first[0]}: {error.kind}: {error.message}" if first else f"{error.kind}: {error.message}"
    return library.constant(facts.get(expr.name))


def final_status(state: RunState) -> str:
    """What the run's status will be if nothing more happens."""
    if state.stopping in ("cancelled", "timeout"):
        return state.stopping
    return "failed" if state.failures or state.error is not None else "succeeded"


_KINDS: dict[str, Callable[[RunState, Scope, Expr, Mapping[str, int], Library], Value]] = {
    "output": _output,
    "collect": _collect,
    "either": _either,
    "list": _list,
    "op": _op,
    "at": _at,
    "history": _history,
    "param": _param,
    "item": _item,
    "run": _run_fact,
    "const": lambda state, scope, expr, at, library: library.constant(expr.value),
    "artifact": lambda state, scope, expr, at, library: expr.ref or library.constant(None),
    "secret": lambda state, scope, expr, at, library: Input(secret=expr.name),
}
