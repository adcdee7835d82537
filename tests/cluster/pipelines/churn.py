"""A small system: customers, one model for each depth, the best of them, a report. Nothing but the standard library."""

import random

import fairway as fw


@fw.step(cpu=0.05)
def load(count: int) -> list[list[float]]:
    draw = random.Random(7)
    return [[draw.random() for _ in range(4)] for _ in range(count)]


@fw.step(cpu=0.05)
def train(rows: list[list[float]], depth: int) -> dict[str, float]:
    score = sum(value**depth for row in rows for value in row) / len(rows)
    fw.log(score=score, step=depth)
    print(f"depth {depth}: {score:.4f}")
    return {"depth": float(depth), "score": score}


@fw.step(cpu=0.05)
def best(models: list[dict[str, float]]) -> dict[str, float]:
    return max(models, key=lambda model: model["score"])


@fw.step(cpu=0.05)
def report(model: dict[str, float], models: list[dict[str, float]]) -> fw.File:
    with open("report.txt", "w") as file:
        file.writelines(f"{one['depth']:.0f} {one['score']:.6f}{' *' if one == model else ''}\n" for one in models)
    return fw.File("report.txt")


@fw.pipeline
def churn(count: int = 200):
    rows = load(count)
    models = train(rows, depth=fw.each([1, 2, 3]))
    winner = best(models)
    return {"model": winner, "report": report(winner, fw.collect(models))}
