"""Clocks: what the sensors' simulator does to one is told by its name, in a table and in a stream."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from fairway.data.anomalies import CadenceWatch, validate
from fairway.data.anomalies.edits import patched
from fairway.data.batch import Batch
from fairway.data.schema.parse import parse_schema
from tests.data import sensors
from tests.data.sensors import Readings, readings, then

CADENCE = {
    "column": "at",
    "period_s": 5,
    "tolerance": 0.2,
    "regular": 0.8,
    "max_gap_s": 30,
    "order": "ascending",
    "duplicates": 0,
    "zone": "UTC",
}
CALM = readings(4_000, seed=7)


def schema(**changes: Any) -> dict[str, Any]:
    cadence = {key: value for key, value in {**CADENCE, **changes}.items() if value is not None}
    times = {"type": "object", "properties": {"at": {"type": "string", "format": "date-time"}}, "required": ["at"]}
    return {**times, "additionalProperties": True, "x-fairway": {"cadence": [cadence]}}


def told(whole: Readings, document: dict[str, Any] | None = None, rows: int = 512) -> dict[str, str]:
    batch = Batch.of({"at": whole.columns()["at"]})
    pieces = [batch.slice(start, min(start + rows, batch.rows)) for start in range(0, batch.rows, rows)]
    return {one.kind: one.message for one in validate(pieces, document or schema()).anomalies}


CASES: list[tuple[str, Callable[[], Readings], set[str], str]] = [
    ("calm", lambda: CALM, set(), ""),
    (
        "slower",
        lambda: readings(2_000, period_s=10),
        {"cadence-changed"},
        "every 10 s, 2 times as long; the schema says every 5 s (± 20 %)",
    ),
    ("faster", lambda: readings(2_000, period_s=1, jitter_s=0.05), {"cadence-changed"}, "every 1 s, 5 times as often"),
    ("partly", lambda: then(CALM, readings(3_000, begin_s=CALM.end_s, period_s=10)), {"cadence-irregular"}, "are of about 10 s"),
    ("silent", lambda: sensors.with_gap(CALM, 100, 50), {"time-gap"}, "before row 100"),
    ("dropping", lambda: sensors.dropping(CALM, 0.3), {"cadence-irregular", "time-gap"}, "of the steps are near its period"),
    ("ahead", lambda: sensors.zone_shifted(CALM, 2, first=1_500), {"zone-shifted", "time-gap"}, "jumps ahead by 2 h before row 1,500"),
    ("back", lambda: sensors.zone_shifted(CALM, -1, first=1_500), {"zone-shifted"}, "jumps back by 60 min before row 1,500"),
    ("clock", lambda: sensors.zone_shifted(CALM, -0.17, first=1_500), {"clock-shifted"}, "jumps back by 10.2"),
    ("twice", lambda: sensors.repeated(CALM, 0.02), {"time-repeated"}, "same as in the row before"),
    ("shuffled", lambda: sensors.out_of_order(CALM), {"time-unordered"}, "not in order"),
]


@pytest.mark.parametrize(("whole", "kinds", "words"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_what_happened_to_a_clock_is_told(whole: Callable[[], Readings], kinds: set[str], words: str) -> None:
    found = told(whole())
    assert set(found) == kinds
    assert not kinds or any(words in message for message in found.values()), found


@pytest.mark.parametrize(("whole", "kinds"), [(case[1], case[2]) for case in CASES], ids=[case[0] for case in CASES])
def test_the_edit_of_a_cadence_accepts_it(whole: Callable[[], Readings], kinds: set[str]) -> None:
    batch = Batch.of({"at": whole().columns()["at"]})
    for one in validate([batch], schema()).anomalies:
        assert not validate([batch], patched(schema(), one.edit or [])).has(one.kind), one.edit


def test_times_that_lost_their_zone() -> None:
    plain = Batch.of({"at": CALM.at_us.astype("datetime64[us]")})
    (one,) = validate([plain], schema()).anomalies
    assert (one.kind, one.expected, one.found) == ("zone-shifted", "UTC", "no time zone")


def test_the_rhythm_of_the_day_tells_a_shift_of_the_whole_table() -> None:
    open_hours = np.concatenate([day * 86_400 + np.arange(8 * 3600, 18 * 3600, 60) for day in range(20)])
    hours = [0.0] * 8 + [0.1] * 10 + [0.0] * 6
    document = schema(period_s=None, max_gap_s=None, regular=None, hours=hours)
    for by in (-3, 0, 1, 2):
        at = ((1_767_225_600 + open_hours + by * 3600) * 1_000_000).astype("datetime64[us]")
        batch = Batch.of({"at": at})
        batch.columns["at"].arrow = "timestamp[us, UTC]"
        found = validate([batch], document).anomalies
        assert [one.kind for one in found] == (["zone-shifted"] if by else [])
        assert not by or f"{abs(by)} h {'later' if by > 0 else 'earlier'}" in found[0].message
        assert not by or validate([batch], patched(document, found[0].edit or [])).anomalies == ()


def test_times_of_several_sensors_are_told_apart() -> None:
    both = sensors.together(readings(1_000, seed=1, site="north"), readings(1_000, seed=2, site="south", begin_s=sensors.BEGIN_S + 2.3))
    document = schema(by=["site"])
    document["properties"]["site"] = {"type": "string"}
    columns = {name: both.columns()[name] for name in ("at", "site")}
    table = [Batch.of(columns)]
    assert "cadence-changed" in told(both)
    from fairway.data.table import read

    assert validate(read(columns), document).anomalies == ()
    assert validate(table, document).anomalies == ()


def windows(whole: Readings, rows: int, *, texts: bool = False) -> list[Batch]:
    at: Any = [row["at"] for row in whole.rows()] if texts else whole.columns()["at"]
    batch = Batch.of({"at": at})
    return [batch.slice(start, min(start + rows, batch.rows)) for start in range(0, batch.rows, rows)]


@pytest.mark.parametrize("texts", [False, True])
@pytest.mark.parametrize("rows", [7, 50, 400])
def test_a_stream_tells_when_the_period_changes_and_not_before(rows: int, texts: bool) -> None:
    calm = readings(1_200, seed=3)
    slow = then(calm, readings(400, seed=4, begin_s=calm.end_s, period_s=10))
    watch = CadenceWatch(parse_schema(schema()))
    alarms = [(number, one.kind) for number, window in enumerate(windows(slow, rows, texts=texts)) for one in watch.add(window)]
    assert alarms
    first = alarms[0][0]
    assert 1_200 // rows <= first <= (1_200 + 60) // rows + 1
    assert {kind for _, kind in alarms} <= {"cadence-changed", "cadence-irregular"}
    assert "cadence-changed" in {kind for _, kind in alarms}


def test_a_gap_between_two_batches_of_a_stream_is_told() -> None:
    calm = readings(300, seed=3)
    silent = sensors.with_gap(calm, 100, 40)
    watch = CadenceWatch(parse_schema(schema()))
    alarms = [(number, one.kind, one.examples[0].row) for number, window in enumerate(windows(silent, 50)) for one in watch.add(window)]
    assert alarms == [(2, "time-gap", 100)]


def test_a_stream_that_goes_back_is_told_with_the_row() -> None:
    back = sensors.zone_shifted(readings(300, seed=3), -2, first=150)
    watch = CadenceWatch(parse_schema(schema()))
    alarms = [(number, one.kind, one.examples[0].row) for number, window in enumerate(windows(back, 50)) for one in watch.add(window)]
    assert alarms == [(3, "zone-shifted", 150)]
