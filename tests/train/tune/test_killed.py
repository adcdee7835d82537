"""SIGKILL of the driver in the middle of a search, again and again; then `fairway resume`.

No ended trial is repeated, and the sampler goes on with its whole history.
"""

from __future__ import annotations

import os
import random
import signal
from typing import Any

import pytest

from fairway.engine.apply import apply
from fairway.engine.client import Run
from fairway.engine.state import RunState
from fairway.engine.studies import BestTrials, Studies, studies_of
from fairway.engine.trialhistory import BLOCK
from fairway.spec import event as ev
from fairway.spec.event import address
from fairway.spec.ports import run_now
from tests.semantics.rig import Rig

TRIALS = 30
SOURCE = """
    @fw.step
    def fit(x: float, y: float) -> float:
        return (x - 2) ** 2 + (y + 1) ** 2
"""


def words(parallel: int, *more: str, trials: int = TRIALS) -> list[str]:
    vary = ["--vary", "x=float:-5:5", "--vary", "y=float:-5:5"]
    return ["--metric", "result", "--direction", "min", *vary, "--trials", str(trials), "--parallel", str(parallel), *more]


def count_ended(run: Run) -> int:
    return sum(isinstance(event, ev.AttemptEnded) for _, event in run.workspace.events(run.id))


def kill_after(rig: Rig, process: Any, attempts: int, *, new: bool) -> bool:
    """SIGKILL the driver's process group once so many more attempts are on record; False if it has ended before."""
    if new:
        while rig.count_runs() == 0:
            if process.poll() is not None:
                return False
    run = rig.last()
    journal = run.workspace.journal
    goal = count_ended(run) + attempts
    while count_ended(run) < goal:
        if process.poll() is not None:
            return False
        run_now(journal.watch(run.id, run_now(journal.head(run.id)), 0.2))
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    return True


@pytest.mark.parametrize(
    ("parallel", "sampler", "seed", "trials", "first"),
    [
        (1, "tpe", 1, BLOCK + 36, 2 * BLOCK),  # a block of trials has been told of, and is again by who knows nothing of the first time
        (2, "tpe", 2, TRIALS, 1),
        (1, "cmaes", 3, TRIALS, 1),
        (2, "nsga2:population_size=6", 4, TRIALS, 1),
    ],
)
def test_a_search_that_is_killed_again_and_again_ends_as_an_undisturbed_one(
    rig: Rig, parallel: int, sampler: str, seed: int, trials: int, first: int
) -> None:
    """`first`: attempts that have ended when it is killed at the earliest."""
    draw = random.Random(seed)
    file = rig.write(SOURCE)
    process = rig.start("tune", file, *words(parallel, "--sampler", sampler, "--no-cache", trials=trials))
    killed = kill_after(rig, process, first + draw.randint(0, 24), new=True)
    assert killed, process.communicate()
    for _ in range(2):
        process = rig.start("resume", "last")
        if not kill_after(rig, process, draw.randint(1, 20), new=False):
            break
    if process.returncode != 0:
        said = rig.fairway("resume", "last")
        assert said.returncode == 0, said.stderr
    run = rig.last()
    check_record(run)
    check_watched(run)
    (study,) = studies_of(run.workspace.state(run.id))
    assert [trial.number for trial in study.trials] == list(range(trials))
    assert {trial.state for trial in study.trials} == {"complete"}
    if parallel == 1:  # then even the suggestions are the same, generator for generator
        said = rig.fairway("tune", file, *words(1, "--sampler", sampler, "--no-cache", trials=trials))
        assert said.returncode == 0, said.stderr
        (calm,) = studies_of(rig.last().workspace.state(rig.last().id))
        assert [trial.params for trial in calm.trials] == [trial.params for trial in study.trials]


def check_record(run: Run) -> None:
    """No task was begun again after it had succeeded, and every suggestion knew all trials before it."""
    done: set[str] = set()
    tasks: dict[str, list[str]] = {}
    for _, event in run.workspace.events(run.id):
        if isinstance(event, ev.AttemptPlanned):
            tasks[event.attempt] = [address(event.scope, event.node, index) for index in event.items]
            assert done.isdisjoint(tasks[event.attempt]), "an ended task was begun again"
        elif isinstance(event, ev.AttemptEnded):
            done.update(task for task, item in zip(tasks[event.attempt], event.outcome.items, strict=False) if item.status == "succeeded")
    state = run.workspace.state(run.id)
    for name, task in state.scopes[""].nodes["tune.suggest"].items.items():
        assert task.status == "succeeded", name


def check_watched(run: Run) -> None:
    """Who looks again and again sees what who looks once sees, at each moment."""
    state, watching, best = RunState(), Studies(), BestTrials()
    for _, event in run.workspace.events(run.id):
        apply(state, event)
        assert watching.read(state) == studies_of(state)
        found = {}
        for study in studies_of(state) if state.status != "succeeded" else ():
            found.update(zip(study.metrics, study.trials[study.best[0]].values if study.best else (), strict=bool(study.best)))
        assert best.read(state, [event]) == found


def test_a_search_that_was_cancelled_goes_on(rig: Rig) -> None:
    file = rig.write(SOURCE)
    process = rig.start("tune", file, *words(2))
    while rig.count_runs() == 0:
        assert process.poll() is None
    run = rig.last()
    while count_ended(run) < 10:
        run_now(run.workspace.journal.watch(run.id, run_now(run.workspace.journal.head(run.id)), 0.2))
    assert rig.fairway("cancel", "last").returncode == 0
    process.wait()
    assert rig.last().status == "cancelled"
    said = rig.fairway("resume", "last")
    assert said.returncode == 0, said.stderr
    assert "best  trial" in said.stderr
    (study,) = studies_of(rig.last().workspace.state(rig.last().id))
    assert len(study.trials) == TRIALS
    check_record(rig.last())


def test_a_search_that_failed_goes_on_with_edited_code(rig: Rig) -> None:
    """It is the same search over what the file holds now: what the edit does not reach is not done again."""
    file = rig.write("""
    @fw.step
    def fit(x: float) -> float:
        return x

    @fw.step
    def check(score: float) -> float:
        raise ValueError("always")

    @fw.pipeline
    def train(x: float = 0.1):
        return {"score": check(fit(x))}
    """)
    vary = ["--metric", "score", "--vary", "x=float:0:1", "--trials", "6", "--sampler", "random"]
    said = rig.fairway("tune", file, *vary)
    assert said.returncode == 3
    assert "none of 6 trials was complete; trial 0 failed: ValueError" in said.stderr
    before = len([task for name, task in rig.last().tasks.items() if name.endswith("/fit") and task.attempts])
    assert before == 6
    rig.write(file.read_text().replace('raise ValueError("always")', "return score"), file.name)
    said = rig.fairway("resume", "last")
    assert said.returncode == 0, said.stderr
    run = rig.last()
    (study,) = studies_of(run.workspace.state(run.id))
    assert {trial.state for trial in study.trials} == {"complete"}
    check_watched(run)
    planned = [event for _, event in run.workspace.events(run.id) if isinstance(event, ev.AttemptPlanned) and event.node == "fit"]
    assert len(planned) == 6, "no fit was made again"
