"""`fairway data drift`: words, exit status, formats, baselines."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from fairway.cli import main
from fairway.data.statistics import measure
from fairway.data.table import read


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name, seed, shift in (("train", 1, 0), ("same", 2, 0), ("new", 3, 20)):
        rng = np.random.default_rng(seed)
        ages, sizes = rng.normal(50 + shift, 10, 3_000), rng.choice(["S", "M", "<b>"], 3_000)
        lines = [f"{age:.2f},{size}" for age, size in zip(ages, sizes, strict=True)]
        Path(f"{name}.csv").write_text("age,size\n" + "\n".join(lines) + "\n")
    return tmp_path


Drift = Callable[..., tuple[int, str]]


@pytest.fixture
def drift(folder: Path, capsys: pytest.CaptureFixture[str]) -> Drift:
    """(exit status, standard output) of `fairway data drift WORDS` in the folder."""

    def run(*words: str) -> tuple[int, str]:
        capsys.readouterr()
        status = main(["data", "drift", *words])
        return status, capsys.readouterr().out

    return run


def test_nothing_moved(drift: Drift) -> None:
    assert drift("train.csv", "same.csv") == (0, "no drift (2 columns, 3,000 rows against 3,000)\n")


def test_what_moved_is_told_and_fails(drift: Drift) -> None:
    status, said = drift("train.csv", "new.csv")
    assert status == 1
    assert said.startswith("● `age` is higher: median ") and "threshold" in said
    assert "\n\n1 of 2 columns moved (3,000 rows against 3,000)\n" in said


def test_statistics_stand_for_their_table(drift: Drift) -> None:
    Path("train.json").write_text(measure(read("train.csv")).to_json())
    assert drift("train.json", "same.csv")[0] == 0
    assert drift("train.json", "new.csv")[0] == 1


def test_json_and_html(drift: Drift) -> None:
    found = json.loads(drift("train.csv", "new.csv", "--format", "json")[1])
    assert found["ok"] is False and [one["column"] for one in found["columns"] if one["drifted"]] == ["age"]
    drift("train.csv", "new.csv", "--format", "html", "--out", "page.html")
    page = Path("page.html").read_text()
    assert "1 column moved" in page and "://" not in page


def test_a_baseline_is_saved_and_held_against(drift: Drift) -> None:
    assert drift("train.csv", "--save-baseline", "base.json")[0] == 0
    assert drift("--baseline", "base.json", "same.csv")[0] == 0
    assert drift("--baseline", "base.json", "new.csv")[0] == 1


def test_slices(drift: Drift) -> None:
    _, said = drift("train.csv", "new.csv", "--by", "size", "--multivariate", "none")
    assert "where size = S: `age` is higher" in said


@pytest.mark.parametrize(
    "words",
    [
        (), ("train.csv",), ("train.csv", "none.csv"), ("--baseline", "none.json", "new.csv"), ("--baseline", "train.csv", "new.csv"),
        ("train.csv", "new.csv", "--environment", "serving"), ("train.csv", "new.csv", "--by", "colour"),
    ],
)  # fmt: skip
def test_misuse_is_2(drift: Drift, words: tuple[str, ...]) -> None:
    assert drift(*words)[0] == 2
