from __future__ import annotations

import math
from datetime import datetime
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fairway.errors import ConfigError
from fairway.serve.control.autoscale import Load, ScaleState, check_scaling, decide, find_floor
from fairway.spec.endpoint import Floor, Scaling
from fairway.spec.record import from_plain, replace, to_plain

NOW = 1_800_000_000.0

scalings = st.builds(
    lambda minimum, extra, **rest: Scaling(minimum=minimum, maximum=max(1, minimum + extra), **rest),
    minimum=st.integers(0, 5),
    extra=st.integers(0, 20),
    idle_s=st.sampled_from([1.0, 5.0, 60.0]),
    target=st.floats(0.5, 50),
    window_s=st.sampled_from([1.0, 10.0, 30.0]),
    grow_step=st.integers(0, 3),
    shrink_step=st.integers(0, 3),
    shrink_delay_s=st.sampled_from([0.0, 5.0, 60.0]),
    on=st.sampled_from(["concurrency", "latency"]),
    floors=st.lists(
        st.builds(
            Floor,
            replicas=st.integers(0, 30),
            begins=st.sampled_from(["00:00", "08:30", "22:00"]),
            ends=st.sampled_from(["24:00", "06:00", "18:00"]),
            days=st.sampled_from([(), ("mon", "fri")]),
            zone=st.sampled_from(["UTC", "America/New_York"]),
        ),
        max_size=2,
    ).map(tuple),
)
loads = st.one_of(
    st.none(),
    st.just(Load()),
    st.builds(
        Load,
        in_flight=st.floats(0, 500),
        waiting=st.integers(0, 500),
        requests=st.integers(0, 1000),
        p95_ms=st.floats(0, 5_000),
        ready=st.integers(-1, 20),
    ),
)


def follow(scaling: Scaling, steps: list[Load | None], state: ScaleState | None = None, begin: float = NOW) -> list[tuple[int, str]]:
    state = state or ScaleState()
    seen: list[tuple[int, str]] = []
    for n, load in enumerate(steps):
        made = decide(scaling, state, load, begin + n)
        state = made.state
        seen.append((made.replicas, made.why))
    return seen


def counts(seen: list[tuple[int, str]]) -> list[int]:
    return [replicas for replicas, _ in seen]


def busy(in_flight: float) -> Load:
    return Load(in_flight=in_flight, requests=max(1, int(in_flight)))


@given(scalings, st.integers(0, 40), st.lists(loads, min_size=1, max_size=40), st.floats(0.1, 700))
@settings(deadline=None)
def test_never_outside_the_floor_and_the_most(scaling: Scaling, before: int, steps: list[Load | None], gap: float) -> None:
    state, now = ScaleState(replicas=before), NOW
    for load in steps:
        made = decide(scaling, state, load, now)
        least = min(find_floor(scaling, now), scaling.maximum)
        assert least <= made.replicas <= scaling.maximum, made
        assert made.replicas == made.state.replicas and made.why
        state = from_plain(ScaleState, to_plain(made.state))
        assert state == made.state
        now += gap


@given(scalings, st.floats(0.01, 300))
@settings(deadline=None, max_examples=40)
def test_a_constant_load_converges_and_stays(scaling: Scaling, level: float) -> None:
    scaling = replace(scaling, on="concurrency", floors=(), shrink_step=max(1, scaling.shrink_step), shrink_delay_s=5.0)
    seen = counts(follow(scaling, [busy(level)] * 900, ScaleState(replicas=min(scaling.maximum, 7))))
    settled = seen[700:]  # one replica every half minute takes its time
    assert len(set(settled)) == 1
    needed = min(scaling.maximum, max(1, scaling.minimum, math.ceil(level / scaling.target / 1.1 - 1e-9)))
    assert needed <= settled[0] <= min(scaling.maximum, max(1, scaling.minimum, math.ceil(level / scaling.target / 0.9 + 1e-9)))
    turns = [b - a for a, b in pairwise(seen) if a != b]
    assert not (any(turn > 0 for turn in turns) and any(turn < 0 for turn in turns)), "it went up and down under one load"


@given(scalings, st.integers(0, 25), st.floats(0, 200), st.floats(0, 200), st.lists(st.floats(0, 200), max_size=12))
@settings(deadline=None)
def test_more_load_never_means_fewer_replicas(scaling: Scaling, before: int, one: float, other: float, past: list[float]) -> None:
    scaling = replace(scaling, on="concurrency")
    state = ScaleState(replicas=before)
    for n, level in enumerate(past):
        state = decide(scaling, state, busy(level), NOW - len(past) + n).state
    low, high = sorted((one, other))
    assert decide(scaling, state, busy(low), NOW).replicas <= decide(scaling, state, busy(high), NOW).replicas


@given(scalings, st.floats(0.01, 5), st.floats(1.2, 30), st.floats(1, 50))
@settings(deadline=None, max_examples=25)
def test_scaling_on_latency_does_not_flap(scaling: Scaling, service: float, level: float, steep: float) -> None:
    """A model that is the slower the more requests each replica has."""
    scaling = replace(
        scaling, on="latency", target=50.0, floors=(), window_s=5.0, shrink_delay_s=10.0, shrink_step=1, grow_step=0, minimum=1, maximum=20
    )
    state, seen = ScaleState(), list[int]()
    for n in range(600):
        each = level / max(1, state.replicas)
        state = decide(
            scaling, state, Load(in_flight=level, requests=100, p95_ms=service + steep * each, ready=state.replicas), NOW + n
        ).state
        seen.append(state.replicas)
    turns = [b - a for a, b in pairwise(seen) if a != b]
    changes = sum(1 for a, b in pairwise(turns) if (a > 0) != (b > 0))
    assert changes <= 2, seen
    assert len(set(seen[400:])) == 1


def test_why_it_grows_is_said_in_words() -> None:
    scaling = Scaling(minimum=1, maximum=8, target=4.0)
    made = decide(scaling, ScaleState(replicas=2), busy(18), NOW)
    assert (made.replicas, made.why) == (5, "9 requests in flight for each of 2 replicas, target 4: 5 replicas")
    capped = decide(scaling, ScaleState(replicas=2), busy(100), NOW)
    assert (capped.replicas, capped.why) == (8, "50 requests in flight for each of 2 replicas, target 4: 8 replicas, the most")
    assert decide(scaling, capped.state, busy(100), NOW + 1).why.endswith("8 replicas, the most")


def test_a_burst_is_not_made_to_wait_for_the_mean() -> None:
    scaling = Scaling(minimum=1, maximum=20, target=4.0, window_s=60.0)
    seen = counts(follow(scaling, [busy(1)] * 60 + [busy(40)]))
    assert seen[59] == 1 and seen[60] == 10
    gentle = counts(follow(scaling, [busy(1)] * 60 + [busy(7)]))
    assert gentle[60] == 1, "less than twice what they can bear: the mean decides"


def test_grow_step_lets_each_step_show_what_it_does() -> None:
    scaling = Scaling(minimum=1, maximum=20, target=1.0, window_s=10.0, grow_step=2)
    seen = follow(scaling, [busy(9)] * 42)
    assert counts(seen)[0] == 2 and counts(seen)[9] == 2 and counts(seen)[10] == 4 and counts(seen)[41] == 9
    assert seen[0][1].endswith("2 replicas of the 9 wanted") and "the next in 9 s" in seen[1][1]


def test_it_shrinks_by_steps_after_fewer_were_enough_for_the_delay() -> None:
    scaling = Scaling(minimum=1, maximum=20, target=1.0, window_s=1.0, shrink_step=2, shrink_delay_s=30.0)
    seen = follow(scaling, [busy(9)] + [busy(1)] * 200)
    assert counts(seen)[30] == 9 and counts(seen)[31] == 7 and counts(seen)[60] == 7 and counts(seen)[61] == 5
    assert counts(seen)[-1] == 2, "0.9 of the target each: one request is too near to the band of one replica"
    assert "2 if that lasts for 29 s more" in seen[2][1]
    assert counts(follow(replace(scaling, shrink_step=0), [busy(9)] + [busy(1)] * 32))[-1] == 2
    interrupted = [busy(9)] + [busy(1)] * 29 + [busy(9)] + [busy(1)] * 29
    assert set(counts(follow(scaling, interrupted))) == {9}


def test_shrinking_keeps_what_the_busiest_moment_of_the_delay_needed() -> None:
    scaling = Scaling(minimum=1, maximum=20, target=1.0, window_s=1.0, shrink_step=0, shrink_delay_s=10.0)
    seen = counts(follow(scaling, [busy(9)] + [busy(1)] * 5 + [busy(4)] + [busy(1)] * 6))
    assert seen[-1] == 5


def test_idle_goes_to_zero_and_the_first_request_wakes_it() -> None:
    scaling = Scaling(minimum=0, maximum=8, target=4.0, idle_s=60.0)
    quiet = follow(scaling, [busy(30)] + [Load()] * 61)
    assert min(counts(quiet)[:60]) >= 1
    assert quiet[60] == (0, "no request for 60 s: none") and quiet[61] == (0, "no requests: none")
    state = ScaleState()
    assert decide(scaling, state, Load(), NOW).replicas == 0
    woken = decide(scaling, state, Load(in_flight=0.2, waiting=1, requests=1), NOW)
    assert (woken.replicas, woken.why) == (1, "1 request waiting and no replica, target 4: 1 replica")
    burst = decide(scaling, state, Load(in_flight=5, waiting=18, requests=18), NOW)
    assert (burst.replicas, burst.why) == (5, "18 requests waiting and no replica, target 4: 5 replicas")
    assert decide(replace(scaling, on="latency"), state, Load(waiting=3, requests=3), NOW).replicas == 1
    assert decide(replace(scaling, grow_step=2), state, Load(waiting=30), NOW).replicas == 2


def test_idle_is_counted_from_the_last_request() -> None:
    scaling = Scaling(minimum=0, maximum=8, target=4.0, idle_s=60.0, shrink_delay_s=600.0)
    seen = follow(scaling, [busy(30), *[Load()] * 59, busy(1), *[Load()] * 61])
    assert counts(seen)[59] == 8, "the delay of shrinking is long"
    assert counts(seen)[119] == 8 and seen[120] == (0, "no request for 60 s: none")


def test_nothing_heard_changes_nothing() -> None:
    scaling = Scaling(minimum=0, maximum=8, idle_s=1.0)
    state = decide(scaling, ScaleState(replicas=0), busy(20), NOW).state
    later = decide(scaling, state, None, NOW + 3_000)
    assert (later.replicas, later.why) == (3, "nothing is heard of its traffic: the replicas stay")
    assert decide(replace(scaling, maximum=2), state, None, NOW + 1).replicas == 2


def at(text: str, zone: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).timestamp()


@pytest.mark.parametrize(
    ("when", "floor"),
    [
        ("2026-03-27T07:59", 0),  # a Friday, before summer time
        ("2026-03-27T08:00", 3),
        ("2026-03-27T17:59", 3),
        ("2026-03-27T18:00", 0),
        ("2026-03-28T12:00", 0),  # Saturday
        ("2026-03-30T08:00", 3),  # Monday, in summer time: an hour earlier by UTC
        ("2026-03-30T07:59", 0),
    ],
)
def test_floors_keep_to_the_clock_on_the_wall(when: str, floor: int) -> None:
    office = Floor(3, "08:00", "18:00", ("mon", "tue", "wed", "thu", "fri"), "Europe/Berlin")
    assert find_floor(Scaling(minimum=0, maximum=5, floors=(office,)), at(when, "Europe/Berlin")) == floor


def test_a_floor_past_midnight_belongs_to_the_day_on_which_it_began() -> None:
    night = Scaling(minimum=0, maximum=5, floors=(Floor(2, "22:00", "06:00", ("fri",), "America/New_York"),))
    zone = "America/New_York"
    found = [
        find_floor(night, at(when, zone))
        for when in ("2026-11-27T05:00", "2026-11-27T22:00", "2026-11-28T05:59", "2026-11-28T06:00", "2026-11-28T23:00")
    ]
    assert found == [0, 2, 2, 0, 0]
    whole = Scaling(minimum=0, maximum=5, floors=(Floor(2, "00:00", "24:00", ("fri",), zone),))
    assert [
        find_floor(whole, at(when, zone)) for when in ("2026-11-26T23:59", "2026-11-27T00:00", "2026-11-27T23:59", "2026-11-28T00:00")
    ] == [0, 2, 2, 0]


def test_the_hour_that_summer_time_skips_or_repeats() -> None:
    early = Scaling(minimum=0, maximum=5, floors=(Floor(2, "02:30", "03:30", (), "Europe/Berlin"),))
    spring = at("2026-03-29T01:00", "Europe/Berlin")  # 02:00 becomes 03:00 an hour later
    assert [find_floor(early, spring + 60 * m) for m in (59, 60, 89, 90)] == [0, 2, 2, 0]
    autumn = at("2026-10-25T02:00", "Europe/Berlin")  # the hour from 02:00 comes twice
    assert [find_floor(early, autumn + 60 * m) for m in (29, 30, 59, 60, 90, 149, 150)] == [0, 2, 2, 0, 2, 2, 0]


def test_a_schedule_raises_at_once_and_says_so() -> None:
    scaling = Scaling(minimum=0, maximum=5, floors=(Floor(9, "00:00", "24:00"),), grow_step=1)
    made = decide(scaling, ScaleState(), Load(), NOW)
    assert made.replicas == 5
    fitting = decide(replace(scaling, floors=(Floor(3),)), ScaleState(), Load(), NOW)
    assert (fitting.replicas, fitting.why) == (3, "the schedule asks for 3 replicas")
    assert decide(Scaling(minimum=2, maximum=5), ScaleState(), Load(), NOW).why == "2 replicas, the least"


def test_more_replicas_do_not_mend_a_slow_model() -> None:
    scaling = Scaling(minimum=1, maximum=20, on="latency", target=100.0)
    made = decide(scaling, ScaleState(replicas=2), Load(in_flight=1.5, requests=10, p95_ms=900, ready=2), NOW)
    assert made.replicas == 2 and "would not help" in made.why
    starting = decide(scaling, ScaleState(replicas=4), Load(in_flight=50, requests=10, p95_ms=900, ready=2), NOW)
    assert (starting.replicas, starting.why) == (4, "2 of 4 still starting: 4 replicas")


@pytest.mark.parametrize(
    ("scaling", "says"),
    [
        (Scaling(minimum=3, maximum=2), "at least 3 and at most 2"),
        (Scaling(minimum=0, maximum=0), "at most 0"),
        (Scaling(on="cpu"), "cannot scale on 'cpu'"),
        (Scaling(target=0), "target cannot be 0"),
        (Scaling(target=math.nan), "target cannot be nan"),
        (Scaling(idle_s=0), "idle"),
        (Scaling(floors=(Floor(1, zone="Mars/Olympus"),)), "no time zone 'Mars/Olympus'"),
        (Scaling(floors=(Floor(1, begins="8"),)), "'8' is no time"),
        (Scaling(floors=(Floor(1, begins="24:01"),)), "'24:01' is no time"),
        (Scaling(floors=(Floor(1, days=("funday",)),)), "no day 'funday'"),
        (Scaling(floors=(Floor(-1),)), "floor of -1"),
    ],
)
def test_what_cannot_be_meant_is_refused(scaling: Scaling, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        check_scaling(scaling)


def test_shrinking_that_was_a_mistake_makes_the_next_wait_longer() -> None:
    """Replicas that are too few fall behind, as real ones do: the load looks small only as long as there are enough."""
    scaling = Scaling(minimum=1, maximum=8, target=2.0, window_s=5.0, shrink_delay_s=20.0)
    state, backlog, seen = ScaleState(replicas=4), 0.0, list[int]()
    for n in range(3600):
        backlog = max(0.0, backlog + 2.95 - max(1, state.replicas))  # three replicas are just enough
        state = decide(scaling, state, busy(2.95 + backlog), NOW + n).state
        seen.append(state.replicas)

    def growths(part: list[int]) -> int:
        return sum(1 for a, b in pairwise(part) if b > a)

    assert growths(seen[:600]) >= 2 and growths(seen[1800:]) < growths(seen[:1800])
    assert state.regrets > 0


def test_the_delay_is_never_made_longer_than_ten_minutes() -> None:
    scaling = Scaling(minimum=1, maximum=8, target=2.0, window_s=1.0, shrink_delay_s=120.0)
    state = ScaleState(replicas=4, regrets=4, decided_at=NOW - 1)
    seen = counts(follow(scaling, [busy(1)] * 602, state))
    assert seen[598] == 4 and seen[600] == 3
    slow = replace(scaling, shrink_delay_s=900.0)
    assert counts(follow(slow, [busy(1)] * 902, state))[900] == 3
