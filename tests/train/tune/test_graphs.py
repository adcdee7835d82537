"""A search over a graph from a file: each trial is the graph with other values in place of its parameters."""

from __future__ import annotations

import pytest

import fairway as fw
from fairway.dsl.load import load_pipeline
from fairway.engine.graphfile import render_yaml
from fairway.engine.studies import studies_of
from fairway.errors import DefinitionError
from fairway.spec import event as ev
from fairway.spec.graph import Graph
from tests.semantics.rig import Rig

SOURCE = """
    @fw.step
    def count(data: fw.File) -> int:
        return len(data.read_text().split())

    @fw.step
    def fit(rows: int, lr: float, depth: int) -> float:
        if depth == 3:
            raise ValueError("too deep")
        return rows - abs(lr - 0.5) - depth

    @fw.step
    def said(status: str):
        raise AssertionError("the exit handler is the run's")

    @fw.pipeline(on_exit=said)
    def train(data: fw.File, lr: float = 0.1, depth: int = 2, big: bool = False):
        score = fit(count(data), lr, depth)
        with fw.when(big):
            fit(1, lr, depth)
        return {"score": score}
"""


@pytest.fixture
def graph(rig: Rig) -> Graph:
    """`pipeline.yaml`, beside the file that it came from."""
    pipeline = rig.load(SOURCE, "train")
    (rig.root / "pipeline.yaml").write_text(render_yaml(pipeline.trace()))
    (rig.root / "data.txt").write_text("one two three")
    found = load_pipeline("pipeline.yaml")
    assert isinstance(found, Graph)
    return found


WORDS = ["--metric", "score", "--vary", "lr=float:0:1", "--vary", "depth=int:1:3", "--trials", "9"]


def test_fairway_tune_takes_a_graph_file(rig: Rig, graph: Graph) -> None:
    said = rig.fairway("tune", "pipeline.yaml", *WORDS, "-p", "data=data.txt", "--parallel", "2")
    assert said.returncode == 0, said.stderr
    run = rig.last()
    (study,) = studies_of(run.workspace.state(run.id))
    assert len(study.trials) == 9
    assert {trial.state for trial in study.trials} <= {"complete", "failed"}
    complete = [trial for trial in study.trials if trial.state == "complete"]
    assert all(trial.values == (3 - abs(trial.params["lr"] - 0.5) - trial.params["depth"],) for trial in complete)
    assert run.outputs["score"].load() == study.trials[study.best[0]].values[0]
    ran = [name.rpartition("/")[2] for name, task in run.tasks.items() if task.attempts]
    assert ran.count("count") <= 2, "what does not vary is not done for each"
    assert ran.count("fit") == 9

    again = rig.fairway("tune", "pipeline.yaml", *WORDS, "-p", "data=data.txt")
    assert again.returncode == 0, again.stderr
    assert "tune pipeline.yaml" not in again.stderr


def test_a_missing_value_is_asked_for_as_fairway_tune_takes_it(rig: Rig, graph: Graph) -> None:
    said = rig.fairway("tune", "pipeline.yaml", *WORDS)
    assert said.returncode == 2
    assert "parameter 'data' (fairway.File) has no value" in said.stderr
    assert "give it: -p data=…" in said.stderr
    wrong = rig.fairway("tune", "pipeline.yaml", *WORDS, "-p", "data=data.txt", "-p", "big=7")
    assert "for example -p big=true" in wrong.stderr
    run = rig.fairway("run", "pipeline.yaml")
    assert "give it: --data …" in run.stderr


def test_a_search_over_a_graph_in_python_and_with_another_code(rig: Rig, graph: Graph) -> None:
    space = {"lr": [0.25, 0.5], "depth": [1, 2]}
    data = str(rig.root / "data.txt")
    run = fw.run(fw.tune(graph, space=space, metric="score", trials=4, sampler="grid"), data=data)
    assert run.outputs["best_params"].load() == {"lr": 0.5, "depth": 1}
    again = fw.run(fw.tune(graph, space=space, metric="score", trials=4, sampler="grid"), data=data)
    assert not [name for name, task in again.tasks.items() if task.attempts]
    file = next(rig.root.glob("flow_*.py"))
    file.write_text(file.read_text().replace("- depth", "+ depth"))
    other = rig.fairway("tune", "pipeline.yaml", *WORDS[:6], "--trials", "4", "-p", f"data={data}")
    assert other.returncode == 0, other.stderr
    (study,) = studies_of(rig.last().workspace.state(rig.last().id))
    assert all(t.values == (3 - abs(t.params["lr"] - 0.5) + t.params["depth"],) for t in study.trials if t.state == "complete")


def test_a_search_over_a_graph_that_failed_goes_on(rig: Rig, graph: Graph) -> None:
    file = next(rig.root.glob("flow_*.py"))
    good = file.read_text()
    file.write_text(good.replace("if depth == 3:", "if True:"))
    assert rig.fairway("tune", "pipeline.yaml", *WORDS, "-p", "data=data.txt").returncode == 3
    file.write_text(good)
    said = rig.fairway("resume", "last")
    assert said.returncode == 0, said.stderr
    counted = [e for _, e in rig.last().workspace.events(rig.last().id) if isinstance(e, ev.AttemptPlanned) and e.node == "count"]
    assert len(counted) <= 2


def test_a_graph_that_is_a_search_is_run_not_searched(rig: Rig, graph: Graph) -> None:
    search = fw.tune(graph, space={"lr": [0.5]}, metric="score", trials=1)
    (rig.root / "search.yaml").write_text(render_yaml(search.trace()))
    said = rig.fairway("tune", "search.yaml", *WORDS)
    assert said.returncode == 2
    assert "search.yaml is a search already" in said.stderr
    assert rig.fairway("run", "search.yaml", "--data", "data.txt").returncode == 0
    with pytest.raises(DefinitionError, match="not a search"):
        fw.tune(search.trace(), space={"lr": [0.5]}, metric="score")


def test_a_program_is_searched_over_in_its_file_and_in_a_graph(rig: Rig) -> None:
    file = rig.write("""
    square = fw.command(["sh", "-c", 'echo $(( $1 * $1 )) > $2', "sh", fw.In("x", int), fw.Out("loss", int)], name="square")

    @fw.pipeline
    def main(x: int = 3):
        return {"loss": square(x=x).loss}
    """)
    pipeline = load_pipeline(f"{file}:main")
    assert isinstance(pipeline, fw.Pipeline)
    (rig.root / "graph.yaml").write_text(render_yaml(pipeline.trace()))
    words = ["--metric", "loss", "--direction", "min", "--vary", "x=int:-3:3", "--sampler", "grid"]
    for target in (f"{file}:square", f"{file}:main", "graph.yaml"):
        said = rig.fairway("tune", target, *words)
        assert said.returncode == 0, said.stderr
        assert rig.last().outputs["best_params"].load() == {"x": 0}
    said = rig.fairway("tune", f"{file}:square", *words[2:], "--metric", "lost")
    assert "`square` has no output `lost`, and a program logs no metrics" in said.stderr
