"""A Graph with the indexes that make each decision cost only what became ready: who consumes what, over which axes."""

from __future__ import annotations

from collections.abc import Iterator

from fairway.errors import DefinitionError
from fairway.spec.graph import Axis, Expr, Graph, Node


class Edge:
    """`target` (a node or an axis) depends on a node. With `group`, on all of the node's tasks that share the group's index: `group` are
    positions in the source node's axes. Without, on the one task that its own index projects to."""

    __slots__ = ("axis", "group", "target")

    def __init__(self, target: str, axis: bool, group: tuple[int, ...] | None) -> None:
        self.target = target
        self.axis = axis
        self.group = group


class ScopeGraph:
    """Static indexes of one graph. Raises DefinitionError where the graph does not hold together."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.by_id: dict[str, Node] = {n.id: n for n in graph.nodes}
        self.edges: dict[str, list[Edge]] = {n.id: [] for n in graph.nodes}
        self.axis_users: dict[str, list[str]] = {a: [] for a in graph.axes}
        self.axis_children: dict[str, list[str]] = {a: [] for a in graph.axes}
        self.axis_collectors: dict[str, list[Edge]] = {a: [] for a in graph.axes}
        self.tolerant = {n.id: n.pace is None and any(self._axis(a, n).on_error == "keep" for a in n.axes) for n in graph.nodes}
        self.paced: dict[str, Node] = {n.pace.by: n for n in graph.nodes if n.pace is not None}
        self._inner_groups: dict[str, dict[tuple[int, ...], None]] = {n.id: {} for n in graph.nodes}
        self._axes_of: dict[int, tuple[str, ...]] = {}
        self._keep: list[Expr] = []
        for axis in graph.axes.values():
            for source in axis.sources:
                self._connect(source, axis.id, True, axis.axes)
            for outer in axis.axes:
                self.axis_children[outer].append(axis.id)
        for node in graph.nodes:
            self._connect_node(node)
        self.groupings = {
            node: tuple(dict.fromkeys([(), *(e.group for e in edges if e.group is not None), *self._inner_groups[node]]))
            for node, edges in self.edges.items()
        }
        for by, node in self.paced.items():
            for name in (by, node.id):
                self.groupings[name] = tuple(dict.fromkeys([*self.groupings[name], tuple(range(len(node.axes) - 1))]))

    def _axis(self, name: str, node: Node) -> Axis:
        if name not in self.graph.axes:
            raise DefinitionError(f"node {node.id!r} lies on an unknown axis {name!r}", where=node.where)
        return self.graph.axes[name]

    def _connect_node(self, node: Node) -> None:
        if node.step not in self.graph.steps:
            raise DefinitionError(f"node {node.id!r} calls an unknown step {node.step!r}", where=node.where)
        if node.pace is not None:
            self._check_pace(node, self.by_id.get(node.pace.by))
        for axis in node.axes:
            self.axis_users[axis].append(node.id)
        for expr in [*node.inputs.values(), *(g.expr for g in node.guards)]:
            self._connect(expr, node.id, False, node.axes)
        for other in node.after:
            source = self.by_id.get(other)
            if source is None:
                raise DefinitionError(f"node {node.id!r} comes after an unknown node {other!r}", where=node.where)
            shared = tuple(i for i, a in enumerate(source.axes) if a in node.axes)
            self.edges[other].append(Edge(node.id, False, shared))

    def _check_pace(self, node: Node, by: Node | None) -> None:
        if by is None or not node.axes or by.axes != node.axes or by.id == node.id:
            raise DefinitionError(
                f"node {node.id!r} is paced by {node.pace.by if node.pace else ''!r}, which is no other node on the same axes",
                where=node.where,
            )
        if not any(name == node.id for expr in by.inputs.values() for name in sources_of(expr)):
            raise DefinitionError(f"node {node.id!r} is paced by {by.id!r}, which takes nothing from it", where=node.where)

    def _connect(
        self,
        expr: Expr,
        target: str,
        axis: bool,
        over: tuple[str, ...],
        collected: bool = False,
        levels: tuple[tuple[str, ...], ...] = (),
    ) -> None:
        """`levels`: the axes that each collect inside another collect is made for every index of."""
        if expr.kind == "output":
            source = self.by_id.get(expr.name)
            if source is None:
                raise DefinitionError(f"{target!r} uses the output of an unknown node {expr.name!r}")
            group = tuple(i for i, a in enumerate(source.axes) if a in over) if collected else None
            for level in levels:
                self._inner_groups[expr.name][tuple(i for i, a in enumerate(source.axes) if a in level)] = None
            if group is None and not set(source.axes) <= set(over):
                raise DefinitionError(f"{target!r} uses {expr.name!r}, which is mapped over axes that {target!r} is not")
            self.edges[expr.name].append(Edge(target, axis, group))
        elif expr.kind == "history":
            self._connect_history(expr, target, axis, over)
        elif expr.kind == "at":
            self._connect(expr.args[0], target, axis, (*over, expr.name), collected, levels)
            self._connect(expr.args[1], target, axis, over, collected, levels)
            return
        elif expr.kind == "item" and collected:
            self.axis_collectors[expr.name].append(Edge(target, axis, ()))
        elif expr.kind == "item" and expr.name not in over:
            raise DefinitionError(f"{target!r} uses an element of axis {expr.name!r} but is not mapped over it")
        for arg in expr.args:
            if expr.kind == "collect":
                self._connect(arg, target, axis, tuple(a for a in over if a in expr.over), True, (*levels, *((expr.over,) * collected)))
            else:
                self._connect(arg, target, axis, over, collected, levels)

    def _connect_history(self, expr: Expr, target: str, axis: bool, over: tuple[str, ...]) -> None:
        """The paced node itself is looked at by its pace; others when all tasks have ended."""
        paced = self.paced.get(expr.name)
        if paced is None:
            raise DefinitionError(f"{target!r} uses the history of {expr.name!r}, by which no node is paced")
        if paced.id != target or axis:
            by = self.by_id[expr.name]
            self.edges[by.id].append(Edge(target, axis, tuple(i for i, a in enumerate(by.axes) if a in over)))

    def axes_of(self, expr: Expr) -> tuple[str, ...]:
        """The axes a value lies on, outermost first."""
        known = self._axes_of.get(id(expr))
        if known is None:
            known = tuple(dict.fromkeys(self._walk_axes(expr)))
            self._axes_of[id(expr)] = known
            self._keep.append(expr)  # ids stay unique as long as the object lives
        return known

    def _walk_axes(self, expr: Expr) -> Iterator[str]:
        if expr.kind == "output":
            yield from self.by_id[expr.name].axes
        elif expr.kind == "item":
            yield from (*self.graph.axes[expr.name].axes, expr.name)
        elif expr.kind == "history":
            yield from self.by_id[expr.name].axes[:-1]
        for arg in expr.args:
            for axis in self.axes_of(arg):
                if (expr.kind != "collect" or axis in expr.over) and (expr.kind != "at" or axis != expr.name):
                    yield axis


def sources_of(expr: Expr) -> Iterator[str]:
    """Ids of the nodes whose outputs a value is made of."""
    if expr.kind == "output":
        yield expr.name
    for arg in expr.args:
        yield from sources_of(arg)
