"""Scripts of Azure ML with the packages that they import: inference-schema's decorators, azureml's raw HTTP."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fairway.serve.package import load, open_package
from fairway.serve.package.inputs import to_inputs
from fairway.serve.package.results import to_results
from tests.serve.package import rig

HEAD = """
import numpy as np, pandas as pd
from inference_schema.schema_decorators import input_schema, output_schema
from inference_schema.parameter_types.numpy_parameter_type import NumpyParameterType
from inference_schema.parameter_types.pandas_parameter_type import PandasParameterType
from inference_schema.parameter_types.standard_py_parameter_type import StandardPythonParameterType
"""


@pytest.fixture(autouse=True)
def forgotten(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setenv("AZUREML_MODEL_DIR", "")
    yield
    requests = sys.modules.get("azureml.contrib.services.aml_request")
    if requests is not None:
        requests._rawHttpRequested = False


def script(folder: Path, name: str, text: str) -> Any:
    (folder / name).write_text(text)
    return load(open_package(str(folder / name)))


def test_numpy_arguments(tmp_path: Path) -> None:
    text = "@input_schema('data', NumpyParameterType(np.ones((1, 2))))\n@output_schema(NumpyParameterType(np.ones(1)))\n"
    predictor = script(
        tmp_path, "score_numpy.py", HEAD + text + "def run(data):\n    assert isinstance(data, np.ndarray)\n    return data.sum(axis=1)\n"
    )
    assert predictor.takes == "value"
    assert rig.answer(predictor, rig.raw(b'{"data": [[1, 2], [3, 4]]}')) == [[3.0, 7.0]]
    assert rig.answer(predictor, rig.of_json({"inputs": [[1, 2]]})) == [[3.0]]


def test_frames_and_plain_values_together(tmp_path: Path) -> None:
    text = (
        "@input_schema('frame', PandasParameterType(pd.DataFrame({'a': [1], 'b': [2.0]})))\n"
        "@input_schema('factor', StandardPythonParameterType(1))\n"
        "def run(frame, factor):\n    return ((frame.a + frame.b) * factor).tolist()\n"
    )
    predictor = script(tmp_path, "score_pandas.py", HEAD + text)
    body = {"frame": [{"a": 1, "b": 2.5}, {"a": 3, "b": 0.5}], "factor": 2}
    assert rig.answer(predictor, rig.raw(json.dumps(body).encode())) == [[7.0, 7.0]]


def test_raw_http_with_a_response_of_its_own(tmp_path: Path) -> None:
    text = (
        "from azureml.contrib.services.aml_request import AMLRequest, rawhttp\n"
        "from azureml.contrib.services.aml_response import AMLResponse\n"
        "@rawhttp\ndef run(request):\n"
        "    assert request.method == 'POST'\n"
        "    return AMLResponse(request.get_data()[::-1], 201, {'Content-Type': 'image/png'})\n"
    )
    predictor = script(tmp_path, "score_raw.py", text)
    assert predictor.takes == "raw"
    call = rig.raw(b"\x00\x01", "image/png")
    (result,) = to_results(predictor.predict(to_inputs([call], predictor), "", {}), [call])
    assert (result.form, result.status, result.content_type, bytes(result.payload)) == ("bytes", 201, "image/png", b"\x01\x00")
