"""Errors that change are noticed soon, and rarely when they do not."""

from __future__ import annotations

import json

import numpy as np
import pytest

from fairway.data.drift.concept import ADWIN, DDM, ConceptMonitor, Detector, PageHinkley


def errors(seed: int, before: float, after: float, turn: int = 2_000, count: int = 4_000) -> list[float]:
    rng = np.random.default_rng(seed)
    return [float(rng.random() < (before if place < turn else after)) for place in range(count)]


@pytest.mark.parametrize("make", [lambda: PageHinkley(threshold=30), DDM, ADWIN], ids=["page-hinkley", "ddm", "adwin"])
def test_a_rise_of_errors_is_noticed(make: type[Detector]) -> None:
    for seed in range(5):
        detector = make()
        found = [place for place, error in enumerate(errors(seed, 0.1, 0.4)) if detector.add(error)]
        assert [place for place in found if 2_000 <= place < 2_400], f"seed {seed}: {found}"


def test_adwin_is_quiet_and_small_while_nothing_changes() -> None:
    detector = ADWIN()
    assert sum(detector.add(error) for error in errors(1, 0.2, 0.2, count=50_000)) == 0
    assert detector.width == 50_000
    assert sum(len(row) for row in detector.rows) < 100


def test_adwin_keeps_its_sums() -> None:
    """Mean and variance of what it holds are those of the last `width` errors."""
    given = list(np.random.default_rng(2).normal(0.3, 0.1, 700)) + list(np.random.default_rng(3).normal(0.8, 0.1, 700))
    detector = ADWIN()
    for error in given:
        detector.add(float(error))
    assert 500 < detector.width < 900
    kept = np.array(given[-detector.width :])
    assert detector.mean == pytest.approx(kept.mean())
    assert detector.squares / detector.width == pytest.approx(kept.var(), rel=1e-6)


def test_a_monitor_raises_clears_and_goes_on_after_a_restart() -> None:
    monitor = ConceptMonitor()
    assert monitor.add(errors(1, 0.1, 0.1)) == []
    [raised] = monitor.add(errors(2, 0.4, 0.4, count=1_500))
    assert raised.state == "raised" and raised.kind == "concept" and raised.message.startswith("the model's errors rose: 0.1")
    again = ConceptMonitor()
    again.restore(json.loads(json.dumps(monitor.state())))
    for one in (monitor, again):
        [cleared] = one.add(errors(3, 0.1, 0.1))
        assert cleared.state == "cleared" and cleared.id == raised.id and "are back at 0." in cleared.message


def test_a_new_level_becomes_the_usual_one() -> None:
    monitor = ConceptMonitor(patience=2_000)
    monitor.add(errors(1, 0.1, 0.1))
    found = monitor.add(errors(2, 0.4, 0.4))
    assert [alarm.state for alarm in found] == ["raised", "cleared"]
    assert "have stayed at 0.4" in found[-1].message or "have stayed at 0.3" in found[-1].message
