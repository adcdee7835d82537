"""XGBoost, LightGBM and ONNX."""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))
np = import_module("numpy")
pd = import_module("pandas")

from serializer_rig import Rig  # noqa: E402

from fairway.errors import DefinitionError  # noqa: E402
from fairway.step.types import Model  # noqa: E402

X = pd.DataFrame(np.random.default_rng(0).random((120, 3)), columns=["a", "b", "c"])
TWO = (X.a > 0.5).astype(int)
THREE = np.arange(120) % 3


@pytest.fixture
def rig(tmp_path: Path) -> Rig:
    return Rig(tmp_path)


@pytest.mark.parametrize("name", ["XGBClassifier", "XGBRegressor", "XGBRFClassifier"])
def test_xgboost_wrappers(rig: Rig, name: str) -> None:
    xgboost = import_module("xgboost")
    model: Any = getattr(xgboost, name)(n_estimators=3, max_depth=2).fit(X, TWO)
    ref = rig.save(model)
    back = rig.load(ref)
    assert ref.format == "xgboost" and ref.type == f"xgboost.{name}" and type(back) is type(model)
    np.testing.assert_array_equal(back.predict(X), model.predict(X))
    assert back.get_params()["max_depth"] == 2 and list(back.feature_names_in_) == ["a", "b", "c"]
    booster = rig.load(ref, wanted="xgboost.Booster")
    assert type(booster).__name__ == "Booster" and not [k for k in booster.attributes() if k.startswith("fairway")]


def test_xgboost_classes_boosters_pipelines_and_models(rig: Rig) -> None:
    xgboost = import_module("xgboost")
    import_module("skops")
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    model = xgboost.XGBClassifier(n_estimators=3).fit(X, THREE)
    np.testing.assert_array_equal(rig.keep(model).predict_proba(X), model.predict_proba(X))
    booster = model.get_booster()
    assert rig.keep(booster).save_raw("ubj") == booster.save_raw("ubj")
    pipeline = make_pipeline(StandardScaler(), xgboost.XGBClassifier(n_estimators=3)).fit(X, TWO)
    ref = rig.save(pipeline)
    assert set(ref.meta["versions"]) >= {"scikit-learn", "xgboost"}
    np.testing.assert_array_equal(rig.load(ref).predict(X), pipeline.predict(X))
    packaged = rig.keep(Model(model, example=X.head()))
    assert packaged.framework == "xgboost" and packaged.card["file"] == "model.ubj"
    np.testing.assert_array_equal(packaged.predict(X), model.predict(X))
    with pytest.raises(DefinitionError, match="not fitted"):
        rig.save(xgboost.XGBClassifier())


@pytest.mark.parametrize("name", ["LGBMClassifier", "LGBMRegressor"])
def test_lightgbm_wrappers(rig: Rig, name: str) -> None:
    lightgbm = import_module("lightgbm")
    model: Any = getattr(lightgbm, name)(n_estimators=3, verbose=-1).fit(X, TWO)
    back = rig.keep(model)
    np.testing.assert_array_equal(back.predict(X), model.predict(X))
    assert back.feature_name_ == ["a", "b", "c"] and back.objective_ == model.objective_ and back.get_params() == model.get_params()
    words = np.array(["u", "v", "w"])[THREE]
    classes = lightgbm.LGBMClassifier(n_estimators=3, verbose=-1).fit(X, words)
    np.testing.assert_array_equal(rig.keep(classes).predict(X), classes.predict(X))
    np.testing.assert_array_equal(rig.keep(classes.booster_).predict(X), classes.booster_.predict(X))
    with pytest.raises(DefinitionError, match="not fitted"):
        rig.save(lightgbm.LGBMClassifier())


def test_onnx(rig: Rig) -> None:
    onnx = import_module("onnx")
    from onnx import TensorProto, helper

    value = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1]) for name in "xy"]
    model = helper.make_model(helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "g", value[:1], value[1:]))
    assert rig.keep(model) == model and isinstance(rig.keep(Model(model)).estimator, onnx.ModelProto)
