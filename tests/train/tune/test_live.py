"""Trials that run at the same time hear of each other: they end where Optuna ends them with as many at once."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import optuna
import pytest

from fairway.step.context import Skipped
from fairway.step.folder import FolderStreamStore
from fairway.train.tune.pruners import Watch
from tests.train.tune.test_pruners import PRUNERS, STEPS

optuna.logging.set_verbosity(optuna.logging.ERROR)
AT_ONCE, TRIALS = 4, 24
LIVE = "run/search/reports"


def curve(number: int, step: int) -> float:
    quality = (number * 7919 % 23) / 23
    return quality * (1 - 1 / (step + 1)) + (0.2 if number % 5 == 0 and step < 4 else 0.0)


def side_by_side(begin: Callable[[int], Any], report: Callable[[Any, int, int], bool], end: Callable[[Any, int, bool], None]) -> list[int]:
    """`AT_ONCE` trials take turns, a report each, each its own time behind; the step at which each is ended, 0 if it is not."""
    found, waiting = [0] * TRIALS, list(range(TRIALS))
    running: list[tuple[int, Any, int]] = []
    while waiting or running:
        while waiting and len(running) < AT_ONCE:
            number = waiting.pop(0)
            running.append((number, begin(number), 1))
        number, trial, step = running.pop(0)
        if report(trial, number, step):
            found[number] = step
            end(trial, number, True)
        elif step == STEPS:
            end(trial, number, False)
        else:
            running.append((number, trial, step + 1))
    return found


def theirs(pruner: Any) -> list[int]:
    study = optuna.create_study(study_name="fairway", direction="maximize", pruner=pruner, sampler=optuna.samplers.RandomSampler(seed=0))

    def report(trial: Any, number: int, step: int) -> bool:
        trial.report(curve(number, step), step)
        return trial.should_prune()

    def end(trial: Any, number: int, pruned: bool) -> None:
        state = optuna.trial.TrialState.PRUNED if pruned else optuna.trial.TrialState.COMPLETE
        study.tell(trial, None if pruned else curve(number, STEPS), state=state)

    return side_by_side(lambda number: study.ask(), report, end)


def ours(settings: dict[str, Any], root: Path, *, hears: bool = True) -> list[int]:
    """Each trial with what was known when it began, and the stream that all share."""
    told = {"metrics": ["acc"], "directions": ["max"], "pruner": settings}
    trials: dict[int, dict[str, Any]] = {}
    streams = FolderStreamStore(root)

    def begin(number: int) -> Watch:
        trial = {"number": number, "told": told, "trials": json.dumps(list(trials.values())), "live": LIVE}
        trials[number] = {"index": number, "status": "running"}
        return Watch(json.loads(json.dumps(trial)), streams if hears else None)

    def report(watch: Watch, number: int, step: int) -> bool:
        try:
            watch.report(step, {"acc": curve(number, step)})
        except Skipped:
            return True
        return False

    def end(watch: Watch, number: int, pruned: bool) -> None:
        watch.end("skipped" if pruned else "succeeded")
        notes = watch.notes()
        assert notes is not None
        entry = {"index": number, "status": "skipped" if pruned else "succeeded", "values": [None if pruned else curve(number, STEPS)]}
        trials[number] = entry | {"reports": notes.reports, "attrs": notes.attrs} | ({"reason": "pruned"} if pruned else {})

    return side_by_side(begin, report, end)


@pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")
@pytest.mark.parametrize("name", PRUNERS)
def test_of_four_at_once_those_end_that_optuna_would_end(name: str, tmp_path: Path) -> None:
    settings, alone = PRUNERS[name]
    found = ours(settings, tmp_path)
    assert found == theirs(alone())
    assert any(found) and not all(found)
    if name in ("median", "asha"):
        assert found != ours(settings, tmp_path / "deaf", hears=False), "it is what they hear that makes the difference"


def test_what_an_earlier_try_of_a_trial_has_said_does_not_count(tmp_path: Path) -> None:
    streams = FolderStreamStore(tmp_path)
    told = {"metrics": ["acc"], "directions": ["max"], "pruner": {"kind": "median", "n_startup_trials": 1}}

    def watch(number: int) -> Watch:
        return Watch({"number": number, "told": told, "trials": "[]", "live": LIVE}, streams)

    first = watch(0)
    first.report(1, {"acc": 0.9})  # killed here
    listener = watch(1)
    again = watch(0)
    for step in (1, 2):
        again.report(step, {"acc": 0.1})
    again.end("succeeded")
    streams.append(LIVE, b'{"n":3,"step"\n{"n"')  # a line in two pieces, and one that still comes
    listener.report(1, {"acc": 0.5})  # better than 0.1, worse than the 0.9 of the first try
