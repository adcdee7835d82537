"""fw.Model with the schema and the baseline of its training data."""

from __future__ import annotations

import json
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

import fairway as fw
from fairway.data.drift import Baseline, load_baseline
from fairway.data.schema.load import load_schema
from fairway.data.schema.parse import parse_schema
from fairway.errors import DefinitionError, NotFoundError
from fairway.step.types import Model

np = import_module("numpy")
pd = import_module("pandas")
import_module("skops")
from sklearn.linear_model import LogisticRegression  # noqa: E402

SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "id": {"type": "integer"},
        "b": {"type": "number", "minimum": 0, "maximum": 1, "x-fairway": {"unit": "kg"}},
        "a": {"$ref": "#/$defs/share"},
        "y": {"type": "integer"},
    },
    "required": ["id", "b", "a", "y"],
    "$defs": {"share": {"type": "number", "minimum": 0}},
    "x-fairway": {"label": "y", "keys": [["id"]]},
}


@pytest.fixture(scope="module")
def frame() -> Any:
    random = np.random.default_rng(0)
    made = pd.DataFrame(random.random((400, 2)), columns=["a", "b"])
    made["y"] = (made.a + made.b > 1).astype(int)
    return made


@pytest.fixture(scope="module")
def estimator(frame: Any) -> Any:
    return LogisticRegression().fit(frame[["a", "b"]], frame.y)


@pytest.fixture(scope="module")
def baseline(frame: Any) -> Baseline:
    return fw.baseline(frame, window_rows=100)


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def test_the_package_carries_the_schema_of_the_data_and_their_baseline(
    tmp_path: Path, frame: Any, estimator: Any, baseline: Baseline
) -> None:
    Model(estimator, example=frame[["a", "b"]].head(), schema=SCHEMA, baseline=baseline).save(tmp_path / "m")
    card = json.loads((tmp_path / "m" / "fairway-model.json").read_text())
    assert (card["schema"], card["data_schema"], card["baseline"]) == ("schema.json", True, "baseline.json")
    document = json.loads((tmp_path / "m" / "schema.json").read_text())
    served = load_schema(document)
    assert served.names == ("a", "b")  # the model's order; neither the label nor what the model does not take
    assert served.columns[1].maximum == 1 and served.columns[0].minimum == 0
    assert [one.name for one in served.outputs] == ["prediction"]
    table = parse_schema(json.loads((tmp_path / "m" / "schema.json").read_text()))
    assert table.label == "y" and table.columns["b"].unit == "kg"
    assert list(table.for_environment("serving").columns) == ["a", "b"]
    assert load_baseline(tmp_path / "m" / "baseline.json").digest == baseline.digest


def test_without_either_nothing_is_added(tmp_path: Path, frame: Any, estimator: Any) -> None:
    Model(estimator, example=frame[["a", "b"]].head()).save(tmp_path / "m")
    card = json.loads((tmp_path / "m" / "fairway-model.json").read_text())
    assert "baseline" not in card and "data_schema" not in card
    assert set(files(tmp_path / "m")) == {"fairway-model.json", "schema.json", "example.json", "model.skops"}


def test_the_same_data_give_the_same_bytes(tmp_path: Path, frame: Any, estimator: Any, baseline: Baseline) -> None:
    for name, made in (("one", baseline), ("two", fw.baseline(frame, window_rows=100))):
        Model(estimator, schema=SCHEMA, baseline=made).save(tmp_path / name)
    one, two = files(tmp_path / "one"), files(tmp_path / "two")
    assert one["baseline.json"] == two["baseline.json"] and one["schema.json"] == two["schema.json"]
    assert one["fairway-model.json"] == two["fairway-model.json"]


def test_what_is_loaded_and_told_more_keeps_both(tmp_path: Path, estimator: Any, baseline: Baseline) -> None:
    Model(estimator, schema=SCHEMA, baseline=baseline).save(tmp_path / "one")
    Model(Model.load(tmp_path / "one"), metrics={"auc": 0.9}).save(tmp_path / "two")
    Model(tmp_path / "one", metrics={"auc": 0.9}).save(tmp_path / "three")
    one = files(tmp_path / "one")
    for name in ("two", "three"):
        other = files(tmp_path / name)
        assert one["baseline.json"] == other["baseline.json"] and one["schema.json"] == other["schema.json"], name
        card = json.loads(other["fairway-model.json"])
        assert card["data_schema"] is True and card["baseline"] == "baseline.json" and card["metrics"] == {"auc": 0.9}


def test_files_are_read_by_their_names(tmp_path: Path, estimator: Any, baseline: Baseline) -> None:
    (tmp_path / "s.json").write_text(json.dumps(SCHEMA))
    baseline.save(tmp_path / "b.json")
    Model(estimator, schema=str(tmp_path / "s.json"), baseline=tmp_path / "b.json").save(tmp_path / "m")
    assert load_baseline(tmp_path / "m" / "baseline.json").digest == baseline.digest


@pytest.mark.parametrize(
    ("given", "error", "says"),
    [
        ({"schema": "nowhere.json"}, NotFoundError, "no schema nowhere.json"),
        ({"schema": 3}, DefinitionError, "a int, which is no schema"),
        ({"baseline": "nowhere.json"}, NotFoundError, "no baseline nowhere.json"),
        ({"baseline": {"a": 1}}, DefinitionError, "which is no baseline"),
    ],
)
def test_what_is_neither_is_refused(estimator: Any, given: dict[str, Any], error: type[Exception], says: str) -> None:
    with pytest.raises(error, match=says):
        Model(estimator, **given)


def test_a_frame_is_no_baseline_and_the_hint_says_how_to_make_one(estimator: Any, frame: Any) -> None:
    with pytest.raises(DefinitionError) as raised:
        Model(estimator, baseline=frame)
    assert "fw.baseline(train)" in raised.value.hint


def test_a_column_of_the_model_that_the_schema_lacks_is_named(tmp_path: Path, frame: Any, estimator: Any) -> None:
    schema = {"type": "object", "properties": {"a": {"type": "number"}, "bb": {"type": "number"}}}
    with pytest.raises(DefinitionError, match="takes a column 'b'") as raised:
        Model(estimator, schema=schema).save(tmp_path / "m")
    assert raised.value.hint == "did you mean 'bb'?"


def test_what_is_too_large_for_a_server_is_refused(tmp_path: Path, estimator: Any, baseline: Baseline) -> None:
    large = {**baseline.to_json(), "notes": ["x" * 1_100_000]}
    with pytest.raises(DefinitionError, match=r"baseline.json would be 1\.1 MB"):
        Model(estimator, baseline=large).save(tmp_path / "m")
