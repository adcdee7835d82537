"""Ending a trial early: Optuna's pruners by our names, and what a trial asks them while it runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fairway.errors import ConfigError
from fairway.spec.outcome import TrialNotes
from fairway.spec.study import MOST_REPORTS, PRUNED
from fairway.step.context import Skipped
from fairway.train.tune.past import Past, load_optuna


def make_pruner(settings: Mapping[str, Any]) -> Any:
    """The pruner that `settings` ({"kind": …, and Optuna's own settings}) name. Raises ConfigError for settings it does not have."""
    import warnings

    optuna = load_optuna()
    warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
    pruners = optuna.pruners
    more = {name: value for name, value in settings.items() if name != "kind"}
    try:
        match settings["kind"]:
            case "median":
                return pruners.MedianPruner(**more)
            case "percentile":
                return pruners.PercentilePruner(**{"percentile": 25.0, **more})
            case "asha":
                return pruners.SuccessiveHalvingPruner(**more)
            case "hyperband":
                return pruners.HyperbandPruner(**more)
            case "patience":
                return pruners.PatientPruner(None, **{"patience": 3, **more})
            case kind:
                raise ConfigError(f"there is no pruner {kind!r}")
    except (TypeError, ValueError) as error:
        raise ConfigError(f"pruner {settings['kind']}: {error}", hint="its settings are those of Optuna's class") from None


class Watch:
    """A trial while it runs: keeps what it reports of the first metric, and ends it when the pruner says so.

    `trial` is what the engine tells it: its number, what was asked of the search (`told`), and the other trials, if there is a pruner.
    """

    def __init__(self, trial: Mapping[str, Any]) -> None:
        self._told: Mapping[str, Any] = trial["told"]
        self._number: int = trial["number"]
        self._others: Sequence[Mapping[str, Any]] = trial.get("trials", ())
        metrics: Sequence[str] = self._told.get("metrics", ())
        self._metric = metrics[0] if metrics else ""
        self._reports: dict[int, float] = {}
        self._last: tuple[int, float] | None = None
        self._asked: Any = None
        self._past: Past | None = None

    def report(self, step: int | None, values: Mapping[str, Any]) -> None:
        """Called with each point that is logged. Raises Skipped when the trial promises too little."""
        value = values.get(self._metric)
        if value is None or step is None:
            return
        step, value = int(step), float(value)
        if step in self._reports:  # as Optuna: the first value of a step holds
            return
        self._last = (step, value)
        self._reports[step] = value
        if len(self._reports) > 4 * MOST_REPORTS:
            self._reports = dict(list(self._reports.items())[::2])
        if self._told.get("pruner") and self._is_hopeless(step, value):
            raise Skipped(PRUNED)

    def _is_hopeless(self, step: int, value: float) -> bool:
        if self._asked is None:
            self._asked = self._ask()
        self._asked.report(value, step)
        return bool(self._asked.should_prune())

    def _ask(self) -> Any:
        """This trial as Optuna's, the last of a study with all others."""
        from optuna.trial import Trial

        past = Past(self._told["directions"], {})
        numbers = {entry["index"]: entry for entry in self._others}
        for number in range(max([self._number, *numbers]) + 1):  # all have their own numbers: some pruners go by them
            known = numbers.get(number)
            running = {"status": "running", "params": {}}
            past.add({**known, "params": {}} if known is not None else running)
        study = past.study(pruner=make_pruner(self._told["pruner"]))
        self._past = past
        return Trial(study, self._number)

    def notes(self) -> TrialNotes | None:
        """What it leaves for those after it; None if it reported nothing."""
        if not self._reports:
            return None
        points = sorted({**self._reports, **dict([self._last] if self._last else [])}.items())
        if len(points) > MOST_REPORTS:
            every = -(-len(points) // MOST_REPORTS)
            points = [point for n, point in enumerate(points) if n % every == 0 or n == len(points) - 1][-MOST_REPORTS:]
        attrs = dict(self._past.trials[self._number].system_attrs) if self._past is not None else {}
        return TrialNotes(tuple((float(step), value) for step, value in points), attrs)
