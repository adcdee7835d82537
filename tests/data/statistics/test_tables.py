"""Statistics of tables: rows, samples, duplicates, correlations; merged, stored, and read again or refused."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import fairway as fw
from fairway.data.batch import Batch
from fairway.data.statistics import Accumulator, Budget, TableStatistics, measure
from fairway.data.statistics.sampling import hash_rows
from fairway.errors import ConfigError, UnsupportedError


def batch(count: int, seed: int = 1) -> Batch:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=count)
    return Batch.of(
        {
            "x": x,
            "y": 2 * x + rng.normal(size=count),
            "z": [None if one < -1 else float(one) for one in -x],
            "n": rng.integers(0, 9, count),
            "word": [f"w{one}" for one in rng.integers(0, 30, count)],
            "at": np.datetime64("2024-01-01", "us") + np.arange(count) * np.timedelta64(5, "s"),
        }
    )


def pieces(whole: Batch, rows: int) -> list[Batch]:
    return [whole.slice(start, min(start + rows, whole.rows)) for start in range(0, whole.rows, rows)]


WHOLE = batch(6_000)


def test_correlations_are_numpys_pairwise_without_nulls() -> None:
    made = measure(pieces(WHOLE, 700)).correlations
    x, y, n = (WHOLE.columns[name].data for name in ("x", "y", "n"))
    z, there = WHOLE.columns["z"].data, WHOLE.columns["z"].valid
    assert made["x", "y"] == pytest.approx(np.corrcoef(x, y)[0, 1], abs=1e-9)
    assert made["y", "z"] == pytest.approx(np.corrcoef(y[there], z[there])[0, 1], abs=1e-9)
    assert made["x", "n"] == pytest.approx(np.corrcoef(x, n)[0, 1], abs=1e-9)
    halves = measure([WHOLE.slice(0, 2_500)]).merge(measure([WHOLE.slice(2_500, 6_000)])).correlations
    assert halves == pytest.approx(made, abs=1e-9)


def test_correlations_of_what_does_not_vary_or_is_huge() -> None:
    made = measure(
        Batch.of({"a": [1.0, 2.0, 3.0, 4.0], "b": [5.0] * 4, "c": [1e300, -1e300, 1e300, 1e200], "d": [1e9, 1e9 + 1, 1e9 + 2, 1e9 + 3]})
    )
    assert set(made.correlations) == {("a", "d")}
    assert made.correlations["a", "d"] == pytest.approx(1.0)


def test_rows_that_repeat_others_are_counted_and_estimated() -> None:
    assert measure(WHOLE).duplicate_rows.value == 0
    twice = measure([WHOLE, WHOLE.slice(0, 100)]).duplicate_rows
    assert (twice.value, twice.is_exact) == (100, True)
    rng = np.random.default_rng(2)
    many = Batch.of({"a": np.concatenate([np.arange(90_000), rng.integers(0, 90_000, 10_000)])})
    guess = measure(pieces(many, 9_000)).duplicate_rows
    assert not guess.is_exact
    assert guess.low <= 10_000 <= guess.high
    assert guess.high - guess.low < 3_000


def test_rows_are_equal_whatever_the_order_of_their_columns() -> None:
    turned = dict(reversed(WHOLE.columns.items()))
    assert hash_rows(WHOLE.columns).tolist() == hash_rows(turned).tolist()
    swapped = hash_rows(Batch.of({"a": [1, 2], "b": [2, 1]}).columns)
    assert swapped[0] != swapped[1]


@settings(deadline=None, max_examples=40)
@given(st.lists(st.integers(0, 80), min_size=1, max_size=120), st.integers(1, 50), st.integers(0, 120))
def test_the_sample_is_the_same_in_any_batching_and_merging(values: list[int], rows: int, cut: int) -> None:
    budget = Budget(sample=20)
    whole = Batch.of({"n": values, "word": [f"w{one}" for one in values]})
    truth = measure(whole, budget=budget)
    parts = [
        measure([piece], budget=budget)
        for piece in (whole.slice(0, min(cut, whole.rows)), whole.slice(min(cut, whole.rows), whole.rows))
        if piece.rows
    ]
    merged = parts[0] if len(parts) == 1 else parts[0].merge(parts[1])
    for made in (measure(pieces(whole, rows), budget=budget), merged):
        assert made.sample_hashes.tolist() == truth.sample_hashes.tolist()
        assert made.sample_counts.tolist() == truth.sample_counts.tolist()
        assert made.sample.rows == len(truth.sample_hashes)
        for name in ("n", "word"):
            assert made.sample.columns[name].values(range(made.sample.rows)) == truth.sample.columns[name].values(range(truth.sample.rows))
    assert hash_rows(truth.sample.columns).tolist() == truth.sample_hashes.tolist()


def test_a_column_that_some_rows_do_not_have_is_null_there() -> None:
    made = measure([Batch.of({"a": [1, 2]}), Batch.of({"a": [3], "b": ["x"]}), Batch.of({"b": ["y", None]})])
    assert {name: (one.rows, one.nulls) for name, one in made.columns.items()} == {"a": (5, 2), "b": (5, 3)}
    halves = measure(Batch.of({"a": [1, 2]})).merge(measure(Batch.of({"b": ["x"]})))
    assert {name: (one.rows, one.nulls) for name, one in halves.columns.items()} == {"a": (3, 1), "b": (3, 2)}


def test_json_says_it_all_and_goes_on() -> None:
    made = measure(pieces(WHOLE, 1_000), time="at")
    text = made.to_json()
    again = TableStatistics.from_json(text)
    assert again.to_json() == text
    assert again.digest == made.digest
    assert again.correlations == made.correlations
    assert again.sample.columns["word"].values(range(9)) == made.sample.columns["word"].values(range(9))
    assert again.cadence is not None
    assert again.cadence.period_s == 5.0
    assert again.columns["x"].quantile(0.3) == made.columns["x"].quantile(0.3)
    assert again.merge(made).rows == 12_000
    assert TableStatistics.from_json(made.to_json(sample=False)).sample.rows == 0


def test_a_digest_is_of_the_data_alone() -> None:
    one, other = measure(WHOLE), measure(WHOLE)
    other.uri, other.measured_at = "elsewhere", "later"
    assert one.digest == other.digest
    assert one.digest != measure(WHOLE.slice(0, 5_999)).digest


def test_a_newer_version_is_refused_with_what_to_do() -> None:
    record = json.loads(measure(WHOLE.slice(0, 10)).to_json()) | {"version": 99}
    with pytest.raises(UnsupportedError, match="version 99") as raised:
        TableStatistics.from_json(json.dumps(record), where="stats.json")
    assert "Upgrade" in raised.value.hint
    assert raised.value.where == "stats.json"


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '{"kind": "fairway-statistics", "version": 1}', "[" * 100_000, '{"a": 1}', "\x00"])
def test_what_is_no_statistics_is_refused(text: str) -> None:
    with pytest.raises(ConfigError):
        TableStatistics.from_json(text)


SMALL = json.loads(measure(batch(50), budget=Budget(quantiles=32, registers=4, kept=16, top=16, sample=5)).to_json())


@settings(deadline=None, max_examples=150)
@given(st.data())
def test_damaged_statistics_are_refused_or_read_never_worse(data: st.DataObject) -> None:
    record = json.loads(json.dumps(SMALL))
    at: Any = record
    while True:
        keys = list(at) if isinstance(at, dict) else list(range(len(at)))
        key = data.draw(st.sampled_from(keys))
        if isinstance(at[key], dict | list) and at[key] and data.draw(st.booleans()):
            at = at[key]
            continue
        if isinstance(at, dict) and data.draw(st.booleans()):
            del at[key]
        else:
            at[key] = data.draw(st.sampled_from([None, -1, 10**30, "", "AAAA", [], {}, "eJw=", True, 0.5]))
        break
    try:
        TableStatistics.from_json(json.dumps(record), where="stats.json")
    except (ConfigError, UnsupportedError) as error:
        assert error.where == "stats.json"


def test_what_is_asked_for_must_be_there() -> None:
    with pytest.raises(ConfigError, match="no column 'when'"):
        measure(WHOLE, time="when")
    with pytest.raises(ConfigError, match="'word' is of kind string"):
        measure(WHOLE, time="word")
    with pytest.raises(ConfigError, match="no column 'q'"):
        measure(WHOLE, columns=["q"])


def test_measure_takes_only_some_columns_and_lets_checks_see_each_batch(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text("a,b,at\n1,x,2024-01-01 00:00:00\n2,,2024-01-01 00:00:05\n4,y,2024-01-01 00:00:10\n")
    seen, told = list[int](), list[int]()
    made = fw.measure(path, columns=["a", "at"], time="at", checks=[lambda one: seen.append(one.rows)], progress=told.append)
    assert list(made.columns) == ["a", "at"]
    assert (made.rows, sum(seen), told[-1], made.uri) == (3, 3, 3, str(path))
    assert made.cadence is not None
    assert made.cadence.period_s == 5.0
    assert fw.measure(fw.read(str(path))).columns["b"].nulls == 1


def test_a_table_without_rows_has_its_columns(tmp_path: Path) -> None:
    import duckdb

    path = str(tmp_path / "none.parquet")
    duckdb.sql(f"copy (select 1 as a, 'x' as b, [1.5] as c where false) to '{path}' (format parquet)")
    made = fw.measure(fw.read(path))
    assert {name: (one.kind, one.rows) for name, one in made.columns.items()} == {"a": ("integer", 0), "b": ("string", 0), "c": ("list", 0)}
    assert TableStatistics.from_json(made.to_json()).merge(made).rows == 0


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_threads_change_nothing(threads: int) -> None:
    plain, made = measure(pieces(WHOLE, 500), threads=1), measure(pieces(WHOLE, 500), threads=threads)
    assert made.digest == plain.digest


def test_six_hundred_columns_get_less_each() -> None:
    rng = np.random.default_rng(3)
    wide = Batch.of({f"c{n}": rng.normal(size=2_000) for n in range(600)})
    made = measure(wide)
    assert len(made.columns) == 600
    assert made.columns["c599"].ranks.k < 400
    assert len(made.to_json(sample=False)) < 25e6
    assert made.columns["c7"].mean == pytest.approx(wide.columns["c7"].data.mean())


def test_a_monitor_needs_numpy_alone() -> None:
    code = (
        "import sys; from fairway.data.batch import Batch; from fairway.data.statistics import Accumulator, Budget; import numpy as np\n"
        "made = Accumulator(budget=Budget.small()); made.add(Batch.of({'a': np.arange(9.0), 's': ['x'] * 9})); made.result().to_json()\n"
        "print([name for name in ('duckdb', 'nanoarrow', 'pandas', 'pyarrow') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=180, check=True)
    assert done.stdout.strip() == "[]"


def test_accumulators_merge_and_go_on() -> None:
    one, other = Accumulator(time="at"), Accumulator(time="at")
    one.add(WHOLE.slice(0, 1_000))
    other.add(WHOLE.slice(1_000, 2_000))
    one.merge(other)
    one.add(WHOLE.slice(2_000, 6_000))
    made = one.result()
    truth = measure(WHOLE, time="at")
    assert (made.rows, made.columns["word"].top, made.sample_hashes.tolist()) == (
        6_000,
        truth.columns["word"].top,
        truth.sample_hashes.tolist(),
    )
    assert made.cadence is not None
    assert (made.cadence.backwards, made.cadence.period_share) == (0, 1.0)


def test_wide_embeddings_are_folded_in_pieces_and_fewer_of_their_rows_are_kept() -> None:
    from fairway.data.statistics.accumulator import _bearable

    vectors = np.random.default_rng(4).normal(size=(1_200, 4_096))
    wide = Batch.of({"e": vectors})
    assert _bearable(wide) == 1_200 * 2**24 // (1_200 * 4_096 * 8) < 1_200
    made = measure(wide)
    assert made.sample.rows == made.row_sample.smallest.k == 1_024  # about 32 MB
    assert made.columns["e"].elements.mean == pytest.approx(vectors.mean())
    assert (made.columns["e"].rows, made.columns["e"].distinct) == (1_200, 1_200)
