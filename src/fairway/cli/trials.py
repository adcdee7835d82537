"""A search in words: the best so far, what runs, how the latest trials ended. Pure: a Study in, lines out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fairway.cli.listing import lay_out
from fairway.cli.style import clip, spell_number
from fairway.spec.study import INTERRUPTED, TRIAL_STATES, Study, Trial

MAX_ROWS = 12
MAX_WORDS = 70
MAX_ERROR = 60


def spell_params(params: Mapping[str, Any]) -> str:
    """ "lr=0.003  depth=4"; what is not active is left out."""
    return "  ".join(f"{name}={spell_value(value)}" for name, value in params.items() if value is not None)


def spell_value(value: Any) -> str:
    """A parameter or metric, numbers with four digits."""
    if isinstance(value, float):
        return f"{value:.4g}"
    return str(value).lower() if isinstance(value, bool) else str(value)


def spell_values(study: Study, trial: Trial) -> str:
    """ "auc 0.913"; of several metrics all."""
    return "  ".join(f"{name} {spell_value(value)}" for name, value in zip(study.metrics, trial.values, strict=False))


def spell_error(trial: Trial, width: int = MAX_ERROR) -> str:
    """The first line of why it failed, "" if it did not."""
    return clip(trial.error.strip().partition("\n")[0], width)


def spell_counts(study: Study) -> str:
    """ "34 of 50 trials: 2 running, 30 complete, 4 pruned"; those that were cut off are none of the 34."""
    counts = dict.fromkeys(TRIAL_STATES, 0)
    for trial in study.trials:
        counts[trial.state] += 1
    ended = len(study.trials) - sum(counts[state] for state in ("running", "waiting", "cancelled", INTERRUPTED))
    words = [f"{n} {state}" for state, n in counts.items() if n and state != "waiting"]
    return f"{ended} of {study.asked} trials" + (f": {', '.join(words)}" if words else "")


def render_live(study: Study, reported: Mapping[int, float] | None = None) -> list[str]:
    """What stands below the steps while the search goes on: counts, the best, what runs, the latest that ended.

    `reported`: what trials that run said last, by number.
    """
    lines = [f"{study.name}  {spell_counts(study)}"]
    by_number = {trial.number: trial for trial in study.trials}
    best = [by_number[number] for number in study.best[:3]]
    running = [trial for trial in study.trials if trial.state == "running"]
    ended = [trial for trial in study.trials if trial.state not in ("running", "waiting") and trial.number not in study.best[:3]]
    rows = [_row("★" if n == 0 or len(study.metrics) > 1 else "", study, trial) for n, trial in enumerate(best)]
    room = max(2, MAX_ROWS - len(rows))
    rows += [_row("▸", study, trial, (reported or {}).get(trial.number)) for trial in running[: room // 2 + 1]]
    latest = sorted(ended, key=lambda trial: (trial.ended_at, trial.number))[-max(1, MAX_ROWS - len(rows)) :]
    rows += [_row("", study, trial) for trial in reversed(latest)]
    return lines + (["  " + line for line in lay_out([""] * 5, rows)[1:]] if rows else [])


def _row(sign: str, study: Study, trial: Trial, latest: float | None = None) -> list[str]:
    said = spell_values(study, trial)
    if not said and latest is not None:
        said = f"{study.metrics[0]} {spell_value(latest)}"
    state = {"complete": "", "running": ""}.get(trial.state, trial.state)
    if trial.error:
        state = f"{state}: {spell_error(trial)}"
    return [sign or " ", str(trial.number), said, clip(spell_params(trial.params), MAX_WORDS), state]


def render_trial(study: Study, trial: Trial) -> str:
    """One line for a trial that has ended, where nothing is redrawn."""
    said = spell_values(study, trial) if trial.values else ""
    what = " ".join(part for part in (said, "" if trial.state == "complete" else trial.state) if part)
    mark = "  (the best so far)" if trial.number in study.best[:1] else ""
    tail = f": {spell_error(trial, MAX_WORDS)}" if trial.error else ""
    return f"  trial {trial.number}  {what}{tail}  {clip(spell_params(trial.params), MAX_WORDS)}{mark}"


def render_table(study: Study) -> list[str]:
    """All trials, a line each, the best marked."""
    head = ["", "TRIAL", "STATE", *study.metrics, *study.params, "TIME", *(["ERROR"] if any(trial.error for trial in study.trials) else [])]
    rows: list[list[str]] = []
    for trial in study.trials:
        values = [spell_value(value) for value in trial.values] or [""] * len(study.metrics)
        took = f"{spell_number(round(trial.ended_at - trial.started_at, 2))}s" if trial.ended_at else ""
        params = ["" if trial.params.get(name) is None else clip(spell_value(trial.params[name]), 30) for name in study.params]
        row = ["★" if trial.number in study.best else "", str(trial.number), trial.state, *values, *params, took, spell_error(trial)]
        rows.append(row[: len(head)])
    return lay_out(head, rows, right=[1, *range(3, 3 + len(study.metrics)), head.index("TIME")])


def render_end(study: Study, run: str, outputs: Sequence[str], prefix: str = "fairway", *, over: bool = True) -> list[str]:
    """The best trial, its parameters, and how to get what it made. `over` False: the search was stopped, and may go on."""
    if not study.best:
        return [f"{spell_counts(study)}; none was complete" + ("" if over else " so far")]
    by_number = {trial.number: trial for trial in study.trials}
    lines: list[str] = []
    for number in study.best[:5]:
        trial = by_number[number]
        word = ("best" if len(study.best) == 1 else "Pareto front") + ("" if over else " so far")
        lines.append(f"{word}  trial {number}  {spell_values(study, trial)}  {spell_params(trial.params)}")
    if len(study.best) > 5:
        lines.append(f"and {len(study.best) - 5} more on the Pareto front")
    own = [name for name in outputs if name not in ("best_params", "best_value", "best_trial", "trials")]
    if own:
        lines.append(f"get it:      {prefix} artifacts get {run} {own[0]}")
    lines.append(f"all trials:  {prefix} tune show {run}")
    return lines
