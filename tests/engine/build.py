"""Graphs spelled shortly."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fairway.spec.graph import Axis, Expr, Graph, Guard, Node, Port, StepDef
from fairway.testing.scripted import Call


def step(name: str, *inputs: str, **more: Any) -> StepDef:
    """A step `name` of these inputs; its code goes by its name."""
    return StepDef(name, inputs=tuple(map(Port, inputs)), **{"module": "flow", "qualname": name, "code": name, **more})


def call(id: str, step: str, axes: tuple[str, ...] = (), guards: tuple[Guard, ...] = (), exit: bool = False, **inputs: Any) -> Node:
    """A node; what is no Expr is a constant."""
    given = {name: value if isinstance(value, Expr) else Expr("const", value=value) for name, value in inputs.items()}
    return Node(id, step, given, axes, guards, exit=exit)


def out(node: str) -> Expr:
    return Expr("output", node, "result")


def collect(node: str) -> Expr:
    return Expr("collect", args=(out(node),))


def numbers(count: int, id: str = "i", **more: Any) -> Axis:
    """An axis over 0, 1, …, `count` - 1."""
    return Axis(id, (Expr("const", value=list(range(count))),), **more)


def graph(*nodes: Node, steps: Any = (), axes: tuple[Axis, ...] = (), outputs: Any = None, **more: Any) -> Graph:
    """A graph "main". `steps` are StepDefs; without, each step takes what its nodes give it."""
    known = {s.name: s for s in steps} or {n.step: step(n.step, *n.inputs) for n in nodes}
    return Graph("main", steps=known, nodes=nodes, axes={a.id: a for a in axes}, outputs=outputs or {}, **more)


def mapped(count: int, work: StepDef | None = None, **axis: Any) -> Graph:
    """`work` over so many numbers, collected."""
    made = work or step("work", "x")
    item = call("each", made.name, ("i",), x=Expr("item", "i"))
    return graph(item, steps=(made,), axes=(numbers(count, **axis),), outputs={"all": out("each")})


def by_step(**functions: Callable[[Call], Any]) -> Callable[[Call], Any]:
    """Steps that do what the function of their name does; the others double their input x."""
    return lambda call: functions[call.step](call) if call.step in functions else call.inputs["x"] * 2
