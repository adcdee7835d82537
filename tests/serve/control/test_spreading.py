"""Where traffic really goes, and what is told of it: pure parts, drawn at random."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from fairway.serve.control.figures import RevisionTraffic, Series, Tally
from fairway.serve.control.spreading import count_needed, render_row, share_scaling, spread
from fairway.serve.gateway.table import parse_table
from fairway.spec.endpoint import Capture, Endpoint, Scaling
from fairway.spec.record import replace

NUMBERS = (1, 2, 3)


@st.composite
def weights(draw: st.DrawFn) -> tuple[tuple[int, float], ...]:
    numbers = draw(st.lists(st.sampled_from(NUMBERS), min_size=1, max_size=3, unique=True))
    parts = [draw(st.integers(1, 9)) for _ in numbers]
    return tuple(sorted((number, 100 * part / sum(parts)) for number, part in zip(numbers, parts, strict=True)))


READY = st.dictionaries(st.sampled_from(NUMBERS), st.integers(0, 5))


@given(weights(), weights(), READY, st.floats(0, 100))
def test_traffic_never_leaves_what_runs_for_what_does_not(
    wanted: tuple[tuple[int, float], ...], before: tuple[tuple[int, float], ...], ready: dict[int, int], waited_s: float
) -> None:
    after = spread(Endpoint("risk", traffic=wanted, scaling=Scaling(0, 8)), before, ready, waited_s)
    assert abs(sum(weight for _, weight in after) - 100) < 0.01
    if any(ready.get(number) for number, _ in before) and after != wanted:
        assert all(ready.get(number) for number, _ in after) or after == before
    if after == wanted and wanted != before and any(ready.get(number) for number, _ in before):
        assert all(ready.get(number) for number, _ in wanted)


def test_where_nothing_runs_traffic_waits_for_what_it_is_to_move_to() -> None:
    wanted, before = ((2, 100.0),), ((1, 100.0),)
    endpoint = Endpoint("risk", traffic=wanted, scaling=Scaling(0, 8))
    assert spread(endpoint, before, {}, 100.0) == before
    assert spread(endpoint, before, {2: 1}, 0.0) == wanted
    assert spread(endpoint, (), {}, 0.0) == wanted, "the first of all"
    assert spread(replace(endpoint, paused=True), before, {}, 0.0) == wanted, "nothing is started there"


@given(weights(), weights(), READY)
def test_as_many_are_needed_as_serve_and_never_more_than_allowed(
    wanted: tuple[tuple[int, float], ...], before: tuple[tuple[int, float], ...], ready: dict[int, int]
) -> None:
    needed = count_needed(Endpoint("risk", traffic=wanted, scaling=Scaling(0, 4)), before, ready)
    assert set(needed) == {number for number, _ in wanted}
    assert all(1 <= count <= 4 for count in needed.values())
    more = {
        number: count + 3 if number in dict(wanted) and dict(wanted)[number] > dict(before).get(number, 0.0) else count
        for number, count in ready.items()
    }
    assert count_needed(Endpoint("risk", traffic=wanted, scaling=Scaling(0, 4)), before, more) == needed, "what comes asks for no more"


@given(st.integers(0, 9), weights())
def test_what_is_asked_of_all_is_shared_among_them(minimum: int, traffic: tuple[tuple[int, float], ...]) -> None:
    shares = [share_scaling(Scaling(minimum, 9), weight).minimum for _, weight in traffic]
    assert minimum <= sum(shares) <= minimum + len(shares) - 1 or len(shares) == 1
    assert all(share == 0 for share in shares) == (minimum == 0)


@given(st.lists(st.tuples(st.sampled_from([1.0, 2.0, 4.0, 8.0, 500.0]), st.integers(1, 50)), min_size=1, max_size=20))
def test_percentiles_lie_where_the_counts_say(counted: list[tuple[float, int]]) -> None:
    tally = Tally()
    tally.add(sum(count for _, count in counted), 0, 0, counted)
    every = sorted(bound for bound, count in counted for _ in range(count))
    for share in (0.5, 0.95, 0.99):
        found = tally.percentile(share)
        exact = every[min(len(every) - 1, int(share * len(every)))]
        assert found is not None
        lower = every[max(0, int(share * len(every)) - 1)]
        assert lower / 1.2 <= found <= exact * 1.0001


def window(requests: int, *, busy_s: float = 0.0, waiting: int = 0, errors: int = 0) -> dict[str, object]:
    return {
        "requests": requests,
        "errors": errors,
        "refused": 0,
        "in_flight_seconds": busy_s,
        "waiting": waiting,
        "latency_ms": [[5.0, requests]],
    }


def test_a_load_is_what_came_since_the_last_one() -> None:
    traffic = RevisionTraffic()
    traffic.take_load(100.0, 1)
    traffic.add("g1", 101.0, window(10, busy_s=3.0, waiting=2))
    traffic.add("g2", 101.0, window(5, busy_s=1.0, waiting=1))
    load = traffic.take_load(102.0, 0)
    assert (load.in_flight, load.requests, load.waiting) == (2.0, 15, 3)
    again = traffic.take_load(103.0, 1)
    assert (again.in_flight, again.requests, again.waiting) == (0.0, 0, 3)
    assert traffic.take_load(104.0, 1).waiting == 0


def test_a_series_is_fine_where_it_is_new_and_coarse_behind_and_loses_nothing_of_half_an_hour() -> None:
    series = Series()
    for second in range(1000, 4000):
        tally = Tally()
        tally.add(2, 1, 0, [(5.0, 2)])
        series.add(second + 0.5, 7, tally, window(2, busy_s=0.5))
        series.note(second + 0.9, 3, 4)
    points = series.points()
    assert {point.span_s for point in points} == {1.0, 10.0}
    assert [point.at for point in points] == sorted(point.at for point in points)
    assert 1700 <= points[-1].at - points[0].at <= 1820
    for point in points[1:]:
        assert (point.figures.rate, point.figures.errors, point.in_flight) == (2.0, 0.5, 0.5)
        assert (point.replicas, point.wanted, point.rates) == (3, 4, ((7, 2.0),))
    assert len(points) < 400
    assert 118 <= series.last_minute(4000.0).requests <= 122


def test_the_table_has_a_secret_for_who_hashes_and_names_for_rows_without() -> None:
    plain, hashing = Endpoint("risk"), Endpoint("risk", capture=Capture(1.0, hash=("user",)))
    assert render_row(plain, (), (), secret="ab").keys().isdisjoint({"secret", "columns"})
    row = render_row(hashing, (), (), secret="ab", columns={2: ("user", "age"), 1: ("age", "user")})
    assert row["secret"] == "ab" and row["columns"] == {"1": ["age", "user"], "2": ["user", "age"]}
    parsed = parse_table(json.dumps({"version": 1, "endpoints": {"risk": row}}).encode()).endpoints["risk"]
    assert parsed.columns == {1: ("age", "user"), 2: ("user", "age")}
