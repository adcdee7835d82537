"""`fw.tune`: trials are tasks of one run, and what suggests them sees how the earlier ones ended."""

from __future__ import annotations

from tests.semantics.rig import Rig, outputs

SEARCH = """
from typing import NamedTuple

class Fitted(NamedTuple):
    score: float
    note: str

@fw.step(cpu=0.1)
def fit(rows: int, depth: int, rate: float) -> Fitted:
    if depth == 3 and rate > 0.9:
        raise ValueError("too hot")
    return Fitted(rows - (depth - 2) ** 2 - rate, f"depth {depth}")

@fw.pipeline
def main():
    space = {"depth": ("int", 1, 4), "rate": ("float", 0.0, 1.0)}
    found = fw.tune(fit, space=space, metric="score", trials=8, parallel=2, sampler="random", seed=3, rows=10)
    return {"score": found.score, "note": found.note, "params": found.best_params}
"""


def test_a_search_gives_its_best_trials_outputs(rig: Rig) -> None:
    run = rig.run(SEARCH)
    found = outputs(run)
    assert found["note"] == f"depth {found['params']['depth']}"
    assert found["score"] == 10 - (found["params"]["depth"] - 2) ** 2 - found["params"]["rate"]
    assert len([name for name in run.tasks if "fit[" in name]) == 8
