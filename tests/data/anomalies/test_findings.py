"""What only all values together tell: units, constants, leaks, overlap, age, bounds of rows; and what the result can do."""

from __future__ import annotations

import datetime as dt
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairway.data.anomalies import Validation, validate
from fairway.data.anomalies.edits import find_at, patched, put
from fairway.data.anomalies.encoding import is_sound, mended
from fairway.data.anomalies.units import find_conversion
from fairway.data.batch import Batch
from fairway.data.statistics import measure
from fairway.errors import ConfigError, DataAnomalies

RANDOM = np.random.default_rng(5)
OLD = np.quantile(RANDOM.normal(20, 4, 20_000), [0.05, 0.25, 0.5, 0.75, 0.95])
POSITIVE = np.quantile(RANDOM.gamma(2, 30, 20_000), [0.05, 0.25, 0.5, 0.75, 0.95])


def table(columns: dict[str, Any], schema: dict[str, Any], **more: Any) -> Validation:
    return validate([Batch.of(columns)], schema, **more)


def document(properties: dict[str, Any], **about: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": list(properties), "x-fairway": about}


def accepted(columns: dict[str, Any], schema: dict[str, Any], kind: str, **more: Any) -> None:
    (one,) = (one for one in table(columns, schema, **more).anomalies if one.kind == kind)
    assert one.edit
    assert not table(columns, patched(schema, one.edit), **more).has(kind)


def test_whole_numbers_of_which_some_are_missing_are_stored_as_floats_by_data_frames() -> None:
    schema = document({"age": {"type": ["integer", "null"]}})
    assert table({"age": [30.0, None, 41.0]}, schema).ok
    assert table({"age": [30.5, None, 41.0]}, schema).has("integer-became-float")
    assert table({"age": [30.0, 41.0]}, schema).has("integer-became-float")


@pytest.mark.parametrize(
    ("factor", "offset", "words"),
    [
        (1000, 0, "×1,000"), (0.001, 0, "÷1,000"), (100, 0, "×100"), (2.54, 0, "inches to centimetres"),
        (1 / 2.54, 0, "centimetres to inches"),
        (0.45359237, 0, "pounds to kilograms"), (60, 0, "minutes to seconds"), (1024, 0, "KiB to bytes"), (1.609344, 0, "miles"),
        (1.8, 32, "°C to °F"), (1, 273.15, "°C to K"), (0.3048, 0, "feet to metres"),
    ],
)  # fmt: skip
def test_the_conversion_of_a_unit_is_found(factor: float, offset: float, words: str) -> None:
    old = OLD if offset else POSITIVE
    noise = np.random.default_rng(1).normal(0, 0.01, 5) * (old[-1] - old[0])
    found = find_conversion(old, np.sort((old + noise) * factor + offset))
    assert found is not None
    assert words in found.text


def test_a_turned_sign_is_found_where_many_values_are_zero() -> None:
    old = np.array([0.0, 2660, 20100, 60200, 188000])
    found = find_conversion(old, np.array([-194176.0, -63741, -20868, -2999, 0]))  # another half of the same real table
    assert found is not None
    assert found.text == "with the sign turned"


def test_no_conversion_is_found_where_nothing_or_something_else_happened() -> None:
    for seed in range(50):
        again = np.quantile(np.random.default_rng(seed).gamma(2, 30, 500), [0.05, 0.25, 0.5, 0.75, 0.95])
        assert find_conversion(POSITIVE, again) is None
    assert find_conversion(OLD, OLD + 7) is None
    assert find_conversion(OLD, np.full(5, 3.0)) is None
    assert find_conversion([0.0] * 5, [1.0] * 5) is None


def test_a_unit_explains_the_range_and_its_edit_holds_for_the_new_one() -> None:
    schema = document(
        {"t": {"type": "number", "minimum": 0, "maximum": 45, "x-fairway": {"quantiles": OLD.round(3).tolist(), "unit": "°C"}}}
    )
    values = np.random.default_rng(2).normal(20, 4, 5_000).clip(0, 45) * 1.8 + 32
    found = table({"t": values}, schema)
    (one,) = found.anomalies
    assert one.kind == "unit-changed"
    assert "from °C to °F" in one.message
    assert one.examples
    edited = patched(schema, one.edit or [])
    assert table({"t": values}, edited).anomalies == ()
    assert table({"t": values / 1.8 - 32 / 1.8}, edited).has("unit-changed")


def test_a_column_that_varied_has_one_value() -> None:
    schema = document({"x": {"type": "integer", "x-fairway": {"distinct": {"minimum": 2}}}})
    assert [one.kind for one in table({"x": np.full(50, 4)}, schema).anomalies] == ["became-constant"]
    accepted({"x": np.full(50, 4)}, schema, "became-constant")


@pytest.mark.parametrize(
    ("about", "kind"),
    [
        ({"distinct": {"maximum": 3}}, "distinct-high"), ({"distinct": {"minimum": 99}}, "distinct-low"),
        ({"mean": {"maximum": 2}}, "statistic-out-of-range"), ({"std": {"minimum": 50}}, "statistic-out-of-range"),
        ({"zeros": 0.01}, "statistic-out-of-range"),
    ],
)  # fmt: skip
def test_bounds_of_statistics(about: dict[str, Any], kind: str) -> None:
    schema = document({"x": {"type": "integer", "x-fairway": about}})
    columns = {"x": np.arange(40) % 20}
    assert [one.kind for one in table(columns, schema).anomalies] == [kind]
    accepted(columns, schema, kind)


def test_fractions_that_are_gone() -> None:
    schema = document({"x": {"type": "number", "x-fairway": {"quantiles": [1.05, 2.21, 3.5, 4.75, 5.9]}}})
    columns = {"x": np.round(np.random.default_rng(3).uniform(1, 6, 1_000))}
    assert [(one.kind, one.severity) for one in table(columns, schema).anomalies] == [("float-became-integer", "warning")]
    accepted(columns, schema, "float-became-integer")


@pytest.mark.parametrize(
    ("about", "kind"),
    [({"rows": {"minimum": 50}}, "rows-too-few"), ({"rows": {"maximum": 5}}, "rows-too-many"), ({"duplicates": 0.1}, "rows-repeated")],
)
def test_numbers_of_rows(about: dict[str, Any], kind: str) -> None:
    columns = {"x": [1, 2, 3, 3, 3, 3, 3, 3]}
    schema = document({"x": {"type": "integer"}}, **about)
    assert [one.kind for one in table(columns, schema).anomalies] == [kind]
    accepted(columns, schema, kind)


def test_a_table_without_rows_is_told_once() -> None:
    from fairway.data.table import read

    schema = document({"x": {"type": "integer"}})
    empty = validate(read([{"x": 1}]).where("x > 5"), schema)
    assert [one.kind for one in empty.anomalies] == ["no-rows"]
    assert validate(read([{"x": 1}]).where("x > 5"), patched(schema, empty.anomalies[0].edit or [])).anomalies == ()


def test_data_that_is_stale() -> None:
    schema = document({"at": {"type": "string", "format": "date-time"}}, freshness_s=3600)
    old = {"at": [dt.datetime.now(dt.UTC) - dt.timedelta(hours=5)]}
    assert [one.kind for one in table(old, schema).anomalies] == ["stale"]
    assert "5 h old" in table(old, schema).anomalies[0].message
    assert table({"at": [dt.datetime.now(dt.UTC) - dt.timedelta(minutes=5)]}, schema).anomalies == ()
    accepted(old, schema, "stale")


def labelled(count: int = 4_000) -> dict[str, Any]:
    random = np.random.default_rng(8)
    y = (random.random(count) < 0.3).astype(np.int64)
    return {
        "honest": random.normal(0, 1, count) + y, "leak": random.normal(0, 0.05, count) + y * 3, "code": np.where(y, "yes", "no").tolist(),
        "id": np.argsort(np.argsort(y, kind="stable")), "other": random.integers(0, 5, count), "y": y,
    }  # fmt: skip


def test_columns_that_tell_the_label_are_found_and_honest_ones_are_not() -> None:
    columns = labelled()
    schema = document({name: {} for name in columns}, label="y")
    found = table(columns, schema)
    assert {one.column for one in found.anomalies if one.kind == "label-leak"} == {"leak", "code", "id"}
    for one in found.anomalies:
        assert not any(other.column == one.column for other in table(columns, patched(schema, one.edit or [])).anomalies)


def test_columns_that_tell_a_number_are_found() -> None:
    random = np.random.default_rng(8)
    y = random.normal(50, 10, 6_000)
    columns = {"copy": y * 2.2 + random.normal(0, 0.01, 6_000), "near": y + random.normal(0, 5, 6_000), "y": y}
    found = table(columns, document({name: {} for name in columns}, label="y"))
    assert [one.column for one in found.anomalies] == ["copy"]


def test_rows_of_train_and_test_that_are_the_same() -> None:
    random = np.random.default_rng(4)
    train = {"id": np.arange(1_000), "a": random.normal(size=1_000), "b": random.integers(0, 9, 1_000)}
    clean = {"id": np.arange(5_000, 5_300), "a": random.normal(size=300), "b": random.integers(0, 9, 300)}
    leaky = {
        "id": clean["id"],
        "a": np.concatenate([clean["a"][:280], train["a"][:20]]),
        "b": np.concatenate([clean["b"][:280], train["b"][:20]]),
    }
    schema = document({"id": {"x-fairway": {"unique": True}}, "a": {}, "b": {}})
    assert table(clean, schema, other=[Batch.of(train)]).anomalies == ()
    (one,) = table(leaky, schema, other=[Batch.of(train)]).anomalies
    assert (one.kind, one.count, [example.row for example in one.examples]) == ("overlap", 20, [280, 281, 282, 283, 284])
    accepted(leaky, schema, "overlap", other=[Batch.of(train)])


def test_rows_that_are_alike_by_chance_are_no_overlap() -> None:
    random = np.random.default_rng(4)
    few = {"a": random.integers(0, 6, 1_000), "b": random.integers(0, 9, 1_000)}
    more = {"a": random.integers(0, 6, 1_000), "b": random.integers(0, 9, 1_000)}
    assert table(few, document({"a": {}, "b": {}}), other=[Batch.of(more)]).anomalies == ()


def test_drift_against_the_baseline_is_a_warning_that_its_edit_accepts() -> None:
    random = np.random.default_rng(6)
    schema = document({"x": {"type": "number"}, "y": {"type": "number"}})
    baseline = measure([Batch.of({"x": random.normal(0, 1, 5_000), "y": random.normal(0, 1, 5_000)})])
    columns = {"x": random.normal(0.8, 1, 5_000), "y": random.normal(0, 1, 5_000)}
    found = table(columns, schema, baseline=baseline)
    assert [(one.kind, one.column, one.severity) for one in found.anomalies] == [("drift", "x", "warning")]
    assert found.ok
    accepted(columns, schema, "drift", baseline=baseline)


def test_what_is_missing_in_the_baseline() -> None:
    schema = document({"x": {"type": "integer"}, "y": {"type": "integer"}}, drift={"rows": {"minimum": 0.5}})
    baseline = measure([Batch.of({"x": np.arange(100)})])
    found = table({"x": np.arange(10), "y": np.arange(10)}, schema, baseline=baseline)
    assert {(one.kind, one.column) for one in found.anomalies} == {("baseline-missing", "y"), ("rows-too-few", "")}


@pytest.mark.parametrize(
    ("damaged", "was"), [("MÃ¼ller", "Müller"), ("â€œquotedâ€\x9d", ""), ("naÃ¯ve cafÃ©", "naïve café"), ("Ð¿Ñ€Ð¸", "при")]
)
def test_damaged_texts_are_told_and_mended(damaged: str, was: str) -> None:
    assert not is_sound(damaged)
    assert not was or mended(damaged) == was


@pytest.mark.parametrize(
    "text", ["Müller", "CAFÉ…", "“quoted” – naïve", "Ångström", "при", "東京", "São Paulo", "Â la carte", "a\tb\nc", "ÄÖÜ", "5 ‰"]
)
def test_sound_texts_are_sound(text: str) -> None:
    assert is_sound(text)


@given(st.text(st.characters(codec="utf-8", categories=("L", "N", "P", "Zs")), max_size=30))
def test_what_is_mended_is_what_it_was(text: str) -> None:
    try:
        damaged = text.encode().decode("cp1252")
    except UnicodeError:
        return
    assert damaged == text or mended(damaged) == text


def test_a_validation_survives_json() -> None:
    schema = document({"x": {"type": "integer", "maximum": 3}, "f": {"type": "number"}})
    one = table({"x": [1, 5], "f": [1.0, float("nan")]}, schema)
    again = Validation.from_json(one.to_json())
    assert again.to_json() == one.to_json()
    assert again.summary() == one.summary() == "2 errors in `f`, `x`"
    with pytest.raises(ConfigError, match="newer"):
        Validation.from_json(one.to_json().replace('"version": 1', '"version": 9'))


def test_errors_are_raised_with_the_columns_and_what_is_wrong() -> None:
    found = table({"x": [1, 5]}, document({"x": {"type": "integer", "maximum": 3}, "z": {}}))
    with pytest.raises(DataAnomalies, match=r"2 errors in `z`, `x`") as caught:
        found.raise_for_errors()
    assert caught.value.exit_status == 1
    assert "`x` goes up to 5; the schema says at most 3" in caught.value.message
    table({"x": [1], "z": [1]}, document({"x": {}, "z": {}}), fail=True).raise_for_errors()
    with pytest.raises(DataAnomalies):
        table({"x": [1]}, document({"x": {}, "z": {}}), fail=True)


def test_a_notebook_shows_it_and_nothing_of_the_data_is_html() -> None:
    found = table({"x": ["<script>alert(1)</script>", "a"]}, document({"x": {"enum": ["a"]}}))
    shown = found._repr_html_()
    assert "<script" not in shown
    assert "&lt;script&gt;" in shown
    assert found.html().startswith("<!doctype html>")


@given(st.recursive(st.integers() | st.text(max_size=3), lambda inner: st.dictionaries(st.text(max_size=3), inner, max_size=3)), st.data())
def test_what_is_put_into_a_document_is_there(inner: Any, data: st.DataObject) -> None:
    whole = {"a": inner}
    path = data.draw(st.lists(st.text("ab/~", min_size=1, max_size=2), min_size=1, max_size=3))
    if any(
        find_at(whole, path[:depth]) is not None and not isinstance(find_at(whole, path[:depth]), dict) for depth in range(1, len(path))
    ):
        return
    assert find_at(patched(whole, put(whole, path, 5)), path) == 5
