"""The file that training data is held to is the one that requests are held to."""

from __future__ import annotations

from typing import Any

import pytest

from fairway.data.schema.load import load_schema
from fairway.errors import DefinitionError
from fairway.serve.refusal import Refused
from fairway.serve.schema import compile_checker

ROW: dict[str, Any] = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "type": "object",
    "properties": {
        "age": {"type": "integer", "minimum": 18, "x-fairway": {"quantiles": [20, 30, 40, 50, 60]}},
        "city": {"type": "string", "x-fairway": {"known": ["Oslo", "Bergen"], "mass": 0.99}},
        "rated_at": {"type": "string", "x-fairway": {"environments": ["training"]}},
        "churned": {"type": "integer"},
    },
    "required": ["age", "city", "rated_at", "churned"],
    "x-fairway": {"label": "churned", "mass": 0.999, "keys": [["age", "city"]]},
}


@pytest.mark.parametrize("document", [ROW, {"type": "array", "items": ROW}, {"inputs": ROW, "outputs": {"type": "number"}}])
def test_what_is_in_training_only_is_no_part_of_a_request(document: dict[str, Any]) -> None:
    schema = load_schema(document)
    assert schema.names == ("age", "city")
    read = compile_checker(schema).read_json
    assert read(b'{"inputs": [{"age": 20, "city": "Tromso"}]}')
    for body, said in (
        (b'{"inputs": [{"age": 20, "city": "Oslo", "churned": 1}]}', "churned"),
        (b'{"inputs": [{"age": 17, "city": "Oslo"}]}', "age"),  # a share may be outside in a table, no row in serving
    ):
        with pytest.raises(Refused) as caught:
            read(body)
        assert said in str(caught.value)


def test_a_label_that_says_that_it_is_served_is_served() -> None:
    said = {**ROW, "properties": {**ROW["properties"], "churned": {"type": "integer", "x-fairway": {"environments": ["serving"]}}}}
    assert load_schema(said).names == ("age", "city", "churned")


def test_a_word_that_is_none_is_said_when_a_model_is_loaded() -> None:
    with pytest.raises(DefinitionError, match="/items/properties/age/x-fairway/qantiles is no word"):
        load_schema({"inputs": {"age": {"type": "integer", "x-fairway": {"qantiles": []}}}})
