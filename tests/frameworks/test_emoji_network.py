"""The emoji example's network on two ranks, with the texts it carries; its linear model on the given ones, where they are."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

import_module("torch")
ROOT = Path(__file__).parents[2]
FAIRWAY = str(Path(sys.executable).parent / "fairway")
GIVEN = Path(os.environ.get("EMOJI_TEXTS", ROOT.parent / "shared" / "data" / "emoji"))


def fairway(*words: str, home: Path) -> str:
    variables = os.environ | {"FAIRWAY_HOME": str(home), "OMP_NUM_THREADS": "1"}
    done = subprocess.run([FAIRWAY, *words], cwd=ROOT, env=variables, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_two_ranks_train_the_network_and_log_every_epoch(tmp_path: Path) -> None:
    fairway("run", "examples/emoji/network.py", "--epochs", "12", "--batch", "8", "--width", "32", home=tmp_path)
    run = json.loads(fairway("show", "-o", "json", home=tmp_path))
    assert run["status"] == "succeeded"
    fairway("artifacts", "get", "last", "result", "--to", str(tmp_path / "result.json"), home=tmp_path)
    found = json.loads((tmp_path / "result.json").read_text())
    assert found["macro_f1"] == run["metrics"]["macro_f1"]
    assert found["ranks"] == 2
    assert found["top5"] > 0.5  # by chance 0.25
    assert found["macro_f1"] > 0.15  # by chance 0.05


if GIVEN.exists():  # not ours to ship; EMOJI_TEXTS names the folder elsewhere

    def test_linear_model_on_the_given_texts(monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.syspath_prepend(str(ROOT / "examples" / "emoji"))
        pipeline = import_module("pipeline")
        train, valid = pipeline.load(GIVEN)
        model = pipeline.fit(train, valid, 0.35)
        assert model.metrics["macro_f1"] >= 0.25
        assert model.metrics["top5"] >= 0.60
