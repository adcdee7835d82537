"""The emoji example: its steps as plain functions on the texts it carries, and its package asked as a server asks it."""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from threadpoolctl import threadpool_limits

from fairway.serve.package import load, open_package
from fairway.serve.refusal import Refused
from fairway.serve.schema import compile_checker, load_schema
from tests.serve.package import rig

EXAMPLE = Path(__file__).parents[2] / "examples" / "emoji"
NAMES = ("pipeline", "texts", "carried", "score", "serving", "network")


@pytest.fixture(scope="module")
def example() -> Iterator[ModuleType]:
    before = {name: sys.modules.pop(name) for name in NAMES if name in sys.modules}
    sys.path.insert(0, str(EXAMPLE))
    yield importlib.import_module("pipeline")
    sys.path.remove(str(EXAMPLE))
    for name in NAMES:
        sys.modules.pop(name, None)
    sys.modules.update(before)


@pytest.fixture(scope="module")
def fitted(example: ModuleType) -> Any:
    train, valid = example.load()
    with threadpool_limits(1):
        return example.fit(train, valid, 0.35), valid


@pytest.fixture(scope="module")
def package(example: ModuleType, fitted: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    patch = pytest.MonkeyPatch()
    patch.chdir(tmp_path_factory.mktemp("emoji"))
    made = Path(example.package(fitted[0])).resolve()
    patch.undo()
    return made


def test_carried_texts_are_short_different_and_as_many_of_each_emoji(example: ModuleType) -> None:
    train, valid = example.load()
    assert (len(train), len(valid)) == (200, 80)
    assert set(train["emoji"].value_counts()) == {10}
    assert set(valid["emoji"].value_counts()) == {4}
    texts = [*train["text"], *valid["text"]]
    assert len(set(texts)) == 280
    assert max(map(len, texts)) < 100


def test_the_model_finds_the_emojis_of_carried_texts(fitted: Any) -> None:
    model, valid = fitted
    assert model.metrics["macro_f1"] > 0.7
    assert model.metrics["top5"] > 0.85
    assert model.predict(valid["text"][:1])[0] in set(valid["emoji"])


def test_tables_show_each_emoji_and_some_texts(example: ModuleType, fitted: Any) -> None:
    shown = example.show(*fitted)
    assert len(list(shown.by_emoji)) == 20
    assert all(len(row["likely"]) >= 5 for row in shown.examples)


def test_five_emojis_with_scores_are_the_answer(package: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AZUREML_MODEL_DIR", "")
    predictor = load(open_package(str(package / "score.py")))
    schema = load_schema(json.loads((package / "schema.json").read_text()))
    checker = compile_checker(schema)
    body = checker.read_json((package / "example.json").read_bytes())
    answers: list[Any] = rig.answer(predictor, body, schema=schema)[0]
    assert [answer["emojis"][0]["emoji"] for answer in answers] == ["🎄", "☀"]
    for answer in answers:
        scores = [one["score"] for one in answer["emojis"]]
        assert len(scores) == 5
        assert scores == sorted(scores, reverse=True)
        assert 0 < sum(scores) <= 1.001
    for wrong in ('{"inputs": [{"text": ""}]}', '{"inputs": [{"words": "a"}]}', '{"inputs": [{"text": "' + "a" * 1_001 + '"}]}'):
        with pytest.raises(Refused):
            checker.read_json(wrong.encode())


def test_a_folder_of_texts_is_read_line_by_line(example: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "mapping.txt").write_text("0\t❤\t_red_heart_\t\n1\t🔥\t_fire_\t\n", encoding="utf-8")
    for part, texts, labels in (("train", "a\u2028b\n\nhot\n", "0\n0\n1\n"), ("val", "hot\n", "1\n")):
        (tmp_path / f"{part}_text.txt").write_text(texts, encoding="utf-8")
        (tmp_path / f"{part}_labels.txt").write_text(labels)
    train, valid = example.load(tmp_path)
    assert train.to_dict("list") == {"text": ["a\u2028b", "", "hot"], "emoji": ["❤", "❤", "🔥"]}
    assert valid.to_dict("list") == {"text": ["hot"], "emoji": ["🔥"]}
    (tmp_path / "val_labels.txt").write_text("1\n0\n")
    with pytest.raises(ValueError, match="1 texts, but 2 labels"):
        example.load(tmp_path)
    (tmp_path / "val_labels.txt").write_text("7\n")
    with pytest.raises(ValueError, match="'7'"):
        example.load(tmp_path)


def test_figures_count_the_first_and_the_five(example: ModuleType) -> None:
    scores = np.array([[0.5, 0.3, 0.1, 0.05, 0.03, 0.02], [0.1, 0.2, 0.3, 0.2, 0.15, 0.05]])
    assert example.judged(np.array(["a", "f"]), scores, np.array(list("abcdef"))) == {"macro_f1": pytest.approx(1 / 3), "top5": 0.5}
