"""An overview says of every run what the engine's own fold of its journal says; it is saved and read again unchanged."""

from __future__ import annotations

from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fairway.engine.apply import fold
from fairway.engine.nodecolumns import STATUSES
from fairway.engine.overview import Overview
from fairway.engine.overviewfile import dump_overview, parse_overview, seal
from fairway.engine.resolve import final_status
from fairway.engine.state import RunState
from fairway.spec import event as ev
from fairway.spec.event import address
from fairway.spec.graph import Graph
from fairway.spec.ports import run_now
from fairway.spec.record import replace
from fairway.testing.scripted import Call, Faults, seeded
from tests.engine.graphs import compute, graphs
from tests.engine.simulate import RUN, World

QUICK = settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))


def scripted(call: Call) -> Any:
    if call.step == "steady" and call.n < 2:
        raise ConnectionError("the first try never works")
    return compute(call.step, call.task, call.inputs)


def read_overview(world: World, limit_bytes: int = 0) -> Overview:
    overview = Overview()
    while texts := run_now(world.journal.read_text(RUN, overview.head, limit_bytes)):
        for first, text in texts:
            overview.fold(text, first)
    return overview


def check_same(overview: Overview, state: RunState) -> None:
    """Counts, statuses, reasons, attempts, times and errors are those of the engine's state."""
    assert (overview.status, overview.now, overview.counts()) == (state.status, state.now, state.counts())
    assert (overview.stopping, overview.resumes, overview.tags) == (state.stopping, state.resumes, state.tags)
    assert set(overview.live) == set(state.live)
    assert list(overview.scopes) == list(state.scopes)
    for scope in state.scopes.values():
        for node in scope.nodes.values():
            view = overview.node(scope.name, node.node.id)
            assert view.counts == {status: n for status, n in node.counts.items() if n}
            assert (view.total, view.started_at, view.ended_at) == (len(node.items), node.started_at, node.ended_at)
            found, more = overview.items(scope.name, node.node.id, limit=10_000)
            assert not more
            assert [item.index for item in found] == list(node.items)
            for item, (index, task) in zip(found, node.items.items(), strict=True):
                check_item(overview, item, state, address(scope.name, node.node.id, index), task)


def check_item(overview: Overview, item: Any, state: RunState, name: str, task: Any) -> None:
    assert (item.address, item.status) == (name, task.status)
    slot = overview.find_slot(name)
    assert overview.address(slot) == name
    attempts = [overview.columns.id(row) for row in overview.columns.attempts_of(slot)]
    assert attempts[len(attempts) - len(task.attempts) :] == list(task.attempts)
    assert item.attempt == (attempts[-1] if attempts else "")
    assert [overview.columns.find_attempt(id) for id in attempts] == overview.columns.attempts_of(slot)
    assert overview.columns.tried[slot] == task.tried
    if task.status == "skipped":
        assert item.reason == task.reason
    if task.status in ("failed", "retrying"):
        assert (item.error_code, item.error) == (task.error.code, task.error.message[:500])
    if task.attempts:
        outcome = state.attempts[task.attempts[-1]].outcome
        if outcome is not None and outcome.usage.ended_at:
            assert abs(item.ended_at - outcome.usage.ended_at) < 0.01


@given(graphs(), st.integers(0, 10**6), st.integers(1, 5), st.sampled_from([1, 256]))
@QUICK
def test_a_run_is_what_its_fold_is(graph: Graph, seed: int, slots: int, window: int) -> None:
    world = World(scripted, choose=seeded(seed), slots=slots, window=window, faults=Faults(vanish=12, slow=5))
    world.start(graph)
    check_same(read_overview(world), fold(world.events()))


@given(graphs(), st.integers(0, 10**6), st.data())
@QUICK
def test_a_run_under_way_is_what_its_fold_is(graph: Graph, seed: int, data: Any) -> None:
    world = World(scripted, choose=seeded(seed))
    world.start(graph)
    events = world.events()
    some = events[: data.draw(st.integers(1, len(events)))]
    overview = Overview()
    overview.fold_events(enumerate(some, 1))
    check_same(overview, fold(some))


@given(graphs(), st.integers(0, 10**6), st.lists(st.integers(0, 120), min_size=1, max_size=3), st.booleans())
@QUICK
def test_drivers_that_are_killed_change_nothing(graph: Graph, seed: int, kills: list[int], lose: bool) -> None:
    world = World(scripted, choose=seeded(seed))
    world.survive(graph, kills, lose=lose)
    check_same(read_overview(world), fold(world.events()))


@given(graphs(), graphs(), st.integers(0, 10**6), st.booleans(), st.data())
@QUICK
def test_resumed_runs_edited_or_not_are_what_their_fold_is(graph: Graph, other: Graph, seed: int, edited: bool, data: Any) -> None:
    world = World(scripted, choose=seeded(seed), faults=Faults(vanish=5, slow=5))
    world.start(graph, fail_fast=data.draw(st.booleans()))
    world.resume(other if edited else None)
    world.resume()
    events = world.events()
    some = events[: data.draw(st.integers(1, len(events)))]
    overview = Overview()
    overview.fold_events(enumerate(some, 1))
    check_same(overview, fold(some))


@given(graphs(), st.integers(0, 10**6), st.data())
@QUICK
def test_a_saved_overview_goes_on_where_it_was(graph: Graph, seed: int, data: Any) -> None:
    world = World(scripted, choose=seeded(seed))
    world.start(graph)
    world.resume(graph if data.draw(st.booleans()) else None)
    events = world.events()
    cut = data.draw(st.integers(1, len(events)))
    overview = Overview()
    overview.fold_events(enumerate(events[:cut], 1))
    again = parse_overview(seal(dump_overview(overview)))
    check_same(again, fold(events[:cut]))
    assert again.size_bytes == overview.size_bytes
    again.fold_events(enumerate(events, 1))
    check_same(again, fold(events))


def test_a_run_that_is_cancelled_or_too_slow_is_what_its_fold_is() -> None:
    from tests.engine.build import mapped

    for last in (ev.CancelRequested(5.0, "ann", "enough"), ev.ClockAdvanced(99.0)):
        begin = ev.RunStarted("r", replace(mapped(3), timeout_s=50.0), {}, "", 1.0)
        events = [
            begin,
            ev.MapExpanded("", "i", (), 3),
            ev.AttemptPlanned("x-1", "", "each", ((0,), (2,)), 1, 2.0),
            last,
            ev.AttemptGivenUp("x-1", "cancelled", 6.0),
            ev.TasksSkipped("", "each", ((1,),), "cancelled"),
            ev.RunLabelled(7.0, add_tags=("a",), note="n"),
        ]
        overview = Overview()
        overview.fold_events(enumerate(events, 1))
        state = fold(events)
        check_same(overview, state)
        assert overview.stopping == final_status(state)
        assert overview.note == "n"
        assert overview.columns.id(0) == "x-1"
        unknown = ("x-2", "", "a" + "0" * 20 + "-1", "-", "a-x")
        assert [overview.columns.find_attempt(id) for id in ("x-1", *unknown)] == [0] + [-1] * 5


def test_statuses_are_spelled_as_the_engine_spells_them() -> None:
    assert set(STATUSES) == {"waiting", "running", "retrying", "succeeded", "cached", "skipped", "failed", "cancelled"}
