"""A metric that nobody gives is said at once: before anything runs where the code shows it, else when the first trial has ended."""

from __future__ import annotations

from pathlib import Path

import pytest

from fairway.dsl.logged import find_logged
from fairway.dsl.search import make_search
from fairway.engine.studies import studies_of
from fairway.errors import ConfigError, DefinitionError
from tests.semantics.rig import Rig

SEARCH = """
    @fw.pipeline
    def main():
        return fw.tune(fit, space={"x": ("float", 0, 1)}, metric=METRIC, trials=8, sampler="random").best_value
"""
LOGS = """
    @fw.step
    def fit(x: float) -> float:
        fw.log(acc=x, step=1)
        return x
"""


def test_a_metric_that_no_code_gives_is_refused_before_anything_runs(rig: Rig) -> None:
    with pytest.raises(DefinitionError, match="nothing gives the metric `auc`: `fit` has no such output") as caught:
        rig.load(LOGS + SEARCH.replace("METRIC", '"auc"')).trace()
    assert "there are result, acc. Did you mean `acc`? A step says it so: fw.log(auc=…)" in caught.value.hint
    assert ".py:" in caught.value.where
    assert rig.load(LOGS + SEARCH.replace("METRIC", '"acc"')).trace()
    assert rig.load(LOGS + SEARCH.replace("METRIC", '"result"')).trace()


@pytest.mark.parametrize(("needs", "may"), [("fairway>=0.1", True), ("fairway-themes", False)])
def test_a_library_that_needs_fairway_may_log_any(rig: Rig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, needs: str, may: bool) -> None:
    info = tmp_path / "site" / "loops-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: loops\nVersion: 1.0\nRequires-Dist: {needs}\n")
    monkeypatch.syspath_prepend(tmp_path / "site")
    pipeline = rig.load(LOGS + SEARCH.replace("METRIC", '"auc"'))
    if may:
        assert pipeline.trace()
    else:
        with pytest.raises(DefinitionError, match="nothing gives the metric `auc`"):
            pipeline.trace()


def test_a_metric_of_a_pipeline_may_be_logged_by_any_module_of_it(rig: Rig) -> None:
    rig.write("def train(x):\n    fw.log(inner=x)\n    return x\n", "helping.py")
    source = """
    import helping

    @fw.step
    def fit(x: float) -> float:
        return helping.train(x)

    @fw.pipeline
    def train(x: float = 0.1):
        return {"score": fit(x)}
    """
    for metric in ("inner", "score"):
        assert rig.load(source + SEARCH.replace("METRIC", f'"{metric}"').replace("fit", "train")).trace()
    with pytest.raises(DefinitionError, match="nothing gives the metric `outer`"):
        rig.load(source + SEARCH.replace("METRIC", '"outer"').replace("fit", "train")).trace()


@pytest.mark.parametrize(
    ("code", "found"),
    [
        ("fw.log(a=1, step=2)\nfw.log({'b/c': 1, 'd': 2})\nfw.log(**{'e': 1})", {"a", "step", "b/c", "d", "e"}),
        ("from fairway import log as say\nsay(a=1)", {"a"}),
        ("import math\nmath.log(3)\nlog = print\nlog(4)", set[str]()),
        ("def f(m):\n    fw.log(**m)", None),
        ("def f(m):\n    fw.log(m, step=1)", None),
        ("fw.log({f'{1}': 2})", None),
        ("call_back = fw.log", None),
        ("from fairway import log\ncalls = [log]", None),
        ("from fairway import *", None),
        ("import fairway.step\nfairway.step.context.log(z=1)", {"z"}),
    ],
)
def test_what_may_be_logged_is_told_by_the_text_or_not_at_all(tmp_path: Path, code: str, found: set[str] | None) -> None:
    file = tmp_path / "flow_logged.py"
    file.write_text(f"import fairway as fw\n{code}\n")
    assert find_logged("flow_logged", str(file)) == found
    assert find_logged("nowhere", str(tmp_path / "nowhere.py")) is None


UNSEEN = """
    @fw.step
    def fit(x: float) -> float:
        fw.log({name: x for name in ("acc", "loss")}, step=1)
        return x
"""


def test_a_search_stops_after_the_first_trial_when_its_metric_is_not_among_the_numbers(rig: Rig) -> None:
    run = rig.run(UNSEEN + SEARCH.replace("METRIC", '"auc"'))
    assert run.status == "failed"
    error = run.tasks["tune.suggest[1]"].error
    assert error is not None and error.message == "trial 0 has ended well without the metric `auc`"
    assert error.hint.startswith("its numbers were acc, loss, result. Did you mean `acc`?")
    assert [name for name, task in run.tasks.items() if task.attempts and ".fit" in name] == ["tune.fit[0]"]


def test_of_several_metrics_the_one_that_nobody_gave_is_named(rig: Rig) -> None:
    run = rig.run(UNSEEN + SEARCH.replace("METRIC", '["acc", "size"], direction=["max", "min"]'))
    error = run.tasks["tune.suggest[1]"].error
    assert error is not None and error.message == "trial 0 has ended well without the metric `size`"
    assert "fw.log(size=…)" in error.hint


def test_one_trial_alone_says_so_too(rig: Rig) -> None:
    run = rig.run(UNSEEN + SEARCH.replace("METRIC", '"auc"').replace("trials=8", "trials=1"))
    error = run.tasks["tune.best"].error
    assert error is not None and error.message == "trial 0 has ended well without the metric `auc`"


NAN = """
    @fw.step
    def fit(x: float) -> float:
        good = fw.context().trial % 3 == 2
        fw.log({name: x if good else float(way) for name, way in (("auc", "nan"), ("other", "inf"))})
        return x
"""


def test_a_metric_that_is_no_number_in_some_trials_does_not_stop_the_search(rig: Rig) -> None:
    run = rig.run(NAN + SEARCH.replace("METRIC", '"auc"').replace("trials=8", "trials=6"))
    assert run.status == "succeeded"
    (study,) = studies_of(run.workspace.state(run.id))
    assert [trial.state for trial in study.trials] == ["failed", "failed", "complete"] * 2


def test_a_search_whose_trials_all_fail_stops_when_ten_have_and_goes_on_when_that_is_mended(rig: Rig) -> None:
    file = rig.write("""
    @fw.step
    def fit(x: float) -> float:
        raise KeyError("no such column")
    """)
    words = ["--metric", "result", "--vary", "x=float:0:1", "--trials", "16", "--parallel", "2", "--sampler", "random"]
    said = rig.fairway("tune", file, *words)
    assert said.returncode == 3
    assert "trials have failed and none was complete; trial 0: KeyError: 'no such column'" in said.stderr
    assert 10 <= sum(bool(task.attempts) for name, task in rig.last().tasks.items() if ".fit" in name) <= 11
    rig.write(file.read_text().replace('raise KeyError("no such column")', "return x"), file.name)
    assert rig.fairway("resume", "last").returncode == 0
    (study,) = studies_of(rig.last().workspace.state(rig.last().id))
    assert [trial.state for trial in study.trials] == ["complete"] * 16


def test_whether_less_of_a_loss_is_better_is_asked_and_of_other_metrics_more_is() -> None:
    space = {"x": [1]}
    for metric in ("loss", "val_loss", "val/log_loss", "rmse", "MAE", "test_error", "mse", "mape", "logloss", "latency"):
        with pytest.raises(ConfigError, match=f"is less of `{metric}` better, or more"):
            make_search(space, metric)
        assert make_search(space, metric, "min").directions == ("min",)
    for metric in ("auc", "f1", "accuracy", "reward", "terror", "glossiness", "map", "me", "r2", "result"):
        assert make_search(space, metric).directions == ("max",)
    with pytest.raises(ConfigError, match="max_failed: -1"):
        make_search(space, "auc", max_failed=-1)
