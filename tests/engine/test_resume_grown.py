"""Runs with dynamic steps that are resumed."""

from __future__ import annotations

from typing import Any

import pytest

from fairway.engine.apply import fold
from fairway.spec import event as ev
from fairway.spec.graph import Graph
from fairway.testing.scripted import Call
from tests.engine.build import call, step
from tests.engine.simulate import World, statuses

INNER = Graph("inner", steps={"work": step("work", "x")}, nodes=(call("one", "work", x=1),))
STEPS = {"grow": step("grow", kind="dynamic"), "bad": step("bad")}
GRAPH = Graph("main", steps=STEPS, nodes=(call("grow", "grow"), call("bad", "bad")))


@pytest.mark.parametrize("cured", [True, False])
def test_a_dynamic_step_that_had_succeeded_does_not_end_the_resumed_run(cured: bool) -> None:
    tries: list[str] = []

    def compute(one: Call) -> Any:
        if one.step == "grow":
            return INNER
        if one.step == "bad":
            tries.append(one.task)
            if len(tries) == 1 or not cured:
                raise ValueError(one.task)
        return 1

    world = World(compute)
    assert world.start(GRAPH).status == "failed"
    state = world.resume()
    assert statuses(state) == {"grow": "succeeded", "grow/one": "succeeded", "bad": "succeeded" if cured else "failed"}
    assert state.status == ("succeeded" if cured else "failed")
    assert len(world.events(ev.ScopeEnded)) == 1
    assert world.executed("grow") == ["grow"]
    assert fold(world.events()).counts() == state.counts()
