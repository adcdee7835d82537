"""The rhythm of a time column: what five-second sensors do, and what happens to them."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from fairway.data.batch import Batch, Values
from fairway.data.statistics import Accumulator, Cadence, TableStatistics

START_S = 1_700_000_000


def column(seconds: np.ndarray, zone: str = "UTC") -> Values:
    return Values("timestamp", f"timestamp[us, {zone}]" if zone else "timestamp[us]", (np.asarray(seconds) * 1e6).astype(np.int64))


def cadence(seconds: np.ndarray, cuts: tuple[int, ...] = (), by: dict[str, list[str]] | None = None) -> Cadence:
    made = parts(seconds, (), by)[0] if not cuts else None
    if made is None:
        merged = Accumulator(time="at", by=tuple(by or ()))
        batch = table(seconds, by)
        for start, end in zip([0, *cuts], [*cuts, batch.rows], strict=True):
            merged.add(batch.slice(start, end))
        made = merged.result()
    assert made.cadence is not None
    return made.cadence


def table(seconds: np.ndarray, by: dict[str, list[str]] | None = None) -> Batch:
    more = {name: Batch.of({"x": values}).columns["x"] for name, values in (by or {}).items()}
    return Batch(0, len(seconds), {"at": column(seconds), **more})


def parts(seconds: np.ndarray, cuts: tuple[int, ...], by: dict[str, list[str]] | None = None) -> list[TableStatistics]:
    batch, made = table(seconds, by), list[TableStatistics]()
    for start, end in zip([0, *cuts], [*cuts, batch.rows], strict=True):
        part = Accumulator(time="at", by=tuple(by or ()))
        part.add(batch.slice(start, end))
        made.append(part.result())
    return made


def said(one: Cadence) -> dict[str, object]:
    names = (
        "rows",
        "duplicates",
        "backwards",
        "period_s",
        "largest_gap_s",
        "gap_count",
        "gaps",
        "first_at",
        "last_at",
        "hours",
        "weekdays",
    )
    return {name: str(getattr(one, name)) for name in (*names, "first_duplicates", "first_backwards", "groups", "ungrouped")}


def test_a_regular_clock() -> None:
    made = cadence(START_S + 2 + 5 * np.arange(50_000))
    assert (made.period_s, made.period_share, made.jitter_s, made.gap_count, made.duplicates, made.backwards) == (5.0, 1.0, 0.0, 0, 0, 0)
    assert made.phase_s == pytest.approx((START_S + 2) % 5)
    assert made.phase_spread == pytest.approx(0, abs=1e-9)
    assert made.zone == "UTC"
    assert (made.first_at, made.largest_gap_s) == ("2023-11-14T22:13:22.000000Z", 5.0)
    assert sum(made.hours) == sum(made.weekdays) == 50_000


def test_hours_and_weekdays_are_those_of_the_calendar() -> None:
    monday = 1_767_571_200  # 2026-01-05, 0:00 UTC
    made = cadence(np.array([monday, monday + 3 * 3600, monday + 86_400 + 3600 * 23]))
    assert made.weekdays == (2, 1, 0, 0, 0, 0, 0)
    assert [hour for hour, count in enumerate(made.hours) if count] == [0, 3, 23]
    assert sum(cadence(np.array([-3600.0, -7200.0])).hours[22:]) == 2


@pytest.mark.parametrize("period", [0.01, 5.0, 10.0, 86_400.0])
@pytest.mark.parametrize("jitter", [0.0, 0.02, 0.1])
def test_the_period_is_found_under_jitter(period: float, jitter: float) -> None:
    rng = np.random.default_rng(9)
    made = cadence(START_S + period * np.arange(20_000) + rng.normal(0, jitter * period, 20_000).clip(-0.4 * period, 0.4 * period))
    assert made.period_s == pytest.approx(period, rel=max(1e-6, 1.2 * jitter))
    assert made.jitter_s == pytest.approx(0.6745 * math.sqrt(2) * jitter * period, rel=0.35, abs=2e-6)
    assert made.period_share > 0.5 - jitter
    assert made.gap_count <= 20_000 * jitter


def test_half_the_frequency_is_twice_the_period() -> None:
    five = START_S + 5 * np.arange(9_000)
    assert cadence(five[::2]).period_s == 10.0
    both = cadence(np.concatenate([five, five[-1] + 10 * np.arange(1, 2_000)]))
    assert both.period_s == 5.0
    assert both.period_share == pytest.approx(9_000 / 11_000, abs=0.01)


def test_gaps_duplicates_and_steps_back_have_their_rows() -> None:
    seconds = START_S + 5 * np.arange(2_000)
    seconds = np.concatenate([seconds[:500], seconds[600:900], seconds[899:900], seconds[900:1200], seconds[1100:1110], seconds[1210:]])
    made = cadence(seconds)
    assert (made.gap_count, made.duplicates, made.backwards) == (2, 1, 1)
    assert [(gap.row, gap.seconds) for gap in made.gaps] == [(500, 505.0), (1111, 505.0)]
    assert made.gaps[0].begin < made.gaps[0].end
    assert (made.first_duplicates, made.first_backwards) == ((800,), (1101,))
    assert made.largest_gap_s == 505.0


@settings(deadline=None, max_examples=30)
@example([0] * 12, 0, 1, False)
@given(st.lists(st.integers(0, 60), min_size=2, max_size=60), st.integers(0, 60), st.integers(0, 60), st.booleans())
def test_batches_and_shards_change_nothing(ticks: list[int], one: int, other: int, grouped: bool) -> None:
    seconds = START_S + np.array(ticks, np.float64)
    by = {"site": [f"s{tick % 3}" for tick in range(len(ticks))]} if grouped else None
    first, second = sorted((min(one, len(ticks)), min(other, len(ticks))))
    truth = said(cadence(seconds, (), by))
    assert said(cadence(seconds, (first, second), by)) == truth
    a, b, c = parts(seconds, (first, second), by)
    for merged in (a.merge(b).merge(c), a.merge(b.merge(c))):
        assert merged.cadence is not None
        assert said(merged.cadence) == truth


def test_sensors_that_tick_one_after_the_other_have_their_own_rhythm() -> None:
    seconds = np.repeat(START_S + 5.0 * np.arange(1_000), 4) + np.tile([0.0, 0.1, 0.2, 3.0], 1_000)
    sites = ["a", "b", "c", "d"] * 1_000
    alone, grouped = cadence(seconds), cadence(seconds, (1_777,), {"site": sites})
    assert alone.period_s != 5.0
    assert (grouped.period_s, grouped.period_share, grouped.groups, grouped.backwards) == (5.0, 1.0, 4, 0)
    assert grouped.group_rows() == {"a": 1_000, "b": 1_000, "c": 1_000, "d": 1_000}


def test_groups_beyond_the_budget_are_counted() -> None:
    from fairway.data.statistics import Budget

    made = Accumulator(time="at", by=["id"], budget=Budget.small())
    made.add(table(START_S + np.arange(1_000.0), {"id": [str(n) for n in range(1_000)]}))
    found = made.result().cadence
    assert found is not None
    assert (found.groups, found.ungrouped) == (256, 744)


def test_nulls_one_row_and_a_shuffled_clock() -> None:
    batch = Batch.of({"at": [None, np.datetime64("2024-01-01", "us").item(), None, np.datetime64("2024-01-02", "us").item()]})
    made = Accumulator(time="at")
    made.add(batch)
    found = made.result().cadence
    assert found is not None
    assert (found.rows, found.period_s, found.zone) == (2, 86_400.0, "")
    one = cadence(np.array([START_S]))
    assert (one.rows, one.gap_count, one.period_share) == (1, 0, 0.0)
    assert math.isnan(one.period_s)
    assert math.isnan(one.phase_s)
    shuffled = cadence(START_S + 5 * np.random.default_rng(1).permutation(5_000))
    assert shuffled.backwards == pytest.approx(2_500, rel=0.1)


def test_a_zone_that_shifted_moves_phase_and_hours() -> None:
    shifted = cadence(START_S + 7_200 + 3_600.0 * np.arange(10))
    plain = cadence(START_S + 3_600.0 * np.arange(10))
    assert np.roll(plain.hours, 2).tolist() == list(shifted.hours)
    half = cadence(START_S + 1_800 + 3_600.0 * np.arange(500))
    assert (half.phase_s - cadence(START_S + 3_600.0 * np.arange(500)).phase_s) % 3_600 == pytest.approx(1_800)
