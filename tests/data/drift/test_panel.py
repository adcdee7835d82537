"""All facets' measures at once are what each frame gives by itself."""

from __future__ import annotations

import numpy as np
import pytest

from fairway.data.batch import Batch
from fairway.data.drift import Baseline, Monitor
from fairway.data.drift.coding import Coder
from fairway.data.drift.panel import Panel
from fairway.data.schema.parse import parse_schema


def rows(count: int, seed: int, shift: float = 0.0) -> Batch:
    rng = np.random.default_rng(seed)
    return Batch.of(
        {
            "height": [None if one % 7 == 0 else float(one) / 9 for one in rng.integers(0, 1000, count)],
            "weight": np.where(rng.random(count) < 0.02, np.nan, rng.lognormal(2 + shift, 1, count)),
            "visits": rng.poisson(4, count),
            "is_new": rng.random(count) < 0.3 + shift / 5,
            "colour": np.array(["red", "green", "blue", "grey"])[rng.choice(4, count, p=[0.5, 0.3, 0.199, 0.001])],
            "note": [f"user {one} wrote {one * 7}" for one in rng.integers(0, 10**6, count)],
        }
    )


BASELINE = Baseline.make(rows(20_000, 1), window_rows=500)


@pytest.mark.parametrize("shift", [0.0, 0.3, 30.0])
def test_the_panel_measures_what_frames_measure(shift: float) -> None:
    panel, batch = Panel(BASELINE.tracks), rows(2_000, 2, shift)
    places = np.arange(2_000) // 500
    counted = [Coder(one.facet, one.frame).counted(batch, places, 4, {}) for one in BASELINE.tracks]
    windows = np.concatenate(counted, axis=-1)
    psi, largest = panel.psi(windows), panel.largest(windows)
    for number, (track, own) in enumerate(zip(BASELINE.tracks, counted, strict=True)):
        frame = track.frame
        p, q = frame.shares(frame.counts), frame.shares(own)
        assert (panel.part(windows, number) == own).all()
        assert psi[:, number] == pytest.approx(frame.distances(p, q, 500.0, "psi"), abs=1e-12)
        assert largest[:, number] == pytest.approx(frame.distances(p, q, 500.0, frame.deciding[0]), abs=1e-12)


@pytest.mark.parametrize(("column", "measure"), [("height", "linf"), ("visits", "js"), ("colour", "psi"), ("colour", "js")])
def test_a_rules_own_measure_decides_alone(column: str, measure: str) -> None:
    rule = {"x-fairway": {"drift": {"measure": measure, "threshold": 1e-6}}}
    monitor = Monitor(BASELINE, parse_schema({"type": "object", "properties": {column: rule}}))
    alarms = [one for one in monitor.add(rows(500, 3)) if one.column == column]
    told = monitor.summary()["facets"][column]
    [track] = [one for one in monitor.tracks if one.facet.key == column]
    own = Coder(track.facet, track.frame).counted(rows(500, 3), np.zeros(500, int), 1, {})
    expected = track.frame.distances(track.frame.shares(track.frame.counts), track.frame.shares(own), 500.0, measure)
    assert [one.value for one in alarms] == pytest.approx(expected.tolist(), abs=1e-12)
    assert told["thresholds"] == {measure: 1e-6} and told["measures"][measure] == pytest.approx(float(expected[0]), abs=1e-12)
