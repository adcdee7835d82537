"""`fw.tune`: trials are tasks of one run, and what suggests them sees how the earlier ones ended."""

from __future__ import annotations

from fairway.engine.studies import studies_of
from fairway.engine.trialhistory import BLOCK
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


TOGETHER = """
import threading

@fw.step(cpu=0.1)
def fit(x: float) -> float:
    bad = fw.context().trial == 0
    for step in range(1, 200):
        fw.log(acc=0.1 if bad else 0.9, step=step)
        if bad:
            threading.Event().wait(0.1)
    return x

@fw.pipeline
def main():
    space = {"x": ("float", 0, 1)}
    found = fw.tune(fit, space=space, metric="acc", trials=2, parallel=2, sampler="random", pruner="median:n_startup_trials=1")
    return found.best_value
"""


def test_a_trial_is_ended_by_what_one_that_runs_beside_it_reports(rig: Rig) -> None:
    """The bad one begins first, when nothing is known: only what it hears while it runs can end it."""
    run = rig.run(TOGETHER)
    assert outputs(run) == {"best_value": 0.9}
    (study,) = studies_of(run.workspace.state(run.id))
    assert [trial.state for trial in study.trials] == ["pruned", "complete"]


LONG = """
@fw.step(cpu=0.1)
def fit(x: float) -> float:
    return (x - 0.5) ** 2

@fw.pipeline
def main():
    found = fw.tune(fit, space={{"x": ("float", 0, 1)}}, metric="result", direction="min", trials={trials}, parallel=3, seed=3)
    return found.best_value
"""


def test_a_search_is_longer_than_a_block_of_trials(rig: Rig) -> None:
    """What suggests the last ones has files of those before it."""
    trials = BLOCK + 5
    run = rig.run(LONG.format(trials=trials))
    assert run.status == "succeeded"
    (study,) = studies_of(run.workspace.state(run.id))
    assert [trial.state for trial in study.trials] == ["complete"] * trials
    assert outputs(run) == {"best_value": min(trial.values[0] for trial in study.trials)}
