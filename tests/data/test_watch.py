"""A stream that is watched: sensors that go to half their rate, drop out, change zone; alarms that say so, once, and clear."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fairway.data.batch import Batch
from fairway.data.drift import Alarm, Baseline, Monitor
from fairway.data.schema.parse import parse_schema
from fairway.data.streams import follow
from fairway.data.streams.stream import Window
from fairway.data.watch import Watch, find_silence, kinds_of
from fairway.data.watchfile import WatchFile
from tests.data.sensors import BEGIN_S, Readings, dropping, in_fahrenheit, readings, repeated, then, with_gap, zone_shifted

CADENCE = {"column": "at", "period_s": 5, "tolerance": 0.1, "max_gap_s": 30, "duplicates": 0, "order": "ascending", "zone": "UTC"}
DOCUMENT: dict[str, Any] = {
    "type": "object",
    "properties": {
        "at": {"type": "string", "format": "date-time"},
        "site": {"type": "string"},
        "temperature": {"type": "number", "minimum": -20, "maximum": 50},
        "humidity": {"type": "number", "minimum": 0, "maximum": 100},
        "battery": {"type": "integer", "minimum": 0, "maximum": 100},
        "state": {"enum": ["ok", "warming", "cooling", "idle"]},
    },
    "required": ["at", "site", "temperature", "humidity", "battery", "state"],
    "x-fairway": {
        "cadence": [
            {"column": "at", "period_s": 5, "tolerance": 0.1, "max_gap_s": 30, "duplicates": 0, "order": "ascending", "zone": "UTC"}
        ]
    },
}
SCHEMA = parse_schema(DOCUMENT)
ROWS = 100


def _windows(whole: Readings, rows: int = ROWS) -> Iterator[Window]:
    """Arriving when they say."""
    batch = Batch.of(whole.columns())
    for start in range(0, batch.rows, rows):
        end = min(start + rows, batch.rows)
        begin_s, end_s = float(whole.at_us[start]) / 1e6, float(whole.at_us[end - 1]) / 1e6
        yield Window(batch.slice(start, end), begin_s, end_s, end - start, 0, {"first": start, "last": end - 1}, lambda: None)


def _empty(begin_s: float, end_s: float) -> Window:
    return Window(Batch(0, 0, {}), begin_s, end_s, 0, 0, None, lambda: None)


def _watched(whole: Readings, watch: Watch | None = None) -> list[Alarm]:
    watch = watch or Watch(SCHEMA)
    return [alarm for window in _windows(whole) for alarm in watch.add(window)]


def _told(alarms: list[Alarm]) -> list[tuple[str, str]]:
    return [(one.kind, one.state) for one in alarms]


CALM = readings(1000, seed=3)


def test_a_calm_sensor_raises_nothing() -> None:
    assert _watched(readings(20_000, seed=4)) == []


def test_half_the_rate_is_said_in_plain_words_and_clears() -> None:
    slow = readings(500, seed=5, begin_s=CALM.end_s, period_s=10)
    whole = then(CALM, slow, readings(1000, seed=6, begin_s=slow.end_s))
    alarms = _watched(whole)
    assert _told(alarms) == [("cadence-changed", "raised"), ("cadence-changed", "cleared")]
    assert "every 10 s" in alarms[0].message
    assert "every 5 s" in alarms[0].message
    assert alarms[0].column == "at"
    assert alarms[0].severity == "error"
    assert alarms[0].id == alarms[1].id


@pytest.mark.parametrize("first", [1010, 1030, 1050, 1070, 1090])
def test_a_period_that_changes_within_a_window_is_changed_and_not_irregular_beside_it(first: int) -> None:
    before = readings(first, seed=3)
    alarms = _watched(then(before, readings(600, seed=5, begin_s=before.end_s, period_s=10)))
    assert _told(alarms) == [("cadence-changed", "raised")]


def test_steps_that_stay_irregular_are_told_in_the_second_window() -> None:
    loose = readings(600, seed=5, begin_s=CALM.end_s, jitter_s=1.5)
    watch = Watch(SCHEMA)
    told = [(place, one.kind) for place, window in enumerate(_windows(then(CALM, loose))) for one in watch.add(window)]
    assert (11, "cadence-irregular") in told
    assert not [one for one in told if one[0] < 11]


def test_a_dropout_is_a_gap() -> None:
    alarms = _watched(with_gap(then(CALM, readings(1000, seed=6, begin_s=CALM.end_s)), 1050, 60))
    assert _told(alarms) == [("time-gap", "raised"), ("time-gap", "cleared")]
    assert "5.0" in alarms[0].message
    assert "min" in alarms[0].message


@pytest.mark.parametrize("hours", [1.0, -1.0, 5.5])
def test_another_zone_is_told_as_one(hours: float) -> None:
    alarms = _watched(zone_shifted(readings(2000, seed=8), hours, first=1050))
    assert _told(alarms)[0] == ("zone-shifted", "raised")
    assert {kind for kind, _ in _told(alarms)} == {"zone-shifted"}


def test_readings_sent_twice_and_lost_ones() -> None:
    assert ("time-repeated", "raised") in _told(_watched(then(CALM, repeated(readings(1000, seed=9, begin_s=CALM.end_s), 0.2))))
    lossy = dropping(readings(2000, seed=10), 0.9, first=1000)
    assert {kind for kind, state in _told(_watched(lossy)) if state == "raised"} & {"time-gap", "cadence-changed", "cadence-irregular"}


def test_an_alarm_is_raised_once_and_cleared_after_calm_windows() -> None:
    hot = in_fahrenheit(readings(300, seed=11, begin_s=CALM.end_s))
    after = readings(600, seed=12, begin_s=hot.end_s)
    watch = Watch(SCHEMA, clear_after=4)
    told = [(place, one.state) for place, window in enumerate(_windows(then(CALM, hot, after))) for one in watch.add(window)]
    assert told == [(10, "raised"), (16, "cleared")]
    assert watch.active == []
    assert watch.raised == 1


def test_what_is_wrong_now_is_active_the_worst_first() -> None:
    watch = Watch(SCHEMA)
    for window in _windows(then(CALM, in_fahrenheit(readings(100, seed=11, begin_s=CALM.end_s)))):
        watch.add(window, rejected=3 if window.offsets and window.offsets["first"] == 1000 else 0)
    assert [(one.kind, one.severity) for one in watch.active] == [("too-large", "error"), ("rows-rejected", "warning")]


def test_rejects_are_a_warning() -> None:
    watch = Watch(SCHEMA)
    (alarm,) = watch.add(next(_windows(CALM)), rejected=7)
    assert (alarm.kind, alarm.severity) == ("rows-rejected", "warning")
    assert "7 of 100" in alarm.message


def test_silence_is_told_while_it_lasts_and_ends_with_rows() -> None:
    watch = Watch(SCHEMA)
    windows = list(_windows(CALM))
    assert watch.add(windows[0]) == []
    end = windows[0].end_s
    assert watch.add(_empty(end, end + 20)) == []
    (alarm,) = watch.add(_empty(end + 20, end + 40))
    assert alarm.kind == "time-gap"
    assert alarm.message == "The stream is silent: nothing has come for 40 s; a row is due every 5 s"
    assert watch.add(_empty(end + 40, end + 4000)) == []
    for window in windows[1:]:
        watch.add(window)
    assert watch.active == []


def test_a_stream_that_never_begins_is_silent_too() -> None:
    watch = Watch(None, silence_s=10)
    assert watch.add(_empty(0, 5)) == []
    (alarm,) = watch.add(_empty(5, 10))
    assert alarm.message == "The stream is silent: nothing has come for 10 s"
    window = next(_windows(readings(10, begin_s=20)))
    assert [one.state for _ in range(3) for one in watch.add(window)] == ["cleared"]


def test_silence_follows_from_the_cadences() -> None:
    assert find_silence(SCHEMA) == 30
    document = {"type": "object", "properties": {"at": {"type": "string"}}, "x-fairway": {"cadence": [{"column": "at", "period_s": 2}]}}
    assert find_silence(parse_schema(document)) == 20
    assert find_silence(None) is None


def test_kinds_that_a_schema_says() -> None:
    assert kinds_of(SCHEMA) == {
        "at": "timestamp", "site": "string", "temperature": "float", "humidity": "float", "battery": "integer",
        "state": "string",
    }  # fmt: skip


def test_drift_is_among_the_alarms() -> None:
    random = np.random.default_rng(1)
    calm = {"x": random.normal(0, 1, 20_000), "c": random.choice(["a", "b", "c"], 20_000).tolist()}
    baseline = Baseline.make(calm, window_rows=500)
    watch = Watch(None, Monitor(baseline), clock=lambda: dt.datetime.fromtimestamp(BEGIN_S, dt.UTC))

    def add(mean: float) -> list[Alarm]:
        batch = Batch.of({"x": random.normal(mean, 1, 500), "c": random.choice(["a", "b", "c"], 500).tolist()})
        return watch.add(Window(batch, 0.0, 0.0, 500, 0, {"first": 0, "last": 499}, lambda: None))

    assert [alarm for _ in range(20) for alarm in add(0)] == []
    raised = [alarm for _ in range(3) for alarm in add(2.0)]
    assert [(one.kind, one.column, one.state) for one in raised] == [("drift", "x", "raised")]
    assert [one.id for one in watch.active] == [raised[0].id]
    assert [one.state for _ in range(4) for one in add(0)] == ["cleared"]
    assert watch.active == []


@pytest.mark.parametrize("every", [1, 3])
def test_a_watch_that_is_restarted_tells_the_same(every: int) -> None:
    random = np.random.default_rng(1)
    columns = {"temperature": random.normal(20, 1, 20_000), "battery": random.integers(0, 100, 20_000).tolist()}
    schema = parse_schema({"type": "object", "properties": {"temperature": {"type": "number", "maximum": 90}, "battery": {}}})
    baseline = Baseline.make(Batch.of(columns), window_rows=200)

    def made() -> Watch:
        return Watch(schema, Monitor(baseline, schema), clock=lambda: dt.datetime.fromtimestamp(BEGIN_S, dt.UTC))

    whole, restarted = made(), made()
    told: list[tuple[Any, ...]] = []
    again: list[tuple[Any, ...]] = []
    for place in range(40):
        mean = 20 if place < 10 or place > 22 else 100 if place < 14 else 24
        batch = Batch.of({"temperature": random.normal(mean, 1, 150), "battery": random.integers(0, 100, 150)})
        window = Window(batch, 0.0, float(place), 150, 0, None, lambda: None)
        told += [(place, one.id, one.state) for one in whole.add(window)]
        again += [(place, one.id, one.state) for one in restarted.add(window)]
        if place % every == 0:
            state = json.loads(json.dumps(restarted.state()))
            restarted = made()
            restarted.restore(state)
            assert [one.id for one in restarted.active] == [one.id for one in whole.active]
    assert told == again
    assert {(kind.partition(":")[0], state) for _, kind, state in told} == {
        (kind, state) for kind in ("drift", "too-large") for state in ("raised", "cleared")
    }
    assert restarted.rows == 40 * 150


@pytest.mark.parametrize("every", [1, 3])
def test_times_go_on_where_a_watch_was_stopped(every: int) -> None:
    slow = readings(310, seed=5, begin_s=CALM.end_s, period_s=10)
    calm = with_gap(readings(900, seed=6, begin_s=slow.end_s), 400, 60)
    trouble = then(CALM, slow, calm, zone_shifted(readings(600, seed=7, begin_s=calm.end_s), -1.0, first=200))
    told, again = list[tuple[Any, ...]](), list[tuple[Any, ...]]()
    whole, restarted = Watch(SCHEMA), Watch(SCHEMA)
    for place, window in enumerate(_windows(trouble, 17)):
        told += [(place, one.id, one.state, one.message) for one in whole.add(window)]
        again += [(place, one.id, one.state, one.message) for one in restarted.add(window)]
        if place % every == 0:
            state = json.loads(json.dumps(restarted.state()))
            restarted = Watch(SCHEMA)
            restarted.restore(state)
    assert told == again
    assert {one[1].partition(":")[0] for one in told} >= {"cadence-changed", "time-gap", "zone-shifted"}


@pytest.mark.parametrize("killed", ["before the state is kept", "before the window is committed", "after"])
def test_a_watch_that_is_killed_tells_each_alarm_once_and_misses_no_row(tmp_path: Path, killed: str) -> None:
    random = np.random.default_rng(3)
    baseline = Baseline.make(Batch.of({"x": random.normal(size=20_000)}), window_rows=100)
    values = np.concatenate([random.normal(size=600), random.normal(size=600) + 3, random.normal(size=600)])
    (tmp_path / "d.ndjson").write_text("".join(json.dumps({"x": float(one)}) + "\n" for one in values))
    told: list[tuple[str, str]] = []
    done, rows = False, 0
    for turn in range(40):
        watch = Watch(None, Monitor(baseline), clock=lambda: dt.datetime.fromtimestamp(BEGIN_S, dt.UTC))
        kept = WatchFile(tmp_path / "watches", "g", "d", watch)
        assert kept.load() == ""
        options: dict[str, Any] = {"start": "oldest", "once": True, "offsets": str(tmp_path / "offsets")}
        done = True
        with follow(str(tmp_path / "d.ndjson"), window="50 rows", group="g", **options) as stream:
            for place, window in enumerate(stream):
                if kept.is_done(window):
                    window.commit()
                    continue
                alarms = watch.add(window)
                dies = place == turn % 3 + 1
                if dies and killed == "before the state is kept" and turn < 30:
                    done = False
                    break
                told += [(one.id, one.state) for one in alarms]
                kept.save(window)
                if dies and killed == "before the window is committed":
                    done = False
                    break
                window.commit()
                if dies:
                    done = False
                    break
        rows = watch.rows
        if done:
            break
    assert done
    assert told == [("drift:x:1", "raised"), ("drift:x:1", "cleared")]
    assert rows == len(values)


def test_another_schema_begins_afresh(tmp_path: Path) -> None:
    WatchFile(tmp_path, "g", "d", Watch(SCHEMA)).save(next(_windows(CALM)))
    assert WatchFile(tmp_path, "g", "d", Watch(SCHEMA)).load() == ""
    other = parse_schema({"type": "object", "properties": {}})
    assert "begin afresh" in WatchFile(tmp_path, "g", "d", Watch(other)).load()
