"""Which of a bank's customers will default next month?

Loads and checks 30,000 customers, trains decision trees and gradient boosting side by side, keeps the best, says how good it
is and for whom, and packages it with its schema.

    fairway run pipeline.py                                    customers invented by generate.py
    fairway run pipeline.py --path credit_default.csv          a file in the same columns
    fairway run pipeline.py --depths 2,4 --floor 0.8           other settings
"""

from typing import NamedTuple

import pandas as pd
from generate import COLUMNS, FEATURES, KNOWN_CODES, RANGES, TARGET, generate
from report import Report, by_slice, calibration_points, chart, confusion, importance, model_page, roc_points
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import train_test_split
from sklearn.tree import DecisionTreeClassifier

import fairway as fw


class Split(NamedTuple):
    train: pd.DataFrame
    valid: pd.DataFrame
    test: pd.DataFrame


class Winner(NamedTuple):
    model: fw.Model
    name: str
    leaderboard: fw.Table


@fw.step
def load(path: fw.File | None = None) -> pd.DataFrame:
    """The bank's customers: from a CSV file, or invented if none is given."""
    return pd.read_csv(path) if path else generate()


@fw.step
def check(customers: pd.DataFrame) -> pd.DataFrame:
    """Refuse what cannot be this data. Codes that its description does not know are kept, and counted."""
    missing = [name for name in COLUMNS if name not in customers]
    if missing:
        raise ValueError(f"no column named {', '.join(missing)}")
    for name, (low, high) in RANGES.items():
        bad = customers.index[~customers[name].between(low, high)]
        if len(bad):
            raise ValueError(f"{name} must lie between {low} and {high}; {len(bad)} rows do not, the first is row {bad[0] + 1}")
    fw.log(defaulted=customers[TARGET].mean())
    for name, codes in KNOWN_CODES.items():
        fw.log(**{f"unknown_{name.lower()}": int((~customers[name].isin(codes)).sum())})
    return customers


@fw.step
def split(customers: pd.DataFrame, seed: int = 0) -> Split:
    """60 % to train, 20 % to choose, 20 % to judge, each with the same share of defaults."""
    rest, test = train_test_split(customers, test_size=0.2, stratify=customers[TARGET], random_state=seed)
    train, valid = train_test_split(rest, test_size=0.25, stratify=rest[TARGET], random_state=seed)
    return Split(train, valid, test)


@fw.step(cpu=1, memory="1Gi")
def train_tree(train: pd.DataFrame, valid: pd.DataFrame, depth: int) -> fw.Model:
    """One decision tree: a few questions that a person can read."""
    tree = DecisionTreeClassifier(max_depth=depth, min_samples_leaf=50, random_state=0)
    return fit(tree, train, valid)


@fw.step(cpu=1, memory="1Gi")
def train_boosting(train: pd.DataFrame, valid: pd.DataFrame, rate: float) -> fw.Model:
    """Gradient boosting: many small trees, each mending the last."""
    boosting = HistGradientBoostingClassifier(learning_rate=rate, max_iter=120, max_leaf_nodes=15, random_state=0)
    return fit(boosting, train, valid)


def fit(estimator, train: pd.DataFrame, valid: pd.DataFrame) -> fw.Model:
    estimator.fit(train[FEATURES], train[TARGET])
    auc = float(roc_auc_score(valid[TARGET], estimator.predict_proba(valid[FEATURES])[:, 1]))
    fw.log(valid_auc=auc)
    return fw.Model(estimator, metrics={"valid_auc": auc})


@fw.step
def best(trees: list[fw.Model], depths: list[int], boosted: list[fw.Model], rates: list[float]) -> Winner:
    """The model with the highest AUC on the validation rows."""
    models = {f"tree of depth {depth}": model for depth, model in zip(depths, trees, strict=True)}
    models |= {f"boosting at rate {rate}": model for rate, model in zip(rates, boosted, strict=True)}
    ranked = sorted(models, key=lambda name: models[name].metrics["valid_auc"], reverse=True)
    table = [{"model": name, "valid AUC": round(models[name].metrics["valid_auc"], 4)} for name in ranked]
    return Winner(models[ranked[0]], ranked[0], fw.Table(table, title="Candidates"))


@fw.step
def evaluate(model: fw.Model, name: str, test: pd.DataFrame) -> Report:
    """How good the model is on rows that neither training nor choosing has seen, and for whom."""
    x, y = test[FEATURES], test[TARGET].to_numpy()
    p = model.predict_proba(x)[:, 1]
    auc = float(roc_auc_score(y, p))
    fw.log(test_auc=auc)
    slices = by_slice(test, y, p)
    print(f"{name}: AUC {auc:.3f} on {len(y):,} customers held out\n\n{slices.to_string(index=False, na_rep='')}")
    return Report(
        auc=auc,
        roc=fw.Figure(chart(f"{name}, AUC {auc:.3f}", "good customers flagged", "defaults found", roc_points(y, p))),
        calibration=fw.Figure(chart("Calibration by tenths of customers", "predicted", "defaulted", calibration_points(y, p))),
        confusion=fw.Table(confusion(y, p, share=y.mean()), title="If as many are flagged as default"),
        importance=fw.Table(importance(model.estimator, x, test[TARGET]), title="AUC lost when a column is shuffled"),
        slices=fw.Table(slices, title="By sex, education and age"),
    )


@fw.step
def package(model: fw.Model, test: pd.DataFrame, auc: float) -> fw.Model:
    """The model with its schema, an example of its input, and what it was measured to do."""
    return fw.Model(model, example=test[FEATURES].head(), metrics={**model.metrics, "test_auc": auc})


@fw.step
def publish(model: fw.Model, name: str, leaderboard: fw.Table, slices: fw.Table) -> fw.HTML:
    """The page that goes out with a model that is good enough."""
    return fw.HTML(model_page(f"Default risk: {name}", model.metrics, leaderboard, slices))


@fw.pipeline
def default_risk(path: fw.File | None = None, depths: list[int] = [2, 4, 6, 8], rates: list[float] = [0.05, 0.1], floor: float = 0.7):
    """Train trees of several depths and gradient boosting on a bank's customers; keep, judge and publish the best.

    Args:
        path: a CSV file of customers; without it they are invented
        depths: one decision tree is trained for each
        rates: one gradient boosting is trained for each learning rate
        floor: publish only above this AUC on held-out customers
    """
    customers = check(load(path))
    parts = split(customers)
    trees = train_tree(parts.train, parts.valid, depth=fw.each(depths))  # one task for each depth
    boosted = train_boosting(parts.train, parts.valid, rate=fw.each(rates))
    winner = best(trees, depths, boosted, rates)  # a step that takes lists gathers them
    report = evaluate(winner.model, winner.name, parts.test)
    model = package(winner.model, parts.test, report.auc)
    with fw.when(report.auc > floor):
        page = publish(model, winner.name, winner.leaderboard, report.slices)
    return {"model": model, "page": page, "auc": report.auc, "candidates": winner.leaderboard, "slices": report.slices, "roc": report.roc}
