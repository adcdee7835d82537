"""Answers as Arrow streams and Parquet files."""

from __future__ import annotations

import io
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fairway.serve.call import Call, Result
from fairway.serve.package.answertables import ACCEPT, as_table, params_of
from fairway.serve.protocols.predict import ARROW, PARQUET
from tests.serve.protocols.rig import array_of, failed, json_of


class Output:
    def __init__(self, name: str) -> None:
        self.name = name


def read(result: Result) -> dict[str, list[Any]]:
    assert result.form == "bytes"
    if result.content_type == ARROW:
        return pa.ipc.open_stream(result.payload).read_all().to_pydict()
    return pq.read_table(io.BytesIO(result.payload)).to_pydict()


@pytest.mark.parametrize("kind", [ARROW, PARQUET])
@pytest.mark.parametrize(
    ("result", "outputs", "table"),
    [
        (array_of([1.5, 2.5]), (), {"prediction": [1.5, 2.5]}),
        (array_of([1, 2], "<i8"), (Output("risk"),), {"risk": [1, 2]}),
        (array_of([[0.25, 0.75]], names=("no", "yes")), (Output("risk"),), {"no": [0.25], "yes": [0.75]}),
        (array_of([[0.25, 0.75]]), (), {"prediction_0": [0.25], "prediction_1": [0.75]}),
        (json_of([{"a": 1, "b": "x"}, {"a": 2, "b": None}]), (), {"a": [1, 2], "b": ["x", None]}),
        (json_of({"a": [1, 2]}), (), {"a": [1, 2]}),
        (json_of(["x", "y"]), (), {"prediction": ["x", "y"]}),
    ],
)
def test_what_is_a_table_comes_as_one(kind: str, result: Result, outputs: tuple[Output, ...], table: dict[str, list[Any]]) -> None:
    assert read(as_table(result, kind, outputs)) == table


@pytest.mark.parametrize("result", [array_of([[[1.0]]]), json_of({"a": 1}), json_of("text"), json_of([1, "x"]), failed()])
def test_what_is_none_stays_as_it_is(result: Result) -> None:
    assert as_table(result, ARROW) is result


def test_the_model_is_not_told_what_its_caller_takes() -> None:
    call = Call("json")
    call.params = {"top": 3, ACCEPT: ARROW}
    assert params_of(call) == {"top": 3}
