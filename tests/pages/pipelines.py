"""The project that the pages are looked at with: pipelines that succeed, fail, wait and make artifacts of all types."""

from __future__ import annotations

WINE = '''
"""Which wine is good? A small pipeline with everything that a page can show."""

import math
import pathlib
import random

import fairway as fw


@fw.step
def load(rows: int) -> list[dict]:
    """Measurements of wines, made up."""
    draw = random.Random(7)
    print(f"\\x1b[32mloaded\\x1b[0m {rows} rows")
    return [{"acid": round(draw.gauss(3, 0.4), 3), "good": draw.random() < 0.4} for _ in range(rows)]


@fw.step
def train(wines: list[dict], depth: int, rate: float) -> dict:
    """One model; its loss falls."""
    for epoch in range(30):
        loss = math.exp(-rate * epoch) + depth / 100
        fw.log({"loss": loss, "accuracy": 1 - loss / 2}, step=epoch)
        print(f"epoch {epoch:2} loss {loss:.4f}")
    return {"depth": depth, "score": round(0.7 + depth / 100 + rate / 10, 4)}


@fw.step
def judge(models: list[dict]) -> fw.Table:
    rows = sorted(models, key=lambda model: -model["score"])
    return fw.Table([{"place": n + 1, **model} for n, model in enumerate(rows)], title="models by score")


@fw.step
def best(models: list[dict]) -> fw.Metrics:
    top = max(models, key=lambda model: model["score"])
    fw.log({"auc": top["score"], "models": len(models)})
    return fw.Metrics({"auc": top["score"], "depth": top["depth"]})


@fw.step
def report(models: list[dict]) -> fw.Markdown:
    return fw.Markdown("# The best\\n\\n" + "\\n".join(f"- depth **{m['depth']}**: {m['score']}" for m in models))


@fw.step
def page(models: list[dict]) -> fw.HTML:
    return fw.HTML(
        "<!doctype html><title>report</title><h1 id=h>Report</h1><script>"
        "document.getElementById('h').textContent = 'Report of ' + (1 + 1);"
        "fetch('/api/v1/runs').then(r => document.title = 'reached ' + r.status, e => document.title = 'kept out');"
        "</script>"
    )


@fw.pipeline
def wine(rows: int = 200, depths: list[int] = [2, 4, 8], rate: float = 0.2):
    """Find the best depth of a model of wine.

    Args:
        rows: how many wines to make up
        depths: depths of the models to train, side by side
        rate: how fast the loss falls
    """
    models = train(load(rows), depth=fw.each(depths), rate=rate)
    return {"table": judge(models), "metrics": best(models), "report": report(models), "page": page(models)}
'''

SHAKY = """
import pathlib
import fairway as fw


@fw.step
def fetch(rows: int) -> list[int]:
    print("fetching")
    return list(range(rows))


@fw.step
def clean(numbers: list[int], divisor: int) -> list[float]:
    print("cleaning", len(numbers), "numbers")
    for number in numbers:
        print("number", number)
    print("the divisor is", divisor)
    return [number / divisor for number in numbers]


@fw.step
def store(numbers: list[float]) -> float:
    return sum(numbers)


@fw.pipeline
def shaky(rows: int = 20, divisor: int = 0):
    return store(clean(fetch(rows), divisor))
"""

GATED = '''
import fcntl
import fairway as fw


@fw.step
def wait(gate: str) -> str:
    """Waits until the `gate` (tests.waiting.Gate) is open."""
    print("waiting at the gate", flush=True)
    with open(gate) as file:
        fcntl.flock(file, fcntl.LOCK_SH)
    print("through the gate", flush=True)
    return "through"


@fw.step
def after(word: str) -> str:
    return word.upper()


@fw.pipeline
def gated(gate: str = "nowhere"):
    return after(wait(gate))
'''

FILES = {"wine.py": WINE, "shaky.py": SHAKY, "gated.py": GATED}
