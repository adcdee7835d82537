"""MLflow model directories: with columns, with tensors, without a signature."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import mlflow.sklearn
import numpy as np
import pandas as pd
import pytest
from mlflow import pyfunc
from mlflow.models import infer_signature
from sklearn.linear_model import LinearRegression

import fairway as fw
from fairway.errors import DefinitionError
from fairway.serve.package import load, open_package
from tests.serve.package import rig

FRAME = pd.DataFrame({"age": np.arange(20), "income": np.arange(20) * 2.5, "city": ["ulm", "bonn"] * 10})


class Adds(pyfunc.PythonModel):
    def predict(self, context: Any, model_input: Any, params: Any = None) -> Any:
        bonus = (params or {}).get("bonus", 0)
        if isinstance(model_input, np.ndarray):
            return model_input.sum(axis=1) + bonus
        return model_input.age + (model_input.city == "ulm") + bonus


TRUST = {"trust": True}


def test_columns_of_the_signature_have_the_types_that_it_says(tmp_path: Path) -> None:
    signature = infer_signature(FRAME, FRAME.age * 1.0, params={"bonus": 0})
    pyfunc.save_model(tmp_path / "m", python_model=Adds(), signature=signature, input_example=FRAME.head(2))
    package = open_package(str(tmp_path / "m"), options=TRUST)
    predictor = load(package)
    assert (package.kind, predictor.takes, predictor.batches, predictor.bears_fork) == ("mlflow", "frame", True, False)
    assert package.example is not None
    calls = [rig.of_json({"dataframe_records": FRAME.head(2).to_dict("records")}), rig.rows([["bonn", 3, 1.0]], ("city", "age", "income"))]
    assert rig.answer(predictor, *calls) == [[1.0, 1.0], [3.0]] or rig.answer(predictor, *calls) == [[1, 1], [3]]
    from fairway.serve.package.inputs import to_inputs

    assert list(predictor.predict(to_inputs(calls[1:], predictor), "", {"bonus": 10})) == [13]


def test_tensors_of_the_signature(tmp_path: Path) -> None:
    x = np.ones((4, 3), "f4")
    pyfunc.save_model(tmp_path / "m", python_model=Adds(), signature=infer_signature(x, x.sum(1)))
    predictor = load(open_package(str(tmp_path / "m"), options=TRUST))
    assert predictor.takes == "tensors" and predictor.batches
    assert rig.answer(predictor, rig.matrix(x[:2]), rig.of_json({"inputs": [[1, 2, 3]]})) == [[3.0, 3.0], [6.0]]


def test_nothing_is_loaded_without_trust_also_inside_a_model_of_a_run(tmp_path: Path) -> None:
    x = FRAME[["age", "income"]]
    mlflow.sklearn.save_model(LinearRegression().fit(x, x.age), tmp_path / "made" / "m")
    fw.Model(tmp_path / "made" / "m").save(tmp_path / "stored")
    package = open_package(str(tmp_path / "stored"))
    assert package.kind == "mlflow"
    with pytest.raises(DefinitionError, match="runs whatever code") as refused:
        load(package)
    assert "--trust" in refused.value.hint
    predictor = load(open_package(str(tmp_path / "stored"), options=TRUST))
    (found,) = rig.answer(predictor, rig.of_json({"inputs": x.head(2).to_dict("records")}))
    assert found == pytest.approx([0, 1], abs=1e-6)
