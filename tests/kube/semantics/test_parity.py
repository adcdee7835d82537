"""The same pipeline gives the same artifacts, byte for byte, here and in a cluster."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import fairway as fw
from tests.kube.semantics.rig import ClusterRig

SOURCE = '''
import random
from pathlib import Path

@fw.step
def numbers(n: int) -> list[int]:
    return [random.randrange(1000) for _ in range(n)]

@fw.step
def square(x: int) -> int:
    return x * x

@fw.step
def mean(xs: list[int]) -> float:
    return sum(xs) / len(xs)

@fw.step
def split(xs: list[int]) -> tuple[list[int], dict[str, int]]:
    return xs[::2], {"n": len(xs)}

@fw.step
def report(value: float) -> fw.Markdown:
    return fw.Markdown(f"# The mean\\n\\n{value:.3f}\\n")

@fw.step
def folder(xs: list[int], out: fw.Out[fw.Directory]) -> None:
    Path(out).mkdir(exist_ok=True)
    for x in xs:
        (Path(out) / f"{x}.txt").write_text("x" * x)

@fw.step
def table(xs: list[int]) -> fw.Table:
    return fw.Table([{"x": x, "odd": bool(x % 2)} for x in xs])

@fw.step
def big(n: int) -> bytes:
    return random.Random(n).randbytes(300_000)

@fw.dynamic
def wide(xs: list[int]) -> list[int]:
    return [square(x) for x in xs[:3]]

@fw.step(retries=1)
def once_more(x: int) -> int:
    if fw.context().attempt == 1:
        raise OSError("not yet")
    return x

upper = fw.command(["sh", "-c", "tr a-z A-Z < $0 > $1", fw.In("text"), fw.Out("result")])

@fw.pipeline
def main(n: int = 5):
    xs = numbers(n)
    squares = square.each(xs) if hasattr(square, "each") else xs
    return {"numbers": xs, "mean": mean(xs), "report": report(mean(xs)), "big": big(n), "again": once_more(n), "wide": wide(xs)}
'''
STORED = ("numbers", "mean", "report", "big", "again", "wide")


def run_on(target: str, pipeline: Any) -> dict[str, tuple[str, int]]:
    run = fw.run(pipeline, {"n": 5}, on=target)
    return {name: (run.outputs[name].ref.digest, run.outputs[name].ref.size_bytes) for name in STORED}
