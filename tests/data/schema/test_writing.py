"""Schemas as text: a column a line; edits change what they name and leave the rest of the text alone; versions are pinned."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairway.data.anomalies.edits import patched
from fairway.data.schema.freezing import frozen
from fairway.data.schema.parse import parse_schema
from fairway.data.schema.writing import edited, render
from fairway.errors import ConfigError

TEXT = """{
  "properties": {
    "age":  {"type": "integer", "minimum": 18},
    "city/town": {"enum": ["Oslo",
                           "Bergen"]}
  },
  "required": ["age", "city/town"], "description": "by hand"
}
"""


@pytest.mark.parametrize(
    ("operation", "before", "after"),
    [
        ({"op": "replace", "path": "/properties/age/minimum", "value": 3}, '"minimum": 18', '"minimum": 3'),
        ({"op": "add", "path": "/properties/age/maximum", "value": 9}, '"minimum": 18}', '"minimum": 18, "maximum": 9}'),
        ({"op": "remove", "path": "/properties/age/type"}, '{"type": "integer", "minimum"', '{"minimum"'),
        ({"op": "remove", "path": "/properties/age/minimum"}, ', "minimum": 18', ""),
        (
            {"op": "add", "path": "/properties/city~1town/enum/-", "value": "Ås"},
            '"Bergen"]',
            '"Bergen",\n                           "Ås"]',
        ),
        ({"op": "remove", "path": "/required/1"}, '["age", "city/town"]', '["age"]'),
        ({"op": "add", "path": "/required/0", "value": "x"}, '["age", ', '["x", "age", '),
    ],
)
def test_an_edit_changes_what_it_names(operation: dict[str, Any], before: str, after: str) -> None:
    if "Ås" in str(operation):  # what stands before the first value of a list on its own line is nothing
        after = after.replace(",\n                           ", ", ")
    assert edited(TEXT, [operation]) == TEXT.replace(before, after)


def test_a_new_column_is_a_line_of_its_own() -> None:
    made = edited(TEXT, [{"op": "add", "path": "/properties/new", "value": {"type": "string", "enum": ["a", "b"]}}])
    assert made == TEXT.replace('"Bergen"]}\n', '"Bergen"]},\n    "new": {"type": "string", "enum": ["a", "b"]}\n')


def test_an_edit_of_another_schema_is_refused() -> None:
    with pytest.raises(ConfigError, match="does not fit"):
        edited(TEXT, [{"op": "replace", "path": "/properties/gone/minimum", "value": 1}])


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.text('a"\\/~{}[],: é', max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text('a"~/b,', max_size=2), inner, max_size=3),
    max_leaves=8,
)


def _places(value: Any, at: str = "") -> list[str]:
    parts = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    named = [(f"{at}/{str(key).replace('~', '~0').replace('/', '~1')}", one) for key, one in parts]
    return [place for path, one in named for place in (path, *_places(one, path))]


@given(
    st.dictionaries(st.text("ab", max_size=2), JSON, min_size=1, max_size=4), JSON, st.data(), st.sampled_from([None, 2, "\t", "render"])
)
def test_edited_text_is_the_edited_document(document: dict[str, Any], value: Any, data: st.DataObject, indent: Any) -> None:
    place = data.draw(st.sampled_from(_places(document)))
    name = data.draw(st.sampled_from(["add", "replace", "remove"]))
    operation = {"op": name, "path": place} | ({} if name == "remove" else {"value": value})
    text = render(document) if indent == "render" else json.dumps(document, indent=indent)
    assert json.loads(edited(text, [operation])) == patched(document, [operation])


@given(st.dictionaries(st.text("ab", max_size=2), JSON, max_size=4))
def test_rendered_text_is_the_document(document: dict[str, Any]) -> None:
    assert json.loads(render(document)) == document


def test_columns_are_a_line_each() -> None:
    columns = {f"column_{n}": {"type": "number", "minimum": 0, "maximum": n} for n in range(40)}
    text = render({"type": "object", "properties": columns, "required": list(columns), "x-fairway": {"label": "column_3"}})
    lines = text.splitlines()
    assert '    "column_3": {"type": "number", "minimum": 0, "maximum": 3},' in lines
    assert '  "x-fairway": {"label": "column_3"}' in lines
    assert len(lines) < 55 and max(map(len, lines)) <= 140


def test_freezing_counts_versions_and_sees_what_changed_since() -> None:
    text = frozen(TEXT, parse_schema(json.loads(TEXT)), "ab12")
    schema = parse_schema(json.loads(text))
    assert (schema.version, schema.is_changed) == (1, False)
    assert schema.document["x-fairway"]["frozen"]["statistics"] == "sha256:ab12"
    assert text.startswith(TEXT[: TEXT.index('"by hand"')])
    text = text.replace("18", "21")
    assert parse_schema(json.loads(text)).is_changed
    again = parse_schema(json.loads(frozen(text, parse_schema(json.loads(text)))))
    assert (again.version, again.is_changed) == (2, False)
