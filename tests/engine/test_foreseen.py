"""Environments of steps that only a dynamic step calls: locked when the run is submitted, filled in when the graph grows."""

from __future__ import annotations

import pytest

from fairway.engine.keys import environment_name, fill_environments, packages_of
from fairway.errors import DefinitionError
from fairway.spec.environment import Environment
from fairway.spec.graph import Graph, StepDef
from fairway.spec.record import replace, to_plain

ASKED = Environment(packages=("six",))
LOCKED = replace(ASKED, lock="ab" * 32, python="3.11")


def grown(environment: Environment) -> Graph:
    return Graph("d", steps={"work": StepDef("work", module="m", qualname="work", environment=environment, where="m.py:3")})


def test_an_environment_gets_the_lock_that_was_made_at_submission() -> None:
    facts = {"environments": {environment_name(ASKED): to_plain(LOCKED)}}
    assert fill_environments(grown(ASKED), facts).steps["work"].environment == LOCKED


def test_an_environment_that_was_not_foreseen_is_refused_with_the_way_out() -> None:
    with pytest.raises(DefinitionError, match="was not known when the run started") as caught:
        fill_environments(grown(ASKED), {})
    assert caught.value.where == "m.py:3"
    assert "top level" in caught.value.hint


@pytest.mark.parametrize("environment", [Environment(), Environment(variables={"A": "1"}), LOCKED])
def test_what_needs_no_lock_stays_as_it_is(environment: Environment) -> None:
    assert fill_environments(grown(environment), {}) == grown(environment)


def test_a_lock_leaves_the_interpreters_own_packages_out_of_the_key() -> None:
    facts = {"packages": {"m:work": {"six": "1.0"}}}
    assert packages_of(facts, "scope", "work", grown(Environment()).steps["work"]) == {"six": "1.0"}
    assert packages_of(facts, "scope", "work", grown(LOCKED).steps["work"]) == {}
