"""`fw.tune` in real runs: over steps and whole pipelines, beside others, with trials that fail, are ended early, or are gangs."""

from __future__ import annotations

from typing import Any

import pytest

import fairway as fw
from fairway.engine.studies import studies_of
from fairway.errors import DefinitionError, TaskFailed
from fairway.spec.study import Study
from tests.semantics.rig import Rig


def study_of(run: Any) -> Study:
    (study,) = studies_of(run.workspace.state(run.id))
    return study


def test_the_best_trials_own_outputs_go_on_to_other_steps(rig: Rig) -> None:
    run = rig.run("""
        from typing import NamedTuple

        class Fitted(NamedTuple):
            model: dict
            loss: float

        @fw.step
        def fit(x: float, y: float, shift: float) -> Fitted:
            return Fitted({"x": x, "y": y}, (x - 2) ** 2 + (y + 1) ** 2 + shift)

        @fw.step
        def publish(model: dict, loss: float, params: dict, trials: list) -> dict:
            return {"same": model == params, "loss": loss, "n": len(trials)}

        @fw.pipeline
        def main():
            space = {"x": ("float", -5, 5), "y": ("float", -5, 5)}
            found = fw.tune(fit, space=space, metric="loss", direction="min", trials=25, parallel=2, shift=1.0)
            return {"said": publish(found.model, found.loss, found.best_params, found.trials), "number": found.best_trial}
    """)
    assert run.status == "succeeded"
    said = run.outputs["said"].load()
    assert said["same"]
    assert said["n"] == 25
    study = study_of(run)
    assert study.best == (run.outputs["number"].load(),)
    assert said["loss"] == study.trials[study.best[0]].values[0] == min(trial.values[0] for trial in study.trials)
    assert said["loss"] < 3.0
    assert {trial.state for trial in study.trials} == {"complete"}
    assert all(0 < trial.started_at <= trial.ended_at for trial in study.trials)


PIPELINE = """
    @fw.step
    def load(rows: int) -> list[int]:
        return list(range(rows))

    @fw.step
    def clean(data: list[int], keep: int) -> list[int]:
        return data[:keep]

    @fw.step
    def fit(data: list[int], lr: float) -> float:
        if lr > 0.9:
            raise ValueError("too hot")
        fw.log(acc=len(data) - lr)
        return len(data) - lr

    @fw.pipeline
    def train(rows: int = 10, keep: int = 3, lr: float = 0.1):
        acc = fit(clean(load(rows), keep), lr)
        with fw.when(acc > 1.0):
            good = acc
        return {"score": acc}
"""


def test_a_whole_pipeline_is_a_trial_and_what_does_not_vary_runs_once(rig: Rig) -> None:
    run = rig.run(
        PIPELINE
        + """
    @fw.pipeline
    def main():
        found = fw.tune(train, space={"keep": ("int", 1, 4), "lr": ("float", 0.0, 1.0)}, metric="score", trials=14, rows=8)
        return {"score": found.score, "params": found.best_params}
    """
    )
    assert run.status == "succeeded"
    ran = [name.rpartition("/")[2] for name, task in run.tasks.items() if task.attempts]
    assert ran.count("load") == 1, "the step that does not depend on what varies came from the cache"
    assert 1 <= ran.count("clean") <= 4
    assert ran.count("fit") == 14
    assert run.outputs["params"].load()["keep"] == 4
    study = study_of(run)
    failed = [trial for trial in study.trials if trial.state == "failed"]
    assert failed, "some trial was too hot"
    assert all("too hot" in trial.error for trial in failed)
    assert all(trial.params["lr"] > 0.9 for trial in failed)
    assert len(study.trials) == 14


def test_a_metric_of_a_pipelines_step_may_be_logged(rig: Rig) -> None:
    run = rig.run(
        PIPELINE
        + """
    @fw.pipeline
    def main():
        return fw.tune(train, space={"lr": ("float", 0.0, 0.5)}, metric="acc", trials=4).best_value
    """
    )
    assert run.status == "succeeded"
    assert 2.5 <= run.outputs["best_value"].load() <= 3.0


CURVES = """
    @fw.step
    def fit(quality: float, epochs: int = 20) -> float:
        for epoch in range(1, epochs + 1):
            fw.log(acc=quality * (1 - 1 / (epoch + 1)), step=epoch)
        return quality
"""


def test_hopeless_trials_are_ended_early_and_keep_what_they_reported(rig: Rig) -> None:
    run = rig.run(
        CURVES
        + """
    @fw.pipeline
    def main():
        found = fw.tune(fit, space={"quality": ("float", 0, 1)}, metric="acc", trials=16, sampler="random", pruner="median", parallel=2)
        return found.best_value
    """
    )
    assert run.status == "succeeded"
    study = study_of(run)
    pruned = [trial for trial in study.trials if trial.state == "pruned"]
    assert pruned
    assert all(1 <= len(trial.reports) < 20 for trial in pruned)
    complete = [trial for trial in study.trials if trial.state == "complete"]
    assert all(len(trial.reports) == 20 for trial in complete)
    assert max(trial.params["quality"] for trial in study.trials) == study.trials[study.best[0]].params["quality"]
    table = run.tasks["tune.best"].outputs["trials"].load()
    assert [row["state"] for row in table] == [trial.state for trial in study.trials]


def test_a_step_of_a_pipeline_ends_its_trial_early(rig: Rig) -> None:
    run = rig.run(
        CURVES
        + """
    @fw.step
    def after(score: float) -> float:
        return score

    @fw.pipeline
    def train(quality: float = 0.5):
        return {"score": after(fit(quality))}

    @fw.pipeline
    def main():
        space = {"quality": ("float", 0, 1)}
        found = fw.tune(train, space=space, metric="acc", trials=12, sampler="random", pruner="median:n_startup_trials=2")
        return found.best_value
    """
    )
    assert run.status == "succeeded"
    states = [trial.state for trial in study_of(run).trials]
    assert states.count("pruned") >= 1
    assert states.count("complete") >= 2
    assert len(states) == 12


def test_a_trial_may_be_a_gang(rig: Rig) -> None:
    run = rig.run("""
        @fw.step(gang=fw.gang(replicas=2), cpu=0.5)
        def fit(x: float) -> float:
            if fw.context().rank == 0:
                fw.log(result=x, step=1)
            return x * fw.context().world_size

        @fw.pipeline
        def main():
            return fw.tune(fit, space={"x": ("float", 0, 1)}, metric="result", trials=3, sampler="random").best_value
    """)
    assert run.status == "succeeded"
    study = study_of(run)
    assert [trial.values[0] for trial in study.trials] == [trial.params["x"] * 2 for trial in study.trials]
    assert all(len(trial.reports) == 1 for trial in study.trials)


def test_what_the_ranks_of_a_trial_have_logged_counts_as_its_mean(rig: Rig) -> None:
    run = rig.run("""
        @fw.step(gang=fw.gang(replicas=2), cpu=0.5)
        def fit(x: float) -> str:
            fw.log(acc=x + fw.context().rank)
            return ""

        @fw.pipeline
        def main():
            return fw.tune(fit, space={"x": [0.25, 0.5]}, metric="acc", trials=2, sampler="grid").best_value
    """)
    assert run.status == "succeeded"
    assert sorted(trial.values[0] - trial.params["x"] for trial in study_of(run).trials) == [0.5, 0.5]


def test_a_gang_whose_rank_0_ends_the_trial_ends_with_it(rig: Rig) -> None:
    run = rig.run(
        """
        import threading

        @fw.step(gang=fw.gang(replicas=2), cpu=0.5)
        def fit(x: float) -> float:
            if fw.context().rank and x < 0.6:
                threading.Event().wait()  # as in a collective that rank 0 never joins
            for step in range(1, 6) if fw.context().rank == 0 else ():
                fw.log(acc=x * step, step=step)
            return x

        @fw.pipeline
        def main():
            space = {"x": [0.9, 0.5]}
            found = fw.tune(fit, space=space, metric="acc", trials=2, sampler="grid", pruner="median:n_startup_trials=1", seed=SEED)
            return found.best_value
    """.replace("SEED", str(_seed_with_first("x", [0.9, 0.5], 0.9)))
    )
    assert run.status == "succeeded"
    assert [trial.state for trial in study_of(run).trials] == ["complete", "pruned"]


def _seed_with_first(name: str, choices: list[float], first: float) -> int:
    """A seed with which a grid begins there."""
    from fairway.dsl.search import make_search
    from fairway.spec.record import to_plain
    from fairway.train.tune.suggesting import suggest

    for seed in range(20):
        plain = to_plain(make_search({name: choices}, "acc", sampler="grid", seed=seed))
        if suggest({"trials": []}, plain)[name] == first:
            return seed
    raise AssertionError("no such seed")


def test_a_search_under_a_condition_that_does_not_hold_is_skipped(rig: Rig) -> None:
    run = rig.run("""
        @fw.step
        def fit(x: float) -> float:
            return x

        @fw.pipeline
        def main(wanted: bool = False):
            with fw.when(wanted):
                found = fw.tune(fit, space={"x": ("float", 0, 1)}, metric="result", trials=3)
            return found.best_value
    """)
    assert run.status == "succeeded"
    assert {task.status for task in run.tasks.values()} == {"skipped"}


def test_a_search_for_each_of_several_data_sets(rig: Rig) -> None:
    run = rig.run("""
        @fw.step
        def fit(shift: float, x: float) -> float:
            return -abs(x - shift)

        @fw.pipeline
        def main():
            shift = fw.each([-1.0, 1.0])
            found = fw.tune(fit, space={"x": [-1.0, 0.0, 1.0]}, metric="result", trials=3, sampler="grid", shift=shift)
            return {"x": found.best_params, "value": found.result}
    """)
    assert run.status == "succeeded"
    assert run.outputs["x"].load() == [{"x": -1.0}, {"x": 1.0}]
    assert run.outputs["value"].load() == [0.0, 0.0]


def test_a_search_by_itself_is_a_pipeline_with_the_parameters_that_do_not_vary(rig: Rig) -> None:
    search = rig.load(
        """
        @fw.step
        def fit(x: float, base: float, scale: float = 2.0) -> float:
            return base - scale * x ** 2

        search = fw.tune(fit, space={"x": ("float", -1, 1)}, metric="result", trials=5, scale=3.0)
        """,
        "search",
    )
    assert [param.name for param in search.params()] == ["base"]
    run = fw.run(search, base=10.0)
    assert set(run.outputs) == {"best", "best_params", "best_value", "best_trial", "trials"}
    assert run.outputs["best"].load() == run.outputs["best_value"].load() <= 10.0


def test_the_same_search_again_comes_whole_from_the_cache(rig: Rig) -> None:
    fit = rig.load(CURVES + "    search = fw.tune(fit, space={'quality': ('float', 0, 1)}, metric='acc', trials=1)", "search").target
    space = {"quality": ("float", 0, 1)}
    first = fw.run(fw.tune(fit, space=space, metric="acc", trials=6, seed=1))
    again = fw.run(fw.tune(fit, space=space, metric="acc", trials=6, seed=1))
    other = fw.run(fw.tune(fit, space=space, metric="acc", trials=6, seed=2))
    assert {name for name, task in again.tasks.items() if task.attempts} == set()
    assert again.outputs["best_value"].load() == first.outputs["best_value"].load() != other.outputs["best_value"].load()
    for run in (first, again):
        assert run.metrics["acc"] == run.outputs["best_value"].load(), "a run that searches is listed with its best"


def test_trials_from_the_cache_have_the_curves_of_those_that_made_them(rig: Rig) -> None:
    text = (
        CURVES
        + """
    @fw.pipeline
    def whole(quality: float = 0.5):
        return {"score": fit(quality)}

    @fw.pipeline
    def main(kind: str = "a"):
        space = {"quality": ("float", 0, 1)}
        fw.tune(fit, space=space, metric="acc", trials=3)
        return fw.tune(whole, space=space, metric="acc", trials=3, seed=1).best_value
    """
    )
    pipeline = rig.load(text, "main")
    runs = [fw.run(pipeline) for _ in range(3)]
    found = [[trial for study in studies_of(run.workspace.state(run.id)) for trial in study.trials] for run in runs]
    assert all(len(trial.reports) == 20 for trial in found[0])
    for run, trials in zip(runs[1:], found[1:], strict=True):
        assert not [name for name, task in run.tasks.items() if task.attempts]
        assert [trial.reports for trial in trials] == [trial.reports for trial in found[0]]


def test_that_no_trial_was_complete_is_said_with_the_first_reason(rig: Rig) -> None:
    failing = """
        @fw.step
        def fit(x: float) -> float:
            raise KeyError("no such column")

        @fw.pipeline
        def main():
            return fw.tune(fit, space={"x": ("float", 0, 1)}, metric="result", trials=3).best_value
    """
    run = rig.run(failing)
    assert run.status == "failed"
    assert "none of 3 trials was complete; trial 0 failed: KeyError" in str(run.tasks["tune.best"].error)
    run = rig.run(failing.replace('raise KeyError("no such column")', "return None").replace("-> float", "-> float | None"))
    assert "no trial gave a number for `result`" in str(run.tasks["tune.best"].error)
    error = run.tasks["tune.best"].error
    assert error is not None and error.code == TaskFailed.code


STEP = """
    @fw.step
    def fit(lr: float, model: str, depth: int = 3) -> dict:
        return {"a": 1.0}
"""


@pytest.mark.parametrize(
    ("call", "message"),
    [
        ('fw.tune(fit, space={"rl": [1]}, metric="a", model="x")', r"`rl` is no parameter of `fit`.*"),
        ('fw.tune(fit, space={"lr": [1]}, metric="a", model="x", lr=1.0)', "both in the space and given"),
        ('fw.tune(fit, space={"lr": [1]}, metric="a")', "is called without `model`"),
        ('fw.tune(fit, space={"lr": [1]}, metric="a", model="x", depht=3)', "has no parameter `depht`"),
        ('fw.tune(fit, space={"lr": ("float", 1)}, metric="a", model="x")', "begins with 'float', and is no range"),
        ('fw.tune(fit, space={"lr": ("float", 2, 1)}, metric="a", model="x")', "`lr.low` is 2.0, above `high`"),
        ('fw.tune(fit, space={}, metric="a", model="x")', "must name parameters"),
        ('fw.tune(fit, space={"lr": [1]}, metric=[], model="x")', "names no metric"),
        ('fw.tune(fit, space={"lr": [1]}, metric="a", direction="up", model="x")', "direction: 'up'"),
        ('fw.tune(fit, space={"lr": [1]}, metric="a", sampler="tep", model="x")', "no sampler 'tep'"),
        ('fw.tune(fit, space={"lr": [1]}, metric="a", pruner="hope", model="x")', "no pruner 'hope'"),
        ('fw.tune(fit, space={"lr": [1]}, metric="a", trials=0, model="x")', "trials: 0"),
        ('fw.tune(fit, space={"lr": [1]}, metric="a", parallel=-1, model="x")', "parallel: -1"),
        ('fw.tune(fit, space={"lr": [1]}, metric=["a", "b"], sampler="cmaes", model="x")', "CMA-ES optimises one metric"),
        ('fw.tune(fit, space={"lr": ("float", 0, 1)}, metric="a", sampler="grid", model="x")', "a grid needs them"),
        ('fw.tune(fit, space={"lr": [1]}, metric="result", model="x")', "the metric `result` is a `dict`"),
        ('fw.tune(fit.function, space={"lr": [1]}, metric="a", model="x")', "over a step or a pipeline"),
    ],
)
def test_what_cannot_be_searched_is_refused_with_its_line(rig: Rig, call: str, message: str) -> None:
    source = (
        STEP
        + f"""
    @fw.pipeline
    def main():
        return {call}.best_value
    """
    )
    if not message:  # a list of choices, if odd ones: allowed
        assert rig.load(source).trace()
        return
    with pytest.raises(DefinitionError, match=message) as caught:
        rig.load(source).trace()
    assert ".py:" in caught.value.where
    assert caught.value.hint


def test_another_trial_at_the_same_place_is_the_same_task(rig: Rig) -> None:
    run = rig.run("""
        @fw.step
        def fit(kind: str) -> float:
            return {"a": 1.0, "b": 2.0}[kind]

        @fw.pipeline
        def main():
            return fw.tune(fit, space={"kind": ["a", "b"]}, metric="result", trials=8, sampler="random").best_value
    """)
    assert run.status == "succeeded"
    assert sum(bool(task.attempts) for name, task in run.tasks.items() if name.startswith("tune.fit")) == 2
    assert [trial.state for trial in study_of(run).trials] == ["complete"] * 8
