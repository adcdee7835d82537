"""The Python client over a run that has ended."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import fairway as fw
from fairway.engine.client import Runs
from fairway.engine.outputs import Output
from fairway.errors import NotFoundError
from fairway.spec.artifact import ArtifactRef
from fairway.step import artifacts
from tests.cli.conftest import FIRST_RUN, SECOND_RUN, Shop


def test_runs_are_found_and_iterated(shop_with_run: Shop) -> None:
    shop_with_run.run(SECOND_RUN, depths=[-1])
    runs = Runs().at(shop_with_run.root)
    assert runs["last"].id == SECOND_RUN
    assert runs["nightly"].id == FIRST_RUN
    assert [run.id for run in runs] == [SECOND_RUN, FIRST_RUN]
    assert [run.id for run in runs.find(status="failed")] == [SECOND_RUN]
    with pytest.raises(NotFoundError):
        runs["zzz"]


def test_the_current_folder_says_which_runs(shop_with_run: Shop, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    runs = Runs()
    monkeypatch.chdir(shop_with_run.root)
    assert runs["last"].id == FIRST_RUN
    (tmp_path / "other").mkdir()
    monkeypatch.chdir(tmp_path / "other")
    with pytest.raises(NotFoundError):
        runs["last"]


def test_outputs_params_and_tasks(shop_with_run: Shop) -> None:
    run = Runs().at(shop_with_run.root)["last"]
    assert run.status == "succeeded"
    assert run.params == {"path": "data.csv", "depths": [1, 2, 3]}
    assert {name: output.load() for name, output in run.outputs.items()} == {"winner": 3, "auc": 0.75}
    task = run.tasks["train[1]"]
    assert (task.status, task.outputs["result"].load(), len(task.attempts)) == ("succeeded", 0.5, 1)
    assert task.inputs["depth"].inline == "2"
    assert len(run.tasks.match("train")) == 3
    assert [one.address for one in run.tasks.match("train.2")] == ["train[2]"]
    with pytest.raises(NotFoundError, match="mapped step"):
        run.tasks["train"]
    with pytest.raises(NotFoundError) as caught:
        run.outputs["model"]
    assert caught.value.hint == "its outputs: winner, auc"


def test_metric_points_become_curves(shop_with_run: Shop) -> None:
    run = Runs().at(shop_with_run.root)["last"]
    task = run.tasks["best"]
    streams = shop_with_run.workspace.streams
    streams.append(
        f"{run.id}/{task.attempts[0]}/metrics", b'[1.0,0,{"loss":0.5}]\n[2.0,1,{"loss":0.25,"note":"x"}]\n[3.0,null,{"auc":1}]\n[4.0,'
    )
    assert task.curves() == {"loss": [(0, 0.5), (1, 0.25)], "auc": [(0, 1)]}


def test_labels(shop_with_run: Shop) -> None:
    run = Runs().at(shop_with_run.root)["last"]
    run.tag("a", "b")
    run.untag("first")
    run.note("good")
    run.archive()
    assert (run.summary.tags, run.summary.note, run.summary.archived) == (("a", "b"), "good", True)


def test_waiting_for_a_run_that_has_ended_is_instant(shop_with_run: Shop) -> None:
    assert Runs().at(shop_with_run.root)["last"].wait(0.01) == "succeeded"


def test_notebooks_show_runs_outputs_and_tasks(shop_with_run: Shop) -> None:
    runs = Runs().at(shop_with_run.root)
    run = runs["last"]
    assert "<svg" in run._repr_html_() and "0.75" in run._repr_html_()
    assert "<table" in runs._repr_html_() and FIRST_RUN in runs._repr_html_()
    assert "train[2]" in run.tasks._repr_html_()
    assert repr(run.tasks).splitlines()[:2] == ["load succeeded", "train[0] succeeded"]
    assert repr(run) == f"<Run {FIRST_RUN}: churn succeeded>"
    assert "winner" in repr(run.outputs)


def test_an_artifact_shows_its_value_in_a_notebook(shop: Shop, tmp_path: Path) -> None:
    def shown(value: Any) -> str:
        ref = artifacts.save(value, shop.workspace.artifacts, tmp_path / "scratch")
        return Output(shop.workspace, "it", ref)._repr_html_()

    assert shown(0.75) == "<b>it</b> <code>0.75</code>"
    assert shown("<script>") == "<b>it</b> <code>&quot;&lt;script&gt;&quot;</code>"
    assert "<td>0.5</td>" in shown(fw.Table([{"auc": 0.5}]))
    assert '<img alt="" src="data:image/svg+xml;base64,' in shown(fw.Figure("<svg xmlns='http://www.w3.org/2000/svg'></svg>"))
    assert shown(fw.HTML("<h1>good</h1>")).endswith("<h1>good</h1>")
    assert shown(b"bytes") == "<b>it</b> <code>bytes, 5 bytes</code>"


def test_a_model_in_a_notebook_says_what_it_is_and_how_good(shop: Shop) -> None:
    meta = {"class": "sklearn.tree.Tree", "metrics": {"auc": 0.77}, "versions": {"scikit-learn": "1.7"}}
    html = Output(shop.workspace, "model", ArtifactRef("0" * 64, 300, "model", "fairway.Model", meta=meta))._repr_html_()
    assert "sklearn.tree.Tree" in html and "<td>auc</td><td>0.77</td>" in html


def test_a_pipeline_in_a_notebook_is_its_parameters_and_its_graph() -> None:
    @fw.step
    def load(path: str) -> list[int]:
        return [1]

    @fw.step
    def train(n: int) -> int:
        return n

    @fw.pipeline
    def notebook(path: str, depth: int = 2):
        """Who <leaves>?"""
        return train(fw.each(load(path)))

    html = notebook._repr_html_()
    assert "path: str, depth: int = 2" in html and "Who &lt;leaves&gt;?" in html
    assert "<svg" in html and ">train<" in html
    assert train(3) == 3
