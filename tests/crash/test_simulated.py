"""Drivers, workers and attempts die before and after every port call, on the ports in memory: the run ends as if nothing had happened."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fairway.spec.artifact import blob_key
from fairway.testing.faults import KillSwitch
from fairway.testing.scripted import Faults, seeded
from tests.crash.kinds import KINDS, compute
from tests.engine.simulate import World, outputs, statuses


def _ending(world: World, state: Any) -> Any:
    """How a run ended, its artifacts included; what must never happen has not."""
    world.check_promises()
    for ref in state.outputs.values():
        assert ref.inline is not None or world.artifacts.stat(blob_key(ref.digest)) is not None, f"output {ref.digest} is lost"
    return state.status, statuses(state), outputs(state)


UNDISTURBED = {kind: _ending(world, world.start(graph)) for kind, graph in KINDS.items() for world in [World(compute)]}


def _driver_moments(kind: str, seed: int) -> int:
    """How often a driver could die in an otherwise undisturbed run."""
    switch = KillSwitch()
    World(compute, choose=seeded(seed)).start(KINDS[kind], switch)
    return switch.count


def _attempt_moments(kind: str, seed: int) -> int:
    switch = KillSwitch()
    World(compute, choose=seeded(seed), attempts=switch).start(KINDS[kind])
    return switch.count


SEEDS = (0, 1)


@pytest.mark.parametrize("kind", KINDS)
def test_a_driver_may_die_before_and_after_each_port_call(kind: str) -> None:
    for seed in SEEDS:
        for moment in range(_driver_moments(kind, seed)):
            lose = bool((moment + seed) % 2)  # the attempts go on without it, or die with their machine
            world = World(compute, choose=seeded(seed))
            state = world.survive(KINDS[kind], [moment], lose=lose)
            assert _ending(world, state) == UNDISTURBED[kind], f"seed {seed}, driver killed at {moment}, lose {lose}"


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("who", ["attempt", "worker"])
def test_an_attempt_or_its_worker_may_die_before_and_after_each_port_call(kind: str, who: str) -> None:
    for moment in range(_attempt_moments(kind, 0)):
        draw = seeded(0)

        def choose(n: int, what: str, draw: Any = draw) -> int:
            return int(who == "worker") if what.startswith("who died") else draw(n, what)

        world = World(compute, choose=choose, attempts=KillSwitch(moment, others_live=True))
        state = world.start(KINDS[kind])
        assert _ending(world, state) == UNDISTURBED[kind], f"{who} killed at {moment}"


def test_these_are_thousands_of_schedules() -> None:
    drivers = sum(_driver_moments(kind, seed) for kind in KINDS for seed in SEEDS)
    assert drivers + 2 * sum(_attempt_moments(kind, 0) for kind in KINDS) >= 3_000


@given(
    kind=st.sampled_from(list(KINDS)),
    seed=st.integers(0, 10**6),
    kills=st.lists(st.integers(0, 150), max_size=4),
    attempt=st.integers(0, 80),
    faults=st.builds(Faults, vanish=st.sampled_from([0, 9]), slow=st.sampled_from([0, 5])),
    lose=st.booleans(),
    window=st.sampled_from([1, 2, 256]),
)
@settings(max_examples=100, deadline=None)
def test_all_of_them_may_die_again_and_again(
    kind: str, seed: int, kills: list[int], attempt: int, faults: Faults, lose: bool, window: int
) -> None:
    switch = KillSwitch(attempt, others_live=True)
    world = World(compute, choose=seeded(seed), faults=faults, attempts=switch, window=window)
    assert _ending(world, world.survive(KINDS[kind], kills, lose=lose)) == UNDISTURBED[kind]
