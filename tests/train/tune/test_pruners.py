"""A trial ends itself exactly where Optuna would have ended it, from the record of the trials before it."""

from __future__ import annotations

import json
from typing import Any

import optuna
import pytest

from fairway.errors import ConfigError
from fairway.spec.outcome import TrialNotes
from fairway.spec.record import to_plain
from fairway.spec.study import MOST_REPORTS, PRUNED
from fairway.step.context import Skipped
from fairway.train.tune import pruners
from fairway.train.tune.pruners import Watch, make_pruner

optuna.logging.set_verbosity(optuna.logging.ERROR)
STEPS = 27


def curve(number: int, step: int) -> float:
    """Trials differ in how good they get; some start badly and end well."""
    quality = (number * 7919 % 13) / 13
    return quality * (1 - 1 / (step + 1)) + (0.3 if number % 4 == 0 and step < 5 else 0.0)


def theirs(pruner: Any, count: int) -> list[int | None]:
    """The step at which Optuna, alone in one process, ends each trial; None if it does not."""
    study = optuna.create_study(study_name="fairway", direction="maximize", pruner=pruner, sampler=optuna.samplers.RandomSampler(seed=0))
    found: list[int | None] = []
    for number in range(count):
        trial, ended = study.ask(), None
        for step in range(1, STEPS + 1):
            trial.report(curve(number, step), step)
            if trial.should_prune():
                ended = step
                break
        found.append(ended)
        state = optuna.trial.TrialState.PRUNED if ended else optuna.trial.TrialState.COMPLETE
        study.tell(trial, None if ended else curve(number, STEPS), state=state)
    return found


def ours(settings: dict[str, Any], count: int) -> list[int | None]:
    """The same, each trial from the record of those before it."""
    told = {"metrics": ["acc"], "directions": ["max"], "pruner": settings}
    trials: list[dict[str, Any]] = []
    found: list[int | None] = []
    for number in range(count):
        watch, ended = Watch(json.loads(json.dumps({"number": number, "told": told, "trials": json.dumps(trials)}))), None
        for step in range(1, STEPS + 1):
            try:
                watch.report(step, {"acc": curve(number, step), "other": 1.0})
            except Skipped as skipped:
                assert skipped.reason == PRUNED
                ended = step
                break
        notes = json.loads(json.dumps(to_plain(watch.notes())))
        entry = {"index": number, "status": "skipped" if ended else "succeeded", "values": [None if ended else curve(number, STEPS)]}
        trials.append(entry | {"reports": notes["reports"], "attrs": notes.get("attrs", {})} | ({"reason": PRUNED} if ended else {}))
        found.append(ended)
    return found


PRUNERS: dict[str, tuple[dict[str, Any], Any]] = {
    "median": ({"kind": "median", "n_startup_trials": 3}, lambda: optuna.pruners.MedianPruner(n_startup_trials=3)),
    "percentile": ({"kind": "percentile", "percentile": 40.0}, lambda: optuna.pruners.PercentilePruner(40.0)),
    "asha": (
        {"kind": "asha", "min_resource": 1, "reduction_factor": 3},
        lambda: optuna.pruners.SuccessiveHalvingPruner(min_resource=1, reduction_factor=3),
    ),
    "asha by itself": ({"kind": "asha"}, optuna.pruners.SuccessiveHalvingPruner),
    "hyperband": (
        {"kind": "hyperband", "min_resource": 1, "max_resource": STEPS},
        lambda: optuna.pruners.HyperbandPruner(min_resource=1, max_resource=STEPS),
    ),
    "patience": ({"kind": "patience", "patience": 2}, lambda: optuna.pruners.PatientPruner(None, patience=2)),
}


@pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")
@pytest.mark.parametrize("name", PRUNERS)
def test_trials_end_where_optuna_alone_would_end_them(name: str) -> None:
    settings, alone = PRUNERS[name]
    found = ours(settings, 25)
    assert found == theirs(alone(), 25)
    assert any(found), "the pruner was put to use"
    assert not all(found)


def test_without_a_pruner_reports_are_kept_and_nothing_ends() -> None:
    watch = Watch({"number": 0, "told": {"metrics": ["acc"], "directions": ["max"]}})
    assert watch.notes() is None
    for step in range(5):
        watch.report(step, {"acc": step / 10})
    watch.report(None, {"acc": 1.0})
    watch.report(9, {"loss": 1.0})
    assert watch.notes() == TrialNotes(((0.0, 0.0), (1.0, 0.1), (2.0, 0.2), (3.0, 0.3), (4.0, 0.4)), {}, ("acc",))


def test_of_many_reports_a_bounded_number_is_kept_with_the_last() -> None:
    watch = Watch({"number": 0, "told": {"metrics": ["acc"], "directions": ["max"]}})
    for step in range(20_000):
        watch.report(step, {"acc": float(step)})
    notes = watch.notes()
    assert notes is not None
    assert len(notes.reports) <= MOST_REPORTS
    assert notes.reports[-1] == (19_999.0, 19_999.0)
    steps = [step for step, _ in notes.reports]
    assert steps == sorted(steps)
    assert steps[0] < 1_000


def test_settings_that_optuna_does_not_know_are_refused() -> None:
    for kind in ("median", "percentile", "asha", "hyperband", "patience"):
        with pytest.raises(ConfigError, match=f"pruner {kind}: "):
            make_pruner({"kind": kind, "nonsense": 1})
    with pytest.raises(ConfigError, match="no pruner"):
        make_pruner({"kind": "hope"})


def test_nothing_of_optuna_is_imported_by_a_trial_that_has_no_pruner() -> None:
    import subprocess
    import sys

    code = (
        "import sys; from fairway.train.tune.pruners import Watch\n"
        "w = Watch({'number': 0, 'told': {'metrics': ['a'], 'directions': ['max']}}); w.report(1, {'a': 1.0}); w.notes()\n"
        "print('optuna' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"
    assert pruners.__doc__
