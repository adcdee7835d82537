"""Requests and answers of every protocol as rows with named columns."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairway.serve.feedback.requestrows import columns_of, predictions_of, rows_of

ROWS = [{"a": 1, "b": "x"}, {"a": 2, "b": "y"}]


@pytest.mark.parametrize(
    ("body", "rows"),
    [
        ({"inputs": ROWS}, ROWS),
        ({"inputs": ROWS[0]}, ROWS[:1]),
        (ROWS, ROWS),
        ({"inputs": [[1, "x"], [2, "y"]]}, ROWS),
        ({"inputs": {"a": [1, 2], "b": ["x", "y"]}}, ROWS),
        ({"instances": ROWS}, ROWS),
        ({"dataframe_split": {"columns": ["a", "b"], "data": [[1, "x"], [2, "y"]]}}, ROWS),
        ({"inputs": [{"name": "a", "shape": [2], "data": [1, 2]}, {"name": "b", "shape": [2], "data": ["x", "y"]}]}, ROWS),
        ({"inputs": [{"name": "i", "shape": [2, 2], "datatype": "INT64", "data": [1, 2, 3, 4]}]}, [{"a": 1, "b": 2}, {"a": 3, "b": 4}]),
        ({"inputs": [{"name": "i", "shape": [2, 2], "datatype": "INT64", "data": [[1, 2], [3, 4]]}]}, [{"a": 1, "b": 2}, {"a": 3, "b": 4}]),
        ({"inputs": [{"name": "i", "shape": [1, 3], "datatype": "INT64", "data": [1, 2, 3]}]}, []),
        ({"inputs": [[1, 2, 3]]}, []),
        ({"inputs": "hello"}, []),
        ({"inputs": []}, []),
    ],
)  # fmt: skip
def test_rows_of_every_form(body: Any, rows: Any) -> None:
    assert rows_of(json.dumps(body), ["a", "b"]) == rows


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        ("a,b\n1,x\n2,y\n", ROWS),
        ("a,b\r\n1.5,\r\n,true\r\n", [{"a": 1.5, "b": None}, {"a": None, "b": True}]),
        ("c,d\n1,2\n", []),
        ("a,b\n1\n", []),
        (None, []),
        ("", []),
    ],
)
def test_csv_is_read_by_its_names(text: str | None, rows: Any) -> None:
    assert rows_of(text, ["a", "b"]) == rows


def test_a_value_alone_is_the_only_column() -> None:
    assert rows_of("[1, 2]", ["a"]) == [{"a": 1}, {"a": 2}]


@pytest.mark.parametrize(
    ("answer", "values"),
    [
        ({"predictions": [1, 0]}, [1, 0]),
        ({"predictions": [[0.5], [0.25]]}, [0.5, 0.25]),
        ({"predictions": [{"prediction": "yes", "p": 0.9}, {"prediction": "no", "p": 0.2}]}, ["yes", "no"]),
        ({"predictions": [[0.1, 0.9], [0.4, 0.6]]}, [None, None]),
        ({"predictions": [1]}, [None, None]),
        ({"error": "x"}, [None, None]),
    ],
)
def test_predictions_are_plain_values_or_none(answer: Any, values: list[Any]) -> None:
    assert predictions_of(json.dumps(answer), 2) == values


def test_columns_that_nobody_knows_come_last_and_are_not_many() -> None:
    rows = [{"z": 1, "a": 2}, {"b": 3, **{f"x{n}": n for n in range(40)}}]
    made = columns_of(rows, ["a", "b", "c"])
    assert list(made)[:3] == ["a", "b", "z"] and len(made) == 22 and "c" not in made
    assert made["a"] == [2, None] and made["z"] == [1, None]


_KEYS = st.sampled_from(["inputs", "a", "name", "shape", "data", "columns"])
_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_KEYS, inner, max_size=4),
    max_leaves=12,
)


@given(_JSON)
def test_whatever_comes_it_is_rows_or_none(body: Any) -> None:
    made = rows_of(json.dumps(body), ["a", "b"])
    assert all(isinstance(row, dict) for row in made)
    columns_of(made, ["a", "b"])
    assert len(predictions_of(json.dumps(body), 3)) == 3
