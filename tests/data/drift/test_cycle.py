"""A part of a day is held to the same times of the baseline's days: half days alarmed on the daily cycle, in which half a degree hid."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from fairway.data.batch import Batch
from fairway.data.drift import compare
from fairway.data.drift.baseline import Baseline
from fairway.data.drift.making import baseline
from fairway.errors import ConfigError
from tests.data.sensors import Readings, readings

DAY = 17_280
HALF = DAY // 2
NOON, SUNRISE = DAY // 2, int(0.3 * DAY)


def batch(of: Readings) -> Batch:
    """Without the battery, which empties over more than two days and so has no cycle to be known."""
    return Batch.of({name: one for name, one in of.columns().items() if name != "battery"})


def part(whole: Readings, first: int, count: int, warmer: float = 0.0) -> Batch:
    cut = whole.take(slice(2 * DAY + first, 2 * DAY + first + count))
    return batch(replace(cut, temperature=cut.temperature + warmer))


def drifted(against: Baseline | Batch, now: Batch) -> list[str]:
    return [one.key for one in compare(against, now, multivariate=False).drifted]


@pytest.mark.parametrize("seed", range(1, 5))
def test_half_days_are_held_to_the_same_halves_of_two_days(seed: int) -> None:
    whole = readings(4 * DAY, seed=seed)
    known = baseline(batch(whole.take(slice(0, 2 * DAY))))
    for first in (0, SUNRISE, NOON, 3 * DAY // 4, DAY + 1_000):
        assert drifted(known, part(whole, first, HALF)) == []
    for first in (0, SUNRISE, NOON):
        assert "temperature" in drifted(known, part(whole, first, HALF, 0.5))
        assert "temperature" in drifted(known, part(whole, first, HALF, -3.0))


def test_two_tables_are_compared_so_as_well_and_it_is_said_that_two_days_are_few() -> None:
    whole = readings(3 * DAY, seed=9)
    before = batch(whole.take(slice(0, 2 * DAY)))
    report = compare(before, part(whole, SUNRISE, HALF), multivariate=False)
    assert not report.drifted
    told = [note for note in report.notes if note.startswith("`temperature` follows the time of the day")]
    assert told and "knows 2.0 days only: make it from 7 days or more" in told[0]
    assert drifted(before, part(whole, SUNRISE, HALF, 1.0)) == ["temperature"]


def test_a_baseline_keeps_it_and_a_damaged_one_is_refused() -> None:
    whole = readings(3 * DAY, seed=4)
    document = json.loads(json.dumps(baseline(batch(whole.take(slice(0, 2 * DAY)))).to_json()))
    again = Baseline.from_json(document)
    cycles = {track.facet.key: track.cycle for track in again.tracks}
    assert cycles["temperature"] is not None and cycles["humidity"] is not None and cycles["state"] is None
    assert np.allclose(cycles["temperature"].counts.sum(), 2 * DAY)
    assert drifted(again, part(whole, SUNRISE, HALF)) == []
    next(one for one in document["tracks"] if one["column"] == "temperature")["cycle"]["counts"].pop()
    with pytest.raises(ConfigError, match="does not fit its bins"):
        Baseline.from_json(document)


def test_rows_whose_times_are_not_known_are_held_to_whole_days() -> None:
    whole = readings(3 * DAY, seed=4)
    known = baseline(batch(whole.take(slice(0, 2 * DAY))))
    now = part(whole, SUNRISE, HALF)
    del now.columns["at"]
    [temperature] = [one for one in compare(known, now, multivariate=False).columns if one.key == "temperature"]
    [alike] = [one for one in compare(known, part(whole, SUNRISE, HALF), multivariate=False).columns if one.key == "temperature"]
    assert temperature.value > 2 * alike.value


@pytest.mark.parametrize(("days", "said"), [(1, "too few to tell a daily cycle"), (3, "knows 3.0 days only"), (8, "the same times")])
def test_few_days_are_said_to_be_few(days: int, said: str) -> None:
    whole = readings(days * DAY // 12, seed=2, period_s=60)
    notes = [note for note in baseline(batch(whole)).notes if "the time of the day" in note or "daily cycle" in note]
    assert notes and all(said in note for note in notes)
    assert any("`temperature`" in note for note in notes)
    assert ("7 days or more" in notes[0]) == (days < 7)
