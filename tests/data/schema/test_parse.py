"""What a schema.json says of rows, in each spelling; what is wrong in it is said with its place."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from fairway.data.schema.files import load_schema_file, read_document
from fairway.data.schema.model import Bounds, CadenceRule, DriftRule, Slice
from fairway.data.schema.parse import digest_of, find, parse_schema
from fairway.errors import ConfigError, DefinitionError, NotFoundError

ROW: dict[str, Any] = {
    "type": "object",
    "properties": {
        "id": {"type": "integer", "x-fairway": {"unique": True}},
        "weight": {"type": ["number", "null"], "minimum": 0, "exclusiveMaximum": 500, "x-fairway": {"presence": 0.9, "unit": "kg"}},
        "job": {"enum": ["cook", "clerk", None], "x-fairway": {"mass": 0.99, "severity": {"unknown-category": "warning"}, "drift": False}},
        "at": {"type": "string", "format": "date-time"},
        "tags": {"type": "array", "items": {"type": "string", "maxLength": 9}, "maxItems": 4},
        "a/b.c": {"type": "boolean"},
        "y": {"type": "integer"},
    },
    "required": ["id", "weight", "job", "at", "a/b.c", "y"],
    "x-fairway": {
        "label": "y",
        "keys": ["id", ["job", "at"]],
        "cadence": [{"column": "at", "by": ["job"], "period_s": 5, "hours": [0.0] * 23 + [1.0]}],
        "slices": [{"by": "job"}, {"name": "heavy", "where": "weight > 100"}],
        "rows": {"minimum": 10},
        "severity": {"too-large": "warning"},
        "freshness_s": 60,
    },
}  # fmt: skip


def test_rules_of_columns_and_rows() -> None:
    schema = parse_schema(ROW)
    weight, job, tags = schema.columns["weight"], schema.columns["job"], schema.columns["tags"]
    assert list(schema.columns) == ["id", "weight", "job", "at", "tags", "a/b.c", "y"]
    assert (weight.types, weight.nullable, weight.presence, weight.unit) == (("number",), True, 0.9, "kg")
    assert (weight.minimum, weight.maximum, weight.exclusive_maximum) == (0, None, 500)
    assert (job.choices, job.nullable, job.mass, job.drift) == (("cook", "clerk"), True, 0.99, DriftRule(is_off=True))
    assert (tags.max_length, tags.required) == (4, False)
    assert tags.items is not None and tags.items.max_length == 9
    assert schema.columns["id"].unique and schema.columns["id"].presence == 1.0
    assert schema.keys == (("id",), ("job", "at"))
    assert schema.cadences == (CadenceRule("at", ("job",), 5, hours=(*[0.0] * 23, 1.0)),)
    assert schema.slices == (Slice("job", "job"), Slice("heavy", where="weight > 100"))
    assert schema.rows == Bounds(10) and schema.freshness_s == 60 and not schema.allows_more
    assert schema.severity_of("too-large", "weight", "error") == "warning"
    assert schema.severity_of("unknown-category", "job", "error") == "warning"
    assert schema.severity_of("unknown-category", "id", "error") == "error"


def test_the_label_is_not_in_serving_and_nothing_that_needs_it() -> None:
    document = json.loads(json.dumps(ROW))
    document["x-fairway"]["keys"].append(["y"])
    document["x-fairway"]["slices"].append({"by": "y"})
    serving = parse_schema(document).for_environment("serving")
    assert "y" not in serving.columns and serving.label == "" and serving.environment == "serving"
    assert serving.keys == (("id",), ("job", "at")) and len(serving.slices) == 2 and len(serving.cadences) == 1
    training = parse_schema(document).for_environment("training")
    assert training.label == "y" and len(training.keys) == 3
    with pytest.raises(ConfigError, match="no environment 'servin'") as caught:
        parse_schema(document).for_environment("servin")
    assert "'serving'" in caught.value.hint


def test_a_label_may_be_in_serving_if_it_says_so() -> None:
    document = {"properties": {"y": {"x-fairway": {"environments": ["serving", "training"]}}}, "x-fairway": {"label": "y"}}
    assert parse_schema(document).for_environment("serving").label == "y"


@pytest.mark.parametrize(
    ("document", "at"),
    [
        (ROW, ""),
        ({"type": "array", "items": ROW}, "/items"),
        ({"$ref": "#/$defs/row", "$defs": {"row": ROW}}, "/$defs/row"),
        (
            {"properties": {"inputs": {"type": "array", "items": {"$ref": "#/$defs/r~1"}}}, "$defs": {"r/": ROW}},
            "/$defs/r~1",
        ),
        ({"properties": {"inputs": ROW, "outputs": {}}}, "/properties/inputs"),
        ({"inputs": {"id": "int64", "weight": {"type": "float32", "missing": True}}}, "/properties/inputs/items"),
    ],
)
def test_each_spelling_says_the_same_and_where_it_says_it(document: dict[str, Any], at: str) -> None:
    schema = parse_schema(document)
    assert schema.at == at
    assert schema.columns["id"].types == ("integer",) and schema.columns["weight"].nullable
    for rule in schema.columns.values():
        assert isinstance(find(schema.document, rule.at), dict | bool)
        assert rule.at.startswith(f"{at}/properties/")


@pytest.mark.parametrize(
    ("document", "place", "hint"),
    [
        ({"properties": {"a": {"x-fairway": {"presense": 1}}}}, "/properties/a/x-fairway/presense", "'presence'"),
        ({"properties": {"a": {"x-fairway": {"label": "a"}}}}, "of rows, not of a column", ""),
        ({"properties": {"a": {"x-fairway": {"presence": 2}}}}, "/properties/a/x-fairway/presence is 2", "0 to 1"),
        ({"properties": {"a": {"x-fairway": {"mass": True}}}}, "mass is True", "0 to 1"),
        ({"properties": {"a": {"x-fairway": ["unique"]}}}, "/properties/a/x-fairway is", "an object"),
        ({"properties": {"a": {"anyOf": [{"x-fairway": {"uniqe": True}}]}}}, "/properties/a/anyOf/0/x-fairway/uniqe", "'unique'"),
        (
            {"properties": {"a": {}}, "x-fairway": {"cadence": [{"column": "a", "periode": 1}]}},
            "/x-fairway/cadence/0/periode",
            "'period_s'",
        ),
        ({"properties": {"a": {}}, "x-fairway": {"cadence": [{"period_s": 1}]}}, "/x-fairway/cadence/0 names no column", "column"),
        ({"properties": {"amount": {}}, "x-fairway": {"keys": [["amont"]]}}, "names the column 'amont'", "'amount'"),
        ({"properties": {"a": {"x-fairway": {"environments": ["trainig"]}}}}, "names the environment 'trainig'", "'training'"),
        ({"properties": {"a": {"type": "nubmer"}}}, "nubmer", ""),
        ({"properties": {"a": {"pattern": "["}}}, "/properties/a/pattern", ""),
        ({"type": "string"}, "nothing of rows", "properties"),
        ([], "a JSON object", ""),
    ],
)
def test_what_is_wrong_is_said_with_its_place(document: Any, place: str, hint: str) -> None:
    with pytest.raises(DefinitionError) as caught:
        parse_schema(document, "s.json")
    assert place in caught.value.message and hint in caught.value.hint and caught.value.where == "s.json"


def test_a_default_of_a_column_named_like_ours_is_no_word() -> None:
    assert parse_schema({"properties": {"a": {"default": {"x-fairway": {"nope": 1}}}, "x-fairway": {"type": "number"}}}).columns[
        "x-fairway"
    ]


@pytest.mark.parametrize(("slip", "meant"), [("maximun", "maximum"), ("patern", "pattern"), ("enums", "enum"), ("types", "type")])
def test_a_keyword_but_for_a_letter_is_refused_for_it_would_let_everything_in(slip: str, meant: str) -> None:
    with pytest.raises(DefinitionError, match=f"/properties/age/{slip} is no word") as caught:
        parse_schema({"type": "object", "properties": {"age": {"minimum": 0, slip: 3}}})
    assert caught.value.hint == f"Did you mean {meant!r}?"


def test_other_words_of_a_column_are_annotations() -> None:
    about = {
        "type": "integer",
        "unit": "kg",
        "example": 3,
        "source": "bank",
        "owner": "Ann",
        "displayName": "Age",
        "min_date": "x",
        "order": 2,
    }
    assert parse_schema({"type": "object", "properties": {"age": about}}).columns["age"].types == ("integer",)


def test_the_digest_is_of_what_is_said() -> None:
    turned = dict(reversed(ROW.items()))
    frozen = {**ROW, "x-fairway": {**ROW["x-fairway"], "frozen": {"version": 3, "digest": digest_of(ROW)}}}
    assert digest_of(ROW) == digest_of(turned) == digest_of(frozen) != digest_of({**ROW, "required": []})
    schema = parse_schema(frozen)
    assert (schema.version, schema.is_changed) == (3, False)
    assert parse_schema({**frozen, "required": []}).is_changed


def test_files_say_the_line_the_name_and_what_stands_twice(tmp_path: Path) -> None:
    file = tmp_path / "schema.json"
    file.write_bytes(b"\xef\xbb\xbf" + json.dumps(ROW).encode())
    assert load_schema_file(file).where == str(file)
    with pytest.raises(NotFoundError) as missing:
        load_schema_file(tmp_path / "schma.json")
    assert "'schema.json'" in missing.value.hint
    for text, said in (
        (b'{\n"properties": {,}}', "schema.json:2"),
        (b'{"properties": {"a": {}, "a": {}}}', "'a' twice"),
        (b"\xff\xfe", "not UTF-8: byte 0"),
        (b"[1]", "a JSON object"),
        (b"[" * 100_000, "too deep"),
    ):
        file.write_bytes(text)
        with pytest.raises(ConfigError) as wrong:
            read_document(file)
        assert said in str(wrong.value)
