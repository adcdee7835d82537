"""The example that the issue begins with, its bodies filled in and nothing else changed."""

from __future__ import annotations

from tests.semantics.rig import Rig, outputs, statuses

EXAMPLE = '''
import matplotlib.pyplot as plt
import pandas as pd
from sklearn.metrics import roc_auc_score
from sklearn.tree import DecisionTreeClassifier
from typing import NamedTuple


@fw.step
def load(path: fw.File) -> pd.DataFrame:
    return pd.read_csv(path)


@fw.step(cpu=1, memory="1Gi", retries=2, timeout="10m")
def train(data: pd.DataFrame, depth: int = 4) -> fw.Model:
    tree = DecisionTreeClassifier(max_depth=depth, random_state=0).fit(data[["income", "age"]], data["default"])
    return fw.Model(tree)


class Report(NamedTuple):
    auc: float
    roc: fw.Figure


@fw.step
def evaluate(model: fw.Model, data: pd.DataFrame) -> Report:
    scores = model.estimator.predict_proba(data[["income", "age"]])[:, 1]
    figure, axes = plt.subplots()
    axes.plot(sorted(scores))
    return Report(roc_auc_score(data["default"], scores), fw.Figure(figure))


class Winner(NamedTuple):
    model: fw.Model
    auc: float


@fw.step
def best(models: list[fw.Model], aucs: list[float]) -> Winner:
    at = aucs.index(max(aucs))
    return Winner(models[at], aucs[at])


@fw.step
def publish(model: fw.Model) -> None:
    print("published", model.estimator.get_depth())


@fw.pipeline
def default_risk(path: str, depths: list[int] = [2, 4, 8], floor: float = 0.7):
    """Train trees of several depths on a bank's customers and keep the best."""
    data = load(path)
    models = train(data, depth=fw.each(depths))     # one task per depth; the list may be known only at run time
    reports = evaluate(models, data)                # a mapped value maps on
    winner = best(models, reports.auc)              # a step that takes a list collects it
    with fw.when(winner.auc > floor):
        publish(winner.model)
    return winner.model
'''


def write_customers(rig: Rig) -> None:
    """Who earns little and is young defaults, but for some noise."""
    rows = [(n * 7919 % 101, n * 104729 % 97) for n in range(200)]
    lines = [f"{income},{age},{int(income + age + (n * 31 % 40) < 90)}" for n, (income, age) in enumerate(rows)]
    (rig.root / "customers.csv").write_text("\n".join(["income,age,default", *lines]))


def test_the_issues_example_runs_as_it_is_written(rig: Rig) -> None:
    write_customers(rig)
    path = rig.write(EXAMPLE)
    done = rig.fairway("run", path, "--path", "customers.csv", "--depths", "1,3")
    assert done.returncode == 0, done.stdout + done.stderr
    run = rig.last()
    ended = statuses(run)
    assert ended == dict.fromkeys(("load", "train[0]", "train[1]", "evaluate[0]", "evaluate[1]", "best", "publish"), "succeeded")
    model = outputs(run)["model"]
    assert model.estimator.get_depth() == 3, "the deeper tree is the better one on its own training data"
    assert "published 3" in run.logs("publish")
    again = rig.fairway("run", path, "--path", "customers.csv", "--depths", "1,3", "--floor", "1.0")
    assert again.returncode == 0, again.stderr
    assert statuses(rig.last()) == {**dict.fromkeys(ended, "cached"), "publish": "skipped"}, "nobody is perfect"
