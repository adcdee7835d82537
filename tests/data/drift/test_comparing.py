"""`fw.drift`: what moved is found and told; what did not stays quiet; of batches, tables and statistics alike."""

from __future__ import annotations

import json

import numpy as np
import pytest

import fairway as fw
from fairway.data.batch import Batch
from fairway.data.drift import Baseline, DriftReport, compare
from fairway.data.drift.frames import count_numbers
from fairway.data.drift.readings import ExactNumbers
from fairway.data.drift.words import told
from fairway.data.schema.parse import parse_schema
from fairway.errors import ConfigError, UnsupportedError


def rows(count: int, seed: int, **change: float) -> Batch:
    rng = np.random.default_rng(seed)
    city = rng.choice(4, count, p=[0.5 - change.get("share", 0.0), 0.3, 0.15 + change.get("share", 0.0), 0.05])
    income = rng.lognormal(10 + change.get("income", 0.0), 0.6, count)
    return Batch.of(
        {
            "id": np.arange(count) + seed * 1_000_000,
            "age": rng.integers(18, 80, count),
            "income": np.where(rng.random(count) < 0.05 + change.get("null", 0.0), np.nan, income),
            "city": np.array(["Oslo", "Bergen", "Trondheim", "Narvik"])[city],
            "member": rng.random(count) < 0.2 + change.get("member", 0.0),
        }
    )


def moved(report: DriftReport) -> list[str]:
    return sorted(one.column for one in report.columns if one.drifted)


def test_unchanged_rows_are_quiet_and_keys_are_left_out() -> None:
    report = compare(rows(8_000, 1), rows(6_000, 2), multivariate=False)
    assert report.ok and moved(report) == []
    assert {one.column for one in report.columns} == {"age", "income", "city", "member"}
    assert any("`id`" in note for note in report.notes)


@pytest.mark.parametrize(
    ("change", "column", "words"),
    [
        ({"income": 0.1}, "income", "`income` is higher: median 2"),
        ({"share": 0.05}, "city", "'Trondheim' is more frequent: 15."),
        ({"member": 0.05}, "member", "`member` is more often 1: "),
        ({"null": 0.1}, "income", "`income` is more often no number: "),
    ],
)
def test_what_moved_is_named_and_told(change: dict[str, float], column: str, words: str) -> None:
    report = compare(rows(8_000, 1), rows(8_000, 2, **change), multivariate=False)
    assert moved(report) == [column] and not report.ok
    assert words in next(report.sentences())
    [one] = report.drifted
    assert one.value > one.threshold and one.chance < 0.002


def test_a_median_is_the_numbers_own_and_where_only_counts_are_known_none_is_made_up() -> None:
    bills = np.random.default_rng(3).lognormal(10, 1, 8_000).round()
    bills[:80] = -bills[:80]
    [one] = compare(Batch.of({"bill": bills}), Batch.of({"bill": -bills}), multivariate=False).drifted
    middle = float(np.median(-bills))
    assert float(one.sentence.partition(" → ")[2].partition(";")[0].replace(",", "")) == pytest.approx(middle, rel=0.01)
    assert all("e+" not in label for label in one.bins.labels)
    [track] = Baseline.make(Batch.of({"bill": bills})).tracks
    words = told(track.facet, track.frame, count_numbers(track.frame.edges, ExactNumbers(-bills)))
    assert " → between -" in words
    low, high = (float(word.replace(",", "")) for word in words.partition("between ")[2].split(" and "))
    assert low <= middle <= high


def test_what_is_returned_is_short_where_it_is_printed() -> None:
    before, after = rows(2_000, 1), rows(2_000, 2, income=0.5)
    report = compare(before, after, multivariate=False)
    assert repr(report).endswith("1 of 4 columns moved>")
    assert "<li>income is higher" in report._repr_html_()
    assert repr(fw.measure(before)) == "<TableStatistics of a table: 2,000 rows, 5 columns>"
    found = fw.validate(before, {"type": "object", "properties": {"age": {"maximum": 17}}, "required": ["age"]})
    assert "errors in" in repr(found) and len(repr(found)) < 200


def test_statistics_and_tables_say_the_same_as_rows() -> None:
    before, after = rows(8_000, 1), rows(8_000, 2, income=0.15)
    exact = compare(before, after, multivariate=False)
    of_statistics = compare(fw.measure(before), fw.measure(after), multivariate=False)
    for one, other in zip(exact.columns, of_statistics.columns, strict=True):
        assert (one.column, one.drifted) == (other.column, other.drifted)
        for name, value in one.measures.items():
            if name != "chi2":
                assert other.measures[name] == pytest.approx(value, rel=0.15, abs=0.01)


def test_measures_stand_beside_the_deciding_one() -> None:
    report = compare(rows(8_000, 1), rows(8_000, 2), multivariate=False)
    by_name = {one.column: one for one in report.columns}
    assert set(by_name["income"].measures) == {"psi", "js", "ks", "linf", "chi2", "wasserstein", "wasserstein_spread"}
    assert set(by_name["city"].measures) == {"psi", "js", "linf", "chi2"}
    assert json.loads(json.dumps(report.to_json()))["ok"] is True


def test_wasserstein_is_in_the_columns_unit() -> None:
    rng = np.random.default_rng(3)
    before, after = rng.normal(0, 2, 50_000), rng.normal(0.5, 2, 50_000)
    [one] = compare(Batch.of({"x": before}), Batch.of({"x": after}), multivariate=False).columns
    assert one.measures["wasserstein"] == pytest.approx(0.5, abs=0.05)
    assert one.measures["wasserstein_spread"] == pytest.approx(0.25, abs=0.03)


def test_many_rows_do_not_alarm_on_nothing() -> None:
    """A shift that so many rows prove, but that is too small to matter, is below the floors; they are the schema's to set."""
    rng = np.random.default_rng(4)
    before, after = Batch.of({"x": rng.normal(0, 1, 300_000)}), Batch.of({"x": rng.normal(0.03, 1, 300_000)})
    assert compare(before, after, multivariate=False).ok
    schema = parse_schema(
        {"type": "object", "properties": {"x": {"type": "number"}}, "x-fairway": {"drift": {"floors": {"ks": 0.001, "psi": 0.0001}}}}
    )
    assert not compare(before, after, schema=schema, multivariate=False).ok


def test_a_schema_says_what_is_watched_and_how() -> None:
    after = rows(8_000, 2, income=0.3, share=0.1, member=0.1)
    before = rows(8_000, 1)
    schema = parse_schema(
        {
            "type": "object",
            "properties": {
                "income": {"type": ["number", "null"], "x-fairway": {"drift": False}},
                "city": {"type": "string", "x-fairway": {"drift": {"measure": "psi", "threshold": 5}}},
                "member": {"type": "boolean", "x-fairway": {"severity": {"drift": "warning"}}},
            },
        }
    )
    report = compare(before, after, schema=schema, multivariate=False)
    assert moved(report) == ["member"] and report.ok, "a warning is shown and fails nothing"
    assert next(one for one in report.columns if one.column == "city").threshold == 5
    assert "income" not in {one.column for one in report.columns}


def test_a_measure_that_cannot_decide_is_refused() -> None:
    schema = parse_schema({"type": "object", "properties": {"age": {"type": "integer"}}})
    object.__setattr__(schema, "drift", {"floors": {"entropy": 1}})
    with pytest.raises(ConfigError, match="entropy"):
        compare(rows(500, 1), rows(500, 2), schema=schema)


def test_slices_find_what_the_whole_hides() -> None:
    rng = np.random.default_rng(5)
    before, after = rows(10_000, 1), rows(10_000, 2)
    narvik = np.array([city == "Narvik" for city in after.columns["city"].values(range(after.rows))])
    after.columns["age"].data[narvik] = rng.integers(60, 80, int(narvik.sum()))
    report = compare(before, after, by=["city"], multivariate=False)
    assert moved(report.slices["city = Narvik"]) == ["age"]
    assert moved(report.slices["city = Oslo"]) == []
    assert any(sentence.startswith("where city = Narvik: `age` is higher") for sentence in report.sentences())
    assert not report.ok


def test_slices_need_rows() -> None:
    with pytest.raises(UnsupportedError, match="slices need rows"):
        compare(fw.measure(rows(1_000, 1)), rows(1_000, 2), by=["city"], multivariate=False)


def test_a_column_of_another_kind_drifts_and_a_missing_one_is_noted() -> None:
    before, after = rows(2_000, 1), rows(2_000, 2)
    after = Batch(0, after.rows, {name: one for name, one in after.columns.items() if name != "age"})
    after.columns["income"] = Batch.of({"x": ["much"] * after.rows}).columns["x"]
    report = compare(before, after, multivariate=False)
    assert moved(report) == ["income"]
    assert "`age` is only in the reference" in report.notes


def test_empty_data_are_no_drift() -> None:
    empty = Batch.of({"x": np.zeros(0)})
    full = Batch.of({"x": np.arange(500) / 7})
    for before, after in ((full, empty), (empty, full), (empty, empty)):
        report = compare(before, after)
        assert len(report.columns) <= 1
        json.dumps(report.to_json())
    assert compare(full, empty).ok


def test_a_baseline_travels_and_compares_alike() -> None:
    before, after = rows(8_000, 1), rows(8_000, 2, income=0.15)
    baseline = Baseline.from_json(json.loads(json.dumps(Baseline.make(before).to_json())))
    assert moved(compare(baseline, after)) == ["income"]
    wide = Baseline.make(Batch.of({f"c{n}": np.random.default_rng(n).normal(size=2_000) for n in range(40)}))
    assert len(json.dumps(wide.to_json())) < 100_000


def test_rows_that_follow_each_other_widen_the_thresholds() -> None:
    """A slow wave: windows differ although nothing changes. Thresholds know it of a baseline in its own order, not of a shuffled one."""

    def walk(seed: int, count: int) -> np.ndarray:
        noise = np.random.default_rng(seed).normal(size=count)
        made = np.empty(count)
        level = 0.0
        for place, step in enumerate(noise):
            level = made[place] = 0.95 * level + step
        return made

    series = walk(1, 20_000)
    ordered = Baseline.make(Batch.of({"x": series}), window_rows=500)
    shuffled = Baseline.make(Batch.of({"x": np.random.default_rng(2).permutation(series)}), window_rows=500)
    windows = [Batch.of({"x": walk(seed, 600)[100:]}) for seed in range(10, 30)]
    alarms = [sum(not compare(baseline, one).ok for one in windows) for baseline in (ordered, shuffled)]
    assert alarms[0] == 0
    assert alarms[1] >= 4
    assert any("follow each other" in note for note in ordered.notes) and not any("follow" in note for note in shuffled.notes)
