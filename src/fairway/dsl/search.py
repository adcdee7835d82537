"""What is asked of a hyperparameter search, checked: metrics, directions, sampler, pruner, numbers. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from fairway.dsl.source import suggest
from fairway.dsl.space import count_points, grid_values, read_space
from fairway.errors import ConfigError
from fairway.spec.record import Record, field, record
from fairway.spec.resources import parse_duration

SAMPLERS = ("tpe", "cmaes", "random", "grid", "qmc", "nsga2")
PRUNERS = ("none", "median", "percentile", "asha", "hyperband", "patience")
_SPELLINGS = {"nsga-ii": "nsga2", "nsgaii": "nsga2", "cma-es": "cmaes", "cma": "cmaes", "halving": "asha", "successive-halving": "asha"}
_DIRECTIONS = {"max": "max", "maximize": "max", "min": "min", "minimize": "min"}
MOST_TRIALS = 100_000
MAX_FAILED = 10
_LOSSES = re.compile(r"(^|[^a-z])(log_?loss|.?loss|err|errors?|n?r?mse|r?msle|mae|s?mape|perplexity|regret|cost|latency)([^a-z]|$)")
"""Of such a metric less is better, as a rule."""


@record
class Search(Record):
    """One search. `sampler` and `pruner` are {"kind": …} and Optuna's own settings for it. `prior` are trials known beforehand:
    [{"params": {…}, "values": [...]}, …]. `max_failed`: when so many trials have failed and none was complete it is over; 0 = never."""

    space: dict[str, Any]
    metrics: tuple[str, ...]
    directions: tuple[str, ...]
    trials: int = 50
    parallel: int = 1
    sampler: dict[str, Any] = field(default_factory=dict)
    pruner: dict[str, Any] = field(default_factory=dict)
    seed: int = 0
    timeout_s: float = 0.0
    max_failed: int = MAX_FAILED
    prior: tuple[Any, ...] = ()


def make_search(
    space: Any,
    metric: str | Sequence[str],
    direction: str | Sequence[str] = "",
    *,
    trials: int = 50,
    parallel: int = 1,
    **more: Any,
) -> Search:
    """The search as asked for. `more`: sampler, pruner, seed, timeout, max_failed, warm_start.

    Raises ConfigError, or SpaceError with a field."""
    metrics = (metric,) if isinstance(metric, str) else tuple(metric)
    if not metrics or not all(isinstance(one, str) and one for one in metrics) or len(set(metrics)) < len(metrics):
        raise ConfigError(f"metric: {metric!r} names no metric", hint='write metric="auc", or metric=["auc", "size"] for several')
    sampler = _read_kind("sampler", more.get("sampler", "tpe"), SAMPLERS)
    pruner = _read_kind("pruner", more.get("pruner") or "none", PRUNERS)
    seed, timeout = more.get("seed", 0), more.get("timeout") or 0.0
    if type(seed) is not int or not 0 <= seed < 2**32:
        raise ConfigError(f"seed: {seed!r}", hint="a seed is a whole number from 0 to 4294967295")
    max_failed = more.get("max_failed", MAX_FAILED)
    if type(max_failed) is not int or max_failed < 0:
        raise ConfigError(f"max_failed: {max_failed!r}", hint="it is a number of trials; 0 means that failures never end the search")
    read = read_space(space)
    if sampler["kind"] == "grid":
        trials = min(_whole("trials", trials, MOST_TRIALS), count_points(read))
        sampler["points"] = {name: grid_values(name, spec) for name, spec in read.items()}
    found = Search(
        read,
        metrics,
        _read_directions(direction, metrics),
        _whole("trials", trials, MOST_TRIALS),
        _whole("parallel", parallel, MOST_TRIALS),
        sampler,
        {} if pruner["kind"] == "none" else pruner,
        seed,
        parse_duration(timeout) if timeout else 0.0,
        max_failed,
        tuple(_read_prior(more.get("warm_start", ()), metrics)),
    )
    _check_together(found)
    return found


def _check_together(search: Search) -> None:
    kind = search.sampler["kind"]
    if len(search.metrics) > 1 and kind == "cmaes":
        raise ConfigError("CMA-ES optimises one metric", hint='use sampler="nsga2" or "tpe" for several')
    if len(search.metrics) > 1 and search.pruner:
        raise ConfigError("trials of several metrics are not ended early", hint="leave the pruner out, or name one metric")
    if any("when" in spec for spec in search.space.values()) and kind == "grid":
        raise ConfigError("a grid has no parameters that depend on others", hint='use sampler="random" or "tpe"')


def _whole(name: str, value: Any, most: int) -> int:
    if type(value) is not int or not 1 <= value <= most:
        raise ConfigError(f"{name}: {value!r}", hint=f"{name} is a whole number from 1 to {most}")
    return value


def _read_directions(direction: str | Sequence[str], metrics: Sequence[str]) -> tuple[str, ...]:
    if not direction:
        loss = next((metric for metric in metrics if _LOSSES.search(metric.lower())), "")
        if loss:
            hint = 'say direction="min" or "max", on the command line --direction min or max; one for each metric'
            raise ConfigError(f"is less of `{loss}` better, or more?", hint=hint)
        direction = "max"
    words = (direction,) * len(metrics) if isinstance(direction, str) else tuple(direction)
    for word in words:
        if word not in _DIRECTIONS:
            raise ConfigError(f"direction: {word!r}", hint='it is "max" or "min"')
    if len(words) != len(metrics):
        raise ConfigError(f"direction: {len(words)} for {len(metrics)} metrics", hint="give one for each metric")
    return tuple(_DIRECTIONS[word] for word in words)


def _read_kind(what: str, given: Any, known: Sequence[str]) -> dict[str, Any]:
    """{"kind": …, settings} of "tpe", "tpe:n_startup_trials=5" or such a dict."""
    if isinstance(given, Mapping):
        made: dict[str, Any] = {str(name): value for name, value in given.items()}
    else:
        kind, _, rest = str(given).partition(":")
        made = {"kind": kind}
        for part in rest.split(",") if rest else ():
            name, equals, text = part.partition("=")
            if not equals or not name.strip().isidentifier():
                raise ConfigError(f"{what}: {part!r} is no setting", hint=f"write {what} NAME:setting=value,setting=value")
            made[name.strip()] = _read_word(text.strip())
    word = str(made.get("kind", "")).lower()
    made["kind"] = _SPELLINGS.get(word, word)
    if made["kind"] not in known:
        raise ConfigError(f"there is no {what} {made['kind']!r}", hint=f"there are {', '.join(known)}.{suggest(made['kind'], list(known))}")
    return made


def _read_word(text: str) -> Any:
    if text in ("true", "false"):
        return text == "true"
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def _read_prior(given: Any, metrics: Sequence[str]) -> list[Any]:
    """Known trials, their values as lists."""
    found: list[Any] = []
    for n, one in enumerate(given):
        if not isinstance(one, Mapping) or not isinstance(one.get("params"), Mapping):
            raise ConfigError(f"warm_start[{n}] is no trial", hint='a trial is {"params": {"lr": 0.1}, "values": [0.9]}')
        values = one.get("values", one.get("value"))
        values = list(values) if isinstance(values, list | tuple) else [values]
        if len(values) != len(metrics) or not all(isinstance(value, int | float) for value in values):
            raise ConfigError(f"warm_start[{n}] has the values {values}", hint=f"give one number for each of {', '.join(metrics)}")
        found.append({"params": dict(one["params"]), "values": [float(value) for value in values]})
    return found
