"""A study of Optuna's made of what a run's journal tells: nothing is kept anywhere else, so a search is whole again after any kill."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from fairway.errors import UnsupportedError
from fairway.spec.study import PRUNED

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution
    from optuna.study import Study
    from optuna.trial import FrozenTrial

NAME = "fairway"
_SOME_TIME = datetime.fromtimestamp(0, UTC).replace(tzinfo=None)  # Optuna's times are naive; no sampler looks at them


def load_optuna(extra: str = "") -> Any:
    """The library, or an error that says how to get it."""
    try:
        import optuna
    except ImportError as error:
        raise UnsupportedError(
            f"hyperparameter search needs Optuna: {error}",
            hint=f'pip install "fairway[tune]"; a step with packages of its own needs "optuna"{extra} among them',
        ) from None
    return optuna


_OF_CODE = {
    *("wrapped_pruner", "gamma", "weights", "categorical_distance_func", "mutation", "crossover", "constraints_func"),
    *("elite_population_selection_strategy", "child_generation_strategy", "after_trial_strategy", "independent_sampler", "search_space"),
    "seed",
}


def say_settings(made: Any, given: Iterable[str]) -> str:
    """The settings there are of a class of Optuna's; the one that is meant by a wrong name first. What only code can give is left out."""
    from difflib import get_close_matches
    from inspect import signature

    names = [name for name, one in signature(made).parameters.items() if one.kind != one.VAR_KEYWORD and name not in _OF_CODE]
    meant = next((close for name in given if name not in names for close in get_close_matches(name, names, 1)), "")
    return (f"Did you mean {meant}? " if meant else "") + f"its settings: {', '.join(names) or 'none'}"


def make_distributions(space: Mapping[str, Mapping[str, Any]]) -> dict[str, BaseDistribution]:
    """The space in Optuna's words."""
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    found: dict[str, BaseDistribution] = {}
    for name, spec in space.items():
        if "choices" in spec:
            found[name] = CategoricalDistribution(spec["choices"])
        elif spec["type"] == "int":
            found[name] = IntDistribution(spec["low"], spec["high"], log=spec.get("log", False), step=spec.get("step", 1))
        else:
            found[name] = FloatDistribution(spec["low"], spec["high"], log=spec.get("log", False), step=spec.get("step"))
    return found


class Past:
    """The trials so far, numbered as Optuna does: known ones of other runs first, `offset` of them, then those of this run. Of a part of
    them `first` is the number of its first."""

    def __init__(self, directions: Sequence[str], distributions: Mapping[str, BaseDistribution], first: int = 0) -> None:
        from optuna.trial import FrozenTrial, TrialState

        self._make, self._states = FrozenTrial, TrialState
        self.directions = list(directions)
        self.distributions = distributions
        self.trials: list[FrozenTrial] = []
        self.attrs: dict[str, Any] = {}
        self.offset = 0
        self._first = first

    def add_known(self, prior: Sequence[Mapping[str, Any]]) -> None:
        """Trials of other runs, as far as they lie in the space."""
        for one in prior:
            params = {name: one["params"][name] for name in self.distributions if one["params"].get(name) is not None}
            if all(self._contains(name, value) for name, value in params.items()) and params:
                self.append(params, "succeeded", one["values"], (), {})
        self.offset = len(self.trials)

    def _contains(self, name: str, value: Any) -> bool:
        distribution = self.distributions[name]
        try:
            return bool(distribution._contains(distribution.to_internal_repr(value)))
        except (TypeError, ValueError):
            return False

    def add(self, entry: Mapping[str, Any]) -> None:
        """One trial of this run, an entry of `Expr("history")`."""
        suggestion = entry.get("suggestion") or {}
        asked = suggestion.get("params", entry.get("params", {}))
        status = "pruned" if entry.get("reason") == PRUNED else entry["status"]
        attrs = {**suggestion.get("attrs", {}), **entry.get("attrs", {})}
        self.append(asked, status, entry.get("values", ()), entry.get("reports", ()), attrs)

    def append(self, params: Mapping[str, Any], status: str, values: Sequence[Any], reports: Sequence[Any], attrs: dict[str, Any]) -> None:
        state, told = self._states.FAIL, None
        whole = bool(values) and all(value is not None for value in values)
        if status == "succeeded" and whole:
            state, told = self._states.COMPLETE, list(values)
        elif status == "pruned":
            state = self._states.PRUNED
            told = list(values) if whole else [reports[-1][1]] if reports and len(self.directions) == 1 else None
        elif status == "running":
            state = self._states.RUNNING
        number = self._first + len(self.trials)
        self.trials.append(
            self._make(
                number=number,
                state=state,
                value=None,
                values=told,
                datetime_start=_SOME_TIME,
                datetime_complete=_SOME_TIME if state.is_finished() else None,
                params=dict(params),
                distributions={name: self.distributions[name] for name in params},
                user_attrs={},
                system_attrs=attrs,
                intermediate_values={int(step): float(value) for step, value in reports},
                trial_id=number,
            )
        )

    def attach(self, number: int, attrs: Mapping[str, Any]) -> None:
        """More attributes of one trial; it may be others' too, so a copy is changed."""
        trial = self.trials[number] = copy.copy(self.trials[number])
        trial.system_attrs = {**trial.system_attrs, **attrs}

    def note(self, number: int, said: Mapping[str, Any]) -> None:
        """What a trial says of itself while it runs (a line of `live`), put into its place."""
        states = self._states
        while len(self.trials) <= number:
            self.append({}, "running", (), (), {})
        trial = self.trials[number]
        if said.get("first"):
            trial.intermediate_values, trial.system_attrs = {}, {}
        if "step" in said:
            trial.intermediate_values[int(said["step"])] = float(said["value"])
        trial.system_attrs = {**trial.system_attrs, **said.get("attrs", {})}
        if "end" in said:
            trial.state = {"succeeded": states.COMPLETE, "pruned": states.PRUNED}.get(said["end"], states.FAIL)
            if trial.state is states.COMPLETE:  # with what it reported last: the pruners look at reports only
                trial.values = list(trial.intermediate_values.values())[-1:]

    def study(self, sampler: Any = None, pruner: Any = None) -> Study:
        """A study over these trials, changed by what is asked of it and kept nowhere."""
        optuna = load_optuna()
        from fairway.train.tune.storage import PastStorage

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        return optuna.load_study(study_name=NAME, storage=PastStorage(self), sampler=sampler, pruner=pruner)
