"""One run of each kind, spelled out: what the property tests find by chance stands here for certain."""

from __future__ import annotations

from typing import Any

import pytest

from fairway.engine.library import StoreLibrary
from fairway.spec.graph import Axis, Expr, Guard
from fairway.spec.record import replace
from fairway.testing.scripted import Call, Skip
from tests.crash.kinds import KINDS, compute
from tests.engine.build import by_step, call, collect, graph, numbers, out, step
from tests.engine.simulate import World, statuses

ITEM = Expr("item", "i")


def play(pipeline: Any, **functions: Any) -> tuple[str, dict[str, str], dict[str, Any]]:
    """(status, statuses of tasks, values of outputs)."""
    world = World(by_step(**functions))
    state = world.start(pipeline)
    library = StoreLibrary(world.artifacts)
    world.check_promises()
    return state.status, statuses(state), {name: library.value(ref) for name, ref in state.outputs.items()}


def fail(task: Call) -> None:
    raise ValueError("no")


def skip(task: Call) -> None:
    raise Skip("not today")


@pytest.mark.parametrize(
    "kind, values",
    [
        ("chain", {"r": 2_000}),
        ("batch map", {"r": [0, 2, 4, 6, 8, 10, 12]}),
        ("nested map", {"r": [0, 0, 2, 6]}),
        ("retry", {"r": 3}),
        ("keep", {"r": 50}),
    ],
)
def test_kinds_that_a_crash_may_hit_give_what_they_should(kind: str, values: Any) -> None:
    world = World(compute)
    state = world.start(KINDS[kind])
    library = StoreLibrary(world.artifacts)
    assert {name: library.value(ref) for name, ref in state.outputs.items()} == values


def test_an_exit_handler_runs_whatever_happened_and_sees_it() -> None:
    seen: list[Any] = []
    end = call("end", "note", exit=True, status=Expr("run", "status"), error=Expr("run", "error"), got=out("b"))
    for function, status in ((fail, "failed"), (skip, "succeeded"), (lambda task: 7, "succeeded")):
        pipeline = graph(call("a", "one", x=1), call("b", "two", x=out("a")), end)
        ended, tasks, _ = play(pipeline, one=function, note=lambda task: seen.append(task.inputs))
        assert (ended, tasks["end"]) == (status, "succeeded")
    assert seen == [
        {"status": "failed", "error": "a: ValueError: no", "got": None},
        {"status": "succeeded", "error": None, "got": None},
        {"status": "succeeded", "error": None, "got": 14},
    ]


def test_after_waits_for_all_of_a_map_and_does_not_mind_skips() -> None:
    order: list[str] = []
    nodes = (call("each", "work", ("i",), x=ITEM), replace(call("b", "last", x=1), after=("each",)))

    def work(task: Call) -> int:
        order.append(task.task)
        if task.inputs["x"] == 1:
            raise Skip("no")
        return 1

    status, tasks, _ = play(graph(*nodes, axes=(numbers(3),)), work=work, last=lambda task: order.append("b"))
    assert (status, tasks["each[1]"], tasks["b"], order[-1]) == ("succeeded", "skipped", "succeeded", "b")
    status, tasks, _ = play(graph(*nodes, axes=(numbers(3),)), work=fail)
    assert (status, tasks["b"]) == ("failed", "skipped")


def test_branches_merge_and_what_hangs_on_the_other_branch_is_skipped() -> None:
    big = Expr("op", ">", args=(out("n"), Expr("const", value=5)))
    more = Expr("op", "+", args=(out("n"), Expr("const", value=1)))
    nodes = (
        call("n", "work", x=4),
        call("yes", "work", guards=(Guard(big),), x=out("n")),
        call("no", "work", guards=(Guard(big, wanted=False),), x=1),
        call("on", "work", x=out("no")),
        call("both", "work", x=Expr("either", args=(out("no"), out("yes")))),
        call("neither", "work", x=Expr("either", args=(out("no"), out("on")))),
        call("listed", "total", xs=Expr("list", args=(out("n"), out("yes"))), more=more),
        call("lost", "total", xs=Expr("list", args=(out("n"), out("no"))), more=0),
    )
    total = step("total", "xs", "more")
    pipeline = graph(*nodes, steps=(step("work", "x"), total), outputs={"both": out("both"), "listed": out("listed")})
    status, tasks, values = play(pipeline, total=lambda task: [*task.inputs["xs"], task.inputs["more"]])
    assert (status, values) == ("succeeded", {"both": 32, "listed": [8, 16, 9]})
    assert [name for name, task in tasks.items() if task == "skipped"] == ["no", "on", "neither", "lost"]


@pytest.mark.parametrize("function, status, reason", [(fail, "failed", "failed"), (skip, "succeeded", "upstream")])
def test_what_needs_a_value_that_will_never_be_is_skipped_and_says_why(function: Any, status: str, reason: str) -> None:
    guard = Guard(Expr("op", ">", args=(out("a"), Expr("const", value=0))))
    nodes = (
        call("a", "first", x=1),
        call("plain", "work", x=out("a")),
        call("guarded", "work", guards=(guard,), x=1),
        call("merged", "work", x=Expr("either", args=(out("a"), out("a")))),
        call("listed", "work", x=Expr("list", args=(out("a"),))),
        call("each", "work", ("i",), x=ITEM),
        call("all", "work", x=collect("each")),
    )
    world = World(by_step(first=function))
    state = world.start(graph(*nodes, axes=(Axis("i", (out("a"),)),), outputs={"all": out("each")}))
    assert state.status == status
    for name in ("plain", "guarded", "merged", "listed", "all"):
        task = state.task("", name, ())
        assert (task.status, task.reason) == ("skipped", reason), name
    assert state.outputs == {}


def test_a_map_over_nothing_collects_nothing_and_a_product_waits_for_both() -> None:
    nodes = (
        call("list", "span", x=2),
        call("each", "work", ("i", "j"), x=Expr("op", "+", args=(ITEM, Expr("item", "j")))),
        call("none", "work", ("k",), x=Expr("item", "k")),
        call("all", "total", xs=collect("each"), none=collect("none")),
        call("rows", "total", ("i",), xs=Expr("collect", args=(out("each"),), over=("i",)), none=collect("none")),
    )
    axes = (numbers(3), Axis("j", (out("list"),)), numbers(0, "k"))
    steps = (step("span", "x"), step("work", "x"), step("total", "xs", "none"))
    pipeline = graph(*nodes, steps=steps, axes=axes, outputs={"all": out("all"), "rows": out("rows")})
    status, _, values = play(pipeline, span=lambda task: [0, 10], total=lambda task: [sum(task.inputs["xs"]), task.inputs["none"]])
    assert (status, values) == ("succeeded", {"all": [72, []], "rows": [[20, []], [24, []], [28, []]]})
