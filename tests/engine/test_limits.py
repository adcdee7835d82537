"""How much runs at once, in which portions, and what a task costs."""

from __future__ import annotations

import gc
import tracemalloc
from collections import Counter
from typing import Any

import pytest

from fairway.engine import decide as deciding
from fairway.engine import driver as driving
from fairway.spec import event as ev
from fairway.spec.graph import Axis, Expr, Graph, Node
from fairway.spec.outcome import Usage
from fairway.spec.ports import run_now
from fairway.spec.record import replace
from fairway.spec.resources import Retry
from fairway.testing.faults import KillSwitch, watched
from fairway.testing.scripted import seeded
from tests.engine.build import by_step, call, collect, graph, mapped, numbers, out, step
from tests.engine.simulate import World, statuses

double = by_step()


def most_at_once(world: World, node: str = "") -> int:
    """The most attempts (of one node) that were on record as live at any moment."""
    live: set[str] = set()
    most = 0
    for event in world.events():
        if isinstance(event, ev.AttemptPlanned) and node in ("", event.node):
            live.add(event.attempt)
        elif isinstance(event, ev.AttemptEnded):
            live.discard(event.attempt)
        most = max(most, len(live))
    return most


@pytest.mark.parametrize("seed", range(3))
def test_no_more_than_the_window_are_handed_over(seed: int) -> None:
    world = World(double, choose=seeded(seed), slots=8, window=5)
    assert world.start(mapped(20)).status == "succeeded"
    assert most_at_once(world) == 5


@pytest.mark.parametrize("seed", range(3))
def test_no_more_than_the_run_allows(seed: int) -> None:
    asked = World(double, choose=seeded(seed), slots=8)
    assert asked.start(mapped(12), max_parallel=3).status == "succeeded"
    written = World(double, choose=seeded(seed), slots=8)
    assert written.start(replace(mapped(12), max_parallel=4)).status == "succeeded"
    assert (most_at_once(asked), most_at_once(written)) == (3, 4)


def test_an_axis_has_its_own_limit_and_leaves_the_rest_alone() -> None:
    nodes = (call("slow", "work", ("i",), x=Expr("item", "i")), call("quick", "work", ("j",), x=Expr("item", "j")))
    world = World(double, slots=50)
    world.start(graph(*nodes, axes=(numbers(9, max_parallel=2), numbers(9, "j"))))
    assert (most_at_once(world, "slow"), most_at_once(world, "quick")) == (2, 9)


def test_the_limit_of_an_axis_holds_in_the_driver_that_takes_over() -> None:
    moments = KillSwitch()
    World(double).start(mapped(6, max_parallel=2), moments)
    for moment in range(0, moments.count, 5):
        world = World(double)
        assert world.survive(mapped(6, max_parallel=2), [moment]).status == "succeeded"
        assert most_at_once(world) == 2, f"killed at {moment}"


def test_a_batch_is_one_attempt() -> None:
    world = World(double)
    state = world.start(mapped(7, batch=3))
    assert [len(event.items) for event in world.events(ev.AttemptPlanned)] == [3, 3, 1]
    assert world.executed() == [f"each[{i}]" for i in range(7)]
    assert len(state.attempts) == 3


def test_a_retry_of_a_batch_carries_only_what_failed() -> None:
    def work(task: Any) -> int:
        if task.n == 1 and task.inputs["x"] in (1, 2, 4):
            raise ConnectionError
        return task.inputs["x"]

    world = World(by_step(work=work))
    state = world.start(mapped(6, step("work", "x", retry=Retry(attempts=2, backoff_s=1)), batch=3))
    assert state.status == "succeeded"
    planned = sorted((event.n, event.items) for event in world.events(ev.AttemptPlanned))
    assert planned == [(1, ((0,), (1,), (2,))), (1, ((3,), (4,), (5,))), (2, ((1,), (2,))), (2, ((4,),))]


def _calls(count: int, **axis: Any) -> Counter[str]:
    """Calls of the driver to its ports and to its own parts, for a map of `count` tasks."""
    counted = Counter[str]()

    class Count(KillSwitch):
        def pass_moment(self, name: str) -> None:
            if name.startswith("before "):
                counted[name.removeprefix("before ")] += 1

    world = World(double, slots=16, window=16)
    services = world.services()
    switch = Count()
    services.journal, services.executor = watched(services.journal, switch), watched(services.executor, switch)
    services.artifacts = watched(services.artifacts, switch)
    driver = driving.Driver("r", services, begin=world.begin(mapped(count, **axis), "r"), clock=world.executor.clock)

    looked = deciding._Round.look

    def look(self: Any, *touch: Any) -> None:
        counted["look"] += 1
        looked(self, *touch)

    tried = deciding._Round._task

    def task(self: Any, *what: Any) -> None:
        counted["task"] += 1
        tried(self, *what)

    deciding._Round.look, deciding._Round._task = look, task  # type: ignore[method-assign]
    try:
        assert run_now(driver.drive()).counts() == {"succeeded": count}
    finally:
        deciding._Round.look, deciding._Round._task = looked, tried  # type: ignore[method-assign]
    return counted


@pytest.mark.parametrize("axis", [{}, {"batch": 20}])
def test_the_cost_of_a_task_does_not_grow_with_their_number(axis: dict[str, int]) -> None:
    few, some, many = (_calls(count, **axis) for count in (400, 800, 1_600))
    for name, times in many.items():
        assert times - some[name] <= 2.1 * (some[name] - few[name]) + 20, f"{name}: {few[name]}, {some[name]}, {times} calls"
    assert many["look"] <= 3 * 1_600
    assert many["task"] <= 3 * 1_600


def _nested(outer: int, inner: int) -> Graph:
    """One list for each of `outer` items, a task for each of its `inner` ones, their sum for each outer item, and the sum of those."""
    axes = (numbers(outer), Axis("j", (out("list"),), ("i",)))
    nodes: tuple[Node, ...] = (
        call("list", "span", ("i",), x=inner),
        call("each", "work", ("i", "j"), x=Expr("item", "j")),
        call("sum", "total", ("i",), xs=Expr("collect", args=(out("each"),), over=("i",))),
        call("all", "total", xs=collect("sum")),
    )
    return graph(*nodes, axes=axes, outputs={"all": out("all")})


def test_nested_maps_cost_as_much_a_task_as_flat_ones() -> None:
    steps = by_step(span=lambda task: list(range(task.inputs["x"])), total=lambda task: sum(task.inputs["xs"]))
    counted: dict[int, int] = {}
    plain = deciding._Round._task
    for outer in (20, 80):
        calls = Counter[str]()

        def task(self: Any, *what: Any, calls: Counter[str] = calls) -> None:
            calls["task"] += 1
            plain(self, *what)

        deciding._Round._task = task  # type: ignore[method-assign]
        try:
            world = World(steps)
            state = world.start(_nested(outer, 3))
        finally:
            deciding._Round._task = plain  # type: ignore[method-assign]
        assert set(statuses(state).values()) == {"succeeded"}
        counted[outer] = calls["task"]
    assert counted[80] <= 4.5 * counted[20], counted


def _as_measured(event: Any) -> Any:
    """With all that a real worker says of an attempt."""
    if not isinstance(event, ev.AttemptEnded):
        return event
    at = event.at
    usage = Usage(at + 0.1, at + 0.2, 10_000_019, at + 0.3, at + 0.4, at + 0.5, at + 0.6, at + 0.7, "a-machine-somewhere")
    return replace(event, outcome=replace(event.outcome, usage=usage, worker=f"a-machine-somewhere:{event.attempt[-8:]}"))


def test_a_task_takes_less_than_two_kilobytes() -> None:
    """Of the driver's state: what the fakes keep in place of a disk does not count."""
    from fairway.engine.apply import apply, fold
    from fairway.engine.state import RunState

    world = World(double, slots=64)
    world.start(mapped(1_000))
    run_now(world.journal.append("r", 0, [_as_measured(event) for event in world.events()], "b"))
    fold(world.events(run="r"))  # what is made once, is made now
    gc.collect()
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    state = RunState()
    for event in world.events(run="r"):
        apply(state, event)
    del event
    gc.collect()
    used = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    assert state.counts() == {"succeeded": 1_000}
    assert used / 1_000 < 2_048, f"{used / 1_000:.0f} bytes a task"
