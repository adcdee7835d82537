"""Names that stand in journals, stores and clusters: stable, unique, and short enough."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairway import errors
from fairway.spec.artifact import blob_key
from fairway.spec.attempt import attempt_id
from fairway.spec.event import EVENTS, ClockAdvanced, MapExpanded, address, parse_event, render_event
from fairway.spec.outcome import outcome_key
from fairway.spec.ports import run_now
from tests.spec.strategies import of_record

INDEX = st.lists(st.integers(0, 99), max_size=3).map(tuple)


def test_addresses() -> None:
    assert address("", "train") == "train"
    assert address("", "train", (3,)) == "train[3]"
    assert address("tune[2]", "train", (0, 3)) == "tune[2]/train[0,3]"
    assert address("tune[2]", "best") == "tune[2]/best"


@given(st.lists(st.tuples(st.sampled_from(["a", "b", "a-2", "a.b"]), INDEX), min_size=2, max_size=2))
def test_different_tasks_have_different_addresses(tasks: list[tuple[str, tuple[int, ...]]]) -> None:
    (one, i), (other, j) = tasks
    assert (address("", one, i) == address("", other, j)) == ((one, i) == (other, j))
    assert (address(address("", one, i), other) == address(address("", other, j), one)) == ((one, i) == (other, j))


@given(st.text(), st.text(), st.integers(1, 10**6))
def test_an_attempts_id_can_name_a_pod(run: str, task: str, n: int) -> None:
    name = attempt_id(run, task, n)
    assert re.fullmatch(r"[a-z]([-a-z0-9]*[a-z0-9])?", name)
    assert len(name) <= 63
    assert name == attempt_id(run, task, n)
    assert len({name, attempt_id(run + "x", task, n), attempt_id(run, task + "x", n), attempt_id(run, task, n + 1)}) == 4


def test_keys_of_the_artifact_store() -> None:
    assert blob_key("abcdef") == "sha256/ab/cdef"
    assert outcome_key("20260101-000000-abcde", "a1-1") == "outcome/20260101-000000-abcde/a1-1"


@pytest.mark.parametrize("cls", EVENTS.values())
def test_every_event_is_found_again_by_its_name(cls: type) -> None:
    @given(of_record(cls, 1))
    def found(event: object) -> None:
        name, plain = render_event(event)  # type: ignore[arg-type]
        assert name == cls.__name__
        assert parse_event(name, plain) == event

    found()


def test_an_event_of_a_newer_version_is_not_guessed_at() -> None:
    with pytest.raises(KeyError, match="PlanetsAligned"):
        parse_event("PlanetsAligned", {})
    assert parse_event("MapExpanded", {"scope": "", "axis": "a", "index": [1], "count": 2, "mood": "good"}) == MapExpanded("", "a", (1,), 2)


def test_events_of_an_older_version_have_what_they_lack() -> None:
    assert parse_event("ClockAdvanced", {"at": 1.0}) == ClockAdvanced(1.0, idle_s=0.0)


def test_a_port_that_suspends_is_refused_outside_an_event_loop() -> None:
    class Never:
        def __await__(self):
            yield

    async def suspends() -> None:
        await Never()

    async def answers() -> int:
        return 3

    assert run_now(answers()) == 3
    with pytest.raises(RuntimeError, match=r"asyncio\.run"):
        run_now(suspends())


def test_errors_know_their_code_their_status_and_the_way_out() -> None:
    known = [cls for cls in vars(errors).values() if isinstance(cls, type) and issubclass(cls, errors.FairwayError)]
    assert len({cls.code for cls in known}) == len(known) - 1, "only the root shares its code, with InternalError"
    assert {cls.exit_status for cls in known} == {1, 2, 3, 4, 5, 70}
    assert {cls.__name__ for cls in known if cls.retryable} == {cls.__name__ for cls in known if issubclass(cls, errors.InfraError)}
    error = errors.ConfigError("no such depth", hint="give a number", where="flow.py:3")
    assert (str(error), error.message, error.hint) == ("flow.py:3: no such depth", "no such depth", "give a number")
    assert str(errors.ConfigError("no such depth")) == "no such depth"
