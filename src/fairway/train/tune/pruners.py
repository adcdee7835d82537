"""Ending a trial early: Optuna's pruners by our names, and what a trial asks them while it runs."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from fairway.errors import ConfigError
from fairway.spec.outcome import TrialNotes
from fairway.spec.study import MOST_REPORTS, PRUNED
from fairway.step.context import Skipped
from fairway.train.tune.live import Live
from fairway.train.tune.past import Past, load_optuna, say_settings

if TYPE_CHECKING:
    from fairway.spec.ports import StreamStore


def make_pruner(settings: Mapping[str, Any]) -> Any:
    """The pruner that `settings` ({"kind": …, and Optuna's own settings}) name. Raises ConfigError for settings it does not have."""
    import warnings

    optuna = load_optuna()
    warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
    pruners = optuna.pruners
    kinds: dict[str, tuple[Any, dict[str, Any]]] = {
        "median": (pruners.MedianPruner, {}),
        "percentile": (pruners.PercentilePruner, {"percentile": 25.0}),
        "asha": (pruners.SuccessiveHalvingPruner, {}),
        "hyperband": (pruners.HyperbandPruner, {}),
        "patience": (pruners.PatientPruner, {"wrapped_pruner": None, "patience": 3}),
    }
    kind, more = settings["kind"], {name: value for name, value in settings.items() if name != "kind"}
    if kind not in kinds:
        raise ConfigError(f"there is no pruner {kind!r}")
    made, usual = kinds[kind]
    try:
        return made(**{**usual, **more})
    except (TypeError, ValueError) as error:
        raise ConfigError(f"pruner {kind}: {error}", hint=say_settings(made, more)) from None


class Watch:
    """A trial while it runs: keeps what it reports of the first metric, and ends it when the pruner says so.

    `trial` is what the engine tells it: its number, what was asked of the search (`told`), and, if there is a pruner, how the other trials
    have gone until it began (`trials`, as JSON) and the streams by which it hears of them from then on (see `live`).
    """

    def __init__(self, trial: Mapping[str, Any], streams: StreamStore | None = None) -> None:
        self._told: Mapping[str, Any] = trial["told"]
        self._number: int = trial["number"]
        self._others: str = trial.get("trials", "[]")
        self._metrics: Sequence[str] = self._told.get("metrics", ())
        self._metric = self._metrics[0] if self._metrics else ""
        self._said: set[str] = set()
        self._reports: dict[int, float] = {}
        self._last: tuple[int, float] | None = None
        self._asked: Any = None
        self._past: Past | None = None
        self._ended: set[int] = set()
        self._live: Live | None = None
        if streams is not None and "live" in trial:
            self._live = Live(streams, self._number, trial["live"], trial.get("says", trial["live"]))

    def report(self, step: int | None, values: Mapping[str, Any]) -> None:
        """Called with each point that is logged. Raises Skipped when the trial promises too little."""
        self._said.update(name for name in self._metrics if name in values)
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
        first = self._past is None
        past = self._past = self._past or self._make_past()
        if self._asked is None:
            self._asked = self._ask(past)
        self._hear(past)
        known = past.trials[self._number].system_attrs
        self._asked.report(value, step)
        hopeless = bool(self._asked.should_prune())
        if self._live is not None:
            attrs = past.trials[self._number].system_attrs
            told = {"attrs": attrs} if attrs != known else {}
            self._live.say({**({"first": True} if first else {}), "step": step, "value": value, **told})
        return hopeless

    def _make_past(self) -> Past:
        """A study with all others as they were; all have their own numbers, as some pruners go by them."""
        past = Past(self._told["directions"], {})
        others: Sequence[Mapping[str, Any]] = json.loads(self._others)
        numbers = {entry["index"]: entry for entry in others}
        for number in range(max([self._number, *numbers]) + 1):
            known = numbers.get(number)
            past.add({**known, "params": {}} if known is not None else {"status": "running", "params": {}})
        self._ended = {number for number, entry in numbers.items() if entry["status"] != "running"}
        return past

    def _ask(self, past: Past) -> Any:
        """This trial as Optuna's."""
        from optuna.trial import Trial

        return Trial(past.study(pruner=make_pruner(self._told["pruner"])), self._number)

    def _hear(self, past: Past) -> None:
        """What trials that run beside this one, or have since it began, say of themselves."""
        for said in self._live.hear() if self._live is not None else ():
            if said["n"] not in self._ended:
                past.note(said["n"], said)

    def end(self, status: str) -> None:
        """Tell the others how it has ended: "succeeded", "skipped" or "failed"."""
        if self._live is not None and self._past is not None:
            self._live.say({"end": "pruned" if status == "skipped" else status})

    def notes(self) -> TrialNotes | None:
        """What it leaves for those after it; None if it said nothing of the metrics."""
        if not self._said:
            return None
        points = sorted({**self._reports, **dict([self._last] if self._last else [])}.items())
        if len(points) > MOST_REPORTS:
            every = -(-len(points) // MOST_REPORTS)
            points = [point for n, point in enumerate(points) if n % every == 0 or n == len(points) - 1][-MOST_REPORTS:]
        attrs = dict(self._past.trials[self._number].system_attrs) if self._past is not None else {}
        said = tuple(name for name in self._metrics if name in self._said)
        return TrialNotes(tuple((float(step), value) for step, value in points), attrs, said)
