"""Features that are fitted in training and travel inside the model."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.compose import ColumnTransformer
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import OneHotEncoder, StandardScaler

import fairway as fw
from fairway.errors import DefinitionError
from fairway.step.transform import Transform
from tests.step import features as mine

RNG = np.random.default_rng(3)
FRAME = pd.DataFrame({"age": RNG.integers(18, 80, 300), "income": RNG.normal(40, 10, 300), "city": RNG.choice(["ulm", "bonn"], 300)})
TARGET = ((FRAME.age > 40) & (FRAME.city == "ulm")).astype(int)


def fitted() -> tuple[Transform, Any]:
    features = fw.transform(
        mine.ratios, mine.capped, ColumnTransformer([("n", StandardScaler(), ["age", "ratio"]), ("c", OneHotEncoder(), ["city"])])
    )
    return features, features.fit_transform(FRAME, TARGET)


def test_functions_and_estimators_follow_each_other_and_remember_what_they_learned() -> None:
    features, made = fitted()
    assert made.shape == (300, 4)
    assert np.allclose(features(FRAME.head(7)), made[:7])
    one = FRAME.head(1).assign(income=np.nan)
    assert np.isfinite(features(one)).all()  # the median of training, not of this one row


def test_a_model_computes_the_same_features_after_it_was_stored(tmp_path: Path) -> None:
    features, made = fitted()
    trained = LogisticRegression().fit(made, TARGET)
    fw.Model(trained, transform=features, example=FRAME.head()).save(tmp_path / "m")
    back = fw.Model.load(tmp_path / "m")
    assert np.allclose(back.predict_proba(FRAME), trained.predict_proba(made))
    assert back.transform.replay() == []
    schema = json.loads((tmp_path / "m" / "schema.json").read_text())
    assert list(schema["$defs"]["inputs"]["properties"]) == ["age", "income", "city"]
    back.save(tmp_path / "again")
    assert np.allclose(fw.Model.load(tmp_path / "again").predict_proba(FRAME), trained.predict_proba(made))


def test_code_travels_without_the_rest_of_its_module(tmp_path: Path) -> None:
    features, made = fitted()
    fw.Model(LogisticRegression().fit(made, TARGET), transform=features, example=FRAME.head()).save(tmp_path / "m")
    code = {path.name: path.read_text() for path in (tmp_path / "m" / "transform" / "code").rglob("*.py")}
    (main,) = (text for name, text in code.items() if name.startswith("part0"))
    assert "def ratios" in main and "LIMIT" in main and "unrelated" not in main and "heavy_library" not in main
    assert "def clip" in code["featurehelpers.py"]
    alone = "import pandas as pd, sys, fairway as fw; m = fw.Model.load(sys.argv[1]); print(m.predict(pd.read_json(sys.argv[2])).tolist())"
    FRAME.head(20).to_json(tmp_path / "rows.json")
    command = [sys.executable, "-c", alone, tmp_path / "m", tmp_path / "rows.json"]
    got = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert json.loads(got.stdout) == fw.Model.load(tmp_path / "m").predict(FRAME.head(20)).tolist()


def test_features_that_come_out_differently_are_told_by_row_and_feature(tmp_path: Path) -> None:
    features, made = fitted()
    fw.Model(LogisticRegression().fit(made, TARGET), transform=features, example=FRAME.head()).save(tmp_path / "m")
    card = tmp_path / "m" / "transform" / "transform.json"
    card.write_text(card.read_text().replace('"cap": ', '"cap": 0.0001, "was": '))
    (first, *_) = fw.Model.load(tmp_path / "m").transform.replay()
    assert first.startswith("row 0, feature 1: ") and "in training" in first


@given(
    st.lists(
        st.fixed_dictionaries(
            {"age": st.integers(0, 120), "income": st.none() | st.floats(-1e6, 1e6), "city": st.sampled_from(["ulm", "bonn"])}
        ),
        min_size=1, max_size=20,
    )
)  # fmt: skip
@settings(max_examples=30, deadline=None)
def test_a_row_has_the_same_features_alone_and_among_others(rows: list[dict[str, Any]]) -> None:
    features, _ = fitted()
    frame = pd.DataFrame(rows, columns=["age", "income", "city"]).astype({"income": float})
    together = features(frame)
    assert all(np.allclose(features(frame.iloc[n : n + 1]), together[n]) for n in range(len(frame)))


def test_tables_of_rows_and_arrays_are_tables_too(tmp_path: Path) -> None:
    of_rows = fw.transform(mine.of_rows)
    made = of_rows.fit_transform([{"a": 1.0}, {"a": 3.0}])
    assert made == [[-1.0], [1.0]]
    of_rows.save(str(tmp_path / "t"))
    back = Transform.load(str(tmp_path / "t"))
    assert back([{"a": 5.0}]) == [[3.0]] and back.replay() == [] and back.takes == "rows"
    scaled = fw.transform(StandardScaler()).fit(np.array([[1.0], [3.0]]))
    assert scaled(np.array([[5.0]])).tolist() == [[3.0]]


def test_what_cannot_travel_is_said_when_it_is_written_down() -> None:
    with pytest.raises(DefinitionError, match="lambda cannot travel"):
        fw.transform(lambda rows: rows)
    with pytest.raises(DefinitionError, match="takes 3 arguments"):
        fw.transform(mine.three)
    with pytest.raises(DefinitionError, match="no part of features"):
        fw.transform(StandardScaler)
    with pytest.raises(DefinitionError, match="no parts"):
        fw.transform()

    def inner(rows: Any) -> Any:
        return rows

    made = fw.transform(inner).fit(FRAME)
    with pytest.raises(DefinitionError, match="not defined at the top level"):
        made.save("nowhere-at-all")
    assert not Path("nowhere-at-all").exists()


def test_unfitted_features_say_so(tmp_path: Path) -> None:
    features = fw.transform(mine.ratios)
    with pytest.raises(DefinitionError, match="not fitted"):
        features.transform(FRAME)
    with pytest.raises(DefinitionError, match="these are not"):
        fw.Model(LogisticRegression(), transform=features).save(tmp_path / "m")
    with pytest.raises(DefinitionError, match="'late', which was not fitted"):  # already in training, by trying a few rows
        fw.transform(mine.asks_late).fit(FRAME)
    with pytest.raises(DefinitionError, match="no plain form"):
        fw.transform(mine.keeps_a_frame).fit(FRAME)
