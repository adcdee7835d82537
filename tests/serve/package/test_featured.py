"""A model that carries its features is served with them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.compose import ColumnTransformer
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import OneHotEncoder, StandardScaler

import fairway as fw
from fairway.errors import DefinitionError
from fairway.serve.package import load, open_package
from fairway.serve.schema import load_schema
from tests.serve.package import rig
from tests.step import features as mine

RNG = np.random.default_rng(3)
FRAME = pd.DataFrame({"age": RNG.integers(18, 80, 300), "income": RNG.normal(40, 10, 300), "city": RNG.choice(["ulm", "bonn"], 300)})
TARGET = ((FRAME.age > 40) & (FRAME.city == "ulm")).astype(int)


def stored(folder: Path) -> tuple[str, LogisticRegression, np.ndarray]:
    features = fw.transform(mine.ratios, ColumnTransformer([("n", StandardScaler(), ["age", "ratio"]), ("c", OneHotEncoder(), ["city"])]))
    made = features.fit_transform(FRAME)
    trained = LogisticRegression().fit(made, TARGET)
    fw.Model(trained, transform=features, example=FRAME.head()).save(folder / "m")
    return str(folder / "m"), trained, made


def test_a_request_holds_what_comes_before_the_features(tmp_path: Path) -> None:
    path, trained, made = stored(tmp_path)
    package = open_package(path)
    predictor = load(package)
    assert (predictor.takes, predictor.names, predictor.methods[:2]) == ("frame", ("age", "income", "city"), ("predict", "predict_proba"))
    assert package.schema is not None
    rows = FRAME.head(6).astype(object).values.tolist()
    (found,) = rig.answer(predictor, rig.rows(rows, tuple(FRAME.columns)), schema=load_schema(package.schema), method="predict_proba")
    assert np.allclose(found, trained.predict_proba(made[:6]))
    assert predictor.output_names("predict_proba") == ("0", "1")


def test_features_that_differ_from_training_are_not_served(tmp_path: Path) -> None:
    path, _, _ = stored(tmp_path)
    card = Path(path, "transform", "transform.json")
    told = json.loads(card.read_text())
    told["parts"][0]["fitted"]["middle"] = 1.0
    card.write_text(json.dumps(told))
    replay = Path(path, "transform", "replay.json")
    kept = json.loads(replay.read_text())
    kept["rows"][0]["income"] = None
    replay.write_text(json.dumps(kept))
    with pytest.raises(DefinitionError, match="come out differently here than in training: row 0, feature 1"):
        load(open_package(path))


def test_features_of_an_array_and_of_rows(tmp_path: Path) -> None:
    scaled = fw.transform(StandardScaler())
    x = FRAME[["age", "income"]].to_numpy(float)
    trained = LogisticRegression().fit(scaled.fit_transform(x), TARGET)
    fw.Model(trained, transform=scaled, example=x[:3]).save(tmp_path / "m")
    predictor = load(open_package(str(tmp_path / "m")))
    assert predictor.takes == "matrix"
    (found,) = rig.answer(predictor, rig.matrix(x[:4]))
    assert found == trained.predict(scaled(x[:4])).tolist()
    of_rows = fw.transform(mine.of_rows)
    rows = [{"a": 1.0}, {"a": 3.0}, {"a": 4.0}]
    of_rows.fit(rows)
    fw.Model(LogisticRegression().fit(of_rows(rows), [0, 1, 1]), transform=of_rows, example=rows).save(tmp_path / "r")
    predictor = load(open_package(str(tmp_path / "r")))
    assert predictor.takes == "rows"
    (found,) = rig.answer(predictor, rig.rows([[0.0], [9.0]], ("a",)))
    assert found == [0, 1]
