"""XGBoost, LightGBM, ONNX: trained here, saved, loaded for serving, forked, asked."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightgbm
import numpy as np
import pandas as pd
import pytest
import xgboost

import fairway as fw
from fairway.serve.package import load, open_package
from fairway.serve.refusal import Refused
from tests.serve.package import rig

RNG = np.random.default_rng(3)
X = pd.DataFrame({"age": RNG.uniform(18, 80, 400), "income": RNG.normal(40, 10, 400)})
Y = ((X.age > 40) & (X.income > 35)).astype(int)
BIG = RNG.normal(size=(3000, 20))

MODELS: dict[str, Callable[[], Any]] = {
    "xgboost": lambda: xgboost.XGBClassifier(n_estimators=5).fit(X, Y),
    "lightgbm": lambda: lightgbm.LGBMClassifier(n_estimators=5, verbose=-1).fit(X, Y),
}


@pytest.mark.parametrize("kind", MODELS)
def test_wrappers_take_a_matrix_and_tell_no_names(kind: str, tmp_path: Path, recwarn: pytest.WarningsRecorder) -> None:
    trained = MODELS[kind]()
    fw.Model(trained, example=X).save(tmp_path / "m")
    predictor = load(open_package(str(tmp_path / "m")))
    assert (predictor.takes, predictor.batches, predictor.names) == ("matrix", True, ("age", "income"))
    calls = [rig.matrix(X[:3].to_numpy(), ("age", "income")), rig.matrix(X[3:4][["income", "age"]].to_numpy()[:, ::-1], ("age", "income"))]
    parts = rig.answer(predictor, *calls, method="predict_proba")
    assert np.allclose(np.concatenate(parts), trained.predict_proba(X[:4]))
    assert not [one for one in recwarn if "feature names" in str(one.message)]


def test_bare_boosters_by_their_own_files(tmp_path: Path) -> None:
    trees = xgboost.train({"objective": "binary:logistic"}, xgboost.DMatrix(X, Y), 5)
    leaves = lightgbm.train({"objective": "binary", "verbose": -1}, lightgbm.Dataset(X, Y), 5)
    trees.save_model(tmp_path / "a.ubj")
    trees.save_model(tmp_path / "b.json")
    leaves.save_model(tmp_path / "c.txt")
    for file, wanted in (("a.ubj", trees.inplace_predict(X)), ("b.json", trees.inplace_predict(X)), ("c.txt", leaves.predict(X))):
        package = open_package(str(tmp_path / file))
        predictor = load(package)
        assert package.kind == ("lightgbm" if file == "c.txt" else "xgboost") and predictor.names == ("age", "income")
        (found,) = rig.answer(predictor, rig.of_json({"inputs": X[:4].to_dict("records")}))
        assert np.allclose(found, wanted[:4])


@pytest.mark.parametrize("kind", MODELS)
def test_categories_reach_the_model_as_in_training(kind: str, tmp_path: Path) -> None:
    x = X.assign(city=pd.Categorical(RNG.choice(["ulm", "bonn", "jena"], 400), categories=["jena", "ulm", "bonn"]))
    y = (x.city == "ulm").astype(int)
    made: Any = (
        xgboost.XGBClassifier(n_estimators=5, enable_categorical=True)
        if kind == "xgboost"
        else lightgbm.LGBMClassifier(n_estimators=5, verbose=-1)
    )
    fw.Model(made.fit(x, y), example=x).save(tmp_path / "m")
    predictor = load(open_package(str(tmp_path / "m")))
    assert predictor.takes == "frame"
    rows = [[30.0, 40.0, city] for city in ("ulm", "bonn", "jena")]
    assert rig.answer(predictor, *[rig.rows([row], ("age", "income", "city")) for row in rows]) == [[1], [0], [0]]


FORKS = """
import os, sys
import numpy as np
from fairway.serve.package import load, open_package
from tests.serve.package import rig
predictor = load(open_package(sys.argv[1]))
child = os.fork()
if child == 0:
    rig.answer(predictor, rig.matrix(np.ones((3000, 20))))
    os._exit(0)
os._exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


@pytest.mark.parametrize("kind", MODELS)
def test_a_process_forked_from_one_that_loaded_a_large_model_predicts(kind: str, tmp_path: Path) -> None:
    y = (BIG[:, 0] > 0).astype(int)
    made: Any = xgboost.XGBClassifier(n_estimators=200) if kind == "xgboost" else lightgbm.LGBMClassifier(n_estimators=200, verbose=-1)
    fw.Model(made.fit(BIG, y)).save(tmp_path / "m")
    with subprocess.Popen([sys.executable, "-c", FORKS, str(tmp_path / "m")], start_new_session=True) as process:
        try:
            assert process.wait(timeout=100) == 0
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)  # a child that hangs, too


def test_onnx_takes_rows_by_one_input_or_by_one_for_each_column(tmp_path: Path) -> None:
    import skl2onnx
    from skl2onnx.common.data_types import FloatTensorType
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    trained = make_pipeline(StandardScaler(), LogisticRegression()).fit(X.to_numpy(np.float32), Y)
    one = skl2onnx.convert_sklearn(trained, initial_types=[("x", FloatTensorType([None, 2]))])
    (tmp_path / "one.onnx").write_bytes(one.SerializeToString())
    predictor = load(open_package(str(tmp_path / "one.onnx")))
    assert (predictor.takes, predictor.batches, predictor.bears_fork) == ("tensors", True, False)
    from fairway.serve.package.guessing import guess_schema
    from fairway.serve.package.inputs import to_inputs
    from fairway.serve.package.results import to_results
    from fairway.serve.schema import load_schema

    told = load_schema(guess_schema(open_package(str(tmp_path / "one.onnx")), predictor), "one")
    assert [(one.name, one.datatype, one.shape) for one in told.tensors] == [("x", "FP32", (-1, 2))]
    assert [(one.name, one.datatype) for one in told.outputs] == [("output_label", "INT64"), ("output_probability", "FP32")]
    calls = [rig.matrix(X[:2].to_numpy(), ("age", "income")), rig.tensors(rig.tensor("x", X[2:5].to_numpy()))]
    results = to_results(predictor.predict(to_inputs(calls, predictor), "", {}), calls)
    labels = [np.frombuffer(result.tensors[0].data, "<i8").tolist() for result in results]
    assert [*labels[0], *labels[1]] == trained.predict(X[:5].to_numpy(np.float32)).tolist()
    assert [tensor.name for tensor in results[0].tensors] == ["output_label", "output_probability"]
    assert results[1].tensors[1].shape == (3, 2)
    with pytest.raises(Refused, match=r"has the shape \[1, 3\], and the model takes \[any, 2\]"):
        rig.answer(predictor, rig.of_json({"inputs": [[1, 2, 3]]}))


def test_an_onnx_file_in_a_model_of_a_run(tmp_path: Path) -> None:
    import onnx

    helper, kinds = onnx.helper, onnx.TensorProto
    inputs = [helper.make_tensor_value_info(name, kinds.FLOAT, ["n", 1]) for name in ("a", "b")]
    nodes = [helper.make_node("Add", ["a", "b"], ["sum"])]
    graph = helper.make_graph(nodes, "adds", inputs, [helper.make_tensor_value_info("sum", kinds.FLOAT, ["n", 1])])
    fw.Model(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)).save(tmp_path / "m")
    package = open_package(str(tmp_path / "m"))
    predictor = load(package)
    assert package.kind == "onnx"
    assert rig.answer(predictor, rig.rows([[1, 2], [3, 4]], ("a", "b")), rig.of_json({"inputs": {"a": [5], "b": [6]}})) == [
        [[3.0], [7.0]],
        [[11.0]],
    ]
    with pytest.raises(Refused) as refused:
        rig.answer(predictor, rig.rows([[1]], ("a",)))
    assert refused.value.faults[0].field == "b"
