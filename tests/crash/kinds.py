"""One small graph of each kind that a crash may hit, and what its steps do. They may try again, so each ends the same whatever dies."""

from __future__ import annotations

from typing import Any

from fairway.spec.graph import Axis, Expr, Graph, Guard, Node, StepDef
from fairway.spec.resources import Retry
from fairway.testing.scripted import Call
from tests.engine.build import call, collect, numbers, out, step

WIDE = 2_000  # characters: more than what travels inside a reference, so that there is a blob to lose


def _step(name: str, *inputs: str, also: tuple[str, ...] = (), **more: Any) -> StepDef:
    return step(name, *inputs, retry=Retry(attempts=6, backoff_s=0.02, kinds=("crash", *also), lost_attempts=9), **more)


STEPS = {
    "double": _step("double", "x"),
    "widen": _step("widen", "x"),
    "measure": _step("measure", "text"),
    "total": _step("total", "xs", cache=False),
    "count": _step("count", "x"),
    "flaky": _step("flaky", "x", also=("ConnectionError",)),
    "picky": _step("picky", "x"),
    "grow": _step("grow", "x", kind="dynamic"),
    "note": _step("note", "status", "error"),
}


def compute(task: Call) -> Any:
    given = task.inputs
    match task.step:
        case "double":
            return given["x"] * 2
        case "widen":
            return f"{given['x']:x>{WIDE}}"
        case "measure":
            return len(given["text"])
        case "total":
            return sum(given["xs"])
        case "count":
            return list(range(given["x"]))
        case "flaky":
            if task.n < 3:
                raise ConnectionError("the first tries never work")
            return given["x"] + 1
        case "picky":
            if given["x"] % 3 == 1:
                raise ValueError(f"not {given['x']}")
            return given["x"] + 10
        case "grow":
            return grown(given["x"])
        case _:
            return f"{given['status']}: {given['error']}"


def grown(x: int) -> Graph:
    if x == 0:
        return graph("leaf", call("wide", "widen", x=7), result=out("wide"))
    axis = Axis("i", (Expr("const", value=[x, x + 1]),), batch=x % 2 + 1)
    nodes = (call("each", "double", ("i",), x=Expr("item", "i")), call("deeper", "grow", x=x - 1), call("sum", "total", xs=collect("each")))
    return graph("branch", *nodes, axes=(axis,), result=out("sum"))


def graph(name: str, *nodes: Node, axes: tuple[Axis, ...] = (), **outputs: Expr) -> Graph:
    return Graph(name, steps={n.step: STEPS[n.step] for n in nodes}, nodes=nodes, axes={a.id: a for a in axes}, outputs=outputs)


ITEM, BIG = Expr("item", "i"), Expr("op", ">", args=(out("first"), Expr("const", value=3)))
END = call("end", "note", exit=True, status=Expr("run", "status"), error=Expr("run", "error"))
KINDS: dict[str, Graph] = {
    "chain": graph("chain", call("a", "double", x=3), call("b", "widen", x=out("a")), call("c", "measure", text=out("b")), r=out("c")),
    "map": graph(
        "map",
        call("list", "count", x=4),
        call("each", "widen", ("i",), x=ITEM),
        call("size", "measure", ("i",), text=out("each")),
        call("sum", "total", xs=collect("size")),
        axes=(Axis("i", (out("list"),), max_parallel=2),),
        r=out("sum"),
        all=out("each"),
    ),
    "batch map": graph("batch", call("each", "double", ("i",), x=ITEM), axes=(numbers(7, batch=3),), r=out("each")),
    "nested map": graph(
        "nested",
        call("list", "count", ("i",), x=ITEM),
        call("each", "double", ("i", "j"), x=Expr("item", "j")),
        call("sum", "total", ("i",), xs=Expr("collect", args=(out("each"),), over=("i",))),
        axes=(numbers(4), Axis("j", (out("list"),), ("i",))),
        r=out("sum"),
    ),
    "condition": graph(
        "condition",
        call("first", "double", x=2),
        call("big", "widen", guards=(Guard(BIG),), x=out("first")),
        call("small", "double", guards=(Guard(BIG, wanted=False),), x=out("first")),
        call("after", "double", x=Expr("either", args=(out("small"), out("first")))),
        r=Expr("either", args=(out("small"), out("big"))),
        s=out("after"),
    ),
    "dynamic": graph("dynamic", call("tree", "grow", ("i",), x=ITEM), axes=(numbers(3),), r=out("tree")),
    "retry": graph("retry", call("a", "flaky", x=1), call("b", "flaky", x=out("a")), r=out("b")),
    "exit handler": graph("exit", call("a", "double", x=1), call("bad", "picky", x=1), call("c", "widen", x=out("bad")), END, r=out("c")),
    "keep": graph(
        "keep",
        call("each", "picky", ("i",), x=ITEM),
        call("sum", "total", xs=collect("each")),
        axes=(numbers(6, on_error="keep", batch=2),),
        r=out("sum"),
    ),
}
