"""Random graphs: maps of all kinds, conditions, merges, lists, orders, skips, failures, retries, dynamic steps, an exit handler."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from fairway.spec.graph import Axis, Expr, Graph, Guard, Node, Port, StepDef
from fairway.spec.resources import Retry
from fairway.testing.scripted import Skip


def _step(name: str, *inputs: str, **more: Any) -> StepDef:
    return StepDef(name, module="flow", qualname=name, inputs=tuple(map(Port, inputs)), code=name, **more)


STEPS = {
    "add": _step("add", "x", "y", retry=Retry(attempts=1)),
    "steady": _step("steady", "x", retry=Retry(attempts=3, backoff_s=0.5)),
    "fragile": _step("fragile", "x", retry=Retry(attempts=2, backoff_s=0.1)),
    "picky": _step("picky", "x"),
    "span": _step("span", "x"),
    "total": _step("total", "xs", cache=False),
    "grow": _step("grow", "x", kind="dynamic"),
    "note": _step("note", "status", "seen"),
}
INNER = {name: STEPS[name] for name in ("add", "fragile", "picky", "span", "total", "grow")}


def _call(id: str, step: str, axes: tuple[str, ...] = (), **inputs: Any) -> Node:
    return Node(id, step, {n: v if isinstance(v, Expr) else Expr("const", value=v) for n, v in inputs.items()}, axes)


def grown(x: int) -> Graph:
    """What the dynamic step `grow` makes of a number: nothing, a map, a failure, a skip, or more of its kind."""
    result = Expr("output", "last", "result")
    nodes: tuple[Node, ...] = ()
    axes: dict[str, Axis] = {}
    match x % 6:
        case 0:
            result = Expr("const", value=x)
        case 1:
            nodes = (_call("first", "add", x=x, y=1), _call("last", "add", x=Expr("output", "first", "result"), y=2))
        case 2:
            axes = {"i": Axis("i", (Expr("output", "list", "result"),), on_error="keep", batch=2)}
            each = _call("each", "fragile", ("i",), x=Expr("item", "i"))
            last = _call("last", "total", xs=Expr("collect", args=(Expr("output", "each", "result"),)))
            nodes = (_call("list", "span", x=x), each, last)
        case 3:
            nodes = (_call("last", "fragile", x=x),)
        case 4:
            nodes = (_call("last", "grow", x=x % 12 - 1),)
        case _:
            nodes = (_call("last", "picky", x=x),)
    return Graph("grown", steps=INNER, nodes=nodes, axes=axes, outputs={"result": result})


def compute(step: str, task: str, inputs: dict[str, Any]) -> Any:
    """What the steps do; ValueError is their only failure, Skip their only way around one."""
    if step == "note":
        return [inputs["status"], inputs["seen"]]
    if step == "grow":
        return grown(inputs["x"])
    if step == "picky":
        if inputs["x"] % 4 == 1:
            raise Skip(task)
        return inputs["x"] + 3
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
    return sum(sum(x) if isinstance(x, list) else x for x in inputs["xs"])


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
        choices = ["const"] + (["list"] if self.lists else []) + (["collect"] * 2 + ["gathered"] if self.numbers else [])
        kind = self.draw(st.sampled_from(choices))
        if kind == "const":
            return Expr("const", value=self.draw(st.lists(st.integers(0, 9), max_size=3))), ()
        if kind == "list":
            return self.draw(st.sampled_from(self.lists))
        value, axes = self.draw(st.sampled_from(self.numbers))
        if kind == "gathered":
            return Expr("list", args=(value, Expr("const", value=4))), axes
        keep = axes[: self.draw(st.integers(0, max(0, len(axes) - 1)))] if axes else ()
        return Expr("collect", args=(value,), over=keep), keep

    def nested(self) -> tuple[Expr, tuple[str, ...]]:
        """A list of lists, of a value that lies on two axes or more."""
        value, axes = self.draw(st.sampled_from([found for found in self.numbers if len(found[1]) > 1]))
        return Expr("collect", args=(Expr("collect", args=(value,), over=axes[:1]),)), ()

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
        step = self.draw(st.sampled_from([name for name in STEPS if name != "note"]))
        inputs: dict[str, Expr] = {}
        axes: tuple[str, ...] = ()
        for port in STEPS[step].inputs:
            deep = port.name == "xs" and any(len(found[1]) > 1 for found in self.numbers) and self.draw(st.booleans())
            value, own = self.nested() if deep else self.list() if port.name == "xs" else self.number()
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
        made = Node(f"n{number}", step, inputs, axes, tuple(guards), after, group=self.draw(st.sampled_from(["", "outer", "outer/inner"])))
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
    if draw(st.booleans()):
        seen = draw(st.sampled_from(maker.numbers + maker.lists))
        value = Expr("collect", args=(seen[0],)) if seen[1] else seen[0]
        maker.nodes.append(Node("end", "note", {"status": Expr("run", "status"), "seen": value}, exit=True))
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
