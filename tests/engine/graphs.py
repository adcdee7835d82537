"""Random graphs: maps (zipped, nested, products), conditions, merges, orders, failures, retries."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from fairway.spec.graph import Axis, Expr, Graph, Guard, Node, Port, StepDef
from fairway.spec.resources import Retry

STEPS = {
    "add": StepDef("add", inputs=(Port("x"), Port("y")), code="1", retry=Retry(attempts=1)),
    "steady": StepDef("steady", inputs=(Port("x"),), code="2", retry=Retry(attempts=3, backoff_s=0.5)),
    "fragile": StepDef("fragile", inputs=(Port("x"),), code="3", retry=Retry(attempts=2, backoff_s=0.1)),
    "span": StepDef("span", inputs=(Port("x"),), code="4"),
    "total": StepDef("total", inputs=(Port("xs"),), code="5", cache=False),
}


def compute(step: str, task: str, inputs: dict[str, Any]) -> Any:
    """What the steps do; ValueError is their only failure."""
    if step == "add":
        return inputs["x"] + inputs["y"]
    if step == "steady":
        return inputs["x"] * 2
    if step == "fragile":
        if inputs["x"] % 5 == 3:
            raise ValueError(task)
        return inputs["x"] + 1
    if step == "span":
        return list(range(inputs["x"] % 4))
    return sum(inputs["xs"])


class _Maker:
    def __init__(self, draw: Any) -> None:
        self.draw = draw
        self.numbers: list[tuple[Expr, tuple[str, ...]]] = []
        self.lists: list[tuple[Expr, tuple[str, ...]]] = []
        self.axes: dict[str, Axis] = {}
        self.nodes: list[Node] = []

    def number(self) -> tuple[Expr, tuple[str, ...]]:
        kinds = ["const"] + ["number"] * (3 if self.numbers else 0) + ["each"] * 2 + (["either", "op"] if self.numbers else [])
        kind = self.draw(st.sampled_from(kinds))
        if kind == "const":
            return Expr("const", value=self.draw(st.integers(0, 9))), ()
        if kind == "each":
            return self.each()
        if kind == "number":
            return self.draw(st.sampled_from(self.numbers))
        one, other = self.draw(st.sampled_from(self.numbers)), self.draw(st.sampled_from(self.numbers))
        if not _orderable(one[1], other[1]):
            return one
        axes = tuple(dict.fromkeys([*one[1], *other[1]]))
        return (Expr("either", args=(one[0], other[0])) if kind == "either" else Expr("op", "+", args=(one[0], other[0]))), axes

    def list(self) -> tuple[Expr, tuple[str, ...]]:
        choices = ["const"] + (["list"] if self.lists else []) + (["collect"] * 2 if self.numbers else [])
        kind = self.draw(st.sampled_from(choices))
        if kind == "const":
            return Expr("const", value=self.draw(st.lists(st.integers(0, 9), max_size=3))), ()
        if kind == "list":
            return self.draw(st.sampled_from(self.lists))
        value, axes = self.draw(st.sampled_from(self.numbers))
        keep = axes[: self.draw(st.integers(0, max(0, len(axes) - 1)))] if axes else ()
        return Expr("collect", args=(value,), over=keep), keep

    def each(self) -> tuple[Expr, tuple[str, ...]]:
        source, axes = self.list()
        name = f"a{len(self.axes)}"
        self.axes[name] = Axis(
            name,
            (source,),
            axes,
            max_parallel=self.draw(st.sampled_from([0, 0, 1, 2])),
            batch=self.draw(st.sampled_from([1, 1, 2, 3])),
            on_error=self.draw(st.sampled_from(["fail", "fail", "keep"])),
        )
        return Expr("item", name), (*axes, name)

    def node(self, number: int) -> None:
        step = self.draw(st.sampled_from(list(STEPS)))
        inputs: dict[str, Expr] = {}
        axes: tuple[str, ...] = ()
        for port in STEPS[step].inputs:
            value, own = self.list() if port.name == "xs" else self.number()
            if not _orderable(axes, own) or len({*axes, *own}) > 3:
                value, own = (Expr("const", value=[1, 2]) if port.name == "xs" else Expr("const", value=3)), ()
            inputs[port.name] = value
            axes = tuple(dict.fromkeys([*axes, *own]))
        guards: list[Guard] = []
        for _ in range(self.draw(st.sampled_from([0, 0, 1, 2]))):
            value, own = self.number()
            if set(own) <= set(axes):
                guards.append(Guard(Expr("op", ">", args=(value, Expr("const", value=3))), self.draw(st.booleans())))
        after = tuple({self.draw(st.sampled_from(self.nodes)).id}) if self.nodes and self.draw(st.integers(0, 4)) == 0 else ()
        made = Node(f"n{number}", step, inputs, axes, tuple(guards), after)
        self.nodes.append(made)
        (self.lists if step == "span" else self.numbers).append((Expr("output", made.id), axes))


def _orderable(one: tuple[str, ...], other: tuple[str, ...]) -> bool:
    """Axes of both can stand in one order: the outer ones of each before its inner ones."""
    merged = list(dict.fromkeys([*one, *other]))
    return [a for a in merged if a in one] == list(one) and [a for a in merged if a in other] == list(other)


@st.composite
def graphs(draw: Any) -> Graph:
    """A graph of one to eight nodes."""
    maker = _Maker(draw)
    for number in range(draw(st.integers(1, 8))):
        maker.node(number)
    outputs = {f"o{i}": expr for i, (expr, _) in enumerate([*maker.numbers, *maker.lists][-2:])}
    used = _used(maker)
    return Graph("random", steps=STEPS, nodes=tuple(maker.nodes), axes={a: x for a, x in maker.axes.items() if a in used}, outputs=outputs)


def _used(maker: _Maker) -> set[str]:
    """Axes that some node needs: those of its own and, through their sources, others."""
    found: set[str] = set()

    def look(expr: Expr) -> None:
        if expr.kind == "item":
            axis(expr.name)
        for arg in expr.args:
            look(arg)

    def axis(name: str) -> None:
        if name not in found:
            found.add(name)
            for outer in maker.axes[name].axes:
                axis(outer)
            for source in maker.axes[name].sources:
                look(source)

    for node in maker.nodes:
        for name in node.axes:
            axis(name)
        for expr in [*node.inputs.values(), *(g.expr for g in node.guards)]:
            look(expr)
    return found
