"""A task's story, read from the few events that concern it, is what the whole fold says of it."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fairway.engine import partstate
from fairway.engine.apply import fold
from fairway.engine.library import StoreLibrary
from fairway.engine.overview import Overview
from fairway.engine.recorded import get_inputs
from fairway.engine.state import RunState
from fairway.engine.story import TaskStory, read_story
from fairway.errors import NotFoundError
from fairway.spec import event as ev
from fairway.spec.event import address
from fairway.spec.graph import Axis, Expr, Graph
from fairway.spec.outcome import ErrorInfo
from fairway.spec.ports import run_now
from fairway.testing.scripted import Call, Faults, seeded
from tests.engine.build import by_step, call, collect, graph, mapped, numbers, out
from tests.engine.graphs import compute, graphs
from tests.engine.simulate import World
from tests.engine.test_overview import read_overview, scripted

QUICK = settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))


def tell(world: World, task: str, overview: Overview | None = None) -> TaskStory:
    return run_now(read_story(world.journal, overview or read_overview(world), task, StoreLibrary(world.artifacts)))


def check_story(story: TaskStory, state: RunState, place: tuple[str, str, Any], library: Any) -> None:
    task = state.task(*place)
    assert (story.address, story.status, story.cached) == (address(*place), task.status, task.cached)
    assert story.outputs == dict(task.outputs or {})
    if task.status in ("failed", "retrying"):
        assert story.error == task.error
    if task.status in ("succeeded", "cached") and task.attempts == tuple(one.id for one in story.attempts):
        assert story.key == task.key
    assert [one.id for one in story.attempts][len(story.attempts) - len(task.attempts) :] == list(task.attempts)
    for one in story.attempts:
        known = state.attempts[one.id]
        assert (one.n, one.planned_at, one.items) == (known.n, known.planned_at, len(known.items))
        assert one.usage == (known.outcome.usage if known.outcome is not None else None)
        if one.id in state.live:
            assert (one.phase, one.reason) == (known.phase, known.reason)
    try:
        wanted = get_inputs(state, *place, library)
    except NotFoundError:
        return
    assert story.inputs == wanted


@given(graphs(), st.integers(0, 10**6), st.sampled_from(["once", "resumed", "edited"]), st.data())
@QUICK
def test_every_tasks_story_is_that_of_the_whole_fold(graph: Graph, seed: int, how: str, data: Any) -> None:
    world = World(scripted, choose=seeded(seed), faults=Faults(vanish=12, slow=5))
    world.start(graph)
    if how != "once":
        world.resume(graph if how == "edited" else None)
    events = world.events()
    some = events[: data.draw(st.integers(1, len(events)))]
    overview = Overview()
    overview.fold_events(enumerate(some, 1))
    state, library = fold(some), StoreLibrary(world.artifacts)
    for scope, node, index, _ in state.tasks():
        check_story(tell(world, address(scope, node, index), overview), state, (scope, node, index), library)


def test_only_the_events_of_the_task_are_read() -> None:
    world = World(by_step())
    world.start(mapped(50))
    read: list[int] = []
    whole = world.journal.read_text

    async def counted(run: str, after: int = 0, limit_bytes: int = 0) -> Any:
        read.append(after)
        return await whole(run, after, limit_bytes)

    overview = read_overview(world)
    world.journal.read_text = counted  # type: ignore[method-assign]
    story = tell(world, "each[7]", overview)
    assert (story.status, story.inputs["x"].ref.inline) == ("succeeded", "7")  # type: ignore[union-attr]
    assert len(read) <= 4


def test_a_failure_is_told_in_full_and_the_tries_before_it() -> None:
    def always(one: Call) -> Any:
        raise ValueError("x" * 900)

    world = World(by_step(steady=always))
    world.start(graph(call("a", "steady", x=1), steps=[_steps()["steady"]]))
    story = tell(world, "a")
    assert [one.status for one in story.attempts] == ["failed"] * 3
    assert story.error is not None and len(story.error.message) == 900
    assert [phase for _, phase, _ in story.attempts[0].observed] == ["running"]


def test_of_a_batch_each_task_has_its_own_outputs_and_error() -> None:
    def odd(one: Call) -> Any:
        if one.inputs["x"] % 2:
            raise ValueError(one.task)
        return one.inputs["x"] * 10

    world = World(by_step(work=odd))
    world.start(mapped(4, batch=4))
    overview = read_overview(world)
    assert tell(world, "each[2]", overview).outputs["result"].inline == "20"
    broken = tell(world, "each[3]", overview)
    assert broken.error is not None and broken.error.message == "each[3]"
    assert broken.attempts[0].items == 4


def test_what_is_gathered_from_very_many_tasks_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    made = graph(
        call("each", "work", ("i",), x=out_item()), call("sum", "total", xs=collect("each")), axes=(numbers(12),), outputs={"s": out("sum")}
    )
    world = World(by_step(total=lambda one: len(one.inputs["xs"])))
    assert world.start(made).status == "succeeded"
    assert tell(world, "sum").inputs["xs"].ref is not None
    monkeypatch.setattr(partstate, "MOST_SOURCES", 10)
    story = tell(world, "sum")
    assert (story.inputs, story.large) == ({}, {"xs": 12})


def test_one_item_and_a_collection_of_them_all_are_both_told_in_order() -> None:
    """Found by the test of all graphs: the item came first, and the collection was told in another order than it had."""
    axes = (numbers(3), Axis("j", (collect("each"),)))
    product = call("pair", "pair", ("i", "j"), mine=out("each"), one=Expr("item", "j"))
    made = graph(call("each", "work", ("i",), x=out_item()), product, axes=axes)
    world = World(by_step(work=lambda one: one.inputs["x"], pair=lambda one: 0))
    assert world.start(made).status == "succeeded"
    for i, j in itertools.product(range(3), range(3)):
        story = tell(world, f"pair[{i},{j}]")
        assert [story.inputs[name].ref.inline for name in ("mine", "one")] == [str(i), str(j)]  # type: ignore[union-attr]


def test_what_a_task_waits_for_and_why_it_waits_is_told() -> None:
    begin = ev.RunStarted("20260101-000000-test", graph(call("a", "one"), call("b", "two", x=out("a"))), {}, "", 1.0)
    world = World(compute)
    events = [begin, ev.AttemptPlanned("a-1", "", "a", ((),), 1, 2.0), ev.AttemptObserved("a-1", "queued", "no room", 3.0)]
    run_now(world.journal.append(begin.run, 0, events, "b"))
    first, second = tell(world, "a"), tell(world, "b")
    live = first.attempts[0]
    assert (live.status, live.phase, live.reason, live.observed) == ("queued", "queued", "no room", ((3.0, "queued", "no room"),))
    assert (second.status, second.needs, second.inputs) == ("waiting", ("a",), {})


def test_a_refused_task_and_a_retry_that_is_due_are_told() -> None:
    begin = ev.RunStarted("20260101-000000-test", graph(call("a", "steady", x=1), call("b", "two"), steps=_steps().values()), {}, "", 1.0)
    world = World(compute)
    refused = ErrorInfo("definition", "FW-DEFINITION", "y" * 800)
    failed = ev.Outcome("a-1", "failed", (), ErrorInfo("OSError", "FW-TASK-FAILED", "no"))
    events = [
        begin,
        ev.TasksRefused("", "b", ((),), refused, 2.0),
        ev.AttemptPlanned("a-1", "", "a", ((),), 1, 2.0),
        ev.AttemptEnded("a-1", failed, 3.0),
        ev.RetryScheduled("", "a", ((),), 2, 9.0),
    ]
    run_now(world.journal.append(begin.run, 0, events, "b"))
    assert tell(world, "b").error == refused
    assert (tell(world, "a").status, tell(world, "a").again_at) == ("retrying", 9.0)


def test_a_task_that_is_not_there_is_not_found() -> None:
    world = World(compute)
    world.start(graph(call("a", "one")))
    for task in ("b", "a[0]", "a[", "x/a", ""):
        with pytest.raises(NotFoundError):
            tell(world, task)


def _steps() -> dict[str, Any]:
    from tests.engine.build import step
    from tests.engine.graphs import STEPS

    return {"steady": STEPS["steady"], "two": step("two")}


def out_item() -> Any:
    return Expr("item", "i")
