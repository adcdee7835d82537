"""A task that comes from the cache brings the metrics of when it ran: a run of known results is as good as the one that made them."""

from __future__ import annotations

from pathlib import Path

import pytest

import fairway as fw
from fairway.dsl.load import load_pipeline
from fairway.engine.apply import fold
from fairway.engine.overview import Overview
from fairway.engine.project import load_project
from fairway.engine.workspace import Workspace
from fairway.spec import event as ev
from fairway.spec.graph import Graph, Node, StepDef

SOURCE = """
import fairway as fw


@fw.step
def train(depth: int) -> float:
    fw.log({"auc": depth / 10})
    return depth / 10


@fw.step
def each(depth: int) -> int:
    fw.log({"part": float(depth)})
    return depth


@fw.pipeline
def flow(depth: int = 4):
    return {"auc": train(depth), "parts": each(fw.each([1, 2]))}
"""


def cached(*items: ev.CachedItem) -> list[ev.Event]:
    graph = Graph("flow", steps={"train": StepDef("train", module="flow", qualname="train")}, nodes=(Node("train", "train"),))
    return [ev.RunStarted("r1", graph, {}, "", 1.0), ev.TasksCached("", "train", items, 2.0)]


@pytest.mark.parametrize("metrics", [{"auc": 0.4}, {}])
def test_the_state_and_the_overview_take_them_in(metrics: dict[str, float]) -> None:
    events = cached(ev.CachedItem((), "k", {}, "other", "train", metrics=metrics))
    overview = Overview("r1")
    overview.fold_events(enumerate(events, 1))
    assert fold(events).metrics == overview.metrics == metrics


def test_a_run_from_the_cache_has_the_metrics_of_the_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "cached_flow.py").write_text(SOURCE)
    monkeypatch.chdir(tmp_path)
    flow = load_pipeline(f"{tmp_path / 'cached_flow.py'}:flow")
    fw.run(flow)
    fw.run(flow)
    second, first = Workspace(load_project(str(tmp_path), variables={})).all_summaries()
    assert second.counts == {"cached": 3}
    assert second.metrics == first.metrics == {"auc": 0.4}  # those of a mapped step are its tasks'
