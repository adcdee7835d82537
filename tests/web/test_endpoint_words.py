"""What pages say of an endpoint, in words and small pictures: pure."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairway.errors import ConfigError
from fairway.serve.control.view import (
    Figures,
    Point,
    RefusedView,
    RolloutView,
)
from fairway.spec.endpoint import Floor, Rollout, Scaling
from fairway.spec.record import replace
from fairway.web import endpointviews as views
from fairway.web.lineage import find_served
from fairway.web.live import endpoint_of, run_of, spell_topic
from fairway.web.pages.endpointparts import read_weights
from tests.web.served import NOW, busy, cold


def test_a_digest_is_served_by_whoever_names_it() -> None:
    found = find_served([busy(run="r", digest="d" * 64).endpoint, cold().endpoint])
    assert [(one.endpoint, one.revision, one.weight) for one in found["d" * 64]] == [("risk", 4, 5.0)]
    assert [(one.endpoint, one.revision, one.weight) for one in found["1" * 64]] == [("churn", 1, 100.0), ("risk", 1, 0.0)]


@given(st.lists(st.integers(0, 100), min_size=1, max_size=5))
def test_weights_are_taken_only_if_they_add_up(weights: list[int]) -> None:
    items = [("csrf", "x"), *((f"w.{n}", str(weight)) for n, weight in enumerate(weights, 1))]
    if sum(weights) == 100:
        found = read_weights(items)
        assert sum(weight for _, weight in found) == 100 and all(weight > 0 for _, weight in found)
    else:
        with pytest.raises(ConfigError, match="add up"):
            read_weights(items)


@pytest.mark.parametrize("text", ["x", "nan", "-1", "101", "inf"])
def test_what_is_no_weight_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="no share"):
        read_weights([("w.1", text), ("w.2", "100")])


def test_endpoints_are_topics_of_their_own() -> None:
    assert (spell_topic("endpoints"), spell_topic("endpoint:risk"), spell_topic("endpoint:")) == ("endpoints", "endpoint:risk", None)
    assert (endpoint_of("endpoint:risk"), run_of("endpoint:risk"), run_of("endpoints")) == ("risk", "", "")


def test_buckets_hold_every_request_of_the_last_half_hour_once() -> None:
    points = [Point(NOW - age, 1.0, Figures(10, 10.0)) for age in (0.0, 29.9, 30.0, 1799.0, 1800.0, 5000.0)]
    found = views.fill_buckets(points, NOW)
    assert [round(30 * value) for value in found if value] == [10, 10, 20]
    assert len(found) == 60 and found[-1] == 20 / 30


@given(st.lists(st.floats(0, 1e6), max_size=80))
def test_a_spark_stays_in_its_box(values: list[float]) -> None:
    path = views.draw_spark(values)
    numbers = [float(one) for one in re.findall(r"[\d.]+", path)]
    assert all(0 <= x <= 120 for x in numbers[::2]) and all(0 <= y <= 24 for y in numbers[1::2])
    assert (path == "") == (len(values) < 2 or max(values) <= 0)


def test_requests_refused_for_the_same_are_one_row() -> None:
    refused = [RefusedView(NOW - age, 422, "no", id=str(age), revision=age % 2) for age in range(6)]
    told = [(one.newest.id, one.count, NOW - one.since) for one in views.join_refused(reversed(refused))]
    assert told == [("0", 3, 4.0), ("1", 3, 5.0)]
    assert len(views.join_refused(RefusedView(NOW, 400 + n, "x") for n in range(50))) == views.REFUSED_SHOWN


@pytest.mark.parametrize(
    ("keys", "url", "is_open", "needed"),
    [
        (0, "http://127.0.0.1:80/x", False, False),
        (1, "http://127.0.0.1:80/x", False, True),
        (0, "http://gateway/x", False, True),
        (1, "x", True, False),
    ],
)
def test_who_needs_a_key(keys: int, url: str, *, is_open: bool, needed: bool) -> None:
    view = busy()
    assert (
        views.needs_key(replace(view, url=url, endpoint=replace(view.endpoint, is_open=is_open, keys=view.endpoint.keys[:keys]))) is needed
    )


def test_scaling_in_words() -> None:
    assert views.tell_scaling(Scaling(2, 2)) == ["always 2 replicas"]
    told = views.tell_scaling(Scaling(0, 8, on="latency", target=50.0, floors=(Floor(2, "08:00", "18:00", ("mon", "tue")),)))
    assert "0 to 8 replicas, each to bear a p95 of 50 ms" in told
    assert "nothing runs after 60 s without a request; the next one starts it and waits" in told or "1 min" in told[-2]
    assert told[-1] == "at least 2 from 08:00 to 18:00, mon, tue (UTC)"


GOING = Rollout(4, ((3, 100.0),), max_latency_ms=50.0, max_slowdown=1.5, metric="auc", min_metric=0.8)


@pytest.mark.parametrize(
    ("figures", "metric", "states"),
    [
        (Figures(0), None, ["open", "open", "open", "open", "open"]),
        (Figures(19, 1.0, 0.5, 0, 1.0, 99.0), None, ["open", "open", "open", "open", "open"]),
        (Figures(100, 1.0, 0.02, 0, 1.0, 12.0), 0.8, ["ok", "ok", "ok", "ok", "ok"]),
        (Figures(100, 1.0, 0.03, 0, 1.0, 51.0), 0.79, ["ok", "bad", "bad", "bad", "bad"]),
    ],
)
def test_a_rollout_is_judged_in_the_open(figures: Figures, metric: float | None, states: list[str]) -> None:
    view = RolloutView(GOING, figures, Figures(100, 1.0, 0, 0, 1.0, 10.0), metric=metric)
    assert [check.state for check in views.judge(view)] == states


@pytest.mark.parametrize(
    ("bounds", "value", "limit", "state"),
    [
        ({"max_metric": 2.5}, 2.4, "at most 2.5", "ok"),
        ({"max_metric": 2.5}, 2.6, "at most 2.5", "bad"),
        ({"min_metric": 1.0, "max_metric": 2.5}, 0.9, "at least 1, at most 2.5", "bad"),
        ({"max_metric": 2.5}, None, "at most 2.5", "open"),
    ],
)
def test_a_metric_may_have_to_be_small(bounds: dict[str, float], value: float | None, limit: str, state: str) -> None:
    rollout = Rollout(4, (), metric="mean absolute error", **bounds)
    check = views.judge(RolloutView(rollout, Figures(100), Figures(100), metric=value))[-1]
    assert (check.name, check.limit, check.state) == ("mean absolute error", limit, state)


@pytest.mark.parametrize(
    ("changes", "ends_in_s", "text"),
    [
        ({}, 34, "Step 1 of 4: revision 4 gets 5 % of the traffic; for another 34 s, then 25 %."),
        ({"step": 3}, 0, "Step 4 of 4: revision 4 gets 100 % of the traffic; then it is done."),
        ({"state": "paused"}, 0, "It is paused"),
        ({"why": "waits for 20 requests"}, 0, "then 25 %. Waits for 20 requests."),
        ({"state": "done"}, 0, "Revision 4 has all the traffic."),
        ({"state": "back", "why": "too slow"}, 0, "It went back: too slow"),
    ],
)
def test_a_rollout_in_words(changes: dict[str, Any], ends_in_s: float, text: str) -> None:
    view = RolloutView(replace(GOING, **changes), Figures(100, 1.0), ends_at=NOW + ends_in_s)
    assert text in views.tell_rollout(view, NOW)


@pytest.mark.parametrize(
    ("changes", "revision", "told"),
    [
        ({}, 4, True),
        ({"state": "paused", "step_began_at": 0.0}, 4, True),
        ({"state": "done", "step_began_at": NOW - 60}, 4, True),
        ({"state": "done", "step_began_at": NOW - 6000}, 4, False),
        ({"state": "back", "step_began_at": NOW - 60}, 3, False),
    ],
)
def test_a_rollout_that_has_ended_is_told_for_a_while(changes: dict[str, Any], revision: int, *, told: bool) -> None:
    endpoint = replace(busy().endpoint, rollout=replace(GOING, revision=revision, **changes))
    assert views.is_told(endpoint, NOW) is told


def test_requests_that_are_missing_are_counted() -> None:
    view = RolloutView(GOING, Figures(7, 1.0), ends_at=NOW + 10)
    assert "7 of 20 requests so far" in views.tell_rollout(view, NOW)


def test_commands_name_the_target() -> None:
    assert (
        views.traffic_command("risk", ((3, 95.0), (4, 2.5), (5, 2.5), (6, 0.0)), "campus")
        == "fairway traffic risk 3=95 4=2.5 5=2.5 --on campus"
    )
    assert views.command("rollback", "risk", on="local") == "fairway rollback risk"
