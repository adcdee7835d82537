"""What is known of a value from the Graph alone: the axes it lies on, and its type."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from fairway.dsl import types
from fairway.dsl.constants import type_of_constant
from fairway.spec.graph import Expr, Graph

_COMPARISONS = frozenset({"<", "<=", ">", ">=", "==", "!=", "and", "or", "not", "in"})
_FACTS = {"id": "str", "status": "str", "error": "", "started_at": "float"}


def merge_axes(groups: Iterable[tuple[str, ...]]) -> tuple[str, ...]:
    """All axes once, in the order in which they come."""
    return tuple(dict.fromkeys(axis for group in groups for axis in group))


def operator_type(name: str, kinds: Sequence[str]) -> str:
    """The type of an operator's result, "" if it cannot be told."""
    if name in _COMPARISONS:
        return "bool"
    if name == "len":
        return "int"
    if name == "/":
        return "float" if set(kinds) <= {"int", "float", "bool"} else ""
    if len(set(kinds)) == 1:
        return "int" if kinds[0] == "bool" else kinds[0]
    return "float" if set(kinds) == {"int", "float"} else ""


class Facts:
    """Axes and types of a graph's values. Names that do not exist have no axes and no type."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.nodes = {node.id: node for node in graph.nodes}
        self.params = {param.name: param for param in graph.params}

    def axes(self, expr: Expr) -> tuple[str, ...]:
        """The axes a value lies on, outermost first."""
        if expr.kind == "output":
            node = self.nodes.get(expr.name)
            return node.axes if node else ()
        if expr.kind == "item":
            axis = self.graph.axes.get(expr.name)
            return (*axis.axes, expr.name) if axis else ()
        if expr.kind == "history":
            node = self.nodes.get(expr.name)
            return node.axes[:-1] if node else ()
        inner = merge_axes(self.axes(arg) for arg in expr.args)
        if expr.kind == "at":
            return tuple(axis for axis in inner if axis != expr.name)
        return tuple(axis for axis in inner if axis in expr.over) if expr.kind == "collect" else inner

    def type(self, expr: Expr) -> str:
        """The name of a value's type, "" if it is not known."""
        if expr.kind == "param":
            return self.params[expr.name].type if expr.name in self.params else ""
        if expr.kind == "output":
            return self._output_type(expr)
        if expr.kind == "const":
            return type_of_constant(expr.value)
        if expr.kind == "artifact":
            return expr.name or (expr.ref.type if expr.ref else "")
        if expr.kind == "item":
            axis = self.graph.axes.get(expr.name)
            return types.element(self.type(axis.sources[expr.position])) if axis and expr.position < len(axis.sources) else ""
        if expr.kind in ("secret", "run"):
            return "str" if expr.kind == "secret" else _FACTS.get(expr.name, "")
        return self._combined_type(expr)

    def _combined_type(self, expr: Expr) -> str:
        if expr.kind == "history":
            return ""
        kinds = [self.type(arg) for arg in expr.args[: 1 if expr.kind == "at" else None]]
        if expr.kind == "op":
            return operator_type(expr.name, kinds)
        same = kinds[0] if kinds and len(set(kinds)) == 1 else ""
        return types.list_of(same) if expr.kind in ("collect", "list") else same

    def _output_type(self, expr: Expr) -> str:
        node = self.nodes.get(expr.name)
        step = self.graph.steps.get(node.step) if node else None
        return next((port.type for port in step.outputs if port.name == (expr.output or "result")), "") if step else ""
