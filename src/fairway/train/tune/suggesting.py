"""The step that suggests one trial's parameters, from how those before it went.

Its module imports Optuna, and uses it once, when it is imported itself, unlike others of this room: a zygote imports it once, and every
suggestion (and every trial that may be ended early) is a fork of that.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from fairway.dsl.search import MAX_FAILED
from fairway.dsl.space import is_active
from fairway.errors import UnsupportedError
from fairway.spec.study import SAMPLER_STATE, SUGGESTION
from fairway.step import artifacts, context
from fairway.train.tune.choosing import find_failing, find_lacking
from fairway.train.tune.past import Past, load_optuna
from fairway.train.tune.pruners import make_pruner
from fairway.train.tune.samplers import load_generators, make_sampler, save_generators
from fairway.train.tune.shelf import shelf_of

if TYPE_CHECKING:
    from fairway.spec.attempt import AttemptSpec
    from fairway.spec.ports import ArtifactStore

_learned: set[str] = set()
_MOVED = ("cma:", "sepcma:", "cmawm:")
"""Attributes so large (a whole optimizer) that only the newest that counts is remembered."""


def suggest(history: Mapping[str, Any], search: Mapping[str, Any], ended: Sequence[str] = ()) -> dict[str, Any]:
    """Parameters for the next trial; None for one that is not active beside the others. Skips when the search's time is over. `ended` are
    files of blocks of trials, `history` tells of all others.

    Raises TaskFailed when the trials that have ended show that they do not give what was asked for."""
    _stop_in_time(search)
    load_optuna()
    shelf = shelf_of(search)
    blocks = [shelf.block(path) for path in ended]
    if not any(block.well for block in blocks):
        entries = [*(entry for block in blocks for entry in block.entries), *history["trials"]]
        over = find_lacking(entries) or find_failing(entries, search.get("max_failed", MAX_FAILED))
        if over is not None:  # nor will those to come be better
            raise over
    space, parallel = search["space"], search.get("parallel", 1)
    sampler = make_sampler(search["sampler"], search.get("seed", 0), parallel)
    state = history.get("state") or {}
    if "generators" in state:
        load_generators(sampler, state["generators"])
    past = shelf.past(history["trials"], blocks)
    past.attrs.update(state.get("attrs", {}))
    moved: dict[str, dict[str, Any]] = state.get("moved", {})
    for number, attrs in moved.items():
        past.attach(int(number), attrs)
    pruner = make_pruner(search["pruner"]) if search.get("pruner") else None  # of Hyperband each bracket is sampled by itself
    trial = past.study(sampler, pruner).ask()
    number = trial.number
    params = ask(trial, space)
    attrs = dict(past.trials[number].system_attrs)
    large = {name: attrs.pop(name) for name in list(attrs) if name.startswith(_MOVED) and isinstance(attrs[name], str)}
    made: dict[str, Any] = {name: params.get(name) for name in space}
    made[SUGGESTION] = {"params": params, **({"attrs": attrs} if attrs else {})}
    made[SAMPLER_STATE] = {
        "generators": save_generators(sampler),
        **({"attrs": past.attrs} if past.attrs else {}),
        **({"moved": kept} if (kept := _keep(past, {**moved, **({str(number): large} if large else {})})) else {}),
    }
    return made


def ask(trial: Any, space: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """What the trial is suggested for each parameter of the space that is active."""
    params: dict[str, Any] = {}
    for name, spec in space.items():
        if not is_active(spec, params):
            continue
        if "choices" in spec:
            params[name] = trial.suggest_categorical(name, spec["choices"])
        elif spec["type"] == "int":
            params[name] = trial.suggest_int(name, spec["low"], spec["high"], log=spec.get("log", False), step=spec.get("step", 1))
        else:
            params[name] = trial.suggest_float(name, spec["low"], spec["high"], log=spec.get("log", False), step=spec.get("step"))
    return params


def _keep(past: Past, moved: Mapping[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Those of trials that have not ended, and of the newest that is complete: older ones nobody asks for."""
    from optuna.trial import TrialState

    open_ = {number: attrs for number, attrs in moved.items() if past.trials[int(number)].state == TrialState.RUNNING}
    done = [number for number in moved if past.trials[int(number)].state == TrialState.COMPLETE]
    newest = max(done, key=int, default="")
    return {**({newest: moved[newest]} if newest else {}), **open_}


def learn(spec: AttemptSpec, store: ArtifactStore) -> bool:
    """Called in the process from which attempts are forked, with one that was: make what it makes of the trials that have ended, so that
    those to come find it made. True if anything was."""
    given = {**spec.inputs, **spec.items[0].inputs}
    ended, asked = (given[name].ref if name in given else None for name in ("ended", "search"))
    if ended is None or asked is None or ended.format != "list" or ended.digest in _learned:
        return False
    _learned.clear()
    _learned.add(ended.digest)
    shelf = shelf_of(artifacts.load(asked, store, ""))
    for path in artifacts.load(ended, store, "", wanted=artifacts.PATHS):
        shelf.block(path)
    return True


def _stop_in_time(search: Mapping[str, Any]) -> None:
    timeout_s = search.get("timeout_s", 0.0)
    started_at = context.context().more.get("search", {}).get("started_at", 0.0)
    if timeout_s and started_at and time.time() - started_at > timeout_s:
        context.skip("the time of the search is over")


def _rehearse() -> None:
    """Suggest something once: what libraries only load or compute at their first use is then there for every fork."""
    search = {"space": {"x": {"type": "float", "low": 0.0, "high": 1.0}}, "directions": ["min"], "sampler": {"kind": "tpe"}}
    trials = [{"index": n, "status": "succeeded", "params": {"x": n / 16}, "values": [n / 16]} for n in range(16)]
    suggest({"trials": trials}, search)


with suppress(ImportError, UnsupportedError):  # the step says what to install, when it runs
    _rehearse()
