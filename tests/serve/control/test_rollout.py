from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fairway.errors import ConfigError, NotFoundError
from fairway.serve.control import rollout as going
from fairway.serve.control.rollout import Window, advance, back, blend, promote, start
from fairway.spec.endpoint import Endpoint, Revision, Rollout, ServeSpec
from fairway.spec.record import replace

NOW = 1_800_000_000.0
REVISIONS = tuple(Revision(n, ServeSpec("winner", {"digest": str(n)})) for n in range(1, 6))
GOOD, BAD = Window(requests=1000, p95_ms=5.0), Window(requests=1000, errors=1000)


def endpoint(*traffic: tuple[int, float]) -> Endpoint:
    return Endpoint("risk", revisions=REVISIONS, traffic=traffic or ((1, 100.0),))


@st.composite
def traffics(draw: st.DrawFn) -> tuple[tuple[int, float], ...]:
    numbers = draw(st.lists(st.integers(1, 4), min_size=1, max_size=4, unique=True))
    parts = [draw(st.integers(0, 100)) for _ in numbers]
    parts[0] += 1
    weights = [round(100 * part / sum(parts), 3) for part in parts]
    weights[0] = 100.0 - sum(weights[1:])
    return tuple(zip(numbers, weights, strict=True))


steps = st.lists(st.integers(1, 99), max_size=4, unique=True).map(lambda found: (*map(float, sorted(found)), 100.0))
windows = st.builds(
    Window,
    requests=st.integers(0, 200),
    errors=st.integers(0, 200),
    p95_ms=st.one_of(st.none(), st.floats(0.1, 1000)),
    metric=st.one_of(st.none(), st.floats(0, 1)),
    labels=st.integers(0, 100),
)
rollouts = st.builds(
    Rollout,
    revision=st.integers(1, 5),
    previous=st.just(()),
    steps=steps,
    step_s=st.sampled_from([0.0, 30.0]),
    least=st.integers(0, 50),
    max_error_rate=st.floats(0, 0.99),
    max_latency_ms=st.sampled_from([0.0, 100.0]),
    max_slowdown=st.sampled_from([0.0, 2.0]),
    metric=st.just("accuracy"),
    min_metric=st.one_of(st.none(), st.floats(0, 1)),
    max_metric=st.sampled_from([None, 1.0, 2.0]),
).map(lambda one: one if one.least % 2 else replace(one, metric="", min_metric=None, max_metric=None))


@given(traffics(), rollouts, st.lists(st.dictionaries(st.integers(1, 5), windows), max_size=12))
@settings(deadline=None)
def test_weights_add_up_to_100_and_going_back_restores_them(
    traffic: tuple[tuple[int, float], ...], rollout: Rollout, seen: list[dict[int, Window]]
) -> None:
    now = NOW
    current = start(endpoint(*traffic), rollout, now)
    for measured in seen:
        assert sum(weight for _, weight in current.traffic) == pytest.approx(100.0, abs=1e-9)
        assert all(weight > 0 for _, weight in current.traffic) or current.traffic == traffic
        assert len({number for number, _ in current.traffic}) == len(current.traffic)
        now += 31
        made = advance(current, measured, now)
        if made is None:
            continue
        current, why = made
        assert current.rollout is not None and current.rollout.why == why
        if current.rollout.state == "back":
            assert current.traffic == traffic
            assert advance(current, measured, now + 100) is None
    if current.rollout is not None and current.rollout.state != "back":
        assert back(current, "by hand", now).traffic == traffic


@given(rollouts, st.integers(0, 500), st.lists(st.integers(0, 40), min_size=1, max_size=40))
@settings(deadline=None)
def test_a_revision_that_always_fails_never_passes_its_first_step(rollout: Rollout, others: int, counts: list[int]) -> None:
    rollout = replace(rollout, revision=5, least=max(1, rollout.least))
    current, requests, now = start(endpoint(), rollout, NOW), 0, NOW
    for more in counts:
        requests, now = requests + more, now + 31
        made = advance(current, {1: Window(others, p95_ms=3.0), 5: Window(requests, requests)}, now)
        current = made[0] if made else current
        assert current.rollout is not None and current.rollout.step == 0
    if requests >= rollout.least:
        assert current.rollout is not None and current.rollout.state == "back" and current.traffic == ((1, 100.0),)


def test_steps_one_after_another_to_the_end() -> None:
    current, now, seen = start(endpoint((1, 80.0), (2, 20.0)), Rollout(3, (), steps=(5.0, 50.0, 100.0)), NOW), NOW, list[object]()
    assert current.traffic == ((1, 76.0), (2, 19.0), (3, 5.0))
    while current.rollout is not None and current.rollout.state == "going":
        assert advance(current, {3: GOOD}, now + 59) is None
        now += 60
        made = advance(current, {3: GOOD}, now)
        assert made is not None
        current, why = made
        seen.append((current.traffic, why))
    assert seen == [
        (((1, 40.0), (2, 10.0), (3, 50.0)), "revision 3 answered 1000 requests with 0 errors, p95 5 ms: 50 % of the traffic"),
        (((3, 100.0),), "revision 3 answered 1000 requests with 0 errors, p95 5 ms: 100 % of the traffic"),
        (((3, 100.0),), "revision 3 has all of the traffic and does well"),
    ]
    assert back(current, "it was wrong after all", now).traffic == ((1, 80.0), (2, 20.0))


def test_blue_green_takes_all_at_once_and_goes_back_when_it_fails() -> None:
    current = start(endpoint(), Rollout(2, (), steps=(100.0,)), NOW)
    assert current.traffic == ((2, 100.0),)
    made = advance(current, {2: Window(30, 15)}, NOW + 1)
    assert made is not None and made[0].traffic == ((1, 100.0),)
    assert made[1] == "revision 2 failed 15 of 30 requests, 2 % are allowed"


def test_too_few_requests_wait_without_a_new_document_each_time() -> None:
    current = start(endpoint(), Rollout(2, (), least=20), NOW)
    made = advance(current, {2: Window(3)}, NOW + 61)
    assert made is not None and made[1] == "waits for 20 requests to judge revision 2 by" and made[0].traffic == current.traffic
    assert advance(made[0], {2: Window(7)}, NOW + 62) is None
    passed = advance(made[0], {2: Window(20, p95_ms=1)}, NOW + 63)
    assert passed is not None and passed[0].rollout is not None and passed[0].rollout.step == 1


def test_a_revision_that_only_fails_is_not_waited_for() -> None:
    current = start(endpoint(), Rollout(2, (), least=1000), NOW)
    assert advance(current, {2: Window(4, 4)}, NOW + 1) is None
    assert advance(current, {2: Window(5, 5)}, NOW + 1) is None, "5 of 1000 are within 2 %"
    made = advance(current, {2: Window(30, 21)}, NOW + 1)
    assert made is not None and made[0].rollout is not None and made[0].rollout.state == "back"


@pytest.mark.parametrize(
    ("rollout", "measured", "says"),
    [
        (Rollout(2, (), max_latency_ms=50), {2: Window(50, p95_ms=60.4)}, "p95 of 60.4 ms, 50 ms are allowed"),
        (Rollout(2, (), max_slowdown=1.5), {1: Window(500, p95_ms=10), 2: Window(50, p95_ms=20)}, "20 ms, 2 times the 10 ms of the others"),
        (Rollout(2, (), max_slowdown=1.5), {1: Window(5, p95_ms=10), 2: Window(50, p95_ms=20)}, ""),
        (Rollout(2, (), max_slowdown=1.5), {1: Window(500, p95_ms=10), 2: Window(5, p95_ms=20)}, ""),
        (Rollout(2, (), metric="accuracy", min_metric=0.9), {2: Window(50, metric=0.8, labels=30)}, "accuracy 0.8 over 30 requests"),
        (Rollout(2, (), metric="accuracy", min_metric=0.9), {2: Window(50, metric=0.8, labels=3)}, ""),
        (Rollout(2, (), metric="accuracy", min_metric=0.9), {2: Window(50, metric=0.95, labels=30)}, ""),
        (Rollout(2, (), metric="mae", max_metric=2.5), {2: Window(50, metric=2.6, labels=30)}, "mae 2.6 over 30 requests, at most 2.5 is"),
        (Rollout(2, (), metric="mae", max_metric=2.5), {2: Window(50, metric=2.5, labels=30)}, ""),
        (Rollout(2, (), metric="bias", max_metric=0.1), {2: Window(50, metric=-3.0, labels=30)}, ""),
        (Rollout(2, (), metric="bias", min_metric=-1.0, max_metric=1.0), {2: Window(50, metric=-3.0, labels=30)}, "at least -1 is wanted"),
        (Rollout(2, (), max_error_rate=0.02), {2: Window(100, 2)}, ""),
        (Rollout(2, (), max_error_rate=0.02), {2: Window(100, 3)}, "failed 3 of 100"),
    ],
)
def test_what_sends_it_back(rollout: Rollout, measured: dict[int, Window], says: str) -> None:
    made = advance(start(endpoint(), rollout, NOW), measured, NOW + 1)
    assert (made[1] if made else "").count(says) and bool(made) is bool(says)


def test_a_metric_that_is_not_known_yet_is_waited_for() -> None:
    current = start(endpoint(), Rollout(2, (), metric="accuracy", min_metric=0.5), NOW)
    made = advance(current, {2: GOOD}, NOW + 61)
    assert made is not None and made[1] == "waits for 20 values of accuracy to judge revision 2 by"


def test_a_new_rollout_over_one_that_goes_leads_back_to_what_was_before_both() -> None:
    first = start(endpoint(), Rollout(2, ()), NOW)
    second = start(first, Rollout(3, ()), NOW + 5)
    assert second.traffic == ((1, 95.0), (3, 5.0))
    assert back(second, "no", NOW + 6).traffic == ((1, 100.0),)


def test_by_hand() -> None:
    current = start(endpoint(), Rollout(2, ()), NOW)
    paused = going.pause(current)
    assert advance(paused, {2: BAD}, NOW + 600) is None
    resumed = going.go_on(paused, NOW + 600)
    assert resumed.rollout is not None and resumed.rollout.state == "going" and resumed.rollout.step_began_at == NOW + 600
    promoted = promote(paused, NOW + 1)
    assert promoted.traffic == ((2, 100.0),) and promoted.rollout is not None and promoted.rollout.state == "done"
    for change in (lambda: promote(promoted, NOW), lambda: going.pause(promoted), lambda: going.go_on(endpoint(), NOW)):
        with pytest.raises(ConfigError, match="no rollout of risk is going"):
            change()
    with pytest.raises(ConfigError, match="no rollout to take back"):
        back(back(current, "no", NOW), "again", NOW)


def test_the_first_revision_has_nobody_to_share_with() -> None:
    begun = start(Endpoint("risk", revisions=REVISIONS), Rollout(1, ()), NOW)
    assert begun.traffic == ((1, 100.0),) and begun.rollout is not None and begun.rollout.state == "done"


@pytest.mark.parametrize(
    ("rollout", "error", "says"),
    [
        (Rollout(9, ()), NotFoundError, "no revision 9"),
        (Rollout(2, (), steps=()), ConfigError, "steps of nothing"),
        (Rollout(2, (), steps=(50.0, 5.0, 100.0)), ConfigError, "steps of 50, 5, 100"),
        (Rollout(2, (), steps=(0.0, 100.0)), ConfigError, "steps of 0, 100"),
        (Rollout(2, (), steps=(5.0,)), ConfigError, "last step is 5 %"),
        (Rollout(2, (), max_error_rate=2), ConfigError, "error rate of a rollout cannot be 2"),
        (Rollout(2, (), step_s=float("nan")), ConfigError, "step's time"),
    ],
)
def test_what_cannot_be_meant_is_refused(rollout: Rollout, error: type[Exception], says: str) -> None:
    with pytest.raises(error, match=says):
        start(endpoint(), rollout, NOW)


@given(traffics(), st.integers(1, 5), st.floats(0.01, 100))
def test_the_others_keep_their_shares_of_what_is_left(traffic: tuple[tuple[int, float], ...], revision: int, percent: float) -> None:
    made = dict(blend(traffic, revision, percent))
    others = {number: weight for number, weight in traffic if number != revision and weight > 0}
    for number, weight in others.items():
        expected = (100 - percent) * weight / sum(others.values())
        assert made.get(number, 0.0) == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize(
    "wrong",
    [
        Rollout(2, (), max_metric=2.5),
        Rollout(2, (), metric="mae", min_metric=3, max_metric=2),
        Rollout(2, (), metric="mae", max_metric=float("nan")),
    ],
)
def test_bounds_that_judge_nothing_are_refused(wrong: Rollout) -> None:
    with pytest.raises(ConfigError):
        start(endpoint(), wrong, NOW)
