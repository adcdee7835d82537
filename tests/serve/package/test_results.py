from __future__ import annotations

import datetime
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import scipy.sparse
from hypothesis import given
from hypothesis import strategies as st

from fairway.serve.call import Call
from fairway.serve.package.results import to_results
from fairway.serve.schema import load_schema
from tests.serve.package import rig

ONE = [rig.of_json(1)]


def one(value: Any, **more: Any) -> Any:
    return to_results(value, ONE, **more)[0]


def calls(*rows: int) -> list[Call]:
    return [rig.matrix(np.zeros((n, 1))) for n in rows]


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (None, None),
        ("text", "text"),
        ({"a": np.float32(1.5), "b": [np.int64(2)], "t": (1, 2)}, {"a": 1.5, "b": [2], "t": [1, 2]}),
        (np.float64(2.5), 2.5),
        (np.array(["a", "b"]), ["a", "b"]),
        (np.array(["2026-01-02"], "datetime64[D]"), ["2026-01-02"]),
        (pd.DataFrame({"a": [1, 2], "b": ["x", None]}), [{"a": 1, "b": "x"}, {"a": 2, "b": None}]),
        (pd.DataFrame({"a": [1]}, index=pd.Index(["k"], name="key")), [{"key": "k", "a": 1}]),
        (pd.DataFrame({"when": [pd.Timestamp("2026-01-02")]}), [{"when": "2026-01-02T00:00:00"}]),
        (pd.Series([1.5, 2.5]), [1.5, 2.5]),
        (pa.table({"a": [1, None]}), [{"a": 1}, {"a": None}]),
        (scipy.sparse.csr_matrix([[0.0, 1.0]]), [[0.0, 1.0]]),
        ([float("nan"), 1.0, float("inf")], [None, 1.0, None]),
        (datetime.date(2026, 1, 2), "2026-01-02"),
        ({"no": pd.NA}, {"no": None}),
    ],
)
def test_whatever_a_script_returns_is_json(value: Any, said: Any) -> None:
    assert rig.value_of(one(value)) == said


def test_dataclasses_are_objects_and_what_cannot_be_said_is_an_error_that_names_it() -> None:
    @dataclass
    class Answer:
        label: str
        score: float

    assert rig.value_of(one([Answer("a", 0.5)])) == [{"label": "a", "score": 0.5}]
    result = one({"model": object()})
    assert (result.form, result.status) == ("error", 500) and "builtins.object cannot be written as JSON" in result.message


def test_arrays_of_numbers_travel_as_they_lie_in_memory() -> None:
    result = one(np.asfortranarray(np.arange(6, dtype=">f4").reshape(2, 3)))
    assert (result.form, result.dtype, result.shape) == ("array", "<f4", (2, 3))
    assert rig.value_of(result) == [[0, 1, 2], [3, 4, 5]]
    assert one(np.zeros((2, 2)), names=("no", "yes")).names == ("no", "yes")
    assert one(np.zeros((2, 3)), names=("no", "yes")).names == ()


@pytest.mark.parametrize(
    ("value", "status", "content_type", "payload"),
    [
        (b"\x00", 200, "application/octet-stream", b"\x00"),
        ((b"png", "image/png"), 200, "image/png", b"png"),
        (("<p>", "text/html"), 200, "text/html", b"<p>"),
        (({"a": 1}, 404), 404, "application/json", b'{"a":1}'),
        ((b"gone", 410, "text/plain"), 410, "text/plain", b"gone"),
    ],
)
def test_bytes_types_and_statuses(value: Any, status: int, content_type: str, payload: bytes) -> None:
    result = one(value)
    assert (result.form, result.status, result.content_type, bytes(result.payload)) == ("bytes", status, content_type, payload)


def test_a_tuple_of_numbers_is_no_status() -> None:
    assert rig.value_of(one((0.5, 200))) == [0.5, 200]
    assert rig.value_of(one(({"a": 1}, {"b": 2}))) == [{"a": 1}, {"b": 2}]


def test_a_response_of_a_web_framework_is_sent_as_it_is() -> None:
    from starlette.responses import PlainTextResponse

    result = one(PlainTextResponse("no", status_code=418))
    assert (result.status, bytes(result.payload), result.content_type) == (418, b"no", "text/plain; charset=utf-8")


@given(st.lists(st.integers(1, 4), min_size=2, max_size=5))
def test_rows_go_back_to_the_calls_that_they_came_of(rows: list[int]) -> None:
    total = sum(rows)
    values = np.arange(total * 2.0).reshape(total, 2)
    wanted, at = [], 0
    for n in rows:
        wanted.append(values[at : at + n].tolist())
        at += n
    assert [rig.value_of(result) for result in to_results(values, calls(*rows))] == wanted
    assert [rig.value_of(result) for result in to_results(values.tolist(), calls(*rows))] == wanted
    frame = to_results(pd.DataFrame(values, columns=["a", "b"]), calls(*rows))
    assert [[list(row.values()) for row in rig.value_of(result)] for result in frame] == wanted
    named = to_results({"x": values, "y": values[:, 0].tolist()}, calls(*rows))
    assert [rig.value_of(result)["x"] for result in named] == wanted


def test_a_wrong_number_of_answers_is_an_error_that_names_the_model() -> None:
    for value, told in ((np.zeros(4), "4 answers"), ([1], "1 answers"), ("text", "one str"), ({"x": np.zeros(4)}, "'x': 4 answers")):
        results = to_results(value, calls(2, 3), called="risk")
        assert [result.status for result in results] == [500, 500]
        assert results[0].message == f"risk gave {told} for 5 rows"
    assert one(np.zeros(2)).form == "array"
    (result,) = to_results(np.zeros(2), calls(3), called="risk")
    assert result.message == "risk gave 2 answers for 3 rows"


def test_numbers_that_are_not_finite_are_an_error_where_the_schema_allows_no_null() -> None:
    def schema(kind: Any) -> Any:
        outputs = {"type": "array", "items": {"type": "object", "properties": {"y": {"type": kind}}, "required": ["y"]}}
        columns = {"type": "array", "items": {"type": "object", "properties": {"x": {"type": "number"}}}}
        return load_schema({"type": "object", "properties": {"inputs": columns, "outputs": outputs}})

    value = np.array([1.0, 2.0, np.nan])
    (result,) = to_results(value, calls(3), schema("number"), called="risk")
    assert (result.form, result.status) == ("error", 500)
    assert "risk gave a number that is not finite in row 2 of 'y'" in result.message
    assert to_results(value, calls(3), schema(["number", "null"]))[0].form == "array"
    assert to_results(value, calls(3))[0].form == "array"
