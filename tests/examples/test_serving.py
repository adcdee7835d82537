"""The serving example: trained, loaded by its script, asked by its own example request."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from threadpoolctl import threadpool_limits

from fairway.serve.package import load, open_package
from fairway.serve.refusal import Refused
from fairway.serve.schema import compile_checker, load_schema
from tests.serve.package import rig

ROOT = Path(__file__).parents[2] / "examples"


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A copy of the example, trained on fewer customers."""
    folder = tmp_path_factory.mktemp("examples") / "serving"
    shutil.copytree(ROOT / "serving", folder, ignore=shutil.ignore_patterns("model", "__pycache__"))
    before = list(sys.path)
    sys.path[:0] = [str(ROOT / "serving"), str(ROOT / "default_risk")]
    import train  # pyright: ignore[reportMissingImports]

    with threadpool_limits(1):  # OpenMP's own spin where tests run side by side
        train.train(rows=1_000).save(folder / "model")
    yield folder
    sys.path[:] = before
    for name in ("train", "generate", "score"):
        sys.modules.pop(name, None)


def test_the_example_request_is_answered_and_faults_are_named(served: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AZUREML_MODEL_DIR", "")
    package = open_package(str(served / "score.py"))
    predictor = load(package)
    assert (package.kind, predictor.takes, predictor.batches) == ("script", "frame", True)
    schema = load_schema(package.schema)
    checker = compile_checker(schema)
    body = (served / "example.json").read_bytes()
    answers: list[Any] = rig.answer(predictor, checker.read_json(body), checker.read_json(body), schema=schema)
    assert len(answers) == 2 and answers[0] == answers[1]
    assert 0 <= answers[0][0]["risk"] <= 1 and answers[0][0]["decision"] in ("accept", "ask for more")
    young = json.loads(body)
    young["inputs"][0]["AGE"] = 17
    with pytest.raises(Refused) as refused:
        checker.read_json(json.dumps(young).encode())
    assert refused.value.faults[0].field == "AGE"
    assert load(open_package(str(served / "model"))).takes == "matrix"
