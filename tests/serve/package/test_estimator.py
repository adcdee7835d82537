from __future__ import annotations

import pickle
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

import fairway as fw
from fairway.errors import ConfigError, DefinitionError
from fairway.serve.package import load, open_package
from fairway.serve.refusal import Refused
from tests.serve.package import rig

RNG = np.random.default_rng(1)
FRAME = pd.DataFrame({"age": RNG.integers(18, 80, 200), "income": RNG.normal(40, 10, 200), "city": RNG.choice(["ulm", "bonn"], 200)})
TARGET = ((FRAME.age > 40) & (FRAME.city == "ulm")).astype(int)


def saved(folder: Path, estimator: object, **more: object) -> str:
    fw.Model(estimator, **more).save(folder / "model")  # type: ignore[arg-type]
    return str(folder / "model")


def test_one_that_was_trained_on_an_array_takes_a_matrix(tmp_path: Path) -> None:
    x = FRAME[["age", "income"]].to_numpy(float)
    trained = LogisticRegression().fit(x, TARGET)
    predictor = load(open_package(saved(tmp_path, trained)))
    assert (predictor.takes, predictor.batches, predictor.bears_fork, predictor.is_async) == ("matrix", True, True, False)
    assert predictor.methods[:2] == ("predict", "predict_proba")
    first, second = rig.answer(predictor, rig.matrix(x[:2]), rig.matrix(x[2:5]), method="predict_proba")
    assert np.allclose(first + second, trained.predict_proba(x[:5]))


def test_names_of_numeric_columns_need_no_frame_and_give_no_warning(tmp_path: Path) -> None:
    x = FRAME[["age", "income"]]
    trained = make_pipeline(StandardScaler(), RandomForestClassifier(5)).fit(x, TARGET)
    predictor = load(open_package(saved(tmp_path, trained, example=x)))
    assert predictor.takes == "matrix" and predictor.names == ("age", "income")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        (found,) = rig.answer(predictor, rig.matrix(x[:4], ("age", "income")))
    assert found == trained.predict(x[:4]).tolist()


def test_columns_come_in_the_order_of_training_whatever_the_requests(tmp_path: Path) -> None:
    x = FRAME[["age", "income"]]
    trained = LinearRegression().fit(x, 3 * x.age - x.income)
    predictor = load(open_package(saved(tmp_path, trained)))
    (found,) = rig.answer(predictor, rig.matrix([[1.0, 50.0]], ("income", "age")))
    assert found == pytest.approx([149.0])


def test_a_column_that_is_missing_is_named(tmp_path: Path) -> None:
    x = FRAME[["age", "income"]]
    predictor = load(open_package(saved(tmp_path, LinearRegression().fit(x, x.age))))
    with pytest.raises(Refused) as refused:
        rig.answer(predictor, rig.of_json({"inputs": [{"age": 3}]}))
    assert refused.value.status == 422 and refused.value.faults[0].field == "income"


def test_a_pipeline_that_selects_by_name_gets_a_frame_with_the_types_of_training(tmp_path: Path) -> None:
    columns = ColumnTransformer([("one", OneHotEncoder(), ["city"]), ("rest", "passthrough", ["age", "income"])])
    trained = make_pipeline(columns, LogisticRegression(max_iter=500)).fit(FRAME, TARGET)
    predictor = load(open_package(saved(tmp_path, trained, example=FRAME)))
    assert predictor.takes == "frame"
    some = FRAME.head(3)
    wanted = trained.predict(some).tolist()
    assert rig.answer(predictor, rig.rows(some[["city", "age", "income"]].to_numpy(object).tolist(), ("city", "age", "income"))) == [wanted]
    parts = rig.answer(predictor, *[rig.of_json({"inputs": [row]}) for row in some.to_dict("records")])
    assert [one for part in parts for one in part] == wanted


def test_categories_are_those_of_training(tmp_path: Path) -> None:
    x = FRAME.assign(city=FRAME.city.astype("category"))
    trained = HistGradientBoostingClassifier(max_iter=5, categorical_features="from_dtype").fit(x, TARGET)
    where = saved(tmp_path, trained, example=x, trust=True)
    predictor = load(open_package(where, options={"trust": True}))
    assert predictor.takes == "frame"
    only_ulm = x[x.city == "ulm"].head(2)
    (found,) = rig.answer(predictor, rig.of_json({"inputs": [dict(row) for row in only_ulm.astype(object).to_dict("records")]}))
    assert found == trained.predict(only_ulm).tolist()


def test_text_for_a_model_of_numbers_is_refused_with_row_and_column(tmp_path: Path) -> None:
    x = FRAME[["age", "income"]]
    predictor = load(open_package(saved(tmp_path, LinearRegression().fit(x, x.age))))
    with pytest.raises(Refused) as refused:
        rig.answer(predictor, rig.of_json({"inputs": [{"age": 3, "income": 2}, {"age": "old", "income": 2}]}))
    (fault,) = refused.value.faults
    assert fault.text == "row 1, field 'age': came the text 'old', expected a number"
    with pytest.raises(Refused, match="expected a number"):
        rig.answer(predictor, rig.of_json([["1.5", 2]]))
    with pytest.raises(Refused, match="came 1 values, expected 2"):
        rig.answer(predictor, rig.of_json([[1, 2], [1]]))


def test_labels_of_text_are_answered_as_text(tmp_path: Path) -> None:
    trained = LogisticRegression().fit(FRAME[["age"]].to_numpy(), np.where(TARGET, "yes", "no"))
    predictor = load(open_package(saved(tmp_path, trained)))
    assert rig.answer(predictor, rig.matrix([[20.0]])) == [["no"]]
    assert predictor.output_names("predict_proba") == ("no", "yes")


def test_the_method_asked_for_is_the_first(tmp_path: Path) -> None:
    trained = LogisticRegression().fit(FRAME[["age"]].to_numpy(), TARGET)
    where = saved(tmp_path, trained)
    assert load(open_package(where, options={"method": "predict_proba"})).methods[0] == "predict_proba"
    with pytest.raises(ConfigError, match="no method 'forecast'") as refused:
        load(open_package(where, options={"method": "forecast"}))
    assert "predict_proba" in refused.value.hint


def test_a_pickle_is_read_only_with_trust(tmp_path: Path) -> None:
    file = tmp_path / "old.pkl"
    file.write_bytes(pickle.dumps(LinearRegression().fit([[0.0], [1.0]], [0.0, 2.0])))
    with pytest.raises(DefinitionError, match="is a pickle") as refused:
        load(open_package(str(file)))
    assert "--trust" in refused.value.hint
    predictor = load(open_package(str(file), options={"trust": True}))
    assert rig.answer(predictor, rig.of_json({"data": [[2.0]]})) == [[pytest.approx(4.0)]]
