"""A hyperparameter search as data: what its trials were, as a run's journal tells (`fairway.engine.studies`)."""

from __future__ import annotations

from typing import Any

from fairway.spec.record import Record, field, record, replace

INTERRUPTED = "interrupted"
TRIAL_STATES: tuple[str, ...] = ("running", "waiting", "complete", "pruned", "failed", "cancelled", INTERRUPTED)
SUGGESTION = "_suggestion"
"""The output of a node that suggests parameters that holds what its sampler has to remember of this trial."""
SAMPLER_STATE = "_state"
"""That which holds what the sampler has to remember from one suggestion to the next."""
SEARCHED = "_graph"
"""The input of a trial that is a graph, not code, which holds it as JSON."""
PRUNED = "pruned"
"""Why a trial that was ended early counts as skipped."""
MOST_REPORTS = 256
"""Intermediate values kept of one trial; of more, evenly chosen ones and the last."""


@record
class Trial(Record):
    """One trial. `number` counts from 0. `state`: one of TRIAL_STATES. One that is "waiting" was suggested and not begun. One that is
    "cancelled" was cut off with its run, one that is "interrupted" ran when the process of its run was killed (`interrupt`);
    `resume` begins both again. `error`: why it failed, "" if it did not.

    `values`: one for each metric of the study, () unless it is complete (a pruned trial has the last it reported, if there is one metric).
    `reports`: (step, value) of the first metric while it ran. `task` is the address of its task in the run, `attempt` the last attempt's id
    ("" if its result came from the cache). Times are epoch seconds, 0 where there are none.
    """

    number: int
    state: str = "waiting"
    params: dict[str, Any] = field(default_factory=dict)
    values: tuple[float, ...] = ()
    reports: tuple[tuple[float, float], ...] = ()
    task: str = ""
    attempt: str = ""
    started_at: float = 0.0
    ended_at: float = 0.0
    error: str = ""


@record
class Study(Record):
    """One search of a run. `name` is the id of the node whose tasks are the trials ("tune.train"), with the scope before it, if any.

    `directions`: "min" or "max" for each of `metrics`. `params` are the names in the space, in its order; `space` is the space as JSON.

    `asked`: how many trials are wanted at most; `trials` are those begun so far, by number. `best`: numbers of the best trial (one metric),
    or of the trials that no other one beats in every metric (several), in order of the first metric.
    """

    name: str
    metrics: tuple[str, ...]
    directions: tuple[str, ...]
    params: tuple[str, ...] = ()
    space: dict[str, Any] = field(default_factory=dict)
    sampler: str = ""
    pruner: str = ""
    asked: int = 0
    parallel: int = 1
    trials: tuple[Trial, ...] = ()
    best: tuple[int, ...] = ()


def interrupt(study: Study) -> Study:
    """The study of a run whose process was killed: none of its trials runs, which its journal cannot know."""
    trials = [replace(trial, state=INTERRUPTED) if trial.state == "running" else trial for trial in study.trials]
    return replace(study, trials=tuple(trials))


def best_of(trials: tuple[Trial, ...] | list[Trial], directions: tuple[str, ...]) -> tuple[int, ...]:
    """Numbers of the complete trials that no other one beats: with one metric the first of the best. Pure; at most n² comparisons."""
    signs = [-1.0 if direction == "max" else 1.0 for direction in directions]
    scored = [
        (tuple(sign * value for sign, value in zip(signs, trial.values, strict=True)), trial.number)
        for trial in trials
        if trial.state == "complete" and len(trial.values) == len(signs)
    ]
    scored.sort()
    if len(signs) == 1:
        return (scored[0][1],) if scored else ()
    front: list[tuple[tuple[float, ...], int]] = []
    for values, number in scored:  # sorted: whoever beats it stands before it
        if not any(other != values and all(a <= b for a, b in zip(other, values, strict=True)) for other, _ in front):
            front.append((values, number))
    return tuple(number for _, number in front)
