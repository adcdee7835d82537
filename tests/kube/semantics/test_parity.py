"""The same pipeline gives the same artifacts, byte for byte, here and in a cluster."""

from __future__ import annotations

from typing import Any

import pytest

import fairway as fw
from tests.kube.semantics.rig import ClusterRig

STEPS = """
import random
from pathlib import Path

@fw.step
def numbers(n: int) -> list[int]:
    return [random.randrange(1000) for _ in range(n)]

@fw.step
def square(x: int) -> int:
    return x * x

@fw.step
def total(xs: list[int]) -> float:
    return sum(xs) / 7
"""
PIPELINES = {
    "values": "return {'numbers': numbers(4), 'total': total(numbers(6))}",
    "mapped steps": "return {'squares': fw.collect(square(fw.each(numbers(6)))), 'total': total(square(fw.each([1, 2, 3])))}",
    "a batch": "return {'total': total(batched(fw.each(numbers(9), batch=4)))}",
    "a dynamic step": "return {'made': wide(numbers(5))}",
    "conditions": "with fw.when(total(numbers(3)) > 0):\n        a = square(3)\n    with fw.otherwise():\n        b = square(4)\n"
    "    return {'either': fw.either(a, b)}",
    "a command": "return {'sorted': lines(text(4))}",
    "files and folders": "return {'file': written(numbers(3)), 'folder': filled(3)}",
    "retries": "return {'again': again(5)}",
    "large bytes": "return {'big': big(300_000)}",
    "frames and models": "return {'frame': frame(20), 'model': fitted(frame(20))}",
}
MORE = """
@fw.step
def batched(x: int) -> int:
    return x + random.randrange(10)

@fw.dynamic
def wide(xs: list[int]) -> list[int]:
    return [square(x) for x in xs]

@fw.step
def text(n: int) -> str:
    return "".join(f"{random.randrange(100)}\\n" for _ in range(n))

lines = fw.command(["sort", fw.In("words"), "-o", fw.Out("sorted")])

@fw.step
def written(xs: list[int]) -> fw.File:
    Path("numbers.txt").write_text(str(xs))
    return fw.File("numbers.txt")

@fw.step
def filled(n: int) -> fw.Directory:
    Path("made").mkdir()
    for i in range(n):
        Path("made", f"{i}.txt").write_text("x" * i)
    return fw.Directory("made")

@fw.step(retry=fw.retry(2, backoff="1ms"))
def again(x: int) -> int:
    if fw.context().n == 1:
        raise OSError("not yet")
    return x + random.randrange(100)

@fw.step
def big(n: int) -> bytes:
    return random.randbytes(n)

@fw.step
def frame(n: int) -> "pandas.DataFrame":
    import pandas
    return pandas.DataFrame({"x": [random.random() for _ in range(n)], "y": [i % 2 for i in range(n)]})

@fw.step
def fitted(data: "pandas.DataFrame") -> fw.Model:
    from sklearn.linear_model import LogisticRegression
    return LogisticRegression().fit(data[["x"]], data["y"])
"""


def digests(pipeline: Any, target: str) -> dict[str, tuple[str, str]]:
    """Of all outputs of the run there: format and SHA-256."""
    run = fw.run(pipeline, on=target)
    assert "cached" not in {task.status for task in run.tasks.values()}
    return {name: (output.type, output.digest) for name, output in run.outputs.items()}


@pytest.mark.parametrize("what", PIPELINES)
def test_artifacts_have_the_same_digests_as_on_a_laptop(rig: ClusterRig, what: str) -> None:
    pipeline = rig.load(f"{STEPS}{MORE}\n@fw.pipeline\ndef main():\n    {PIPELINES[what]}\n")
    here, there = digests(pipeline, "local"), digests(pipeline, "campus")
    assert here == there
    assert here
