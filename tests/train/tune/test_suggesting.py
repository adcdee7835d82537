"""Suggestions made from the record alone are those that Optuna makes in one process with the same seed, for every sampler."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import optuna
import pytest

from fairway.dsl.search import make_search
from fairway.engine.library import StoreLibrary
from fairway.errors import ConfigError, TaskFailed
from fairway.spec.artifact import blob_key
from fairway.spec.attempt import AttemptItem, AttemptSpec, Input
from fairway.spec.graph import StepDef
from fairway.spec.record import replace, to_plain
from fairway.spec.study import SAMPLER_STATE, SUGGESTION
from fairway.step.context import Skipped
from fairway.step.folder import FolderArtifactStore
from fairway.train.tune import suggesting
from fairway.train.tune.choosing import best
from fairway.train.tune.samplers import load_generators, make_sampler, save_generators
from fairway.train.tune.shelf import _shelves, shelf_of

optuna.logging.set_verbosity(optuna.logging.ERROR)
SPACE: dict[str, Any] = {"x": ("float", -5, 5), "lr": ("float", 1e-4, 1.0, "log"), "n": ("int", 1, 9), "kind": ["a", "b", "c"]}
NUMBERS: dict[str, Any] = {"x": ("float", -5, 5), "y": ("float", -3, 5)}


def through_json(value: Any) -> Any:
    return json.loads(json.dumps(value))


def asked(space: dict[str, Any], sampler: Any, metric: Any = "loss", **more: Any) -> dict[str, Any]:
    return through_json(to_plain(make_search(space, metric, more.pop("direction", "min"), sampler=sampler, **more)))


def value_of(params: dict[str, Any]) -> list[float]:
    """Something to minimise, of whatever parameters there are."""
    loss = sum((v - 1) ** 2 if isinstance(v, int | float) else {"a": 0.0, "b": 1.0, "c": 2.0}[v] for v in params.values() if v is not None)
    return [loss]


def ours(search: dict[str, Any], count: int, values: Any = value_of, kill_at: frozenset[int] = frozenset()) -> list[dict[str, Any]]:
    """One suggestion after the other, each from the record of those before it, which went through JSON."""
    trials: list[dict[str, Any]] = []
    state: Any = None
    for n in range(count):
        made = through_json(suggesting.suggest({"trials": trials, **({"state": state} if state else {})}, search))
        state, suggestion = made.pop(SAMPLER_STATE), made.pop(SUGGESTION)
        entry = {"index": n, "status": "succeeded", "params": made, "suggestion": suggestion, "values": values(made)}
        if n in kill_at:
            entry |= {"status": "failed", "values": [None], "error": "boom"}
        trials.append(entry)
    return trials


def theirs(search: dict[str, Any], sampler: Any, count: int, values: Any = value_of) -> list[dict[str, Any]]:
    """Optuna alone, in one process."""
    study = optuna.create_study(directions=["minimize" for _ in search["metrics"]], sampler=sampler)
    for _ in range(count):
        trial = study.ask()
        params = suggesting.ask(trial, search["space"])
        study.tell(trial, values(params))
    return [trial.params for trial in study.trials]


SAMPLERS = {
    "tpe": (SPACE, lambda seed: optuna.samplers.TPESampler(seed=seed, constant_liar=False)),
    "tpe:multivariate=true": (SPACE, lambda seed: optuna.samplers.TPESampler(seed=seed, multivariate=True, constant_liar=False)),
    "random": (SPACE, lambda seed: optuna.samplers.RandomSampler(seed=seed)),
    "cmaes": (NUMBERS, lambda seed: optuna.samplers.CmaEsSampler(seed=seed)),
    "nsga2:population_size=8": (SPACE, lambda seed: optuna.samplers.NSGAIISampler(seed=seed, population_size=8)),
}


@pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")
@pytest.mark.parametrize("seed", [0, 7])
@pytest.mark.parametrize("sampler", SAMPLERS)
def test_suggestions_are_those_of_optuna_alone_with_the_same_seed(sampler: str, seed: int) -> None:
    space, alone = SAMPLERS[sampler]
    search = asked(space, sampler, seed=seed)
    found = [{k: v for k, v in trial["params"].items() if v is not None} for trial in ours(search, 40)]
    assert found == theirs(search, alone(seed), 40)


@pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")
def test_a_quasi_random_sequence_goes_on_where_it_was() -> None:
    search = asked(NUMBERS, "qmc", seed=3)
    sampler = optuna.samplers.QMCSampler(seed=3, scramble=True, warn_asynchronous_seeding=False, warn_independent_sampling=False)
    assert [trial["params"] for trial in ours(search, 20)] == theirs(search, sampler, 20)


def test_two_metrics_give_the_front_that_optuna_finds_alone() -> None:
    def values(params: dict[str, Any]) -> list[float]:
        return [params["x"] ** 2, (params["x"] - 2) ** 2 + params["y"] ** 2]

    search = asked(NUMBERS, "nsga2:population_size=10", ["a", "b"], seed=1)
    trials = ours(search, 60, values)
    alone = optuna.samplers.NSGAIISampler(seed=1, population_size=10)
    assert [trial["params"] for trial in trials] == theirs(search, alone, 60, values)
    study = optuna.create_study(directions=["minimize", "minimize"], sampler=optuna.samplers.NSGAIISampler(seed=1, population_size=10))
    study.optimize(lambda trial: tuple(values(suggesting.ask(trial, search["space"]))), n_trials=60)
    found = best({"trials": trials}, search)
    front = {row["number"] for row in found["trials"] if row["best"]}
    assert front == {trial.number for trial in study.best_trials}
    assert found["best_trial"] in front
    assert set(found["best_value"]) == {"a", "b"}


@pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")
@pytest.mark.parametrize(("sampler", "known"), [("tpe", 0), ("cmaes", 0), ("nsga2:population_size=8", 0), ("tpe", 5)])
def test_it_is_the_same_whether_trials_come_one_by_one_or_in_blocks(sampler: str, known: int, tmp_path: Path) -> None:
    """Some in blocks of 7, those of the third block one by one, as where one of its trials still runs."""
    prior = [{"params": {"x": n / 3, "y": 0.5}, "values": [n]} for n in range(known)]
    search = asked(NUMBERS, sampler, seed=3, warm_start=prior)
    plain = ours(search, 45)
    state: Any = None
    for n in range(45):
        starts = [first for first in range(0, n - 6, 7) if first != 14]
        files = [tmp_path / f"{first}.json" for first in starts]
        for first, file in zip(starts, files, strict=True):
            file.write_text(json.dumps(plain[first : first + 7]))
        covered = {number for first in starts for number in range(first, first + 7)}
        rest = [trial for trial in plain[:n] if trial["index"] not in covered]
        history = {"trials": rest, **({"state": state} if state else {})}
        if n % 2:
            _shelves.clear()  # as in a worker that has seen nothing of it yet
        made = through_json(suggesting.suggest(history, search, [str(file) for file in files]))
        state, suggestion = made.pop(SAMPLER_STATE), made.pop(SUGGESTION)
        assert (made, suggestion) == (plain[n]["params"], plain[n]["suggestion"])


def test_what_a_suggestion_was_given_is_learned_once_for_those_after_it(tmp_path: Path) -> None:
    search = asked(NUMBERS, "tpe", seed=0)
    trials = ours(search, 16)
    store = FolderArtifactStore(str(tmp_path / "blobs"))
    library = StoreLibrary(store)
    blocks = [library.kept(json.dumps(trials[first : first + 8]), "list") for first in (0, 8)]
    given = {"history": library.constant({"trials": []}), "ended": library.collect(blocks), "search": library.constant(search)}
    item = AttemptItem("tune.suggest[16]", {name: Input(ref=ref) for name, ref in given.items()})
    spec = AttemptSpec("a", "r", "tune.suggest", 1, StepDef("suggest"), "", (item,))
    assert suggesting.learn(spec, store)
    assert not suggesting.learn(spec, store), "it is known already"
    older = replace(item, inputs={name: one for name, one in item.inputs.items() if name != "ended"})
    assert not suggesting.learn(replace(spec, items=(older,)), store), "a run from before there were blocks"
    paths = [str(store.local_path(blob_key(block.digest))) for block in blocks]
    for path in paths:
        Path(path).unlink()
    assert suggesting.suggest({"trials": []}, search, paths)
    _shelves.clear()
    with pytest.raises(FileNotFoundError):
        suggesting.suggest({"trials": []}, search, paths)


def test_trials_in_blocks_count_where_a_metric_is_missing_and_where_all_fail(tmp_path: Path) -> None:
    search = asked(NUMBERS, "tpe", seed=0, max_failed=10)
    base = {"params": {"x": 0.0, "y": 0.0}, "values": [None]}
    lacking = [{**base, "index": n, "status": "succeeded", "lacks": ["loss"], "had": ["auc"]} for n in range(8)]
    failing = [{**base, "index": n, "status": "failed", "error": "boom"} for n in range(8)]
    for name, entries, more, said in (
        ("a", lacking, [], "ended well without the metric"),
        ("b", failing, failing[:2], "10 trials have failed"),
    ):
        file = tmp_path / name
        file.write_text(json.dumps(entries))
        rest = [{**entry, "index": 8 + n} for n, entry in enumerate(more)]
        with pytest.raises(TaskFailed, match=said):
            suggesting.suggest({"trials": rest}, search, [str(file)])
    assert suggesting.suggest({"trials": [{**failing[0], "index": 8}]}, search, [str(tmp_path / "b")]), "nine are not ten"


def test_the_optimizer_of_cma_es_is_remembered_once_and_only_while_it_counts() -> None:
    search = asked(NUMBERS, "cmaes", seed=0)
    trials: list[dict[str, Any]] = []
    state: Any = None
    sizes: list[int] = []
    for n in range(60):
        made = through_json(suggesting.suggest({"trials": trials, **({"state": state} if state else {})}, search))
        state, suggestion = made.pop(SAMPLER_STATE), made.pop(SUGGESTION)
        assert len(json.dumps(suggestion)) < 500, "what each trial keeps for good is small"
        sizes.append(len(json.dumps(state)))
        trials.append({"index": n, "status": "succeeded", "params": made, "suggestion": suggestion, "values": value_of(made)})
    assert "moved" in state
    assert sizes[-1] < 2 * sizes[20]


def test_failed_trials_are_told_as_failed_and_the_search_goes_on() -> None:
    search = asked(NUMBERS, "tpe", seed=0)
    trials = ours(search, 30, kill_at=frozenset(range(0, 30, 3)))
    past = shelf_of(search).past(trials, ())
    states = [trial.state.name for trial in past.trials]
    assert states.count("FAIL") == 10 and states.count("COMPLETE") == 20
    assert best({"trials": trials}, search)["best_value"] < 5.0


def test_beside_running_trials_the_same_is_not_suggested_again() -> None:
    """The constant liar: what runs counts as bad, so others are tried meanwhile."""
    search = asked({"x": ("float", 0, 1)}, "tpe", seed=0, parallel=4)
    done = [
        {"index": n, "status": "succeeded", "params": {"x": n / 20}, "suggestion": {"params": {"x": n / 20}}, "values": [abs(n / 20 - 0.5)]}
        for n in range(20)
    ]
    trials, seen, state = list(done), [], None
    for n in range(4):
        made = through_json(suggesting.suggest({"trials": trials, **({"state": state} if state else {})}, search))
        state = made[SAMPLER_STATE]
        seen.append(made["x"])
        trials.append({"index": 20 + n, "status": "running", "params": {"x": made["x"]}, "suggestion": made[SUGGESTION]})
    assert len({round(x, 3) for x in seen}) == 4


def test_a_grid_is_walked_once_whole() -> None:
    search = asked({"n": ("int", 1, 3), "kind": ["a", "b"]}, "grid", trials=100)
    assert search["trials"] == 6
    points = [(trial["params"]["n"], trial["params"]["kind"]) for trial in ours(search, 6)]
    assert sorted(points) == [(n, kind) for n in (1, 2, 3) for kind in ("a", "b")]


def test_a_parameter_that_is_not_active_is_none_and_not_sampled() -> None:
    space = {"model": ["svm", "forest"], "c": {"type": "float", "low": 0.1, "high": 1.0, "when": {"model": "svm"}}}
    trials = ours(asked(space, "tpe", seed=0), 25, lambda params: [params["c"] or 0.5])
    assert {trial["params"]["model"] for trial in trials} == {"svm", "forest"}
    for trial in trials:
        assert (trial["params"]["c"] is None) == (trial["params"]["model"] == "forest")
        assert ("c" in trial["suggestion"]["params"]) == (trial["params"]["model"] == "svm")


def test_known_trials_are_learnt_from_and_those_outside_the_space_left_out() -> None:
    known = [{"params": {"x": 1 + n / 100, "y": 1.0}, "values": [n / 100]} for n in range(-10, 11)]
    known += [{"params": {"x": 99.0, "y": 1.0}, "values": [0.0]}, {"params": {"z": 1}, "values": [0.0]}]
    search = asked(NUMBERS, "tpe", seed=0, warm_start=known)
    assert shelf_of(search).past((), ()).offset == 21
    first = ours(search, 1)[0]["params"]
    assert first != ours(asked(NUMBERS, "tpe", seed=0), 1)[0]["params"], "not a first trial at random"


def test_the_time_of_a_search_is_over(monkeypatch: pytest.MonkeyPatch) -> None:
    from fairway.step import context

    now = context.Context()
    now.more = {"search": {"started_at": 1.0}}
    monkeypatch.setattr(context, "context", lambda: now)
    with pytest.raises(Skipped, match="time of the search is over"):
        suggesting.suggest({"trials": []}, asked(NUMBERS, "tpe", timeout="10s"))
    assert suggesting.suggest({"trials": []}, asked(NUMBERS, "tpe"))


@pytest.mark.parametrize("kind", ["tpe", "random", "cmaes", "nsga2"])
def test_generators_stand_where_they_were(kind: str) -> None:
    one, two = make_sampler({"kind": kind}, 5, 1), make_sampler({"kind": kind}, 6, 1)
    load_generators(two, through_json(save_generators(one)))
    assert save_generators(one) == save_generators(two)
    assert save_generators(one) != save_generators(make_sampler({"kind": kind}, 6, 1))


def test_settings_that_optuna_does_not_know_are_refused() -> None:
    with pytest.raises(ConfigError, match="sampler tpe: "):
        make_sampler({"kind": "tpe", "nonsense": 1}, 0, 1)
