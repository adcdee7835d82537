"""Schemas found out: whatever they were found from keeps to them, as do new rows of the same kind, and nothing much else does."""

from __future__ import annotations

import datetime as dt
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from fairway.data.anomalies.validating import validate
from fairway.data.batch import Batch
from fairway.data.schema.infer import Inferred, infer, infer_noted
from fairway.data.schema.load import load_schema
from fairway.data.schema.parse import parse_schema
from fairway.data.schema.writing import render
from fairway.data.statistics import measure
from fairway.errors import NotFoundError
from tests.data.damages import credit
from tests.data.schema.tables import block


def found(columns: dict[str, Any], **more: Any) -> Inferred:
    return infer_noted(measure([Batch.of(columns)]), **more)


def property_of(values: Any) -> dict[str, Any]:
    return found({"x": values, "other": np.arange(len(values)) % 7}).document["properties"]["x"]


RANDOM = np.random.default_rng(5)
DAY = dt.datetime(2026, 3, 1, tzinfo=dt.UTC)


@pytest.mark.parametrize(
    ("values", "schema"),
    [
        ([True, False] * 50, {"type": "boolean", "x-fairway": {"distinct": {"minimum": 2}}}),
        ([3] * 50, {"type": "integer", "const": 3}),
        ([None] * 50, {}),
        (["x"] * 40 + [None] * 10, {"type": ["string", "null"], "enum": ["x", None], "x-fairway": {"presence": 0.397}}),
        ([dt.date(2026, 1, 1 + n % 9) for n in range(50)], {"type": "string", "format": "date"}),
        ([DAY + dt.timedelta(hours=n * n) for n in range(50)], {"type": "string", "format": "date-time"}),
        (
            ["b", "a"] * 500,
            {"type": "string", "enum": ["a", "b"], "x-fairway": {"distinct": {"minimum": 2}, "mass": 0.988}},
        ),
        (
            [f"AB-{n % 90 + 10}/{n}" for n in range(1000)],
            {"type": "string", "pattern": "^AB-[0-9]{2}/[0-9]+$", "x-fairway": {"distinct": {"minimum": 2}}},
        ),
        (
            [f"{n:08x}-0000-4000-8000-{n * 7919:012x}" for n in range(200)],
            {"type": "string", "format": "uuid", "x-fairway": {"distinct": {"minimum": 2}}},
        ),
        ([[1.0, 2.0, 3.0]] * 50, {"type": "array", "items": {"type": "number"}, "minItems": 3, "maxItems": 3}),
        ([1, 2, 3], {"type": "integer"}),
    ],
)  # fmt: skip
def test_what_a_column_is_found_to_be(values: Any, schema: dict[str, Any]) -> None:
    made = property_of(values)
    if schema.get("type") == "array":
        made["items"] = {"type": made["items"]["type"]}
    assert made == schema


def test_numbers_have_the_range_that_goes_on_and_the_ends_that_are_there() -> None:
    uniform, normal = property_of(RANDOM.random(5000)), property_of(RANDOM.normal(50, 10, 5000))
    assert uniform["minimum"] == 0 and 1 <= uniform["maximum"] <= 1.05
    assert -60 <= normal["minimum"] <= 10 and 90 <= normal["maximum"] <= 160
    assert normal["x-fairway"]["quantiles"] == sorted(normal["x-fairway"]["quantiles"])
    dice = property_of(RANDOM.integers(1, 7, 5000))
    assert (dice["minimum"], dice["maximum"]) == (1, 6)
    codes = property_of(RANDOM.choice([10, 20, 50], 5000))
    assert codes["enum"] == [10, 20, 50]
    ages = property_of(RANDOM.poisson(4, 5000))
    assert ages["minimum"] == 0 and 12 <= ages["maximum"] <= 45 and isinstance(ages["maximum"], int)


def test_quantiles_are_short_but_tell_values_apart() -> None:
    near = property_of(4000 + RANDOM.random(5000))["x-fairway"]["quantiles"]
    assert near == pytest.approx([4000.05, 4000.25, 4000.5, 4000.75, 4000.95], abs=0.02) and all(len(str(one)) <= 8 for one in near)
    assert all(len(f"{one:g}") <= 5 for one in property_of(RANDOM.lognormal(0, 1, 5000))["x-fairway"]["quantiles"])


def test_categories_that_were_not_all_seen_are_no_limit_for_a_row() -> None:
    towns = [f"town {'abcdefghij'[n % 10]}" for n in range(2000)] + ["seldom", "once"]
    made = property_of(towns)
    assert "enum" not in made and set(made["x-fairway"]["known"]) == set(towns)
    assert 0.97 <= made["x-fairway"]["mass"] <= 0.99


def test_identifiers_are_unique_and_measurements_are_not() -> None:
    made = found({"customer": RANDOM.permutation(1000) + 1, "weight": RANDOM.permutation(1_000_000)[:1000], "f": RANDOM.random(1000)})
    columns = made.document["properties"]
    assert columns["customer"] == {"type": "integer", "minimum": 1, "x-fairway": {"unique": True}}
    assert "unique" not in columns["weight"]["x-fairway"] and "unique" not in columns["f"]["x-fairway"]


def test_a_pair_of_columns_is_a_key_where_chance_would_have_made_it_meet() -> None:
    place, number = np.repeat(np.arange(20), 50), np.tile(np.arange(50), 20)
    made = found({"place": place, "number": number, "weight": RANDOM.random(1000)})
    assert made.document["x-fairway"]["keys"] == [["place", "number"]]
    assert any("'place' + 'number'" in note for note in made.notes)
    scarce = found({"place": RANDOM.integers(0, 5, 1000), "text": RANDOM.integers(0, 10**6, 1000)})
    assert "keys" not in scarce.document["x-fairway"]


@pytest.mark.parametrize(("last", "is_label"), [("y", True), ("isDefault", True), ("default.payment.next.month", True), ("year", False)])
def test_a_label_is_guessed_aloud_or_not_at_all(last: str, is_label: bool) -> None:
    made = found({"a": RANDOM.random(50), last: RANDOM.integers(0, 2, 50)})
    assert (made.document.get("x-fairway", {}).get("label") == last) == is_label
    assert any("taken for the label" in note for note in made.notes) == is_label
    if is_label:
        assert made.document["properties"][last]["x-fairway"]["environments"] == ["training"]
        assert load_schema(made.document).names == ("a",)


def test_a_label_that_is_named_is_the_label() -> None:
    made = found({"a.b/c": RANDOM.integers(0, 2, 50), "y": RANDOM.random(50)}, label="a.b/c")
    assert made.document["x-fairway"]["label"] == "a.b/c" and not made.notes
    with pytest.raises(NotFoundError, match="no column 'z' to be the label"):
        found({"a": [1]}, label="z")


def test_the_rhythm_of_times_and_what_is_not_there() -> None:
    at = [DAY + dt.timedelta(seconds=5 * n) for n in range(1000)]
    made = found({"at": at, "v": RANDOM.random(1000)}).document["x-fairway"]["cadence"]
    assert made == [
        {"column": "at", "period_s": 5, "regular": 0.95, "jitter_s": 0.05, "max_gap_s": 15, "duplicates": 0, "order": "ascending",
         "zone": "UTC"},
    ]  # fmt: skip
    mixed = [at[n] for n in RANDOM.permutation(1000)]
    assert "cadence" not in found({"at": mixed, "v": RANDOM.random(1000)}).document["x-fairway"]
    hours = [DAY + dt.timedelta(days=n // 8, hours=9 + n % 8, minutes=n * 37 % 60) for n in range(2000)]
    [office] = found({"at": sorted(hours), "v": RANDOM.random(2000)}).document["x-fairway"]["cadence"]
    assert sum(office["hours"][9:17]) == pytest.approx(1) and office["order"] == "ascending"


def test_what_was_read_is_what_was_written() -> None:
    import json

    document = infer(measure([block(0, 2000)]))
    assert json.loads(render(document)) == document
    schema = parse_schema(document)
    assert list(schema.columns) == list(document["properties"])


SCALARS = {
    "integer": st.integers(-(2**53), 2**53) | st.integers(-3, 3),
    "float": st.floats(allow_nan=False, allow_infinity=False, width=64) | st.floats(0, 1),
    "text": st.text(max_size=5) | st.sampled_from(["a", "b", "AB-1", "AB-22", ""]),
    "boolean": st.booleans(),
    "list": st.lists(st.integers(0, 5), max_size=3),
    "time": st.datetimes(dt.datetime(2000, 1, 1), dt.datetime(2030, 1, 1)),
}


@st.composite
def tables(draw: st.DrawFn) -> dict[str, list[Any]]:
    rows = draw(st.integers(1, 6)) * draw(st.sampled_from([1, 10, 40]))
    names = draw(st.lists(st.sampled_from(["a", "b.c", "d/e", "id", "ü", "y"]), min_size=1, max_size=3, unique=True))
    made: dict[str, list[Any]] = {}
    for name in names:
        kind = draw(st.sampled_from(sorted(SCALARS)))
        some = draw(st.lists(SCALARS[kind] | st.none() if draw(st.booleans()) else SCALARS[kind], min_size=1, max_size=12))
        made[name] = [some[n * 7919 % len(some)] for n in range(rows)]
    return made


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(tables())
def test_every_table_keeps_to_its_own_schema(columns: dict[str, list[Any]]) -> None:
    batch = Batch.of(columns)
    document = infer(measure([batch]))
    checker = Draft202012Validator(document)
    for row in range(batch.rows):
        plain = {name: values.value(row) for name, values in batch.columns.items()}
        assert list(checker.iter_errors(plain)) == []
    assert [one for one in validate([batch], document, fail=False).anomalies if one.kind != "label-leak"] == []
    Draft202012Validator.check_schema(document)


def test_new_rows_of_the_same_kind_keep_to_the_schema() -> None:
    document = infer(measure([block(0, 3000)]))
    alarms = [
        (number, one.kind, one.column) for number in range(1, 31) for one in validate([block(number, 3000)], document, fail=False).anomalies
    ]
    assert alarms == []


def test_new_customers_keep_to_the_schema_of_others() -> None:
    document = infer(measure([Batch.of(credit(1, 8000))]))
    alarms = [
        (seed, one.kind, one.column)
        for seed in range(2, 10)
        for one in validate([Batch.of(credit(seed, 8000))], document, fail=False).anomalies
    ]
    assert alarms == []


@pytest.mark.parametrize(("hours", "is_said"), [(6, True), (47, True), (49, False)])
def test_a_part_of_a_day_is_said_to_be_one(hours: int, is_said: bool) -> None:
    at = [DAY + dt.timedelta(minutes=n) for n in range(60 * hours)]
    notes = found({"at": at, "v": RANDOM.random(len(at))}).notes
    assert any("was not seen at every hour" in note for note in notes) == is_said
