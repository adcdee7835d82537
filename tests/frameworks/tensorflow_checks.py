"""TensorFlow and Keras: a trained net as a SavedModel, as .keras and as .h5. Run by test_serving_tensorflow in a process of its own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

import fairway as fw
from fairway.errors import ConfigError, DefinitionError
from fairway.serve.package import load, open_package
from fairway.serve.package.loading import loads_alone
from fairway.serve.refusal import Refused
from tests.serve.package import rig

X = np.random.default_rng(0).normal(size=(256, 3)).astype("f4")


@pytest.fixture(scope="module")
def trained() -> Any:
    """A net that has learned to add."""
    keras.utils.set_random_seed(1)
    net = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
    net.compile(keras.optimizers.SGD(0.1), "mse")
    net.fit(X, X.sum(1), epochs=20, verbose=0)
    return net


def check(predictor: Any) -> None:
    parts = rig.answer(predictor, rig.matrix(X[:2], dtype="<f4"), rig.of_json({"inputs": X[2:5].tolist()}))
    assert np.allclose(np.concatenate(parts).ravel(), X[:5].sum(1), atol=0.05)


def test_a_saved_model(trained: Any, tmp_path: Path) -> None:
    trained.export(tmp_path / "saved", verbose=False)
    package = open_package(str(tmp_path / "saved"))
    predictor = load(package)
    assert (package.kind, predictor.takes, predictor.batches, predictor.bears_fork) == ("tensorflow", "tensors", True, False)
    assert loads_alone(package)
    check(predictor)
    with pytest.raises(Refused, match=r"has the shape \[1, 2\], and the model takes \[any, 3\]"):
        rig.answer(predictor, rig.of_json([[1, 2]]))
    with pytest.raises(ConfigError, match="no signature 'other'") as refused:
        load(open_package(str(tmp_path / "saved"), options={"signature": "other"}))
    assert "serving_default" in refused.value.hint


@pytest.mark.parametrize("file", ["net.keras", "net.h5"])
def test_keras_files_and_a_model_of_a_run_that_holds_one(file: str, trained: Any, tmp_path: Path) -> None:
    (tmp_path / "made").mkdir()
    trained.save(tmp_path / "made" / file)
    fw.Model(tmp_path / "made", metrics={"mse": 0.1}).save(tmp_path / "m")
    package = open_package(str(tmp_path / "m"))
    assert package.kind == "keras" and package.card["metrics"] == {"mse": 0.1}
    check(load(package))


def test_inputs_and_outputs_by_name(tmp_path: Path) -> None:
    a, b = keras.Input((2,), name="a"), keras.Input((1,), name="b", dtype="int32")
    inner = keras.layers.Flatten()(keras.layers.Embedding(5, 2)(b))
    both = keras.layers.Concatenate()([a, inner])
    net = keras.Model({"a": a, "b": b}, {"sum": keras.layers.Dense(1)(both), "twice": keras.layers.Dense(2)(both)})
    net.export(tmp_path / "saved", verbose=False)
    net.save(tmp_path / "net.keras")
    wanted = net({"a": np.array([[1.0, 2.0]], "f4"), "b": np.array([[3]], "i4")})
    from fairway.serve.package.inputs import to_inputs
    from fairway.serve.package.results import to_results

    for path in ("saved", "net.keras"):
        predictor = load(open_package(str(tmp_path / path)))
        calls = [
            rig.of_json({"inputs": {"a": [[1.0, 2.0]], "b": [[3]]}}),
            rig.tensors(rig.tensor("b", [[3]], "<i4", "INT32"), rig.tensor("a", [[1, 2]])),
        ]
        results = to_results(predictor.predict(to_inputs(calls, predictor), "", {}), calls)
        for result in results:
            found = {tensor.name: np.frombuffer(tensor.data, "<f4") for tensor in result.tensors}
            assert sorted(found) == ["sum", "twice"] and np.allclose(found["twice"], wanted["twice"], atol=1e-5)
        with pytest.raises(Refused, match="'b'"):
            rig.answer(predictor, rig.of_json({"inputs": {"a": [[1.0, 2.0]]}}))


def test_code_in_a_keras_file_needs_trust(tmp_path: Path) -> None:
    net = keras.Sequential([keras.Input((3,)), keras.layers.Lambda(lambda x: x * 2)])
    net.save(tmp_path / "net.keras")
    with pytest.raises(DefinitionError, match="holds code") as refused:
        load(open_package(str(tmp_path / "net.keras")))
    assert "--trust" in refused.value.hint
    predictor = load(open_package(str(tmp_path / "net.keras"), options={"trust": True}))
    assert rig.answer(predictor, rig.of_json([[1, 2, 3]])) == [[[2.0, 4.0, 6.0]]]
