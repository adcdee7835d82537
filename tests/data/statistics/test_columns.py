"""Statistics of a column: exact where they say so, in any batching and merging; estimates within their bounds; on hostile values too."""

from __future__ import annotations

import datetime as dt
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fairway.data.batch import Batch
from fairway.data.statistics import Accumulator, Budget, ColumnStatistics, TableStatistics

floats = st.one_of(st.none(), st.floats(width=64), st.sampled_from([0.0, -0.0, 1e300, -1e300, 5e-324, math.nan, math.inf, -math.inf]))
whole = st.one_of(st.none(), st.integers(-(2**63), 2**63 - 1), st.integers(-3, 3))
texts = st.one_of(st.none(), st.text(max_size=12), st.sampled_from(["a", "b", "Ã©", "\ufffd", "\0", "12", "2024-01-01"]))
booleans = st.one_of(st.none(), st.booleans())


def measured(column: Any, cuts: tuple[int, ...] = (), budget: Budget | None = None) -> ColumnStatistics:
    return accumulated(column, cuts, budget).result().columns["x"]


def accumulated(column: Any, cuts: tuple[int, ...] = (), budget: Budget | None = None) -> Accumulator:
    made = Accumulator(budget=budget)
    batch = Batch.of({"x": column})
    ends = sorted(min(one, batch.rows) for one in cuts)
    for start, end in zip([0, *ends], [*ends, batch.rows], strict=True):
        made.add(batch.slice(start, end))
    return made


def exact_parts(one: ColumnStatistics) -> dict[str, Any]:
    names = ("rows", "nulls", "nans", "infinities", "zeros", "negatives", "unlike", "whole", "low", "high", "encoding", "distinct", "top")
    made = {name: getattr(one, name) for name in (*names, "unique_share", "distinct_is_exact", "top_is_complete", "shapes")}
    made["count"] = one.moments.count
    if one.lengths:
        made["lengths"] = exact_parts(one.lengths)
    return made


@pytest.mark.parametrize("kind", [floats, whole, texts, booleans], ids=["floats", "whole", "texts", "booleans"])
def test_the_exact_parts_are_the_same_in_any_batching_and_merging(kind: st.SearchStrategy[Any]) -> None:
    @settings(deadline=None, max_examples=60)
    @given(st.lists(kind, min_size=1, max_size=40), st.lists(st.integers(0, 40), max_size=3), st.integers(0, 40), st.integers(0, 40))
    def check(column: list[Any], cuts: list[int], one: int, other: int) -> None:
        batch = Batch.of({"x": column})
        truth = measured(column)
        assert exact_parts(measured(column, tuple(cuts))) == exact_parts(truth)
        first, second = sorted((min(one, len(column)), min(other, len(column))))
        pieces = [batch.slice(0, first), batch.slice(first, second), batch.slice(second, batch.rows)]
        parts = list[TableStatistics]()
        for piece in pieces:
            part = Accumulator()
            part.add(piece)
            parts.append(part.result())
        a, b, c = parts
        for merged in (a.merge(b).merge(c), a.merge(b.merge(c))):
            if "x" in merged.columns:
                assert exact_parts(merged.columns["x"]) == exact_parts(truth)
                assert merged.columns["x"].mean == pytest.approx(truth.mean, rel=1e-9, abs=1e-9, nan_ok=True)

    check()


@settings(deadline=None, max_examples=50)
@given(st.lists(floats, min_size=1, max_size=40))
def test_floats_are_what_numpy_says(column: list[float | None]) -> None:
    made = measured([*column, 1.5])
    there = np.array([one for one in [*column, 1.5] if one is not None])
    finite = there[np.isfinite(there)]
    assert made.nulls == column.count(None)
    assert made.nans == np.isnan(there).sum()
    assert made.infinities == np.isinf(there).sum()
    assert made.zeros == (finite == 0).sum()
    assert made.negatives == (finite < 0).sum()
    assert (made.minimum, made.maximum) == (finite.min(), finite.max())
    assert made.distinct == len(np.unique(finite))
    assert made.whole == bool((finite == np.floor(finite)).all())
    assert made.quantile([0, 1]).tolist() == [finite.min(), finite.max()]
    assert made.histogram(7).sum() == pytest.approx(len(finite))
    scale = np.abs(finite).max() or 1.0
    assert made.mean / scale == pytest.approx((finite / scale).mean(), abs=1e-9)


@settings(deadline=None, max_examples=50)
@given(st.lists(whole, min_size=1, max_size=40))
def test_whole_numbers_are_exact_to_the_ends_of_their_type(column: list[int | None]) -> None:
    made = measured([*column, 7])
    there = [one for one in [*column, 7] if one is not None]
    assert (made.minimum, made.maximum) == (min(there), max(there))
    assert made.distinct == len(set(there))
    assert {one.value: one.count for one in made.top} == {one: there.count(one) for one in there}
    assert made.negatives == sum(one < 0 for one in there)


@settings(deadline=None, max_examples=50)
@given(st.lists(texts, min_size=1, max_size=40))
def test_texts_are_what_python_says(column: list[str | None]) -> None:
    made = measured([*column, "word"])
    there = [one for one in [*column, "word"] if one is not None]
    assert made.minimum == min(there, key=lambda one: one.encode("utf-8", "surrogatepass"))
    assert made.maximum == max(there, key=lambda one: one.encode("utf-8", "surrogatepass"))
    assert {one.value: one.count for one in made.top} == {one: there.count(one) for one in there}
    assert made.top_is_complete
    assert made.lengths is not None
    assert (made.lengths.minimum, made.lengths.maximum) == (min(map(len, there)), max(map(len, there)))
    assert made.lengths.mean == pytest.approx(np.mean([len(one) for one in there]))
    assert made.encoding.nul == sum("\0" in one for one in there)
    assert made.encoding.replacement == sum("\ufffd" in one for one in there)
    assert made.unique_share == pytest.approx(sum(there.count(one) == 1 for one in there) / len(there))
    assert sum(one.count for one in made.shapes) == len(there)


@pytest.mark.parametrize(
    ("text", "sign"),
    [
        ("cafÃ©", "mojibake"),
        ("itâ€™s", "mojibake"),
        ("naÃ¯ve", "mojibake"),
        ("a\ufffdb", "replacement"),
        ("a\x07b", "controls"),
        ("a\0b", "nul"),
    ],
)
def test_damaged_encoding_is_counted_by_what_it_is(text: str, sign: str) -> None:
    made = measured(["plain", text, None, "déjà vu, naïve café — “quoted” Ñandú €5", "tab\tand\nlines"])
    assert {name: getattr(made.encoding, name) for name in ("mojibake", "replacement", "controls", "nul")} == {
        name: int(name == sign) for name in ("mojibake", "replacement", "controls", "nul")
    }


def test_shapes_and_texts_that_read_as_numbers_or_dates() -> None:
    made = measured(["AB-123", "CD-9", "12.5", "1,234.5", "-3e7", "2024-05-01", "1.2.2024 10:00", "", None])
    assert made.shapes[0].value == "A-9"
    assert made.shapes[0].count == 2
    assert made.numeric_texts == 3 / 8
    assert made.date_texts == 2 / 8


@pytest.mark.parametrize("budget", [Budget.full(), Budget.small()], ids=["full", "small"])
@pytest.mark.parametrize("kind", ["float", "integer", "string"])
@pytest.mark.parametrize("order", ["sorted", "reversed", "shuffled"])
def test_estimates_of_a_hundred_thousand_values_are_within_their_bounds(budget: Budget, kind: str, order: str) -> None:
    rng = np.random.default_rng(7)
    numbers = np.concatenate([rng.integers(0, 50_000, 80_000), np.full(20_000, 123)])
    numbers = {"sorted": np.sort(numbers), "reversed": np.sort(numbers)[::-1], "shuffled": rng.permutation(numbers)}[order]
    column: Any = {"float": numbers / 4, "integer": numbers, "string": [f"no {one}" for one in numbers]}[kind]
    made = measured(column, tuple(range(7_000, 100_000, 7_000)), budget)
    values, counts = np.unique(numbers, return_counts=True)
    assert abs(made.distinct - len(values)) <= 3 * made.distinct_error * len(values)
    assert made.unique_share == pytest.approx(int((counts == 1).sum()) / 100_000, abs=3 * 0.5 / math.sqrt(budget.kept))
    first = made.top[0]
    assert first.value == {"float": 30.75, "integer": 123, "string": "no 123"}[kind]
    assert first.count <= counts.max() <= first.count + first.error
    if kind != "string":
        for q in (0.01, 0.25, 0.5, 0.99):
            value = made.quantile(q) * (4 if kind == "float" else 1)
            low, high = ((numbers < value).mean(), (numbers <= value).mean())
            assert low - 1.5 * made.rank_error <= q <= high + 1.5 * made.rank_error


def test_a_histogram_counts_values_at_its_upper_edges() -> None:
    made = measured([0, 1, 1, 2, 3, 4, 4, None])
    assert made.histogram([0, 1, 2, 4]).tolist() == [3, 1, 3]
    assert made.histogram([1, 2]).tolist() == [3]
    assert made.histogram([-9, 9]).tolist() == [7]
    assert made.histogram(4).tolist() == [3, 1, 1, 2]
    assert made.cdf([-1, 0, 3.5, 4]).tolist() == pytest.approx([0, 1 / 7, 5 / 7, 1])


def test_equal_values_have_a_histogram_too() -> None:
    assert measured([5.0] * 10).histogram(4).sum() == 10
    assert measured([1e300, -1e300]).histogram(2).tolist() == [1, 1]


def test_a_column_without_values_answers_all_questions() -> None:
    for column in ([None, None], [math.nan, math.inf], np.empty(0)):
        made = measured(column)
        assert (made.minimum, made.maximum, made.distinct, made.unique_share, made.top) == (None, None, 0.0, 0.0, ())
        assert math.isnan(made.mean)
        assert math.isnan(made.quantile(0.5))
        assert made.histogram(3).tolist() == [0, 0, 0]
        assert made.shapes == ()


def test_lists_have_lengths_and_elements() -> None:
    made = measured([[1.0, 2.0], None, [], [3.0, None], [1.0, 2.0]])
    assert made.kind == "list"
    assert made.distinct == 3
    assert made.lengths is not None
    assert (made.lengths.minimum, made.lengths.maximum, made.lengths.rows) == (0, 2, 4)
    assert made.elements is not None
    assert (made.elements.rows, made.elements.nulls, made.elements.maximum, made.elements.mean) == (6, 1, 3.0, 1.8)


def test_embeddings_are_measured_by_their_elements() -> None:
    vectors = np.random.default_rng(8).normal(size=(3_000, 64))
    made = measured(vectors, (1_000,))
    assert made.elements is not None
    assert made.elements.rows == 3_000 * 64
    assert made.elements.mean == pytest.approx(vectors.mean())
    assert made.elements.std == pytest.approx(vectors.std(ddof=1))


def test_whole_numbers_that_become_floats_stay_one_column_and_texts_among_numbers_are_unlike() -> None:
    made = Accumulator()
    for column in ([None, None], [1, 2, 2], [2.0, 2.5], ["three", None], [4]):
        made.add(Batch.of({"x": column}))
    x = made.result().columns["x"]
    assert (x.kind, x.rows, x.nulls, x.unlike, x.present, x.whole, x.maximum) == ("float", 10, 3, 1, 6, False, 4.0)
    assert {one.value: one.count for one in x.top} == {1.0: 1, 2.0: 3, 2.5: 1, 4.0: 1}


def test_times_are_told_as_times() -> None:
    day = dt.datetime(2024, 2, 29, 12, tzinfo=dt.UTC)
    made = measured([day, None, day + dt.timedelta(days=1), day])
    assert (made.kind, made.minimum, made.maximum) == ("timestamp", "2024-02-29T12:00:00.000000Z", "2024-03-01T12:00:00.000000Z")
    assert made.top[0].value == made.minimum
    dates = measured([dt.date(1969, 12, 31), dt.date(2024, 1, 1)])
    assert (dates.minimum, dates.negatives) == ("1969-12-31", 1)


def test_long_texts_are_kept_by_their_beginning() -> None:
    made = measured(["x" * 100_000, "y", "x" * 100_000])
    assert made.top[0].count == 2
    assert made.top[0].is_cut
    assert made.lengths is not None
    assert made.lengths.maximum == 100_000


@pytest.mark.parametrize("threads", [1, 3])
def test_a_copy_is_not_changed_by_what_comes_later(threads: int) -> None:
    made = Accumulator(threads=threads)
    made.add(Batch.of({"x": ["a", "b"], "n": [1, 2]}))
    before = made.result()
    said = before.to_json()
    made.add(Batch.of({"x": ["c"], "n": [9]}))
    assert before.to_json() == said
    assert made.result().columns["n"].maximum == 9
    made.close()
