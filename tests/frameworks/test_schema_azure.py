"""Scripts with the decorators of Azure's `inference-schema`: the schema that is found in them takes what they take."""

from __future__ import annotations

import datetime
import json
from types import ModuleType
from typing import Any

import numpy as np
import pandas as pd
import pytest
from inference_schema.parameter_types.numpy_parameter_type import NumpyParameterType
from inference_schema.parameter_types.pandas_parameter_type import PandasParameterType
from inference_schema.parameter_types.standard_py_parameter_type import StandardPythonParameterType
from inference_schema.schema_decorators import input_schema, output_schema

from fairway.serve.refusal import Refused
from fairway.serve.schema import compile_checker, load_schema
from fairway.serve.schema.infer import from_azure

PEOPLE = pd.DataFrame({"age": [31, 44], "job": ["cook", "clerk"], "since": pd.to_datetime(["2020-01-01", "2021-01-01"])})


@input_schema("data", NumpyParameterType(np.array([[1.0, 2.0]])))
@output_schema(NumpyParameterType(np.array([1.0])))
def of_numpy(data: Any) -> Any: ...


@input_schema("data", PandasParameterType(PEOPLE))
@output_schema(StandardPythonParameterType([0.5]))
def of_pandas(data: Any) -> Any: ...


@input_schema("data", PandasParameterType(PEOPLE[["age", "job"]], orient="split"))
@output_schema(StandardPythonParameterType({"score": 0.5}))
def of_split(data: Any) -> Any: ...


@input_schema("price", StandardPythonParameterType(1.5))
@input_schema("tags", StandardPythonParameterType(["a"]))
@input_schema("when", StandardPythonParameterType(datetime.date(2020, 1, 1)))
@output_schema(StandardPythonParameterType({"score": 0.5}))
def of_values(price: float, tags: list[str], when: Any = None) -> Any: ...


@input_schema("Inputs", StandardPythonParameterType({"data": PandasParameterType(PEOPLE[["age"]])}))
@output_schema(StandardPythonParameterType({"Results": NumpyParameterType(np.array([1]))}))
def nested(Inputs: Any) -> Any: ...


PERSON = {"age": 31, "job": "cook", "since": "2020-01-01"}
BAD: list[tuple[Any, Any, str]] = [
    (of_numpy, {"data": [["x", 2.0]]}, "the text 'x'"),
    (of_numpy, {}, "no tensors"),
    (of_pandas, {"data": [PERSON, {**PERSON, "age": "x"}]}, "row 1, field 'age'"),
    (of_pandas, {"data": [{"age": 31, "job": "cook"}]}, "field 'since': came nothing, expected a date and time"),
    (of_split, {"data": [1]}, "field 'data'"),
    (of_values, {"price": "x", "tags": []}, "field 'price': came the text 'x', expected a number"),
    (of_values, {"tags": []}, "field 'price': came nothing"),
    (nested, {"Inputs": {"data": [{"age": 0.5}]}}, "age"),
]  # fmt: skip


def checker_of(run: Any) -> Any:
    module = ModuleType("score")
    module.run = run  # type: ignore[attr-defined]
    found = from_azure(module)
    assert found is not None
    return compile_checker(load_schema(found))


@pytest.mark.parametrize("run", [of_numpy, of_pandas, of_split, of_values, nested])
def test_the_sample_input_keeps_to_what_is_found(run: Any) -> None:
    checker = checker_of(run)
    (example,) = checker.schema.examples
    body = json.dumps(example).encode()
    call = checker.read_json(body)
    assert call.form == "tensors" or call.payload == body
    assert checker.schema.outputs


@pytest.mark.parametrize(("run", "body", "said"), BAD)
def test_what_the_script_cannot_take_is_refused(run: Any, body: Any, said: str) -> None:
    with pytest.raises(Refused) as caught:
        checker_of(run).read_json(json.dumps(body).encode())
    assert said in caught.value.message
