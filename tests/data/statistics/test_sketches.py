"""Sketches keep to the errors that they state, on friendly orders and on hostile ones, whole and merged."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fairway.data.hashing import mixed
from fairway.data.statistics.counting import Frequent, Registers, Smallest
from fairway.data.statistics.moments import Moments
from fairway.data.statistics.quantiles import Quantiles, cdf_of, quantile_of

ORDERS = {
    "shuffled": lambda values: np.random.default_rng(3).permutation(values),
    "sorted": lambda values: values,
    "reversed": lambda values: values[::-1],
    "zigzag": lambda values: np.concatenate([values[::2], values[1::2][::-1]]),
    "ends first": lambda values: np.stack([values[: len(values) // 2], values[::-1][: len(values) // 2]], 1).ravel(),
}
SHAPES = {
    "uniform": np.linspace(0, 1, 200_000),
    "heavy tail": np.exp(np.linspace(-30, 30, 200_000)),
    "two spikes": np.sort(np.repeat([1.0, 2.0], 100_000)),
    "all equal": np.full(200_000, 7.0),
    "spike inside": np.sort(np.concatenate([np.linspace(0, 1, 150_000), np.full(50_000, 0.5)])),
}


def worst_rank_error(sketch: Quantiles, ordered: np.ndarray) -> float:
    points = np.unique(ordered[:: max(1, len(ordered) // 997)])
    truth = np.searchsorted(ordered, points, side="right") / len(ordered)
    return float(np.abs(cdf_of(sketch.view(), points) - truth).max())


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("k", [256, 2048])
def test_ranks_are_within_the_stated_error(shape: str, order: str, k: int) -> None:
    values = ORDERS[order](SHAPES[shape])
    sketch = Quantiles(k, seed=1)
    for start in range(0, len(values), 3_001):
        sketch.add_sorted(np.sort(values[start : start + 3_001]))
    assert sketch.count == len(values)
    assert sketch.view()[1][-1] == len(values)  # no weight is lost
    assert worst_rank_error(sketch, SHAPES[shape]) <= 1.5 * sketch.rank_error  # the error is that of one question; here are a thousand
    assert sum(len(level) for level in sketch.levels) < 7 * k


@pytest.mark.parametrize("k", [256, 2048])
def test_the_rank_error_of_one_question_is_kept_99_times_in_100(k: int) -> None:
    values = np.arange(100_000.0)
    away = list[float]()
    for seed in range(100):
        sketch = Quantiles(k, seed)
        for start in range(0, len(values), 997):
            sketch.add_sorted(values[start : start + 997])
        away.append(abs(float(cdf_of(sketch.view(), np.array([29_999.0]))[0]) - 0.3))
    assert sum(one > sketch.rank_error for one in away) <= 1


def test_ranks_of_many_merged_shards_are_within_the_stated_error() -> None:
    values = np.random.default_rng(4).normal(size=300_000)
    parts = list[Quantiles]()
    for number, part in enumerate(np.array_split(values, 100)):
        parts.append(Quantiles(1024, seed=number))
        parts[-1].add_sorted(np.sort(part))
    left = Quantiles(1024)
    for part in parts:
        left.merge(part)
    while len(parts) > 1:  # a tree of merges
        for one, other in zip(parts[::2], parts[1::2], strict=False):
            one.merge(other)
        parts = parts[::2]
    for sketch in (left, parts[0]):
        assert sketch.count == 300_000
        assert worst_rank_error(sketch, np.sort(values)) <= 1.5 * sketch.rank_error


@settings(deadline=None, max_examples=50)
@given(st.lists(st.floats(-1e300, 1e300), min_size=1, max_size=200), st.floats(0, 1))
def test_quantiles_of_few_values_are_exact(values: list[float], q: float) -> None:
    sketch = Quantiles(256)
    for value in values:
        sketch.add_sorted(np.array([value]))
    assert sketch.rank_error == 0
    assert quantile_of(sketch.view(), np.array([q]))[0] == sorted(values)[max(0, math.ceil(q * len(values)) - 1)]


def test_a_sketch_that_was_stored_goes_on_as_it_was() -> None:
    sketch = Quantiles(256)
    sketch.add_sorted(np.arange(10_000.0))
    again = Quantiles.from_record(sketch.to_record())
    assert again.to_record() == sketch.to_record()
    again.add_sorted(np.arange(10_000.0))
    assert worst_rank_error(again, np.repeat(np.arange(10_000.0), 2)) <= 1.5 * again.rank_error


@pytest.mark.parametrize("count", [0, 1, 5, 100, 3_000, 60_000, 1_000_000])
@pytest.mark.parametrize("p", [11, 14])
def test_distinct_values_are_counted_within_three_standard_errors(count: int, p: int) -> None:
    registers = Registers(p)
    hashes = mixed(np.arange(count, dtype=np.uint64) * np.uint64(977))
    for start in range(0, count, 65_536):
        registers.add(hashes[start : start + 65_536])
        registers.add(hashes[start : start + 100])
    assert abs(registers.estimate() - count) <= max(3 * registers.error * count, 0.01)


hashes_of = st.lists(st.integers(0, 300), max_size=200).map(lambda made: mixed(np.array(made, np.uint64)))


@settings(deadline=None, max_examples=50)
@given(hashes_of, st.integers(0, 200), st.integers(0, 200))
def test_registers_do_not_depend_on_order_batches_or_merges(hashes: np.ndarray, one: int, other: int) -> None:
    whole = Registers(6)
    whole.add(hashes)
    parts = [Registers(6), Registers(6), Registers(6)]
    first, second = sorted((one, other))
    for part, piece in zip(parts, (hashes[second:], hashes[:first][::-1], hashes[first:second]), strict=True):
        for value in piece:
            part.add(np.array([value]))
    parts[1].merge(parts[2])
    parts[0].merge(parts[1])
    assert (parts[0].held == whole.held).all()


def test_fewer_registers_are_what_would_have_been_counted_with_them() -> None:
    many, few = Registers(12), Registers(7)
    hashes = mixed(np.arange(5_000, dtype=np.uint64))
    many.add(hashes)
    few.add(hashes)
    assert (many.folded(7) == few.held).all()
    few.merge(many)
    assert (few.held == many.folded(7)).all()


@settings(deadline=None, max_examples=50)
@given(hashes_of, st.integers(1, 60), st.integers(0, 200), st.integers(0, 200))
def test_the_smallest_hashes_do_not_depend_on_order_batches_or_merges(hashes: np.ndarray, k: int, one: int, other: int) -> None:
    whole = Smallest(k)
    whole.add(hashes)
    first, second = sorted((one, other))
    parts = [Smallest(k), Smallest(k), Smallest(k)]
    for part, piece in zip(parts, (hashes[second:], hashes[:first][::-1], hashes[first:second]), strict=True):
        for value in piece:
            part.add(np.array([value]))
    parts[1].merge(parts[2])
    parts[0].merge(parts[1])
    assert parts[0].hashes.tolist() == whole.hashes.tolist()
    assert parts[0].counts.tolist() == whole.counts.tolist()
    assert parts[0].limit == whole.limit
    counts = {one: hashes.tolist().count(one) for one in hashes.tolist()}
    assert whole.counts.tolist() == [counts[one] for one in whole.hashes.tolist()]
    if len(counts) <= k:
        assert whole.is_whole
        assert whole.distinct() == len(counts)


@settings(deadline=None, max_examples=50)
@given(st.lists(st.lists(st.integers(0, 40), max_size=60), max_size=8), st.integers(2, 12), st.integers(0, 8))
def test_frequent_values_are_counted_within_their_error(batches: list[list[int]], capacity: int, cut: int) -> None:
    def counted(some: list[list[int]]) -> Frequent:
        made = Frequent(capacity, np.int64)
        for batch in some:
            keys, counts = np.unique(np.array(batch, np.int64), return_counts=True)
            made.add(keys, None if len(keys) == len(batch) and len(batch) else counts)
        return made

    merged = counted(batches[:cut])
    merged.merge(counted(batches[cut:]))
    every = [one for batch in batches for one in batch]
    for sketch in (counted(batches), merged):
        assert len(sketch.keys) <= capacity
        assert sketch.missed <= len(every) / (capacity + 1)
        held = dict(zip(sketch.keys.tolist(), zip(sketch.seen.tolist(), sketch.error.tolist(), strict=True), strict=True))
        for value in set(every):
            seen, error = held.get(value, (0, sketch.missed))
            assert seen <= every.count(value) <= seen + error
        if len(set(every)) <= capacity:
            assert sketch.is_complete


def test_a_frequent_value_is_found_among_a_million_others() -> None:
    sketch = Frequent(256, np.int64)
    rng = np.random.default_rng(5)
    for start in range(0, 1_000_000, 10_000):
        keys = np.where(rng.random(10_000) < 0.01, -1, np.arange(start, start + 10_000))
        sketch.add(*np.unique(keys, return_counts=True))
    assert sketch.keys[sketch.ranked()[0]] == -1
    assert sketch.missed <= 1_000_000 / 257


@pytest.mark.parametrize(
    "values",
    [
        pytest.param(np.random.default_rng(6).normal(1e9, 1, 10_001), id="far from zero"),
        pytest.param(np.random.default_rng(6).normal(0, 1e300, 10_001) * 0.1, id="huge"),
        pytest.param(np.random.default_rng(6).exponential(1e-310, 10_001), id="denormal"),
        pytest.param(np.random.default_rng(6).exponential(1, 10_001), id="skewed"),
    ],
)
def test_moments_of_any_parts_are_those_of_the_whole(values: np.ndarray) -> None:
    power = math.frexp(float(np.abs(values).max()))[1] - 1
    unit = np.ldexp(values, -power)
    away = unit - unit.mean()
    spread = (away**2).mean()
    for parts in (1, 7, 500):
        made = Moments()
        for part in np.array_split(values, parts):
            made = made.merged(Moments.of(part))
        assert made.count == len(values)
        assert made.average == pytest.approx(float(np.ldexp(unit.mean(), power)), rel=1e-12, abs=1e-320)
        assert made.std == pytest.approx(math.ldexp(math.sqrt(spread * 10_001 / 10_000), power), rel=1e-6)
        assert made.skewness == pytest.approx((away**3).mean() / spread**1.5, abs=1e-5)
        assert made.kurtosis == pytest.approx((away**4).mean() / spread**2 - 3, abs=1e-5)


@settings(deadline=None, max_examples=50)
@given(st.lists(st.integers(-50, 50), min_size=1, max_size=50))
def test_moments_of_counted_values_are_those_of_the_values(values: list[int]) -> None:
    keys, counts = np.unique(np.array(values, np.float64), return_counts=True)
    counted, plain = Moments.of(keys, counts), Moments.of(np.array(values, np.float64))
    assert counted.count == plain.count
    for one, other in zip(counted.to_record(), plain.to_record(), strict=True):
        assert one == pytest.approx(other, rel=1e-9, abs=1e-9)
