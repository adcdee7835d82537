"""scikit-learn estimators and fw.Model."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from fairway.errors import DefinitionError, NotFoundError
from fairway.spec.artifact import blob_key
from fairway.step import artifacts
from fairway.step import types as fw
from fairway.step.folder import FolderArtifactStore

np = import_module("numpy")
pd = import_module("pandas")
import_module("skops")
import_module("sklearn")

from sklearn.base import BaseEstimator, TransformerMixin  # noqa: E402
from sklearn.compose import ColumnTransformer  # noqa: E402
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier  # noqa: E402
from sklearn.feature_selection import SelectKBest, f_classif  # noqa: E402
from sklearn.linear_model import LinearRegression, LogisticRegression  # noqa: E402
from sklearn.model_selection import GridSearchCV  # noqa: E402
from sklearn.pipeline import make_pipeline  # noqa: E402
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, StandardScaler  # noqa: E402
from sklearn.tree import DecisionTreeClassifier  # noqa: E402

Keep = Callable[..., Any]


@pytest.fixture(scope="module")
def data() -> tuple[Any, Any]:
    random = np.random.default_rng(0)
    X = pd.DataFrame(random.random((120, 3)), columns=["a", "b", "c"])
    X["kind"] = random.choice(["u", "v"], 120)
    return X, (X.a + X.b > 1).astype(int)


def pipeline(estimator: Any) -> Any:
    return make_pipeline(ColumnTransformer([("n", StandardScaler(), ["a", "b", "c"]), ("k", OneHotEncoder(), ["kind"])]), estimator)


class Halver(TransformerMixin, BaseEstimator):
    def fit(self, X: Any, y: Any = None) -> Halver:
        return self

    def transform(self, X: Any) -> Any:
        return X / 2


@pytest.mark.parametrize(
    "estimator",
    [
        DecisionTreeClassifier(max_depth=3, random_state=0),
        RandomForestClassifier(5, random_state=0),
        HistGradientBoostingClassifier(max_iter=5, random_state=0),
        LogisticRegression(),
        make_pipeline(SelectKBest(f_classif, k=2), FunctionTransformer(np.tanh), LogisticRegression()),
        GridSearchCV(DecisionTreeClassifier(random_state=0), {"max_depth": [1, 2]}, scoring="roc_auc", cv=2),
    ],
    ids=lambda e: type(e).__name__,
)
def test_estimators_predict_the_same(keep: Keep, store: FolderArtifactStore, scratch: Path, data: Any, estimator: Any) -> None:
    X, y = data
    fitted = pipeline(estimator).fit(X, y)
    ref = artifacts.save(fitted, store, scratch)
    back = artifacts.load(ref, store, scratch)
    assert ref.format == "skops" and "scikit-learn" in ref.meta["versions"] and type(back) is type(fitted)
    np.testing.assert_array_equal(back.predict_proba(X), fitted.predict_proba(X))
    assert artifacts.save(back, store, scratch).digest == ref.digest
    kept = type(artifacts.load(ref, store, scratch, wanted="fairway.Model"))
    assert kept is fw.Model


def test_the_same_estimator_has_the_same_bytes_in_every_process(store: FolderArtifactStore, scratch: Path, tmp_path: Path) -> None:
    code = f"""
import numpy as np
from sklearn.ensemble import RandomForestClassifier
from fairway.step import artifacts
from fairway.step.folder import FolderArtifactStore
store, scratch = FolderArtifactStore({str(tmp_path / "other")!r}), {str(tmp_path / "s")!r}
X = np.random.default_rng(0).random((200, 4))
model = RandomForestClassifier(3, random_state=0).fit(X, X[:, 0] > 0.5)
digest = artifacts.save(model, store, scratch).digest
print(digest)
"""
    there = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()
    X = np.random.default_rng(0).random((200, 4))
    assert artifacts.save(RandomForestClassifier(3, random_state=0).fit(X, X[:, 0] > 0.5), store, scratch).digest == there


def test_a_model_that_is_no_estimator_is_kept_without_scikit_learn(tmp_path: Path) -> None:
    code = (
        "import sys; import numpy as np; from fairway.step.serializers import models; from fairway.step.types import Model;"
        f"print(models.save(Model(np.zeros(3)), {str(tmp_path / 'model')!r}, trust=False)['framework'], 'sklearn' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split() == ["numpy", "False"]


def test_code_of_the_users_own_needs_trust(store: FolderArtifactStore, scratch: Path, data: Any) -> None:
    X, y = data
    fitted = make_pipeline(Halver(), LinearRegression()).fit(X[["a"]], y)
    with pytest.raises(DefinitionError, match="Halver") as caught:
        artifacts.save(fitted, store, scratch)
    assert "trust=True" in caught.value.hint
    ref = artifacts.save(fitted, store, scratch, trust=True)
    with pytest.raises(DefinitionError, match="Halver"):
        artifacts.load(ref, store, scratch)
    np.testing.assert_array_equal(artifacts.load(ref, store, scratch, trust=True).predict(X[["a"]]), fitted.predict(X[["a"]]))


def test_a_model_says_how_to_use_it(store: FolderArtifactStore, scratch: Path, data: Any) -> None:
    X, y = data
    fitted = pipeline(LogisticRegression()).fit(X, y)
    example = X.head(5).copy()
    example.loc[0, "a"] = None
    ref = artifacts.save(fw.Model(fitted, example=example, metrics={"auc": np.float64(0.75)}), store, scratch, name="model")
    assert ref.format == "model" and ref.meta["metrics"] == {"auc": 0.75} and ref.meta["inputs"] == ["a", "b", "c", "kind"]
    model = artifacts.load(ref, store, scratch, wanted="fairway.Model")
    assert model.framework == "sklearn" and model.metrics == {"auc": 0.75} and set(model.versions) == {"python", "scikit-learn"}
    assert model.signature["inputs"]["a"] == {"type": "float64", "missing": True}
    assert model.signature["outputs"] == {"prediction": {"type": "int64", "categories": [0, 1]}}
    np.testing.assert_array_equal(model.predict(X), fitted.predict(X))
    np.testing.assert_array_equal(model.predict_proba(X), fitted.predict_proba(X))
    schema = json.loads(Path(model.folder, "schema.json").read_text())
    assert schema["$schema"].endswith("2020-12/schema")
    assert schema["$defs"]["inputs"]["properties"] == {
        "a": {"type": ["number", "null"]},
        "b": {"type": "number"},
        "c": {"type": "number"},
        "kind": {"type": "string"},
    }
    assert schema["$defs"]["inputs"]["required"] == ["b", "c", "kind"] and schema["$defs"]["outputs"]["properties"] == {
        "prediction": {"enum": [0, 1]}
    }
    rows = json.loads(Path(model.folder, "example.json").read_text())["inputs"]
    assert rows[0]["a"] is None and set(rows[0]) == {"a", "b", "c", "kind"}
    assert type(artifacts.load(ref, store, scratch, wanted="sklearn.pipeline.Pipeline")) is type(fitted)
    assert model.example == rows and "auc=0.75" in repr(model)


def test_a_model_can_be_copied_and_told_more(store: FolderArtifactStore, scratch: Path, tmp_path: Path, data: Any) -> None:
    X, y = data
    fitted = DecisionTreeClassifier(max_depth=2).fit(X[["a", "b"]], y)
    first = artifacts.save(fitted, store, scratch, declared="fairway.Model")
    model = artifacts.load(first, store, scratch)
    assert list(model.signature["inputs"]) == ["a", "b"]
    assert artifacts.save(model, store, scratch).digest == first.digest
    second = artifacts.load(artifacts.save(fw.Model(model, metrics={"auc": 0.5}), store, scratch), store, scratch)
    assert second.metrics == {"auc": 0.5} and list(second.signature["inputs"]) == ["a", "b"]
    typed = artifacts.load(artifacts.save(fw.Model(model, example=X[["a", "b"]].head()), store, scratch), store, scratch)
    assert typed.signature["inputs"] == {"a": {"type": "float64"}, "b": {"type": "float64"}}
    assert typed.signature["outputs"] == model.signature["outputs"] and typed.example
    second.save(tmp_path / "given")
    moved = fw.Model.load(tmp_path / "given")
    np.testing.assert_array_equal(moved.estimator.predict(X[["a", "b"]]), fitted.predict(X[["a", "b"]]))
    again = artifacts.load(artifacts.save(fw.Model(tmp_path / "given"), store, scratch), store, scratch)
    assert again.metrics == {"auc": 0.5}


def test_a_signature_can_be_told(keep: Keep, data: Any) -> None:
    X, y = data
    fitted = LinearRegression().fit(X[["a"]].to_numpy(), y)
    model = keep(fw.Model(fitted, signature={"inputs": {"area": "float64"}}))
    assert model.signature == {"inputs": {"area": {"type": "float64"}}}
    assert keep(fw.Model(fitted, example=X[["a"]].to_numpy())).signature == {
        "inputs": {"x0": {"type": "float64"}},
        "outputs": {"prediction": {"type": "float64"}},
    }


def test_models_that_cannot_be_stored(store: FolderArtifactStore, scratch: Path, tmp_path: Path) -> None:
    with pytest.raises(DefinitionError, match="model holds a"):
        artifacts.save(fw.Model(object()), store, scratch)
    with pytest.raises(NotFoundError, match=r"fairway-model\.json"):
        fw.Model.load(tmp_path)
    with pytest.raises(NotFoundError, match="no folder"):
        artifacts.save(fw.Model(tmp_path / "nowhere"), store, scratch)
    trusted = artifacts.save(fw.Model(Halver()), store, scratch, trust=True)
    with pytest.raises(DefinitionError, match="Halver"):
        _ = artifacts.load(trusted, store, scratch).estimator
    assert type(artifacts.load(trusted, store, scratch, trust=True).estimator) is Halver


def test_a_folder_of_any_files_can_be_a_model(store: FolderArtifactStore, scratch: Path, tmp_path: Path) -> None:
    (tmp_path / "r" / "deep").mkdir(parents=True)
    (tmp_path / "r" / "model.rds").write_bytes(b"R")
    (tmp_path / "r" / "deep" / "x").write_bytes(b"x")
    ref = artifacts.save(fw.Model(tmp_path / "r", metrics={"auc": 0.7}, signature={"inputs": {"a": "int64"}}), store, scratch)
    model = artifacts.load(ref, store, scratch)
    assert Path(model.folder, "model.rds").read_bytes() == b"R" and model.metrics == {"auc": 0.7}
    with pytest.raises(NotFoundError, match="without an estimator"):
        _ = model.estimator
    manifest = json.loads(store.get(blob_key(ref.digest)))
    assert [f["path"] for f in manifest["files"]] == ["deep/x", "fairway-model.json", "model.rds", "schema.json"]


def test_files_of_other_libraries_are_recognised_by_their_names(tmp_path: Path) -> None:
    for n, (name, framework) in enumerate(
        {"net.keras": "keras", "net.onnx": "onnx", "MLmodel": "mlflow", "saved_model.pb": "tensorflow"}.items()
    ):
        (tmp_path / f"{n}").mkdir()
        (tmp_path / f"{n}" / name).write_bytes(b"x")
        fw.Model(tmp_path / f"{n}").save(tmp_path / f"{n}-saved")
        assert fw.Model.load(tmp_path / f"{n}-saved").framework == framework
    fw.Model(tmp_path / "1" / "net.onnx", metrics={"auc": 0.5}).save(tmp_path / "one-file")
    made = fw.Model.load(tmp_path / "one-file")
    assert (made.card["file"], made.framework, made.metrics) == ("net.onnx", "onnx", {"auc": 0.5})
