"""What is read of some tasks of a run is what the whole fold says of them, and who made a digest is found by an index."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fairway.engine import partstate
from fairway.engine.apply import fold
from fairway.engine.library import StoreLibrary
from fairway.engine.overview import Overview
from fairway.engine.recorded import get_inputs
from fairway.engine.sketch import Sketch
from fairway.engine.state import RunState
from fairway.errors import FairwayError
from fairway.spec.event import address
from fairway.spec.graph import Graph
from fairway.testing.scripted import Faults, seeded
from tests.engine.build import by_step, call, collect, graph, mapped, numbers, out
from tests.engine.graphs import graphs
from tests.engine.simulate import World
from tests.engine.test_overview import read_overview, scripted
from tests.engine.test_story import out_item

QUICK = settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))


def played(made: Graph, seed: int, how: str) -> World:
    world = World(scripted, choose=seeded(seed), faults=Faults(vanish=12, slow=5))
    world.start(made)
    if how != "once":
        world.resume(made if how == "edited" else None)
    return world


def refs_of(state: RunState, digest: str) -> list[tuple[str, str, Any]]:
    found = [("", f"params.{name}", ref) for name, ref in state.params.items() if ref.digest == digest]
    for scope, node, index, task in state.tasks():
        found += [(address(scope, node, index), name, ref) for name, ref in (task.outputs or {}).items() if ref.digest == digest]
    return found + [("", name, ref) for name, ref in state.outputs.items() if ref.digest == digest]


@given(graphs(), st.integers(0, 10**6), st.sampled_from(["once", "resumed", "edited"]), st.data())
@QUICK
def test_a_sketch_is_a_part_of_the_whole_fold(made: Graph, seed: int, how: str, data: Any) -> None:
    world = played(made, seed, how)
    some = world.events()[: data.draw(st.integers(1, len(world.events())))]
    overview = Overview()
    overview.fold_events(enumerate(some, 1))
    state, library = fold(some), StoreLibrary(world.artifacts)
    sketch = Sketch(world.journal, overview)
    places = [(scope, node, index) for scope, node, index, _ in state.tasks()]
    sketch.load([sketch.find_slot(place) for place in places[::2]])
    for place, inputs in zip(places, sketch.given(places, library), strict=True):
        try:
            assert inputs == get_inputs(state, *place, library)
        except FairwayError:
            assert inputs == {}
    sketch.load(map(sketch.find_slot, places), attempts=True)
    for place in places:
        here, task = sketch.task(place), state.task(*place)
        assert (here.status, dict(here.outputs or {}), here.attempts) == (task.status, dict(task.outputs or {}), task.attempts)
        assert here.cached == task.cached or task.status not in ("succeeded", "cached")
        if task.status in ("failed", "retrying"):
            assert here.error == task.error
        for id in task.attempts:
            known, whole = sketch.state.attempts[id], state.attempts[id]
            assert (known.outcome, known.items, known.phase, known.reason) == (whole.outcome, whole.items, whole.phase, whole.reason)


@given(graphs(), st.integers(0, 10**6), st.sampled_from(["once", "resumed", "edited"]))
@QUICK
def test_whoever_names_an_artifact_is_found(made: Graph, seed: int, how: str) -> None:
    world = played(made, seed, how)
    state = fold(world.events())
    overview = Overview()
    cut = len(world.events()) // 2
    overview.fold_events(enumerate(world.events()[:cut], 1))
    Sketch(world.journal, overview).read_made()
    overview.fold_events(enumerate(world.events(), 1))
    digests = {ref.digest for _, _, _, task in state.tasks() for ref in (task.outputs or {}).values()}
    for digest in [*sorted(digests)[:20], *(ref.digest for ref in state.outputs.values()), "00" * 32]:
        assert list(Sketch(world.journal, overview).find_refs(digest)) == refs_of(state, digest)


def test_only_what_is_asked_for_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(by_step())
    world.start(mapped(50))
    overview = read_overview(world)
    sketch = Sketch(world.journal, overview)
    read: list[int] = []
    whole = world.journal.read_text

    async def counted(run: str, after: int = 0, limit_bytes: int = 0) -> Any:
        read.append(after)
        return await whole(run, after, limit_bytes)

    monkeypatch.setattr(world.journal, "read_text", counted)
    assert sketch.task(("", "each", (7,))).outputs
    assert len(read) == 1
    assert sketch.task(("", "each", (7,))).outputs
    assert len(read) == 1
    with pytest.raises(KeyError):
        sketch.task(("", "each", (50,)))


def test_what_is_gathered_is_in_order_whatever_was_read_first() -> None:
    made = graph(call("each", "work", ("i",), x=out_item()), call("sum", "total", xs=collect("each")), axes=(numbers(5),))
    world = World(by_step(total=lambda one: 0))
    world.start(made)
    state, library, place = fold(world.events()), StoreLibrary(world.artifacts), ("", "sum", ())
    sketch = Sketch(world.journal, read_overview(world))
    sketch.load([sketch.find_slot(("", "each", (3,)))])
    assert sketch.given([place], library) == [get_inputs(state, *place, library)]


def test_what_is_gathered_from_very_many_tasks_is_told_by_its_first(monkeypatch: pytest.MonkeyPatch) -> None:
    made = graph(
        call("each", "work", ("i",), x=out_item()), call("sum", "total", xs=collect("each")), axes=(numbers(12),), outputs={"s": out("sum")}
    )
    world = World(by_step(total=lambda one: len(one.inputs["xs"])))
    assert world.start(made).status == "succeeded"
    sketch = Sketch(world.journal, read_overview(world))
    library, place = StoreLibrary(world.artifacts), ("", "sum", ())
    assert not sketch.sources(place)["xs"].is_large
    assert sketch.given([place], library)[0].keys() == {"xs"}
    monkeypatch.setattr(partstate, "MOST_SOURCES", 10)
    source = sketch.sources(place)["xs"]
    assert (source.is_large, source.count, len(source.outputs)) == (True, 12, 10)
    assert sketch.given([place], library) == [{}]
