"""`fairway init`: a small project that works, to start from."""

from __future__ import annotations

import os
from pathlib import Path

import click

from fairway.errors import ConfigError

_PIPELINE = '''"""Which degree of polynomial fits noisy points best? Made by `fairway init`; change it into your own."""

import json
import random
from pathlib import Path
from typing import NamedTuple

import fairway as fw


class Points(NamedTuple):
    train: list[list[float]]
    check: list[list[float]]


@fw.step
def load(count: int, noise: float) -> Points:
    """Draw points around a curve; a third of them are kept back to check the fits."""
    draw = random.Random(7)
    points = []
    for _ in range(count):
        x = draw.uniform(-1, 1)
        points.append([x, x**3 - x + draw.gauss(0, noise)])
    return Points(points[count // 3 :], points[: count // 3])


@fw.step(retries=1, timeout="1m")
def train(points: list[list[float]], check: list[list[float]], degree: int) -> dict:
    """Fit a polynomial of one degree by gradient descent."""
    weights = [0.0] * (degree + 1)

    def predict(x: float) -> float:
        return sum(weight * x**power for power, weight in enumerate(weights))

    for epoch in range(300):
        for x, y in points:
            error = predict(x) - y
            for power in range(degree + 1):
                weights[power] -= 0.05 * error * x**power
        if epoch % 100 == 99:
            fw.log(loss=sum((predict(x) - y) ** 2 for x, y in points) / len(points), step=epoch)
    loss = sum((predict(x) - y) ** 2 for x, y in check) / len(check)
    print(f"degree {degree}: loss {loss:.5f}")
    return {"degree": degree, "loss": loss, "weights": weights}


class Winner(NamedTuple):
    model: dict
    loss: float


@fw.step
def best(models: list[dict]) -> Winner:
    """A step that takes a list collects what the mapped step before it made."""
    model = min(models, key=lambda candidate: candidate["loss"])
    fw.log(loss=model["loss"], degree=model["degree"])
    return Winner(model, model["loss"])


@fw.step
def publish(model: dict) -> fw.File:
    path = Path("model.json")
    path.write_text(json.dumps(model, indent=2))
    return fw.File(path)


@fw.pipeline
def curve(count: int = 300, noise: float = 0.05, degrees: list[int] = [1, 2, 3, 4], limit: float = 0.01):
    """Fit polynomials of several degrees and publish the best if it is good enough.

    Args:
        count: how many points to draw
        noise: how far the points scatter
        degrees: the degrees to try, each in its own task
        limit: publish only below this loss
    """
    points = load(count, noise)
    models = train(points.train, points.check, degree=fw.each(degrees))  # one task for each degree
    winner = best(models)
    with fw.when(winner.loss < limit):  # decided while the pipeline runs
        publish(winner.model)
    return winner.model
'''

_SETTINGS = """# Settings of this project. All of them: docs/reference/settings.md
# name = "{name}"

# [env]                       # what the steps need; without it they use the Python that runs fairway
# packages = ["scikit-learn==1.7.*"]

# [[hooks]]                   # when a run ends
# on = ["failed", "timeout"]
# slack = "${{SLACK_URL}}"      # read from the environment
"""

_IGNORED = (".fairway/", ".env", "__pycache__/")


@click.command("init")
@click.argument("folder", default=".", type=click.Path(file_okay=False))
@click.option("--force", is_flag=True, help="Overwrite a pipeline.py or fairway.toml that is there.")
@click.pass_obj
def command(base: str, folder: str, force: bool) -> None:
    """Make a project: pipeline.py (four steps, a map and a condition), fairway.toml, .gitignore.

    \b
    Examples:
      fairway init
      fairway init churn && cd churn && fairway run pipeline.py
    """
    root = Path(base or ".") / folder
    files = {"pipeline.py": _PIPELINE, "fairway.toml": _SETTINGS.format(name=root.resolve().name.replace('"', ""))}
    there = [name for name in files if (root / name).exists()]
    if there and not force:
        raise ConfigError(f"{root / there[0]} is there already", hint="choose another folder, or overwrite it with --force")
    root.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (root / name).write_text(text, encoding="utf-8")
    _ignore(root / ".gitignore")
    shown = os.path.normpath(folder)
    click.echo(f"made pipeline.py, fairway.toml and .gitignore in {shown if shown != '.' else 'this folder'}", err=True)
    click.echo(f"next: {f'cd {shown} && ' if shown != '.' else ''}fairway run pipeline.py --degrees 1,2,3", err=True)


def _ignore(path: Path) -> None:
    """Add what git should not see, keeping what stands there."""
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    missing = [line for line in _IGNORED if line not in lines and line.rstrip("/") not in lines]
    if missing:
        path.write_text("\n".join([*lines, *missing]) + "\n", encoding="utf-8")
