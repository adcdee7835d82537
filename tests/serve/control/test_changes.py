"""How endpoints change: what is kept, what is refused, and that the weights always add up."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairway.errors import ConfigError, ConflictError, FairwayError, NotFoundError
from fairway.serve.control import changes, rollout
from fairway.serve.control.changes import Doing
from fairway.serve.gateway.access import digest_key
from fairway.spec.endpoint import Capture, Endpoint, Rollout, Scaling, ServeSpec
from fairway.spec.record import replace

ANN = Doing("ann", 7.0)


def spec(source: str = "model") -> ServeSpec:
    return ServeSpec(source, {"digest": source})


def endpoint(revisions: int = 3) -> Endpoint:
    made: Endpoint | None = None
    for n in range(revisions):
        made, _ = changes.add_revision(made, "risk", spec(f"model-{n + 1}"), ANN)
    assert made is not None
    return made


def test_the_first_revision_gets_all_traffic_and_the_next_none() -> None:
    made = endpoint(2)
    assert [(one.number, one.spec.source, one.created_by, one.created_at) for one in made.revisions] == [
        (1, "model-1", "ann", 7.0),
        (2, "model-2", "ann", 7.0),
    ]
    assert made.traffic == ((1, 100.0),)


def test_the_same_spec_again_is_the_revision_that_is_there() -> None:
    made = endpoint(2)
    assert changes.add_revision(made, "risk", spec("model-1"), Doing("bob", 9.0), note="again") == (made, 1)


@pytest.mark.parametrize("name", ["", "Risk", "1risk", "risk-", "a" * 41, "risk.eu", "risk_eu", "../x", "v2", "health", "ri\nsk"])
def test_names_that_no_url_or_cluster_takes_are_refused(name: str) -> None:
    with pytest.raises(ConfigError) as caught:
        changes.add_revision(None, name, spec(), ANN)
    assert caught.value.hint


@pytest.mark.parametrize("name", ["r", "risk", "churn-eu-2", "a" * 40])
def test_other_names_are_taken(name: str) -> None:
    assert changes.add_revision(None, name, spec(), ANN)[0].name == name


def test_a_rollout_begins_with_its_first_step_and_promoting_ends_it() -> None:
    made = changes.set_traffic(endpoint(), [(1, 60), (2, 40)], ANN)
    going = changes.start_rollout(made, Rollout(3, (), (10.0, 100.0), why="x", step=9), ANN)
    assert going.traffic == ((1, 54.0), (2, 36.0), (3, 10.0))
    assert going.rollout is not None and going.rollout.previous == ((1, 60.0), (2, 40.0))
    assert (going.rollout.state, going.rollout.step, going.rollout.step_began_at) == ("going", 0, 0.0)
    done = changes.promote(going, 3, ANN)
    assert done.traffic == ((3, 100.0),)
    assert done.rollout is not None and done.rollout.state == "done"
    back = changes.rollback(going, 0, ANN)
    assert back.traffic == made.traffic
    assert back.rollout is not None and back.rollout.state == "back"


def test_traffic_set_by_hand_ends_a_rollout() -> None:
    going = changes.start_rollout(endpoint(), Rollout(2, ()), ANN)
    by_hand = changes.set_traffic(going, [(3, 100)], ANN)
    assert by_hand.rollout is not None and by_hand.rollout.state == "back"
    assert changes.start_rollout(by_hand, Rollout(2, ()), ANN).rollout is not None


def test_a_paused_rollout_goes_on_with_a_new_step_time() -> None:
    going = changes.start_rollout(endpoint(), Rollout(2, ()), ANN)
    assert going.rollout is not None
    later = replace(going, rollout=replace(going.rollout, step=1, step_began_at=5.0))
    paused = changes.pause_rollout(later, True, ANN)
    assert paused.rollout is not None and (paused.rollout.state, paused.rollout.step) == ("paused", 1)
    again = changes.pause_rollout(paused, False, ANN)
    assert again.rollout is not None and (again.rollout.state, again.rollout.step, again.rollout.step_began_at) == ("going", 1, 7.0)


def test_rollback_without_a_rollout_goes_to_what_served_before() -> None:
    made = changes.promote(endpoint(), 3, ANN)
    assert changes.rollback(made, 0, ANN).traffic == ((1, 100.0),)
    assert changes.rollback(made, 2, ANN).traffic == ((2, 100.0),)


def test_rollback_never_goes_to_what_went_back_or_did_not_start() -> None:
    second = changes.promote(endpoint(), 2, ANN)
    going = changes.start_rollout(second, Rollout(3, (), (5.0, 100.0)), ANN)
    went_back = changes.follow_rollout(going, rollout.back(going, "too slow", 9.0), "too slow", 9.0)
    assert changes.find_faults(went_back) == {3: ("back", "too slow")}
    assert changes.rollback(went_back, 0, ANN).traffic == ((1, 100.0),), "not the canary again"
    by_hand = changes.rollback(going, 0, ANN)
    assert changes.rollback(by_hand, 0, ANN).traffic == ((1, 100.0),)
    broken = changes.promote(changes.note_start(second, 1, "no weights", 9.0), 3, ANN)
    assert changes.rollback(broken, 0, ANN).traffic == ((2, 100.0),)
    with pytest.raises(ConflictError, match="that worked"):
        changes.rollback(changes.rollback(broken, 0, ANN), 0, ANN)
    assert changes.find_faults(changes.promote(went_back, 3, ANN)) == {}, "it has traffic again: nothing is held against it"


def test_each_rollback_goes_further_back_and_faults_no_older_revision() -> None:
    third = changes.promote(changes.promote(endpoint(), 2, ANN), 3, ANN)
    back = changes.rollback(third, 0, ANN)
    assert (back.traffic, changes.find_faults(back)) == (((2, 100.0),), {3: ("back", "taken back by ann")})
    assert changes.rollback(back, 0, ANN).traffic == ((1, 100.0),)
    assert changes.find_faults(changes.rollback(back, 3, ANN)) == {}


def test_a_key_is_shown_once_and_its_digest_kept() -> None:
    made, text = changes.add_key(endpoint(), "app", ANN, rate=5.0, burst=9)
    (key,) = made.keys
    assert (key.name, key.digest, key.rate, key.burst, key.created_by) == ("app", digest_key(text), 5.0, 9, "ann")
    assert text.startswith("fk1.app.") and text not in repr(made)
    assert changes.remove_key(made, "app", ANN).keys == ()


def test_what_changes_is_noted_with_who_and_when_and_what_does_not_is_not() -> None:
    made = endpoint()
    changed = changes.configure(made, ANN, scaling=Scaling(0, 4))
    assert changed.history[-1] == {"at": 7.0, "by": "ann", "what": "settings changed", "traffic": [[1, 100.0]]}
    same: list[Callable[[Endpoint], Endpoint]] = [
        lambda one: changes.configure(one, ANN, scaling=one.scaling),
        lambda one: changes.set_traffic(one, one.traffic, ANN),
        lambda one: changes.set_shadow(one, 0, ANN),
        lambda one: changes.pause(one, False, ANN),
        lambda one: changes.promote(one, 1, ANN),
    ]
    for change in same:
        assert change(made) is made


def test_the_history_does_not_grow_for_ever() -> None:
    made = endpoint()
    for n in range(300):
        made = changes.pause(made, n % 2 == 0, ANN)
    assert len(made.history) == 200


GOING = changes.start_rollout(endpoint(), Rollout(2, ()), ANN)
WRONG: dict[str, tuple[type[FairwayError], Callable[[], Any]]] = {
    "weights below 100": (ConfigError, lambda: changes.set_traffic(endpoint(), [(1, 90)], ANN)),
    "weights above 100": (ConfigError, lambda: changes.set_traffic(endpoint(), [(1, 60), (2, 60)], ANN)),
    "a negative weight": (ConfigError, lambda: changes.set_traffic(endpoint(), [(1, 110), (2, -10)], ANN)),
    "no number": (ConfigError, lambda: changes.set_traffic(endpoint(), [(1, float("nan"))], ANN)),
    "a revision twice": (ConfigError, lambda: changes.set_traffic(endpoint(), [(1, 50), (1, 50)], ANN)),
    "an unknown revision": (NotFoundError, lambda: changes.set_traffic(endpoint(), [(9, 100)], ANN)),
    "an unknown shadow": (NotFoundError, lambda: changes.set_shadow(endpoint(), 9, ANN)),
    "a shadow that answers": (ConfigError, lambda: changes.set_shadow(endpoint(), 1, ANN)),
    "a rollout of what serves": (ConfigError, lambda: changes.start_rollout(endpoint(), Rollout(1, ()), ANN)),
    "a second rollout": (ConflictError, lambda: changes.start_rollout(GOING, Rollout(3, ()), ANN)),
    "steps that fall": (ConfigError, lambda: changes.start_rollout(endpoint(), Rollout(2, (), (50.0, 5.0, 100.0)), ANN)),
    "steps that do not end": (ConfigError, lambda: changes.start_rollout(endpoint(), Rollout(2, (), (5.0, 50.0)), ANN)),
    "no steps": (ConfigError, lambda: changes.start_rollout(endpoint(), Rollout(2, (), ()), ANN)),
    "steps with too much time": (ConfigError, lambda: changes.start_rollout(endpoint(), Rollout(2, (), step_s=-1.0), ANN)),
    "no rollout to pause": (ConflictError, lambda: changes.pause_rollout(endpoint(), True, ANN)),
    "nothing before": (ConflictError, lambda: changes.rollback(endpoint(), 0, ANN)),
    "back to nowhere": (NotFoundError, lambda: changes.rollback(endpoint(), 9, ANN)),
    "a key twice": (ConflictError, lambda: changes.add_key(changes.add_key(endpoint(), "app", ANN)[0], "app", ANN)),
    "a key's name": (ConfigError, lambda: changes.add_key(endpoint(), "My App", ANN)),
    "a key that is not there": (NotFoundError, lambda: changes.remove_key(endpoint(), "app", ANN)),
    "more at least than at most": (ConfigError, lambda: changes.configure(endpoint(), ANN, scaling=Scaling(3, 2))),
    "no replicas at all": (ConfigError, lambda: changes.configure(endpoint(), ANN, scaling=Scaling(0, 0))),
    "no target": (ConfigError, lambda: changes.configure(endpoint(), ANN, scaling=Scaling(target=0.0))),
    "scaling by the moon": (ConfigError, lambda: changes.configure(endpoint(), ANN, scaling=Scaling(on="moon"))),
    "more than all": (ConfigError, lambda: changes.configure(endpoint(), ANN, capture=Capture(1.5))),
    "sticky by nothing": (ConfigError, lambda: changes.configure(endpoint(), ANN, sticky="cookie")),
    "sticky by a header with spaces": (ConfigError, lambda: changes.configure(endpoint(), ANN, sticky="header:x user")),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_cannot_be_is_refused_with_what_to_do(case: str) -> None:
    kind, change = WRONG[case]
    with pytest.raises(kind) as caught:
        change()
    assert type(caught.value) is kind
    assert caught.value.hint


@st.composite
def weights(draw: st.DrawFn) -> list[tuple[int, float]]:
    parts = draw(st.lists(st.integers(1, 1000), min_size=1, max_size=3))
    return [(number, 100 * part / sum(parts)) for number, part in enumerate(parts, 1)]


@given(weights(), st.data())
def test_whatever_is_done_one_after_another_leaves_a_sound_document(before: list[tuple[int, float]], data: st.DataObject) -> None:
    made = changes.set_traffic(endpoint(), before, ANN)
    moves: list[Callable[[Endpoint], Endpoint]] = [
        lambda one: changes.start_rollout(one, Rollout(data.draw(st.integers(1, 3)), (), (5.0, 25.0, 100.0)), ANN),
        lambda one: changes.promote(one, data.draw(st.integers(1, 3)), ANN),
        lambda one: changes.rollback(one, data.draw(st.integers(0, 3)), ANN),
        lambda one: changes.set_traffic(one, data.draw(weights()), ANN),
        lambda one: changes.set_shadow(one, data.draw(st.integers(0, 3)), ANN),
        lambda one: changes.add_revision(one, one.name, spec("model-1"), ANN)[0],
    ]
    for move in data.draw(st.lists(st.sampled_from(moves), max_size=8)):
        try:
            made = move(made)
        except FairwayError as error:
            assert error.hint
        assert abs(sum(weight for _, weight in made.traffic) - 100.0) < 0.001
        assert all(weight > 0 for _, weight in made.traffic)
        assert not made.shadow or made.shadow not in dict(made.traffic)
