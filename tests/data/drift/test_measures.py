"""Measures: symmetric, zero on equal, within bounds, as SciPy has them."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from scipy.spatial import distance

from fairway.data.drift import measures


@st.composite
def pairs(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    size = draw(st.integers(2, 30))
    one, other = (np.array(draw(st.lists(st.integers(0, 1000), min_size=size, max_size=size))) for _ in range(2))
    one[draw(st.integers(0, size - 1))] += 1
    other[draw(st.integers(0, size - 1))] += 1
    return one.astype(float), other.astype(float)


MEASURES = {
    "psi": (measures.psi, 2 * math.log(1e6)),
    "js": (measures.jensen_shannon, 1.0),
    "ks": (measures.kolmogorov_smirnov, 1.0),
    "linf": (measures.l_infinity, 1.0),
}


@pytest.mark.parametrize("name", MEASURES)
@given(pair=pairs())
def test_symmetric_bounded_and_zero_on_equal(name: str, pair: tuple[np.ndarray, np.ndarray]) -> None:
    measure, largest = MEASURES[name]
    p, q = (counts / counts.sum() for counts in pair)
    value = float(measure(p, q))
    assert 0 <= value <= largest
    assert value == pytest.approx(float(measure(q, p)), abs=1e-12)
    assert float(measure(p, p)) == pytest.approx(0, abs=1e-12)
    if np.abs(p - q).max() > 1e-3:
        assert value > 0


@pytest.mark.parametrize("name", MEASURES)
def test_nothing_in_common_is_the_largest(name: str) -> None:
    measure, largest = MEASURES[name]
    assert float(measure(np.array([1.0, 0.0]), np.array([0.0, 1.0]))) == pytest.approx(largest, rel=1e-4)


@given(pair=pairs())
def test_jensen_shannon_is_scipys_squared(pair: tuple[np.ndarray, np.ndarray]) -> None:
    p, q = (counts / counts.sum() for counts in pair)
    assert float(measures.jensen_shannon(p, q)) == pytest.approx(float(distance.jensenshannon(p, q, 2)) ** 2, abs=1e-9)


@given(pair=pairs())
def test_kolmogorov_smirnov_and_wasserstein_are_scipys(pair: tuple[np.ndarray, np.ndarray]) -> None:
    p, q = (counts / counts.sum() for counts in pair)
    points = np.cumsum(np.arange(len(p)) + 1.0)
    samples = [np.repeat(points, counts.astype(int)) for counts in pair]
    assert float(measures.kolmogorov_smirnov(p, q)) == pytest.approx(float(stats.ks_2samp(*samples, method="asymp").statistic), abs=1e-9)
    expected = stats.wasserstein_distance(points, points, p, q)
    assert float(measures.wasserstein(p, q, points)) == pytest.approx(float(expected), abs=1e-9)


@given(pair=pairs())
def test_chi_square_is_scipys(pair: tuple[np.ndarray, np.ndarray]) -> None:
    table = np.vstack(pair)
    table = table[:, table.sum(0) > 0]
    found = measures.chi_square(*pair)
    if table.shape[1] < 2:
        assert found.p_value == 1.0
        return
    expected = stats.chi2_contingency(table, correction=False)
    assert found.statistic == pytest.approx(float(expected.statistic), rel=1e-9, abs=1e-9)
    assert found.freedom == expected.dof
    assert found.p_value == pytest.approx(float(expected.pvalue), rel=1e-6, abs=1e-12)


@given(statistic=st.floats(0.001, 2000), freedom=st.integers(1, 400))
def test_the_tail_of_chi_square_is_scipys(statistic: float, freedom: int) -> None:
    expected = float(stats.chi2.sf(statistic, freedom))
    assert measures.chi_square_tail(statistic, freedom) == pytest.approx(expected, rel=1e-7, abs=1e-13)


def test_many_distributions_at_once() -> None:
    p = np.array([0.5, 0.3, 0.2])
    q = np.array([[0.5, 0.3, 0.2], [0.2, 0.3, 0.5]])
    for measure, _ in MEASURES.values():
        assert measure(p, q) == pytest.approx([float(measure(p, row)) for row in q])
