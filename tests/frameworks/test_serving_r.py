from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fairway.serve.package import load, open_package
from fairway.serve.package.r_model import RFailed
from tests.serve.package import rig

TRAIN = """
set.seed(1)
data <- data.frame(age = runif(100, 18, 80), city = sample(c("ulm", "bonn"), 100, TRUE))
data$y <- 2 * data$age + ifelse(data$city == "ulm", 10, 0)
saveRDS(lm(y ~ age + city, data), "model.rds")
"""
SCORE = """
init <- function() {
  model <<- readRDS(file.path(Sys.getenv("AZUREML_MODEL_DIR"), "model.rds"))
  cat("what a script prints is no answer\\n")
}
run <- function(data) {
  if (any(data$age < 0)) stop("nobody is younger than 0")
  predict(model, data)
}
"""


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Any]]:
    monkeypatch.delenv("AZUREML_MODEL_DIR", raising=False)
    made: list[Any] = []
    yield made
    for predictor in made:
        predictor._process.close()


def serve(started: list[Any], folder: Path, text: str) -> Any:
    (folder / "score.R").write_text(text)
    started.append(load(open_package(str(folder))))
    return started[-1]


def test_a_model_trained_by_r_predicts(tmp_path: Path, started: list[Any]) -> None:
    subprocess.run(["Rscript", "--vanilla", "-e", TRAIN], cwd=tmp_path, check=True)
    predictor = serve(started, tmp_path, "fairway_batch <- TRUE\n" + SCORE)
    assert (predictor.takes, predictor.batches, predictor.bears_fork) == ("rows", True, False)
    first, second = rig.answer(predictor, rig.rows([[30, "ulm"], [40, "bonn"]], ("age", "city")), rig.rows([[50, "ulm"]], ("age", "city")))
    assert first == pytest.approx([70, 80]) and second == pytest.approx([110])
    with pytest.raises(RFailed, match="nobody is younger than 0 in run"):
        rig.answer(predictor, rig.rows([[-1, "ulm"]], ("age", "city")))
    assert rig.answer(predictor, rig.rows([[10, "bonn"]], ("age", "city"))) == [pytest.approx([20])]


def test_values_of_all_kinds_go_there_and_back(tmp_path: Path, started: list[Any]) -> None:
    predictor = serve(started, tmp_path, "run <- function(data) data\n")
    given = [
        {"n": 1, "x": 0.1, "t": 'a "quoted" \\ line\nand ünï 🙂 $x `y`', "b": True, "big": 2**40, "l": [1, 2]},
        {"n": None, "x": 1e-300, "t": None, "b": None, "big": 3, "l": ["x", None]},
    ]
    assert rig.answer(predictor, rig.of_json({"inputs": given})) == [given]


def test_lists_dates_factors_matrices_and_numbers_that_are_none(tmp_path: Path, started: list[Any]) -> None:
    script = """run <- function(data) list(
      a = I(1), b = 2L, when = as.Date("2026-01-02"), f = factor("u"), m = matrix(1:4, 2), no = NULL, nan = NaN, v = c(1.5, NA), s = list())
    """
    predictor = serve(started, tmp_path, script)
    (found,) = rig.answer(predictor, rig.of_json([{"x": 1}]))
    assert found == {
        "a": [1],
        "b": 2,
        "when": "2026-01-02",
        "f": "u",
        "m": [[1, 3], [2, 4]],
        "no": None,
        "nan": None,
        "v": [1.5, None],
        "s": [],
    }


def test_azures_r_scripts_return_a_function_of_text(tmp_path: Path, started: list[Any]) -> None:
    predictor = serve(
        started, tmp_path, "init <- function() {\n  function(data) structure(sprintf('{\"n\":%d}', nchar(data)), class = 'json')\n}\n"
    )
    assert predictor.takes == "raw"
    assert rig.answer(predictor, rig.raw("[1, ü]".encode())) == [{"n": 6}]


def test_bytes_with_their_type(tmp_path: Path, started: list[Any]) -> None:
    predictor = serve(started, tmp_path, "run <- function(data) structure(as.raw(c(0, 255)), content_type = 'image/png')\n")
    assert rig.answer(predictor, rig.of_json([{"x": 1}])) == [b"\x00\xff"]


def test_what_r_says_of_a_faulty_script_is_passed_on(tmp_path: Path, started: list[Any]) -> None:
    with pytest.raises(RFailed, match="no function run"):
        serve(started, tmp_path, "x <- 1\n")
    with pytest.raises(RFailed, match="there is no package called"):
        serve(started, tmp_path, "library(nosuchpackage)\nrun <- function(data) 1\n")


def test_r_that_has_died_is_started_again(tmp_path: Path, started: list[Any]) -> None:
    predictor = serve(started, tmp_path, "run <- function(data) if (data$x == 1) quit(status = 7) else data$x\n")
    with pytest.raises(RFailed, match="exit status 7"):
        rig.answer(predictor, rig.of_json([{"x": 1}]))
    assert rig.answer(predictor, rig.of_json([{"x": 2}])) == [[2]]
