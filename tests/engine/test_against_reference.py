"""The engine against the simplest possible interpreter, on random graphs, schedules, faults and kills."""

from __future__ import annotations

from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fairway.engine.apply import fold
from fairway.engine.library import StoreLibrary
from fairway.spec.graph import Graph
from fairway.spec.ports import run_now
from fairway.testing.scripted import Call, Faults, seeded
from tests.engine.graphs import STEPS, compute, graphs
from tests.engine.reference import Reference
from tests.engine.simulate import RUN, World, outputs, statuses

QUICK = settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))


def scripted(call: Call) -> Any:
    if call.step == "steady" and call.n < 2:
        raise ConnectionError("the first try never works")
    return compute(call.step, call.task, call.inputs)


def check(graph: Graph, state: Any, world: World) -> None:
    reference = Reference(graph, compute)
    expected = reference.statuses()
    assert statuses(state) == expected
    assert state.status == ("failed" if reference.broken else "succeeded")
    library = StoreLibrary(world.artifacts)
    assert {name: library.value(ref) for name, ref in state.outputs.items()} == reference.outputs()
    world.check_promises()


@given(graphs(), st.integers(0, 10**6), st.integers(1, 5), st.sampled_from([1, 2, 256]))
@QUICK
def test_random_graphs_end_as_the_reference_says(graph: Graph, seed: int, slots: int, window: int) -> None:
    world = World(scripted, choose=seeded(seed), slots=slots, window=window)
    check(graph, world.start(graph), world)


@given(graphs(), st.integers(0, 10**6))
@QUICK
def test_lost_attempts_change_nothing(graph: Graph, seed: int) -> None:
    world = World(scripted, choose=seeded(seed), faults=Faults(vanish=12, slow=5))
    check(graph, world.start(graph), world)


@given(graphs(), st.integers(0, 10**6))
@QUICK
def test_the_journal_folds_to_the_state_of_the_driver(graph: Graph, seed: int) -> None:
    world = World(scripted, choose=seeded(seed))
    state = world.start(graph)
    again = fold(event for _, event in run_now(world.journal.read(RUN)))
    assert statuses(again) == statuses(state)
    assert (again.status, outputs(again), again.counts()) == (state.status, outputs(state), state.counts())


@given(graphs(), st.integers(0, 10**6), st.lists(st.integers(0, 120), min_size=1, max_size=4), st.booleans())
@settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
def test_killed_drivers_lose_nothing(graph: Graph, seed: int, kills: list[int], lose: bool) -> None:
    world = World(scripted, choose=seeded(seed))
    state = world.survive(graph, kills, lose=lose)
    check(graph, state, world)


def test_steps_are_what_the_strategies_promise() -> None:
    assert STEPS["steady"].retry.attempts > 2
