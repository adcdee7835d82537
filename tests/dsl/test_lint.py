"""Each rule finds its mistake, and nothing in a pipeline that is right."""

from __future__ import annotations

import pytest

from fairway.dsl.lint import check
from fairway.spec.graph import Axis, Expr, Graph, Guard, Node, Param, Port, StepDef
from fairway.spec.record import replace

SQUARE = StepDef(
    "square", module="flow", qualname="square", inputs=(Port("x", "int"),), outputs=(Port("result", "int"),), where="flow.py:1"
)
TOTAL = StepDef("total", module="flow", qualname="total", inputs=(Port("xs", "list[int]"),), outputs=(Port("result", "int"),))
LOAD = StepDef("load", module="flow", qualname="load", inputs=(Port("path", "fairway.File"),), outputs=(Port("result", "flow.Odd"),))
RUN = StepDef("run", kind="container", image="r", argv=("ls",), outputs=(), returns="none")


def item(axis="ns", position=0):
    return Expr("item", axis, position=position)


def graph(*nodes, **changes):
    base = Graph(
        "main",
        params=(Param("n", "int", 1), Param("ns", "list[int]", [1])),
        steps={"square": SQUARE, "total": TOTAL, "load": LOAD, "run": RUN},
        axes={"ns": Axis("ns", (Expr("param", "ns"),))},
        nodes=nodes,
    )
    return replace(base, **changes)


def square(id="a", x=Expr("const", value=1), **fields):  # noqa: B008 - records are never changed
    return Node(id, "square", {"x": x}, where="flow.py:9", **fields)


def rules(found, serializable=lambda name: True, capabilities=()):
    return {problem.rule for problem in check(found, serializable, capabilities)}


def test_what_is_right_has_no_problems():
    nodes = (
        square(x=item(), axes=("ns",)),
        Node("b", "total", {"xs": Expr("collect", args=(Expr("output", "a", "result"),))}),
        square("c", guards=(Guard(Expr("op", ">", args=(Expr("output", "b", "result"), Expr("const", value=3)))),)),
        Node("d", "load", {"path": Expr("const", value="a.csv")}),
        square("e", exit=True, after=("d",)),
    )
    assert check(graph(*nodes, outputs={"n": Expr("output", "b", "result")}), lambda name: True, {"CONTAINER"}) == []


CASES = [
    ("unique-ids", (square(), square())),
    ("steps-known", (Node("a", "sqare"),)),
    ("arguments", (Node("a", "square"),)),
    ("arguments", (Node("a", "square", {"x": Expr("const", value=1), "y": Expr("const", value=1)}),)),
    ("references", (square(x=Expr("param", "m")),)),
    ("references", (square(x=Expr("output", "z", "result")),)),
    ("references", (square(), square("b", x=Expr("output", "a", "other")))),
    ("references", (square(x=item("zs")),)),
    ("references", (square(x=item(position=1), axes=("ns",)),)),
    ("references", (square(x=Expr("wish")),)),
    ("references", (square(x=Expr("op", "**", args=(Expr("param", "n"),))),)),
    ("references", (square(x=Expr("op", "+", args=(Expr("param", "n"),))),)),
    ("references", (square(x=Expr("collect")),)),
    ("references", (square(x=Expr("either")),)),
    ("references", (square(x=Expr("run", "weather")),)),
    ("references", (square(x=Expr("run", "status")),)),
    ("axes", (square(x=item()),)),
    ("axes", (square(axes=("zs",)),)),
    ("cycles", (square(x=Expr("output", "a", "result")),)),
    ("cycles", (square(after=("z",)),)),
    ("cycles", (square(exit=True), square("b", after=("a",)))),
    ("types", (Node("a", "square", {"x": Expr("const", value="text")}),)),
    ("types", (square(), Node("b", "total", {"xs": Expr("output", "a", "result")}))),
    ("types", (square(), Node("b", "load", {"path": Expr("output", "a", "result")}))),
    ("secrets", (square(x=Expr("op", "+", args=(Expr("secret", "K"), Expr("const", value="")))),)),
    ("secrets", (square(guards=(Guard(Expr("secret", "K")),)),)),
    ("capabilities", (Node("a", "run"),)),
]


@pytest.mark.parametrize("rule, nodes", CASES)
def test_a_mistake_is_found(rule, nodes):
    problems = check(graph(*nodes), lambda name: True, ())
    found = [p for p in problems if p.rule == rule]
    assert found and all(p.message and p.hint for p in found)


def test_axes_in_the_wrong_order_and_with_bad_settings():
    inner = Axis("inner", (item(),), ("ns",))
    both = {"ns": Axis("ns", (Expr("param", "ns"),)), "inner": inner}
    assert rules(graph(square(x=item("inner"), axes=("ns", "inner")), axes=both), capabilities={"IMAGE"}) == set()
    assert rules(graph(square(x=item("inner"), axes=("inner", "ns")), axes=both)) == {"axes"}
    for wrong in (replace(inner, axes=()), replace(inner, batch=0), replace(inner, on_error="stop"), replace(inner, sources=())):
        assert "axes" in rules(graph(axes={**both, "inner": wrong}))


def test_mapped_outputs_unused_and_double_parameters():
    mapped = square(x=item(), axes=("ns",))
    assert "outputs" in rules(graph(mapped, outputs={"x": Expr("output", "a", "result")}))
    assert "unused-params" in rules(graph(params=(Param("k", required=True),), axes={}))
    assert "unique-ids" in rules(graph(params=(Param("ns"), Param("ns"))))


def test_types_without_a_stored_form_are_named_once():
    found = check(graph(), lambda name: name != "flow.Odd", {"IMAGE"})
    assert [(p.rule, "flow.Odd" in p.message) for p in found] == [("serializable", True)]
    assert check(graph(steps={"load": replace(LOAD, trust=True)}), lambda name: False, ()) == []


def test_functions_inside_functions_are_refused():
    local = replace(SQUARE, qualname="test.<locals>.square")
    assert rules(graph(steps={"square": local})) == {"importable"}
    assert rules(graph(steps={"square": replace(SQUARE, module="")})) == {"importable"}
    assert rules(graph(steps={"c": StepDef("c", kind="command")})) == {"importable"}
    assert rules(graph(steps={"c": StepDef("c", kind="magic")})) == {"steps-known"}


def test_real_pipelines_type_mistakes_have_their_line(trace):
    found = trace("""
        @fw.step
        def words() -> list[str]: ...

        @fw.pipeline
        def main(label: str):
            square(label)
            total(words())
        """)
    problems = check(found, lambda name: True, ())
    assert [p.rule for p in problems] == ["types", "types"]
    assert problems[0].message == "`x` of `square` takes `int`, not `str`"
    assert [p.where.rpartition(":")[2] for p in problems] == [n.where.rpartition(":")[2] for n in found.nodes if n.id != "words"]
