"""Rows as a whole: a shift that no column shows by itself is found, and by which columns; chance is not."""

from __future__ import annotations

import time

import numpy as np
import pytest

from fairway.data.batch import Batch
from fairway.data.drift import compare
from fairway.data.drift.classifier import area, told_apart
from fairway.data.drift.samples import pair
from fairway.data.statistics import measure

METHODS = pytest.mark.parametrize("boosting", [False, True], ids=["quadratic", "boosting"])


def related(count: int, sign: float, seed: int) -> Batch:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=count)
    kind = np.array(["a", "b"])[rng.integers(0, 2, count)]
    return Batch.of({"x": x, "y": sign * 0.8 * x + 0.6 * rng.normal(size=count), "z": rng.normal(size=count), "kind": kind})


@METHODS
def test_a_correlation_that_flips_is_found_by_its_columns(boosting: bool) -> None:
    found = told_apart(related(1_500, 1, 1), related(1_500, -1, 2), ["x", "y", "z", "kind"], 0.002, boosting=boosting)
    assert found is not None and found.drifted and found.auc > 0.8
    assert {name for name, _ in found.moved} == {"x", "y"}


@METHODS
def test_chance_is_not_drift(boosting: bool) -> None:
    for seed in range(3):
        found = told_apart(related(800, 1, 10 + seed), related(800, 1, 50 + seed), ["x", "y", "z", "kind"], 0.002, boosting=boosting)
        assert found is not None and not found.drifted and found.moved == ()


def test_the_report_says_so() -> None:
    report = compare(related(3_000, 1, 1), related(3_000, -1, 2))
    assert [one.column for one in report.columns if one.drifted] == []
    assert not report.ok
    [sentence] = report.sentences()
    assert sentence.startswith("rows as a whole can be told apart, by `") and "`x`" in sentence and "`y`" in sentence


def test_a_table_against_a_longer_one_of_few_distinct_rows_is_not_told_apart() -> None:
    """A sample of distinct rows knows only some of a long table's; which those are must not betray it."""

    def grid(count: int, seed: int) -> Batch:
        rng = np.random.default_rng(seed)
        return Batch.of({"a": rng.integers(0, 200, count), "b": rng.integers(0, 150, count)})

    before, after = measure(grid(300_000, 1)), measure(grid(3_000, 2))
    one, other = pair(before, after)
    assert min(one.rows, other.rows) > 300
    found = told_apart(one, other, ["a", "b"], 0.002)
    assert found is not None and not found.drifted


def test_area_is_mann_and_whitneys() -> None:
    from sklearn import metrics

    rng = np.random.default_rng(1)
    scores, labels = np.round(rng.normal(size=400), 1), rng.integers(0, 2, 400)
    auc, error = area(scores, labels)
    assert auc == pytest.approx(float(metrics.roc_auc_score(labels, scores)))
    shuffled = [area(scores, rng.permutation(labels))[0] for _ in range(400)]
    assert error == pytest.approx(float(np.std(shuffled)), rel=0.15)


def test_too_few_rows_or_columns_are_not_judged() -> None:
    assert told_apart(related(50, 1, 1), related(50, 1, 2), ["x", "y"], 0.002) is None
    assert told_apart(related(500, 1, 1), related(500, 1, 2), ["x"], 0.002) is None


def test_the_moved_column_of_a_wide_table_is_found_soon() -> None:
    """Hundreds of categories make thousands of features; only those that tell most are learnt from."""

    def wide(seed: int, moved: float) -> Batch:
        rng = np.random.default_rng(seed)
        shares = [1 / 8] * 8
        columns = {f"c{n}": [f"v{one}" for one in rng.choice(8, 2_000, p=shares)] for n in range(80)}
        columns["c79"] = [f"v{one}" for one in rng.choice(2, 2_000, p=[0.5 + moved, 0.5 - moved])]
        return Batch.of(columns)

    names = [f"c{n}" for n in range(80)]
    began = time.process_time()
    found = told_apart(wide(1, 0.0), wide(2, 0.25), names, 0.002)
    assert time.process_time() - began < 60
    assert found is not None and found.drifted and found.moved[0][0] == "c79"
    same = told_apart(wide(1, 0.0), wide(3, 0.0), names, 0.002)
    assert same is not None and not same.drifted
