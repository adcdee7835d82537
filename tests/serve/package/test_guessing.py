"""The schema of a model that came without one, told by what the model's own file says."""

from __future__ import annotations

import json
from typing import Any

import pytest

from fairway.serve.package.guessing import guess_schema
from fairway.serve.package.package import Package
from fairway.serve.protocols.tensors import describe_inputs, describe_outputs
from fairway.serve.refusal import Refused
from fairway.serve.schema import compile_checker, load_schema
from fairway.serve.schema.examples import example_of
from tests.serve.protocols.rig import MemoryServing, json_of

IMAGE = ([("image", "FP32", (-1, 3, 2))], [("scores", "FP32", (-1, 10))])
COLUMNS = ([("age", "FP32", (-1, 1)), ("town", "BYTES", (-1, 1))], [("label", "INT64", (-1,)), ("odds", "FP32", (-1, 2))])


class Told:
    """A predictor whose file tells of its arrays."""

    def __init__(self, inputs: Any, outputs: Any) -> None:
        self._told = inputs, outputs

    def described(self) -> Any:
        return self._told


def guess(*told: Any) -> Any:
    return guess_schema(Package("/nowhere", "onnx", "m", "m.onnx"), Told(*told))  # type: ignore[arg-type]


def test_arrays_of_the_file_are_in_the_metadata_and_are_checked() -> None:
    document = guess(*IMAGE)
    serving = MemoryServing(lambda call: json_of([1]), document, kind="onnx")
    assert describe_inputs(serving) == [{"name": "image", "datatype": "FP32", "shape": [-1, 3, 2]}]  # type: ignore[arg-type]
    assert describe_outputs(serving) == [{"name": "scores", "datatype": "FP32", "shape": [-1, 10]}]  # type: ignore[arg-type]
    rows = [[[1, 2], [3, 4], [5, 6]]]
    assert serving.post("/predict", {"inputs": rows}).status == 200, "the one array needs no name"
    assert serving.post("/predict", {"inputs": [[1, 2]]}).status == 422


def test_inputs_of_one_value_a_row_are_columns() -> None:
    schema = load_schema(guess(*COLUMNS), "m")
    assert schema.names == ("age", "town")
    checker = compile_checker(schema)
    assert checker.read_json(b'{"inputs": [{"age": 41, "town": "Ulm"}]}').rows == 1
    with pytest.raises(Refused):
        checker.read_json(b'{"inputs": [{"age": "old", "town": "Ulm"}]}')
    assert [one.name for one in schema.outputs] == ["label", "odds"]


@pytest.mark.parametrize("told", [IMAGE, COLUMNS])
def test_its_made_up_example_keeps_to_it(told: Any) -> None:
    schema = load_schema(guess(*told), "m")
    compile_checker(schema).read_json(json.dumps({"inputs": example_of(schema)}).encode())


def test_a_kind_of_array_without_a_word_for_it_tells_nothing() -> None:
    assert guess([("x", "", (-1, 2))], []) is None
    assert guess([], []) is None
    assert "outputs" not in guess([("x", "FP32", (-1, 2))], [("y", "", ())])["properties"]
