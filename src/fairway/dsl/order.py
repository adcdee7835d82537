"""The order of a graph's nodes: what a node needs stands before it; cycles are refused."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from fairway.errors import DefinitionError
from fairway.spec.graph import Axis, Expr, Node


def sources(expr: Expr, axes: Mapping[str, Axis]) -> Iterator[str]:
    """Ids of the nodes that a value comes from, through the lists it is mapped over too."""
    if expr.kind in ("output", "history"):
        yield expr.name
    elif expr.kind == "item" and expr.name in axes:
        for source in axes[expr.name].sources:
            yield from sources(source, axes)
    for arg in expr.args:
        yield from sources(arg, axes)


def needs(node: Node, axes: Mapping[str, Axis]) -> set[str]:
    """Ids of all nodes that must have ended before `node` can run."""
    found: set[str] = set(node.after)
    for expr in (*node.inputs.values(), *(guard.expr for guard in node.guards)):
        found.update(sources(expr, axes))
    for id in node.axes:
        if id in axes:
            for source in axes[id].sources:
                found.update(sources(source, axes))
    if node.pace is not None:  # which waits for some of its tasks, and takes part in what it needs itself
        found.discard(node.pace.by)
    return found


def find_cycle(nodes: Sequence[Node], axes: Mapping[str, Axis]) -> list[Node]:
    """The nodes of one circle of dependencies, [] if there is none."""
    by_id = {node.id: node for node in nodes}
    if _is_sorted(nodes, axes, by_id):
        return []
    waiting = {node.id: {n for n in needs(node, axes) if n in by_id} for node in nodes}
    done: set[str] = set()
    while ready := [id for id, wanted in waiting.items() if wanted <= done]:
        done.update(ready)
        for id in ready:
            del waiting[id]
    if not waiting:
        return []
    path: list[str] = [next(iter(waiting))]
    while True:
        step = next(n for n in sorted(waiting[path[-1]]) if n in waiting)
        if step in path:
            return [by_id[id] for id in path[path.index(step) :]]
        path.append(step)


def _is_sorted(nodes: Sequence[Node], axes: Mapping[str, Axis], known: Mapping[str, Node]) -> bool:
    """Whether each node stands behind all it needs: the usual case, settled in one pass."""
    seen: set[str] = set()
    for node in nodes:
        if any(id in known and id not in seen for id in needs(node, axes)):
            return False
        seen.add(node.id)
    return True


def sort_nodes(nodes: Sequence[Node], axes: Mapping[str, Axis]) -> tuple[Node, ...]:
    """The nodes in topological order, otherwise as they were written. Raises DefinitionError for a cycle."""
    known = {node.id for node in nodes}
    placed: set[str] = set()
    ordered: list[Node] = []
    waiting = [(node, needs(node, axes) & known) for node in nodes]
    while waiting:
        left: list[tuple[Node, set[str]]] = []
        for node, wanted in waiting:
            if wanted <= placed:
                ordered.append(node)
                placed.add(node.id)
            else:
                left.append((node, wanted))
        if len(left) == len(waiting):
            cycle = find_cycle(nodes, axes)
            ring = " → ".join(f"`{node.id}`" for node in [*cycle, cycle[0]])
            raise DefinitionError(
                f"steps wait for each other in a circle: {ring}", hint="remove one of the `after(...)` calls", where=cycle[0].where
            )
        waiting = left
    return tuple(ordered)
