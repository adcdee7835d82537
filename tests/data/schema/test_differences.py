"""What changed between two schemas: what lets in less is told from what lets in more."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from fairway.data.schema.differences import difference

ROW: dict[str, Any] = {
    "properties": {
        "age": {"type": "integer", "minimum": 18, "maximum": 99, "x-fairway": {"distinct": {"minimum": 2}}},
        "city": {"type": ["string", "null"], "enum": ["Oslo", "Bergen", None], "x-fairway": {"presence": 0.9}},
        "at": {"type": "string", "format": "date-time"},
        "tags": {"type": "array", "items": {"type": "string", "maxLength": 9}},
    },
    "required": ["age", "city", "at", "tags"],
    "x-fairway": {"keys": [["age", "at"]], "cadence": [{"column": "at", "period_s": 5, "jitter_s": 1}], "rows": {"minimum": 10}},
}


@pytest.mark.parametrize(
    ("place", "value", "kind", "text", "column"),
    [
        (("properties", "age", "minimum"), 0, "wider", "the smallest value: 18 → 0", "age"),
        (("properties", "age", "maximum"), 60, "narrower", "the largest value: 99 → 60", "age"),
        (("properties", "age", "type"), "number", "wider", "the type: integer → number", "age"),
        (("properties", "age", "type"), "string", "other", "the type: integer → string", "age"),
        (("properties", "age", "multipleOf"), 2, "other", "multipleOf: nothing → 2", "age"),
        (("properties", "age", "x-fairway"), {}, "wider", "the number of different values: 2 to … → nothing", "age"),
        (("properties", "age", "x-fairway"), {"distinct": {"minimum": 2}, "unique": True}, "narrower", "once: no → yes", "age"),
        (("properties", "age", "x-fairway"), {"distinct": {"minimum": 2}, "unit": "y"}, "other", "the unit: nothing → 'y'", "age"),
        (("properties", "city", "enum"), ["Oslo", "Bergen", "Ås", None], "wider", "the values: 'Ås' came in", "city"),
        (("properties", "city", "enum"), ["Oslo", None], "narrower", "the values: 'Bergen' went out", "city"),
        (("properties", "city", "enum"), ["Oslo", "Ås", None], "other", "'Ås' came in, 'Bergen' went out", "city"),
        (("properties", "city", "x-fairway"), {"presence": 0.5}, "wider", "the share of rows with a value: 0.9 → 0.5", "city"),
        (("properties", "at", "type"), ["string", "null"], "wider", "a value may be missing now", "at"),
        (("properties", "at", "format"), "date", "other", "the format: 'date-time' → 'date'", "at"),
        (("properties", "tags", "items", "maxLength"), 5, "narrower", "the longest length: 9 → 5", "tags[]"),
        (("properties", "extra"), {"type": "number"}, "wider", "is new: numbers, may be left out", "extra"),
        (("required",), ["age", "city", "at"], "wider", "it may be left out now", "tags"),
        (("x-fairway", "keys"), [], "wider", "age + at is no key any more", ""),
        (("x-fairway", "rows"), {"minimum": 20}, "narrower", "the number of rows: 10 to … → 20 to …", ""),
        (("x-fairway", "label"), "age", "other", "the label: nothing → 'age'", ""),
        (("x-fairway", "cadence", 0, "period_s"), 10, "other", "the cadence's period_s: 5 → 10", "at"),
        (("x-fairway", "cadence", 0, "jitter_s"), 2, "wider", "the cadence's jitter_s: 1 → 2", "at"),
        (("x-fairway", "freshness_s"), 60, "narrower", "how old the newest time may be, in seconds: nothing → 60", ""),
        (("additionalProperties",), True, "wider", "columns that are not named may come now", ""),
    ],
)  # fmt: skip
def test_each_change_is_told(place: tuple[Any, ...], value: Any, kind: str, text: str, column: str) -> None:
    new = copy.deepcopy(ROW)
    inside: Any = new
    for part in place[:-1]:
        inside = inside[part]
    inside[place[-1]] = value
    changes = [one for one in difference(ROW, new) if "where the column is" not in one.text]
    assert [(one.kind, one.column) for one in changes] == [(kind, column)]
    assert text in changes[0].text
    turned = {"wider": "narrower", "narrower": "wider", "other": "other"}[kind]
    back = [one.kind for one in difference(new, ROW) if "where the column is" not in one.text]
    assert back == (["other"] if column == "extra" else [turned])


def test_columns_that_are_gone_new_or_elsewhere() -> None:
    new = copy.deepcopy(ROW)
    new["properties"] = {
        "city": ROW["properties"]["city"],
        "age": ROW["properties"]["age"],
        "at": ROW["properties"]["at"],
        "n": {"const": 1},
    }
    new["required"] = ["city", "age", "at", "n"]
    told = {one.column: (one.kind, one.text, one.path) for one in difference(ROW, new)}
    assert told["n"] == ("narrower", "is new: always 1", "/properties/n")
    assert told["tags"] == ("other", "is gone; it was lists", "/properties/tags")
    assert told[""] == ("other", "the columns are in another order", "/properties")


def test_nothing_changed_in_another_spelling() -> None:
    assert difference(ROW, {"type": "array", "items": ROW}) == []
