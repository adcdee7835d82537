"""Whole checks of data that did not change: columns, classifier, slices together. The full count is the benchmark suite `data-drift`."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.data import falsealarms
from fairway.data.batch import Batch
from fairway.data.drift import compare
from fairway.data.statistics import measure


@pytest.mark.parametrize("what", ["mixed", *(["credit"] if falsealarms.CREDIT.exists() else [])])
def test_unchanged_tables_raise_no_alarm(what: str) -> None:
    """One check in a hundred may alarm by chance (so does one of seed 5): this seed has none, and wrong thresholds alarm often."""
    made = {"mixed": falsealarms.mixed, "credit": falsealarms.credit}[what]
    found = falsealarms.check(made(4, 77))
    assert found["checks"] == 4
    assert found["alarmed"] == 0, found["what"]


def test_statistics_say_that_they_do_not_know_the_order_of_rows() -> None:
    [(before, after, _)] = falsealarms.mixed(1, 2)
    assert any("taken as independent" in one for one in compare(measure([before]), measure([after]), multivariate=False).notes)
    assert not any("taken as independent" in one for one in compare(before, after, multivariate=False).notes)


@pytest.mark.parametrize(("before", "after"), [(135, 4_000), (8_000, 150), (361, 5_593), (300, 301)])
def test_what_is_constant_does_not_drift_however_many_rows_there_are(before: int, after: int) -> None:
    tables = [Batch.of({"same": np.full(rows, 7), "word": ["yes"] * rows, "zero": np.zeros(rows)}) for rows in (before, after)]
    assert [one.key for one in compare(*tables, multivariate=False).drifted] == []
