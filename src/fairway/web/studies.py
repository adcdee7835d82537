"""A hyperparameter search as its page and its report draw it: JSON-ready, of a bounded size. Pure."""

from __future__ import annotations

import json
from typing import Any

from fairway.spec.study import Study, Trial
from fairway.train.importance import FEWEST, importances

REPORT_POINTS = 20_000
"""Points of all trials' curves together; more are thinned evenly."""


def spell_study(study: Study) -> dict[str, Any]:
    """All that the scripts need of it."""
    may_idle = frozenset(name for name, told in study.space.items() if isinstance(told, dict) and "when" in told)
    each = max(4, REPORT_POINTS // max(1, sum(1 for trial in study.trials if trial.reports)))
    return {
        "name": study.name,
        "metrics": list(study.metrics),
        "directions": list(study.directions),
        "params": [_param(study, name) for name in study.params],
        "sampler": study.sampler,
        "pruner": study.pruner,
        "asked": study.asked,
        "parallel": study.parallel,
        "fewest": FEWEST,
        "best": list(study.best),
        "trials": [_trial(trial, each, may_idle) for trial in study.trials],
        "importance": {name: importances(study, n) for n, name in enumerate(study.metrics)},
    }


def _param(study: Study, name: str) -> dict[str, Any]:
    """Its kind ("number" or "choice"), whether it lies on a logarithmic scale, and its choices as text."""
    told = study.space.get(name)
    known: dict[str, Any] = told if isinstance(told, dict) else {}
    values = [trial.params[name] for trial in study.trials if trial.params.get(name) is not None]
    numbers = all(_is_number(value) for value in values)
    choices = known.get("choices")
    if choices is None and numbers:
        log = bool(known.get("log")) and all(value > 0 for value in values)
        return {"name": name, "kind": "number", "log": log, "whole": known.get("type") == "int"}
    listed = choices if choices is not None else values
    return {"name": name, "kind": "choice", "choices": list(dict.fromkeys(spell_choice(value) for value in listed))}


def spell_choice(value: Any) -> str:
    """A choice as text, the same for equal ones."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)


def _trial(trial: Trial, each: int, may_idle: frozenset[str]) -> dict[str, Any]:
    idle = {name for name in may_idle if trial.params.get(name) is None}
    step = max(1, -(-len(trial.reports) // each))
    reports = [point for n, point in enumerate(trial.reports) if n % step == 0 or n == len(trial.reports) - 1]
    params = {name: value if _is_number(value) else spell_choice(value) for name, value in trial.params.items() if name not in idle}
    took = trial.ended_at - trial.started_at if trial.ended_at and trial.started_at else 0.0
    return {
        "number": trial.number,
        "state": trial.state,
        "values": list(trial.values),
        "params": params,
        "reports": [[_short(at), _short(value)] for at, value in reports],
        "task": trial.task,
        "took": round(took, 3),
        **({"error": trial.error[:300]} if trial.error else {}),
    }


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _short(number: float) -> float:
    return float(f"{number:.6g}")
