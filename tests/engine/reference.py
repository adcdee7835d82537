"""The simplest thing that could say what a graph means: recursion over values, no events, no order of execution, no retries."""

from __future__ import annotations

import itertools
from typing import Any

from fairway.engine.resolve import OPERATORS
from fairway.spec.event import address
from fairway.spec.graph import Expr, Graph, Node
from fairway.testing.scripted import Skip


class Gone(Exception):
    """There is no value: `broken` if something failed, else it was skipped."""

    def __init__(self, broken: bool) -> None:
        self.broken = broken


class Reference:
    """`compute(step, task, inputs)` returns a value or raises; `statuses()` says how each task must end, `broken` whether the run fails."""

    def __init__(self, graph: Graph, compute: Any, scope: str = "") -> None:
        self.graph = graph
        self.compute = compute
        self.scope = scope
        self.inner: dict[str, str] = {}
        self.nodes = {n.id: n for n in graph.nodes}
        self.memo: dict[str, tuple[str, Any, bool]] = {}

    def statuses(self) -> dict[str, str]:
        for node in sorted(self.graph.nodes, key=lambda n: n.exit):
            for index in self.indices(node.axes, {}):
                self.task(node, dict(zip(node.axes, index, strict=True)))
        return {**{name: status for name, (status, _, _) in self.memo.items()}, **self.inner}

    @property
    def broken(self) -> bool:
        return any(status == "failed" and gone for status, _, gone in self.memo.values())

    def outputs(self) -> dict[str, Any]:
        found = {}
        for name, expr in self.graph.outputs.items():
            try:
                found[name] = self.value(Expr("collect", args=(expr,)) if self.axes(expr) else expr, {})
            except Gone:
                continue
        return found

    def axes(self, expr: Expr) -> tuple[str, ...]:
        own: tuple[str, ...] = ()
        if expr.kind == "output":
            own = self.nodes[expr.name].axes
        elif expr.kind == "item":
            own = (*self.graph.axes[expr.name].axes, expr.name)
        inner = [a for arg in expr.args for a in self.axes(arg) if expr.kind != "collect" or a in expr.over]
        return tuple(dict.fromkeys([*own, *inner]))

    def length(self, axis: str, at: dict[str, int]) -> int:
        return min(len(self.value(source, at)) for source in self.graph.axes[axis].sources)

    def indices(self, axes: tuple[str, ...], at: dict[str, int]) -> list[tuple[int, ...]]:
        found: list[dict[str, int]] = [{}]
        for axis in axes:
            grown = []
            for partial in found:
                try:
                    choices = [at[axis]] if axis in at else range(self.length(axis, partial))
                except Gone:
                    continue
                grown += [{**partial, axis: i} for i in choices]
            found = grown
        return [tuple(f[a] for a in axes) for f in found]

    def void(self, axes: tuple[str, ...], at: dict[str, int]) -> None:
        """Raises Gone if an axis whose index is given has no source, or if something failed that an axis further in runs over."""
        gone: list[bool] = []
        for axis in axes:
            outer = self.graph.axes[axis].axes
            given = all(a in at for a in outer)
            for index in self.indices(outer, {a: at[a] for a in outer if a in at}):
                try:
                    self.length(axis, {**at, **dict(zip(outer, index, strict=True))})
                except Gone as why:
                    gone += [why.broken] if given or why.broken else []
        if gone:
            raise Gone(any(gone))

    def task(self, node: Node, at: dict[str, int]) -> tuple[str, Any, bool]:
        name = address(self.scope, node.id, tuple(at[a] for a in node.axes))
        if name not in self.memo:
            self.memo[name] = self.run(node, name, at)
        return self.memo[name]

    def run(self, node: Node, name: str, at: dict[str, int]) -> tuple[str, Any, bool]:
        at = {a: at[a] for a in node.axes}
        gone: list[bool] = []
        for guard in node.guards:
            try:
                if bool(self.value(guard.expr, at)) is not guard.wanted:
                    return "skipped", None, False
            except Gone as why:
                return "skipped", None, why.broken
        for other in node.after:
            source = self.nodes[other]
            fixed = {a: at[a] for a in source.axes if a in at}
            try:
                self.void(source.axes, fixed)
            except Gone as why:
                gone += [True] if why.broken else []
            for index in self.indices(source.axes, fixed):
                gone += [True] if self.task(source, dict(zip(source.axes, index, strict=True)))[2] else []
        inputs = {}
        for key, expr in node.inputs.items():
            try:
                inputs[key] = self.value(expr, at)
            except Gone as why:
                gone.append(why.broken)
                inputs[key] = None
        if gone and not node.exit:
            return "skipped", None, any(gone)
        failed = "failed", None, not any(self.graph.axes[a].on_error == "keep" for a in node.axes)
        try:
            value = self.compute(node.step, name, inputs)
        except ValueError:
            return failed
        except Skip:
            return "skipped", None, False
        return self.grow(value, name, failed) if isinstance(value, Graph) else ("succeeded", value, False)

    def grow(self, graph: Graph, name: str, failed: tuple[str, Any, bool]) -> tuple[str, Any, bool]:
        within = Reference(graph, self.compute, name)
        self.inner.update(within.statuses())
        self.inner.update(within.inner)
        if within.broken:
            return failed
        outputs = within.outputs()
        return ("succeeded", outputs["result"], False) if outputs else ("skipped", None, False)

    def value(self, expr: Expr, at: dict[str, int]) -> Any:
        if expr.kind == "const":
            return expr.value
        if expr.kind == "output":
            status, value, broken = self.task(self.nodes[expr.name], at)
            if status != "succeeded":
                raise Gone(broken)
            return value
        if expr.kind == "item":
            return self.value(self.graph.axes[expr.name].sources[expr.position], at)[at[expr.name]]
        if expr.kind == "run":
            return "failed" if self.broken else "succeeded"
        if expr.kind == "list":
            return self.list(expr, at)
        if expr.kind == "op":
            return OPERATORS[expr.name](*[self.value(a, at) for a in expr.args])
        if expr.kind == "either":
            return self.either(expr, at)
        return self.collect(expr, at)

    def list(self, expr: Expr, at: dict[str, int]) -> Any:
        values, broken = [], []
        for arg in expr.args:
            try:
                values.append(self.value(arg, at))
            except Gone as why:
                broken.append(why.broken)
        if broken:
            raise Gone(any(broken))
        return values

    def either(self, expr: Expr, at: dict[str, int]) -> Any:
        broken = False
        for arg in expr.args:
            try:
                return self.value(arg, at)
            except Gone as why:
                broken = broken or why.broken
        raise Gone(broken)

    def collect(self, expr: Expr, at: dict[str, int]) -> list[Any]:
        arg = expr.args[0]
        axes = self.axes(arg)
        fixed = {a: at[a] for a in axes if a in expr.over and a in at}
        self.void(axes, fixed)
        for name in _sources(arg):
            self.void(self.nodes[name].axes, fixed)
        values = []
        broken = False
        for index in self.indices(axes, fixed):
            inner = dict(zip(axes, index, strict=True))
            for name in _sources(arg):
                for full in self.indices(self.nodes[name].axes, {a: inner[a] for a in self.nodes[name].axes if a in inner}):
                    broken = broken or self.task(self.nodes[name], dict(zip(self.nodes[name].axes, full, strict=True)))[2]
            try:
                values.append(self.value(arg, inner))
            except Gone:
                continue
        if broken:
            raise Gone(True)
        return values


def _sources(expr: Expr) -> list[str]:
    own = [expr.name] if expr.kind == "output" else []
    return [*own, *itertools.chain.from_iterable(_sources(a) for a in expr.args)]
