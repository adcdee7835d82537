"""Detectors of concept drift find what River's find, where River's find it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from fairway.data.drift.concept import ADWIN, DDM, PageHinkley

drift = pytest.importorskip("river.drift")
binary = pytest.importorskip("river.drift.binary")
QUARTER = 1_500


def streams() -> list[tuple[np.ndarray, list[int]]]:
    """(rate of errors in each quarter, errors)"""
    made: list[tuple[np.ndarray, list[int]]] = []
    for seed in range(30):
        rng = np.random.default_rng(seed)
        rates = rng.uniform(0.05, 0.6, 4)
        made.append((rates, [int(rng.random() < rates[place // QUARTER]) for place in range(4 * QUARTER)]))
    return made


def found_by(river: Any, stream: list[int]) -> list[int]:
    made: list[int] = []
    for place, value in enumerate(stream):
        river.update(value)
        if river.drift_detected:
            made.append(place)
    return made


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [(PageHinkley, drift.PageHinkley), (lambda: PageHinkley(threshold=20), lambda: drift.PageHinkley(threshold=20)), (DDM, binary.DDM)],
    ids=["page-hinkley", "page-hinkley-20", "ddm"],
)
def test_page_hinkley_and_ddm_find_the_same_places(ours: Any, theirs: Any) -> None:
    every = 0
    for _, stream in streams():
        detector = ours()
        found = [place for place, value in enumerate(stream) if detector.add(value)]
        assert found == found_by(theirs(), stream)
        every += len(found)
    assert every > 20


def test_adwin_finds_the_same_changes() -> None:
    """The first cut after each change that matters is within four of its clock's ticks of River's, which looks at one bucket less of each
    size."""
    changes = 0
    for rates, stream in streams():
        detector = ADWIN()
        found = [place for place, value in enumerate(stream) if detector.add(value)]
        expected = found_by(drift.ADWIN(), stream)
        for quarter in (1, 2, 3):
            if abs(rates[quarter] - rates[quarter - 1]) < 0.15:
                continue
            inside = range(quarter * QUARTER, (quarter + 1) * QUARTER)
            mine, other = (next(place for place in one if place in inside) for one in (found, expected))
            assert abs(mine - other) <= 4 * 32
            changes += 1
    assert changes > 20
