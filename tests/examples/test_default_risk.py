"""The main example, step by step as plain functions, and once as a whole."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
FAIRWAY = str(Path(sys.executable).parent / "fairway")
EXAMPLE = ROOT / "examples" / "default_risk"
REAL_FILE = Path(os.environ.get("CREDIT_DEFAULT_CSV", ROOT.parent / "shared" / "data" / "credit_default.csv"))
NAMES = ("pipeline", "generate", "report")


@pytest.fixture(scope="module")
def example() -> Iterator[ModuleType]:
    sys.path.insert(0, str(EXAMPLE))
    yield importlib.import_module("pipeline")
    sys.path.remove(str(EXAMPLE))
    for name in NAMES:
        sys.modules.pop(name, None)


@pytest.fixture(scope="module")
def customers(example: ModuleType) -> Any:
    return example.load()


def judge(example: ModuleType, customers: Any) -> tuple[str, Any]:
    """The pipeline by hand: (name of the best model, its report). With one thread: OpenMP's own spin where tests run side by side."""
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1):
        return judge_in_one_thread(example, customers)


def judge_in_one_thread(example: ModuleType, customers: Any) -> tuple[str, Any]:
    parts = example.split(example.check(customers))
    trees = [example.train_tree(parts.train, parts.valid, depth) for depth in (2, 6)]
    boosted = [example.train_boosting(parts.train, parts.valid, 0.05)]
    winner = example.best(trees, [2, 6], boosted, [0.05])
    return winner.name, example.evaluate(winner.model, winner.name, parts.test)


def test_the_pipeline_is_short_enough_to_read() -> None:
    assert len((EXAMPLE / "pipeline.py").read_text().splitlines()) < 150


def test_invented_customers_have_the_columns_and_oddities_of_the_real_ones(customers: Any) -> None:
    assert customers.shape == (30_000, 25)
    assert customers.columns[0] == "ID"
    assert customers.columns[-1] == "default.payment.next.month"
    assert {0, 5, 6} < set(customers["EDUCATION"])
    assert 0 in set(customers["MARRIAGE"])
    assert 0.18 < customers["default.payment.next.month"].mean() < 0.26


def test_the_same_seed_invents_the_same_customers(example: ModuleType) -> None:
    first, again, other = (importlib.import_module("generate").generate(500, seed) for seed in (1, 1, 2))
    assert first.equals(again)
    assert not first.equals(other)


def test_the_example_invents_a_file_of_its_own(tmp_path: Path, customers: Any) -> None:
    import pandas as pd

    target = tmp_path / "customers.csv"
    done = subprocess.run([sys.executable, EXAMPLE / "generate.py", target], capture_output=True, text=True, check=True)
    assert "30,000 customers" in done.stdout
    assert pd.read_csv(target).equals(customers)


def test_a_missing_column_is_named(example: ModuleType, customers: Any) -> None:
    with pytest.raises(ValueError, match="no column named AGE, PAY_0"):
        example.check(customers.drop(columns=["PAY_0", "AGE"]))


@pytest.mark.parametrize(
    ("column", "value"), [("AGE", 3), ("SEX", 0), ("PAY_3", 12), ("LIMIT_BAL", None), ("default.payment.next.month", 2)]
)
def test_values_out_of_range_are_refused_with_their_row(example: ModuleType, customers: Any, column: str, value: Any) -> None:
    bad = customers.head(20).copy()
    bad[column] = bad[column].astype(float)
    bad.loc[6, column] = value
    with pytest.raises(ValueError, match=rf"{column} must lie between .* 1 rows do not, the first is row 7"):
        example.check(bad)


def test_unknown_codes_are_kept(example: ModuleType, customers: Any) -> None:
    assert len(example.check(customers)) == 30_000


def test_the_split_keeps_the_share_of_defaults_and_loses_nobody(example: ModuleType, customers: Any) -> None:
    parts = example.split(customers)
    assert [len(part) for part in parts] == [18_000, 6_000, 6_000]
    assert sorted(id for part in parts for id in part["ID"]) == list(range(1, 30_001))
    shares = [part[example.TARGET].mean() for part in parts]
    assert max(shares) - min(shares) < 0.001


def test_boosting_wins_and_ranks_customers(example: ModuleType, customers: Any) -> None:
    name, report = judge(example, customers)
    assert name == "boosting at rate 0.05"
    assert report.auc > 0.74
    assert ET.fromstring(report.roc.data).tag.endswith("svg")
    assert next(iter(report.importance))["feature"] == "PAY_0"
    assert sum(row["flagged"] + row["not flagged"] for row in report.confusion) == 6_000
    slices = {(row["slice"], row["value"]) for row in report.slices}
    assert {("SEX", "women"), ("EDUCATION", "unknown code 5"), ("AGE", "60 and over")} < slices


if REAL_FILE.exists():  # it is not ours to ship; CREDIT_DEFAULT_CSV names it elsewhere

    def test_on_the_real_file_the_auc_is_at_least_077(example: ModuleType) -> None:
        _, report = judge(example, example.load(str(REAL_FILE)))
        assert report.auc >= 0.77
        assert {("EDUCATION", "unknown code 0"), ("SEX", "men")} < {(row["slice"], row["value"]) for row in report.slices}


def fairway(*words: str, home: Path) -> subprocess.CompletedProcess[str]:
    variables = os.environ | {"FAIRWAY_HOME": str(home), "OMP_NUM_THREADS": "1"}
    return subprocess.run([FAIRWAY, *words], cwd=ROOT, env=variables, capture_output=True, text=True, timeout=180, check=False)


def test_the_whole_example_runs_publishes_and_prints_its_tables(tmp_path: Path) -> None:
    done = fairway("run", str(EXAMPLE / "pipeline.py"), "--depths", "2,4", "--rates", "0.2", home=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "Candidates\nmodel                 valid AUC\nboosting at rate 0.2     0.7" in done.stdout
    assert "By sex, education and age\nslice      value            customers  defaulted  predicted    AUC\n" in done.stdout
    run = json.loads(fairway("show", "-o", "json", home=tmp_path).stdout)
    assert run["status"] == "succeeded"
    assert {"model", "page", "auc", "candidates", "slices", "roc"} <= set(run["outputs"])
    shown = fairway("artifacts", "get", "last", "model", "--to", str(tmp_path / "model"), home=tmp_path)
    assert shown.returncode == 0, shown.stderr
    assert {"fairway-model.json", "schema.json", "model.skops", "example.json"} <= {path.name for path in (tmp_path / "model").iterdir()}


def test_a_model_below_the_floor_is_not_published(example: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import fairway as fw

    monkeypatch.setenv("FAIRWAY_HOME", str(tmp_path))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    example.generate(4000).to_csv(tmp_path / "few.csv", index=False)
    run = fw.run(example.default_risk, path=str(tmp_path / "few.csv"), depths=[2], rates=[0.1], floor=0.99)
    assert run.status == "succeeded"
    model = run.outputs["model"].load()
    assert model.metrics["test_auc"] > 0.68
    assert list(model.signature["inputs"]) == example.FEATURES
    assert run.tasks["publish"].status == "skipped"
