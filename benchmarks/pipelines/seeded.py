# ruff: noqa: B006 - a parameter's default is traced, never changed
"""Twelve pipelines whose runs `benchmarks.seed` multiplies: load, clean, four trainings, the best of them, a report."""

import math
import random
import time

import fairway as fw


@fw.step
def load(rows: int, source: str) -> list[list[float]]:
    """Rows of two columns."""
    rng = random.Random(source)
    print(f"reading {rows} rows from {source}")
    return [[rng.random(), rng.random()] for _ in range(min(rows, 50))]


@fw.step
def clean(table: list[list[float]], fault: str) -> list[list[float]]:
    """Without the rows that are out of range."""
    if fault == "column":
        return [{"age": row[0]}["agee"] for row in table]
    print(f"{len(table)} rows are clean")
    return [row for row in table if 0 <= row[0] <= 1]


@fw.step
def features(table: list[list[float]]) -> list[list[float]]:
    """Logarithms beside the columns."""
    return [[*row, math.log1p(row[0])] for row in table]


@fw.step
def train(table: list[list[float]], depth: int, learning_rate: float, fault: str) -> float:
    """The score of one model."""
    if fault == "memory" and depth == 16:
        raise MemoryError("Unable to allocate 31.2 GiB for an array with shape (4186112000,) and data type float64")
    if fault == "nan" and depth >= 8:
        raise ValueError("Input X contains NaN. LogisticRegression does not accept missing values encoded as NaN natively.")
    if fault == "slow":
        print("this takes long", flush=True)
        time.sleep(60)
    for epoch in range(5):
        fw.log(loss=1 / (epoch + depth), auc=1 - 1 / (epoch + depth), step=epoch)
    return 1 - 1 / (4 + depth)


@fw.step
def best(depths: list[int], scores: list[float]) -> int:
    """The depth with the highest score."""
    return depths[scores.index(max(scores))]


@fw.step
def evaluate(table: list[list[float]], depth: int, fault: str) -> dict[str, float]:
    """The chosen model on rows it has not seen."""
    if fault == "service":
        raise ConnectionError("HTTPSConnectionPool(host='labels.internal', port=443): Max retries exceeded with url: /v1/labels")
    fw.log(auc=0.9, accuracy=0.9, f1=0.8, loss=0.3)
    return {"accuracy": 0.9, "depth": float(depth)}


@fw.step
def report(scores: dict[str, float], name: str) -> str:
    """A line for people."""
    return f"{name}: accuracy {scores['accuracy']:.2f} at depth {scores['depth']:.0f}"


@fw.pipeline
def churn(rows: int = 1000, depths: list[int] = [2, 4, 8, 16], learning_rate: float = 0.1, model: str = "forest", fault: str = ""):
    """Churn: four trainings, the best of them, a report."""
    table = features(clean(load(rows, "churn.csv"), fault))
    scores = train(table, fw.each(depths), learning_rate, fault)
    return report(evaluate(table, best(depths, scores), fault), model)


@fw.pipeline
def fraud(rows: int = 1000, depths: list[int] = [2, 4, 8, 16], learning_rate: float = 0.1, model: str = "forest", fault: str = ""):
    """Fraud: four trainings, the best of them, a report."""
    table = features(clean(load(rows, "fraud.csv"), fault))
    scores = train(table, fw.each(depths), learning_rate, fault)
    return report(evaluate(table, best(depths, scores), fault), model)


@fw.pipeline
def housing(rows: int = 1000, depths: list[int] = [2, 4, 8, 16], learning_rate: float = 0.1, model: str = "forest", fault: str = ""):
    """Housing: four trainings, the best of them, a report."""
    table = features(clean(load(rows, "housing.csv"), fault))
    scores = train(table, fw.each(depths), learning_rate, fault)
    return report(evaluate(table, best(depths, scores), fault), model)


@fw.pipeline
def credit_risk(rows: int = 1000, depths: list[int] = [2, 4, 8, 16], learning_rate: float = 0.1, model: str = "forest", fault: str = ""):
    """Credit risk: four trainings, the best of them, a report."""
    table = features(clean(load(rows, "credit_risk.csv"), fault))
    scores = train(table, fw.each(depths), learning_rate, fault)
    return report(evaluate(table, best(depths, scores), fault), model)


@fw.pipeline
def ranking(rows: int = 1000, depths: list[int] = [2, 4, 8, 16], learning_rate: float = 0.1, model: str = "forest", fault: str = ""):
    """Ranking: four trainings, the best of them, a report."""
    table = features(clean(load(rows, "ranking.csv"), fault))
    scores = train(table, fw.each(depths), learning_rate, fault)
    return report(evaluate(table, best(depths, scores), fault), model)


@fw.pipeline
def forecast(rows: int = 1000, depths: list[int] = [2, 4, 8, 16], learning_rate: float = 0.1, model: str = "forest", fault: str = ""):
    """Forecast: four trainings, the best of them, a report."""
    table = features(clean(load(rows, "forecast.csv"), fault))
    scores = train(table, fw.each(depths), learning_rate, fault)
    return report(evaluate(table, best(depths, scores), fault), model)


@fw.pipeline
def segments(rows: int = 1000, depths: list[int] = [2, 4, 8, 16], learning_rate: float = 0.1, model: str = "forest", fault: str = ""):
    """Segments: four trainings, the best of them, a report."""
    table = features(clean(load(rows, "segments.csv"), fault))
    scores = train(table, fw.each(depths), learning_rate, fault)
    return report(evaluate(table, best(depths, scores), fault), model)


@fw.pipeline
def speech(rows: int = 1000, depths: list[int] = [2, 4, 8, 16], learning_rate: float = 0.1, model: str = "forest", fault: str = ""):
    """Speech: four trainings, the best of them, a report."""
    table = features(clean(load(rows, "speech.csv"), fault))
    scores = train(table, fw.each(depths), learning_rate, fault)
    return report(evaluate(table, best(depths, scores), fault), model)


@fw.pipeline
def vision(rows: int = 1000, depths: list[int] = [2, 4, 8, 16], learning_rate: float = 0.1, model: str = "forest", fault: str = ""):
    """Vision: four trainings, the best of them, a report."""
    table = features(clean(load(rows, "vision.csv"), fault))
    scores = train(table, fw.each(depths), learning_rate, fault)
    return report(evaluate(table, best(depths, scores), fault), model)


@fw.pipeline
def spam(rows: int = 1000, depths: list[int] = [2, 4, 8, 16], learning_rate: float = 0.1, model: str = "forest", fault: str = ""):
    """Spam: four trainings, the best of them, a report."""
    table = features(clean(load(rows, "spam.csv"), fault))
    scores = train(table, fw.each(depths), learning_rate, fault)
    return report(evaluate(table, best(depths, scores), fault), model)


@fw.pipeline
def pricing(rows: int = 1000, depths: list[int] = [2, 4, 8, 16], learning_rate: float = 0.1, model: str = "forest", fault: str = ""):
    """Pricing: four trainings, the best of them, a report."""
    table = features(clean(load(rows, "pricing.csv"), fault))
    scores = train(table, fw.each(depths), learning_rate, fault)
    return report(evaluate(table, best(depths, scores), fault), model)


@fw.pipeline
def recommend(rows: int = 1000, depths: list[int] = [2, 4, 8, 16], learning_rate: float = 0.1, model: str = "forest", fault: str = ""):
    """Recommend: four trainings, the best of them, a report."""
    table = features(clean(load(rows, "recommend.csv"), fault))
    scores = train(table, fw.each(depths), learning_rate, fault)
    return report(evaluate(table, best(depths, scores), fault), model)
