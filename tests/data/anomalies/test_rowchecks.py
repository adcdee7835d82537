"""Row checks count exactly, whatever the batches, and name the first rows."""

from __future__ import annotations

import datetime as dt
import re
import time
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairway.data.anomalies import RowChecks, validate, validate_batch
from fairway.data.anomalies.edits import patched
from fairway.data.anomalies.textchecks import line_pattern
from fairway.data.anomalies.validating import BatchChecks
from fairway.data.batch import Batch, Values
from fairway.data.schema.parse import parse_schema


def document(properties: dict[str, Any], **about: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": list(properties), **({"x-fairway": about} if about else {})}


def found(properties: dict[str, Any], columns: dict[str, Any], **about: Any) -> dict[tuple[str, str], Any]:
    return {(one.kind, one.column): one for one in validate_batch(Batch.of(columns), document(properties, **about))}


CASES: list[tuple[str, dict[str, Any], list[Any], int | None]] = [
    ("too-small", {"type": "integer", "minimum": 2}, [1, 2, 3, -4], 2),
    ("too-small", {"type": "number", "exclusiveMinimum": 2}, [1.0, 2.0, 3.0], 2),
    ("too-large", {"type": "number", "maximum": 2}, [1.0, 2.5, 2.0], 1),
    ("too-large", {"type": "number", "exclusiveMaximum": 2}, [1.0, 2.5, 2.0], 2),
    ("not-a-multiple", {"type": "number", "multipleOf": 0.1}, [0.1, 0.25, 0.7], 1),
    ("unknown-category", {"enum": ["a", "b"]}, ["a", "c", "b", "d", "c"], 3),
    ("unknown-category", {"type": "integer", "enum": [1, 2]}, [1, 2, 3], 1),
    ("constant-changed", {"const": 7}, [7, 7, 8], 1),
    ("pattern-mismatch", {"type": "string", "pattern": "^[a-z]+-[0-9]+$"}, ["ab-1", "c-", "d-22"], 1),
    ("pattern-mismatch", {"type": "string", "pattern": "b"}, ["abc", "c", ""], 2),
    ("format-mismatch", {"type": "string", "format": "email"}, ["a@b.no", "nobody"], 1),
    ("format-mismatch", {"type": "string", "format": "date-time"}, ["2026-03-02T10:00:00Z", "yesterday"], 1),
    ("format-mismatch", {"type": "string", "format": "date"}, ["2026-02-28", "2026-02-30"], 1),
    ("format-mismatch", {"type": "string", "format": "uuid"}, ["c0ffee00-0000-4000-8000-000000000000", "c0ffee"], 1),
    ("text-too-short", {"type": "string", "minLength": 2}, ["ab", "ø", ""], 2),
    ("text-too-long", {"type": "string", "maxLength": 2}, ["åø", "abc"], 1),
    ("list-too-short", {"type": "array", "minItems": 1}, [[1], []], 1),
    ("list-too-long", {"type": "array", "maxItems": 1}, [[1], [1, 2]], 1),
    ("shape-mismatch", {"type": "array", "x-fairway": {"shape": [2]}}, [[1.0, 2.0], [1.0]], 1),
    ("elements-too-few", {"type": "array", "contains": {"const": "x"}}, [["x"], ["y"]], 1),
    ("elements-too-many", {"type": "array", "contains": {"const": "x"}, "maxContains": 1}, [["x", "x"], ["x"]], 1),
    ("too-large", {"type": "array", "items": {"type": "number", "maximum": 3}}, [[1.0], [2.0, 5.0, 6.0]], 2),
    ("nulls", {"type": "integer"}, [1, None, 3], 1),
    ("nan", {"type": "number"}, [1.0, float("nan")], 1),
    ("infinity", {"type": "number", "maximum": 5}, [1.0, float("inf")], 1),
    ("integer-became-float", {"type": "integer"}, [1.0, 2.5], 1),
    ("became-text", {"type": "integer"}, ["1", "n/a", "3"], 1),
    ("text-became-number", {"type": "string"}, [1, 2], 2),
    ("type-changed", {"type": "boolean"}, [0, 1, 2], 3),
    ("nesting-changed", {"type": "number"}, [[1.0], [2.0]], 2),
    ("nesting-changed", {"type": "array"}, [1.0, 2.0], 2),
    ("encoding-damaged", {"type": "string"}, ["MÃ¼ller", "Müller", "M\ufffdller", "“ok”"], 2),
    ("not-unique", {"type": "integer", "x-fairway": {"unique": True}}, [1, 2, 1, 1], 2),
    ("unsorted", {"type": "integer", "x-fairway": {"sorted": "ascending"}}, [1, 3, 2], 1),
]


@pytest.mark.parametrize(("kind", "schema", "values", "count"), CASES, ids=[f"{case[0]}-{n}" for n, case in enumerate(CASES)])
def test_each_kind_is_counted_and_its_edit_accepts_it(kind: str, schema: dict[str, Any], values: list[Any], count: int | None) -> None:
    seen = found({"x": schema}, {"x": values})
    assert set(seen) == {(kind, "x")}
    one = seen[kind, "x"]
    assert one.count == count
    assert one.edit
    after = validate_batch(Batch.of({"x": values}), patched(document({"x": schema}), one.edit))
    assert kind not in {other.kind for other in after}, one.edit


@pytest.mark.parametrize(("kind", "schema", "values", "count"), CASES, ids=[f"{case[0]}-{n}" for n, case in enumerate(CASES)])
def test_counts_and_examples_do_not_depend_on_the_batches(kind: str, schema: dict[str, Any], values: list[Any], count: int | None) -> None:
    whole = Batch.of({"x": values * 20})
    pieces = [whole.slice(start, min(start + 7, whole.rows)) for start in range(0, whole.rows, 7)]
    rules = parse_schema(document({"x": schema}))
    at_once, in_pieces = RowChecks(rules), RowChecks(rules)
    at_once.add(whole)
    for piece in reversed(pieces):
        in_pieces.add(piece)
    name = "unknown-category" if kind == "constant-changed" else kind
    if kind not in ("not-unique", "unsorted"):
        mine, theirs = at_once.columns["x"].tallies, in_pieces.columns["x"].tallies
        if at_once.columns["x"].items is not None and in_pieces.columns["x"].items is not None and name not in mine:
            mine, theirs = at_once.columns["x"].items.tallies, in_pieces.columns["x"].items.tallies
        assert mine[name].count == theirs[name].count == 20 * (count or 0)
        assert [row for row, _ in mine[name].first] == [row for row, _ in theirs[name].first]
    assert at_once.repeats.found(("x",)) == in_pieces.repeats.found(("x",)) if kind == "not-unique" else True


def test_nulls_are_never_wrong_values() -> None:
    nullable = {"type": ["string", "null"], "pattern": "^a", "minLength": 1, "enum": ["ab", None]}
    assert found({"x": nullable}, {"x": ["ab", None, None]}) == {}
    assert found({"x": {"type": ["number", "null"], "minimum": 3}}, {"x": [4.0, None, 5.5]}) == {}


def test_a_share_of_missing_values_is_judged_with_a_margin_in_a_part() -> None:
    half = {"type": ["integer", "null"], "x-fairway": {"presence": 0.5}}
    assert found({"x": half}, {"x": [1, None, None, 1, None]}) == {}
    assert ("presence-low", "x") in found({"x": half}, {"x": [None] * 990 + [1] * 10})


def test_missing_and_added_columns_name_each_other() -> None:
    seen = found({"weight_kg": {"type": "number"}}, {"weight_kgs": [1.0]})
    assert set(seen) == {("column-missing", "weight_kg"), ("column-added", "weight_kgs")}
    assert "`weight_kgs` is new" in seen["column-missing", "weight_kg"].message


def test_a_column_of_another_environment_is_no_new_column() -> None:
    schema = document({"x": {"type": "integer"}, "y": {"type": "integer"}}, label="y")
    assert validate(iter([Batch.of({"x": [1]})]), schema, environment="serving").anomalies == ()
    assert validate(iter([Batch.of({"x": [1], "y": [2]})]), schema, environment="serving").anomalies == ()
    assert validate(iter([Batch.of({"x": [1]})]), schema, environment="training").has("column-missing", "y")


def test_columns_that_belong_together() -> None:
    schema = document({"index": {"type": "array"}, "value": {"type": "array"}}, lengths=[["index", "value"]])
    schema["dependentRequired"] = {"index": ["value"]}
    schema["properties"] = {name: {"type": ["array", "null"]} for name in schema["properties"]}
    seen = {one.kind: one for one in validate_batch(Batch.of({"index": [[1], [1, 2], [3]], "value": [[0.5], None, [0.1, 0.2]]}), schema)}
    assert (seen["partner-missing"].count, seen["partner-missing"].examples[0].row) == (1, 1)
    assert (seen["lengths-differ"].count, seen["lengths-differ"].examples[0].row) == (1, 2)
    for one in seen.values():
        after = validate_batch(Batch.of({"index": [[1], [1, 2], [3]], "value": [[0.5], None, [0.1, 0.2]]}), patched(schema, one.edit or []))
        assert one.kind not in {other.kind for other in after}


def test_keys_across_columns() -> None:
    schema = document({"site": {"type": "string"}, "n": {"type": "integer"}}, keys=[["site", "n"]])
    batch = Batch.of({"site": ["a", "a", "b", "a"], "n": [1, 2, 1, 1]})
    (one,) = validate_batch(batch, schema)
    assert (one.kind, one.count, [example.row for example in one.examples]) == ("key-repeated", 1, [3])
    assert validate_batch(batch, patched(schema, one.edit or [])) == []


def test_bytes_that_are_no_images() -> None:
    schema = {"type": "string", "contentMediaType": "image/png"}
    seen = found({"x": schema}, {"x": [b"\x89PNG\r\n\x1a\n...", b"<svg/>", b"\xff\xd8\xff\xe0"]})
    assert [one.row for one in seen["not-an-image", "x"].examples] == [1]


def test_times_of_another_kind() -> None:
    assert ("type-changed", "x") in found({"x": {"type": "string", "format": "date"}}, {"x": [dt.datetime(2026, 1, 1, 5)]})
    assert found({"x": {"type": "string", "format": "date"}}, {"x": [dt.date(2026, 1, 1)]}) == {}
    assert found({"x": {"type": "string", "format": "date-time"}}, {"x": [dt.datetime(2026, 1, 1, tzinfo=dt.UTC)]}) == {}
    assert ("text-became-number", "x") in found({"x": {"type": "string"}}, {"x": [dt.date(2026, 1, 1)]})


def test_severity_is_what_the_schema_says() -> None:
    batch = Batch.of({"x": [1, 9]})
    plain = {"type": "integer", "maximum": 5}
    assert [one.severity for one in validate_batch(batch, document({"x": plain}))] == ["error"]
    column = {**plain, "x-fairway": {"severity": {"too-large": "warning"}}}
    assert [one.severity for one in validate_batch(batch, document({"x": column}))] == ["warning"]
    assert validate_batch(batch, document({"x": plain}, severity={"too-large": "ignore"})) == []


def test_an_edit_of_a_referenced_column_leaves_the_others_alone() -> None:
    schema = document({"x": {"$ref": "#/$defs/share"}, "y": {"$ref": "#/$defs/share"}})
    schema["$defs"] = {"share": {"type": "number", "maximum": 1}}
    batch = Batch.of({"x": [0.5, 2.0], "y": [0.5, 0.7]})
    (one,) = validate_batch(batch, schema)
    edited = patched(schema, one.edit or [])
    assert validate_batch(batch, edited) == []
    assert [other.column for other in validate_batch(Batch.of({"x": [0.5], "y": [1.5]}), edited)] == ["y"]


@given(
    st.lists(st.text("ab1-\né\\", max_size=4), max_size=12), st.sampled_from(["^[a-b]+-?1*$", "^a.?$", "^é+$", "^a{1,2}b$", "^(?:ab)*$"])
)
def test_many_texts_at_once_are_judged_as_one_by_one(texts: list[str], pattern: str) -> None:
    column = Batch.of({"x": [*texts, "a"]})
    checks = RowChecks(parse_schema(document({"x": {"type": "string", "pattern": pattern}})), with_keys=False)
    checks.add(column)
    tally = checks.columns["x"].tallies.get("pattern-mismatch")
    assert (tally.count if tally else 0) == sum(re.search(pattern, text) is None for text in [*texts, "a"])


def test_patterns_that_may_span_lines_are_not_tried_on_many_at_once() -> None:
    for pattern in ("^[^a]+$", r"^a\s*$", "^a|b$", "a+$", r"^a\$"):
        assert line_pattern(pattern) is None
    assert line_pattern("^user-[0-9]+$") is not None


@given(st.lists(st.one_of(st.none(), st.floats(), st.integers(-10, 10)), min_size=1, max_size=40), st.floats(-5, 5), st.floats(-5, 5))
def test_ranges_count_what_python_counts(values: list[float | None], low: float, high: float) -> None:
    data = np.array([0.0 if one is None else float(one) for one in values])
    valid = np.array([one is not None for one in values])
    batch = Batch(0, len(values), {"x": Values("float", "double", data, None if valid.all() else valid)})
    rule = {"type": ["number", "null"], "minimum": low, "maximum": high, "x-fairway": {"nan": True}}
    checks = RowChecks(parse_schema(document({"x": rule})), with_keys=False)
    checks.add(batch)
    tallies = checks.columns["x"].tallies
    for kind, is_wrong in (("too-small", lambda one: one < low), ("too-large", lambda one: one > high)):
        wrong = [row for row, one in enumerate(values) if one is not None and is_wrong(float(one))]
        assert (tallies[kind].count if kind in tallies else 0) == len(wrong)
        assert [row for row, _ in tallies[kind].first] == wrong[:5] if wrong else True


def test_batches_of_a_compiled_schema_are_told_apart() -> None:
    schema = parse_schema(
        {
            "type": "object",
            "required": ["a", "t", "at"],
            "properties": {
                "a": {"type": "integer", "minimum": 0, "x-fairway": {"unique": True}},
                "t": {"type": "string", "pattern": "^x+$"},
                "l": {"type": "array", "items": {"type": "integer", "maximum": 3}},
                "at": {"type": "string", "format": "date-time"},
            },
            "x-fairway": {"cadence": [{"column": "at", "period_s": 5}]},
        }
    )
    times = np.array(["2024-01-01", "2024-01-02"], "datetime64[us]")
    batches = [
        Batch.of({"a": [1, 1], "t": ["x", "y"], "l": [[1], [9]], "at": times}),
        Batch.of({"a": [1, 2], "t": ["x", "xx"], "l": [[1], [3]], "at": times}),
        Batch.of({"a": [-1, 2], "t": ["y", "y"], "at": times[::-1]}),
    ]
    checks = BatchChecks(schema)
    found = [checks.check(batch) for batch in [*batches, *reversed(batches)]]
    assert found[:3] == found[:2:-1] == [validate_batch(batch, schema) for batch in batches]
    assert [len(one) for one in found[:3]] == [3, 0, 2]


def test_a_schema_is_compiled_once_for_all_batches() -> None:
    schema = parse_schema({"type": "object", "properties": {f"c{n}": {"enum": list(range(60))} for n in range(20)}})
    checks, batch = BatchChecks(schema), Batch.of({f"c{n}": [1, 2] for n in range(20)})
    began = time.process_time()
    for _ in range(5):
        checks.check(batch)
    again = time.process_time() - began
    began = time.process_time()
    for _ in range(5):
        validate_batch(batch, schema)
    assert again < (time.process_time() - began) / 3
