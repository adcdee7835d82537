"""The step that is one trial of a search over a graph (of a file, say): the graph, with values in place of its parameters."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from fairway.dsl.settings import under
from fairway.dsl.trace import Trace
from fairway.spec.artifact import ArtifactRef
from fairway.spec.environment import Environment
from fairway.spec.graph import Expr, Graph
from fairway.spec.record import from_plain, replace
from fairway.spec.study import SEARCHED


class _Grow:
    """As a dynamic step of a user's: `expand` makes its graph."""

    def expand(
        self, kwargs: Mapping[str, Any], save: Callable[[Any], ArtifactRef] | None = None, environment: Environment | None = None
    ) -> Graph:
        """The graph that `kwargs` holds under SEARCHED, with the others as its parameters. Exit handlers are a run's, not a trial's."""
        graph = from_plain(Graph, kwargs[SEARCHED])
        trace = Trace(graph.name, save=save)
        given = {p.name: trace.lift(kwargs.get(p.name, p.default), f"the parameter `{p.name}`").fw_expr for p in graph.params}
        return fill_params(graph, {name: expr for name, expr in given.items() if expr is not None}, environment or Environment())


grow = _Grow()


def fill_params(graph: Graph, given: Mapping[str, Expr], environment: Environment) -> Graph:
    """The graph without parameters. `environment` is that of steps which have none of their own. Pure."""

    def fill(expr: Expr) -> Expr:
        if expr.kind == "param":
            return given[expr.name]
        return replace(expr, args=tuple(fill(arg) for arg in expr.args)) if expr.args else expr

    nodes = tuple(
        replace(
            node,
            inputs={name: fill(expr) for name, expr in node.inputs.items()},
            guards=tuple(replace(guard, expr=fill(guard.expr)) for guard in node.guards),
        )
        for node in graph.nodes
        if not node.exit
    )
    used = {node.step for node in nodes}
    steps = {key: replace(step, environment=under(step.environment, environment)) for key, step in graph.steps.items() if key in used}
    axes = {id: replace(axis, sources=tuple(fill(source) for source in axis.sources)) for id, axis in graph.axes.items()}
    outputs = {name: fill(expr) for name, expr in graph.outputs.items()}
    return replace(graph, params=(), nodes=nodes, steps=steps, axes=axes, outputs=outputs, timeout_s=0.0, max_parallel=0)
