"""Suggestions are made where Optuna is; where it is nowhere, that is said before anything runs. Trials need it to be ended early only."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest

import fairway as fw
from fairway.dsl.load import load_pipeline
from fairway.dsl.tuning import SearchPipeline, as_step
from fairway.engine import searching
from fairway.engine.code import code_of
from fairway.engine.project import Project
from fairway.engine.searching import free_suggestions, place_suggestions
from fairway.envs.resolve import keep_lock_text
from fairway.errors import UnsupportedError
from fairway.spec.environment import Environment
from fairway.spec.graph import Graph
from fairway.spec.record import replace

SOURCE = """
import fairway as fw

@fw.step
def fit(x: float) -> float:
    fw.log(acc=x, step=1)
    return x

@fw.pipeline
def model(x: float):
    return fit(x)
"""
OWN = Environment(packages=("scikit-learn",))
THEIRS = Environment(packages=("mine",))


@fw.step(env=fw.env(packages=["scikit-learn"]))
def fit(x: float) -> float:
    fw.log(acc=x, step=1)
    return x


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(str(tmp_path), "mine", str(tmp_path / "home"), str(tmp_path / "journal"))


def lock(project: Project, environment: Environment, *names: str) -> Environment:
    text = "".join(f"{name}==1.0.0 \\\n    --hash=sha256:00\n" for name in names)
    digest = hashlib.sha256(text.encode()).hexdigest()
    keep_lock_text(digest, text, project.home)
    return replace(environment, lock=digest)


def place(project: Project, trials: Environment, own: Environment | None = None, **asked: Any) -> Graph:
    """The graph of a search whose trials are locked to `trials`, as it is submitted; `own` is the project's environment, if it has one."""
    search = fw.tune(fit, space={"x": ("float", 0.0, 1.0)}, metric="acc", **asked)
    assert isinstance(search, SearchPipeline)
    graph = free_suggestions(search.trace())
    assert graph.steps["fit"].environment == OWN, "those of trials are left as they are"
    assert graph.steps["suggest"].environment == graph.steps["best"].environment == Environment()
    steps = {key: replace(step, environment=trials if key == "fit" else own or Environment()) for key, step in graph.steps.items()}
    return place_suggestions(replace(graph, steps=steps), project)


def test_trials_in_an_environment_without_optuna_are_suggested_elsewhere(project: Project) -> None:
    trials, own = lock(project, OWN, "scikit-learn"), lock(project, THEIRS, "mine", "optuna")
    made = place(project, trials)
    assert made.steps["fit"].environment == trials
    assert made.steps["suggest"].environment == Environment(), "this Python has it"
    assert place(project, trials, own).steps["suggest"].environment == own


def test_where_trials_have_optuna_they_are_suggested_too(project: Project) -> None:
    trials = lock(project, OWN, "optuna", "scikit-learn")
    assert place(project, trials).steps["suggest"].environment == trials
    assert place(project, trials, sampler="cmaes").steps["suggest"].environment == Environment(), "it has no cmaes"


def test_nowhere_is_an_error_before_anything_runs(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    trials, own = lock(project, OWN, "optuna-integration", "scikit-learn"), lock(project, THEIRS, "mine")
    with pytest.raises(UnsupportedError, match="search needs optuna, and the project's environment does not have it") as caught:
        place(project, trials, own)
    assert caught.value.hint == 'pip install "fairway[tune]", or add it to the packages of `fit`'
    monkeypatch.setattr(searching, "find_spec", lambda name: None if name == "scipy" else object())
    with pytest.raises(UnsupportedError, match="search needs scipy, and this Python does not have it"):
        place(project, trials, sampler="qmc")
    assert place(replace(project, target="campus"), trials, sampler="qmc"), "what is at a target is not seen from here"


def test_on_a_cluster_suggestions_are_made_in_the_image_of_the_trials_if_they_have_one(project: Project) -> None:
    trials, campus = Environment(image="ours:1"), replace(project, target="campus")
    made = place(campus, trials).steps
    assert made["suggest"].environment == trials, "what is in it cannot be seen from here"
    assert made["best"].environment == trials, "one worker does both"
    assert place(project, trials).steps["suggest"].environment == Environment(), "an image is nothing to a laptop"
    own = lock(project, THEIRS, "optuna")
    assert place(campus, trials, own).steps["suggest"].environment == own


def test_a_graph_whose_steps_share_an_environment_has_that_as_a_pipeline_would(project: Project) -> None:
    graph, ours = fw.tune(fit, space={"x": ("float", 0.0, 1.0)}, metric="acc").trace(), Environment(image="ours:1")
    graph = replace(graph, steps={name: replace(step, environment=ours) for name, step in graph.steps.items()})
    assert as_step(graph).environment == ours
    mixed = {**graph.steps, "fit": replace(graph.steps["fit"], environment=OWN)}
    assert as_step(replace(graph, steps=mixed)).environment == Environment()


def test_optuna_is_asked_of_the_image_of_suggestions_alone(tmp_path: Path) -> None:
    (tmp_path / "fit.py").write_text(SOURCE)
    project = Project(str(tmp_path), "mine", str(tmp_path / "home"), str(tmp_path / "journal"))
    search = fw.tune(load_pipeline(f"{tmp_path}/fit.py:model"), space={"x": ("float", 0.0, 1.0)}, metric="acc")
    assert isinstance(search, SearchPipeline)
    _, _, facts, _ = code_of(search.trace(), search, project, f"{tmp_path}/fit.py")
    assert {name: list(needed) for name, needed in facts["packages"].items()} == {"suggest": ["optuna"]}


def test_a_pruner_decides_in_the_trial(project: Project) -> None:
    with pytest.raises(UnsupportedError, match="the environment of `fit` has no optuna, which decides there when a trial is ended early"):
        place(project, lock(project, OWN, "scikit-learn"), pruner="median")
    assert place(project, lock(project, OWN, "optuna"), pruner="median")
