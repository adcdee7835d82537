"""The OpenAPI document says exactly what is taken, and every answer; the page /docs holds to its policy."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from fairway.serve.refusal import Refused
from fairway.serve.schema import Checker, compile_checker, load_schema
from fairway.serve.schema.docs import CSP, find_static, render_docs
from fairway.serve.schema.examples import example_body, example_csv
from fairway.serve.schema.openapi import ERRORS, render_openapi

SMALL = {"type": "object", "properties": {"a": {"$ref": "#/$defs/b"}}}
DOCUMENTS: list[dict[str, Any]] = [
    {"inputs": {"a": "number", "n": {"type": "integer", "minimum": 0, "required": False}}},
    {"inputs": {"a": {"enum": ["x", "y"]}}},
    {"inputs": {"a": "number", "job": {"type": "string", "missing": True}}, "examples": [[{"a": 1, "job": None}]]},
    {"inputs": {"type": "array", "items": {"$ref": "#/$defs/row"}, "maxItems": 2}, "$defs": {"row": SMALL, "b": {"type": "number"}}},
    {"inputs": {"type": "object", "properties": {"v": {"type": "array", "items": {"type": "number"}}}, "required": ["v"]}},
    {"inputs": {"type": "string", "maxLength": 2}},
    {},
]  # fmt: skip
CASES = [(compile_checker(load_schema(document)), render_openapi(load_schema(document), "m", "1")) for document in DOCUMENTS]
LEAVES = st.sampled_from([0, 1, -1, 0.5, 2**70, "x", "y", "long", None, True, {}])
ROWS = (
    st.dictionaries(st.sampled_from(["a", "n", "job", "v", "other"]), LEAVES | st.lists(LEAVES, max_size=2), max_size=3)
    | st.lists(LEAVES, max_size=3)
    | LEAVES
)
INNER = ROWS | st.lists(ROWS, max_size=3)
BODIES = INNER | st.dictionaries(st.sampled_from(["inputs", "inputs", "data", "instances", "id", "params", "x"]), INNER, max_size=2)


def is_by_column(value: Any) -> bool:
    """Columns of values are told in words: that they are of one length is nothing that JSON Schema can say."""
    if isinstance(value, dict):
        return any(isinstance(one, list) for one in value.values()) or any(is_by_column(one) for one in value.values())
    return False


def accepts(checker: Checker, body: Any) -> bool:
    try:
        checker.read_json(json.dumps(body).encode())
    except Refused:
        return False
    return True


@given(st.sampled_from(CASES), BODIES)
@settings(max_examples=400, deadline=None)
def test_bodies_are_taken_exactly_when_the_document_says_so(case: tuple[Checker, dict[str, Any]], body: Any) -> None:
    checker, document = case
    if checker.schema.kind == "columns" and is_by_column(body.get("inputs", body) if isinstance(body, dict) and "a" not in body else body):
        return
    validator = Draft202012Validator({"$ref": "#/components/schemas/Inputs", "components": document["components"]})
    assert accepts(checker, body) == validator.is_valid(body)


@pytest.mark.parametrize("document", DOCUMENTS)
def test_the_example_is_one(document: dict[str, Any]) -> None:
    schema = load_schema(document)
    checker = compile_checker(schema)
    body = example_body(schema)
    if body is not None:
        assert accepts(checker, body)
    if schema.columns:
        assert checker.read_csv(example_csv(schema).encode()).rows == 1


@pytest.mark.parametrize(("_checker", "document"), CASES)
def test_every_operation_says_every_answer(_checker: Checker, document: dict[str, Any]) -> None:
    text = json.dumps(document)
    for reference in re.findall(r'"#/components/schemas/([^"/]+)', text):
        assert reference in document["components"]["schemas"], reference
    ids = [operation["operationId"] for path in document["paths"].values() for operation in path.values()]
    assert len(ids) == len(set(ids))
    predict = document["paths"]["/predict"]["post"]["responses"]
    assert set(predict) == {"200", *(str(status) for status in ERRORS if status not in (405, 501))}
    for path in document["paths"].values():
        for operation in path.values():
            assert {"200", "400", "401", "408", "413", "429", "500", "503", "504"} <= set(operation["responses"])


class Page(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.found if name == tag]


EVIL = '"><script>alert(1)</script>'


@pytest.mark.parametrize("document", DOCUMENTS)
def test_the_page_holds_to_its_policy(document: dict[str, Any]) -> None:
    page = Page(render_docs(load_schema(document), "m", "1"))
    assert "'unsafe" not in CSP
    assert "default-src 'none'" in CSP
    assert not page.all("style")
    assert all(one.get("src") for one in page.all("script"))
    for _tag, attributes in page.found:
        assert not any(name.startswith("on") or name == "style" for name in attributes)
        for name in ("href", "src"):
            assert "//" not in (attributes.get(name) or "")
    for name in ("docs.js", "request.js", "docs.css", "icon.svg"):
        found = find_static(name)
        assert found is not None and found[0]
    assert find_static("../model.py") is None


def test_names_and_texts_of_the_schema_are_escaped() -> None:
    column = {"enum": [EVIL], "description": EVIL}
    schema = load_schema(
        {
            "title": EVIL,
            "description": EVIL,
            "inputs": {"type": "object", "properties": {EVIL: column, "b": {"type": "string", "default": EVIL}}},
        }
    )
    text = render_docs(schema, EVIL, EVIL, methods=(EVIL, "b"))
    assert "<script>" not in text
    assert len(Page(text).all("script")) == 1


def test_each_column_has_a_field_of_its_kind() -> None:
    schema = load_schema(
        {
            "inputs": {
                "a": "number",
                "job": {"enum": ["x", "y"]},
                "ok": {"type": "boolean", "missing": True},
                "note": {"type": "string", "required": False},
            }
        }
    )
    page = Page(render_docs(schema, "m"))
    fields = {one["data-name"]: (tag, one) for tag, one in page.found if "data-name" in one}
    assert {name: tag for name, (tag, _one) in fields.items()} == {"a": "input", "job": "select", "ok": "select", "note": "input"}
    assert fields["ok"][1].get("data-nullable") == "1"
    assert fields["note"][1].get("data-optional") == "1"
    labels = {one.get("for") for one in page.all("label")}
    assert all(one["id"] in labels for _tag, one in fields.values())
