"""Trials that are known, behind the interface by which Optuna asks its storages. Imports Optuna: `past` imports it when it must."""

from __future__ import annotations

import copy
from collections.abc import Container, Sequence
from typing import Any

from optuna.distributions import BaseDistribution
from optuna.exceptions import DuplicatedStudyError
from optuna.storages import BaseStorage
from optuna.study import StudyDirection
from optuna.study._frozen import FrozenStudy
from optuna.trial import FrozenTrial, TrialState

from fairway.train.tune.past import NAME, Past


class PastStorage(BaseStorage):
    """One study, whose trials have their numbers as ids. What is changed in it is changed in `past`, and kept nowhere else."""

    def __init__(self, past: Past) -> None:
        self._past = past
        self._directions = [StudyDirection.MAXIMIZE if one == "max" else StudyDirection.MINIMIZE for one in past.directions]

    def create_new_study(self, directions: Sequence[StudyDirection], study_name: str | None = None) -> int:
        raise DuplicatedStudyError(f"there is one study, {NAME}")

    def delete_study(self, study_id: int) -> None:
        self._past.trials.clear()

    def set_study_user_attr(self, study_id: int, key: str, value: Any) -> None:
        self._past.attrs[key] = value

    def set_study_system_attr(self, study_id: int, key: str, value: Any) -> None:
        self._past.attrs[key] = value

    def get_study_id_from_name(self, study_name: str) -> int:
        return 0

    def get_study_name_from_id(self, study_id: int) -> str:
        return NAME

    def get_study_directions(self, study_id: int) -> list[StudyDirection]:
        return self._directions

    def get_study_user_attrs(self, study_id: int) -> dict[str, Any]:
        return {}

    def get_study_system_attrs(self, study_id: int) -> dict[str, Any]:
        return self._past.attrs

    def get_all_studies(self) -> list[FrozenStudy]:
        return [FrozenStudy(NAME, None, {}, self._past.attrs, 0, directions=self._directions)]

    def create_new_trial(self, study_id: int, template_trial: FrozenTrial | None = None) -> int:
        self._past.append({}, "running", (), (), {})
        return self._past.trials[-1]._trial_id

    def set_trial_param(self, trial_id: int, param_name: str, param_value_internal: float, distribution: BaseDistribution) -> None:
        trial = self._change(trial_id)
        trial.distributions = {**trial.distributions, param_name: distribution}
        trial.params = {**trial.params, param_name: distribution.to_external_repr(param_value_internal)}

    def set_trial_state_values(self, trial_id: int, state: TrialState, values: Sequence[float] | None = None) -> bool:
        trial = self._change(trial_id)
        trial.state = state
        if values is not None:
            trial.values = list(values)
        return True

    def set_trial_intermediate_value(self, trial_id: int, step: int, intermediate_value: float) -> None:
        trial = self._change(trial_id)
        trial.intermediate_values = {**trial.intermediate_values, step: intermediate_value}

    def set_trial_user_attr(self, trial_id: int, key: str, value: Any) -> None:
        trial = self._change(trial_id)
        trial.user_attrs = {**trial.user_attrs, key: value}

    def set_trial_system_attr(self, trial_id: int, key: str, value: Any) -> None:
        trial = self._change(trial_id)
        trial.system_attrs = {**trial.system_attrs, key: value}

    def _change(self, trial_id: int) -> FrozenTrial:
        """A copy in its place: who has been given trials before goes on with those as they were, as Optuna's own storages have it."""
        trial = self._past.trials[trial_id] = copy.copy(self._past.trials[trial_id])
        return trial

    def get_trial(self, trial_id: int) -> FrozenTrial:
        return self._past.trials[trial_id]

    def get_all_trials(self, study_id: int, deepcopy: bool = True, states: Container[TrialState] | None = None) -> list[FrozenTrial]:
        found = [one for one in self._past.trials if states is None or one.state in states]
        return copy.deepcopy(found) if deepcopy else found
