"""A gang's ranks and a search, in a browser: live lines of all ranks, a rank's own log, curves, pictures of trials."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from fairway.spec.record import replace
from fairway.spec.study import Study
from fairway.web.tunereport import make_report
from tests.pages.conftest import Dashboard, Visitor, fairway, shoot
from tests.pages.test_looks import RULES
from tests.train.view.test_studies import make_study

GANG = """
import pathlib

import fairway as fw


@fw.step(gang=fw.gang(replicas=2), cpu=0.5)
def fit(gate: str) -> int:
    me = fw.context().rank
    for step in range(20):
        fw.log(loss=1 / (step + 1) + me, step=step)
        fw.progress(step + 1, 40)
    print(f"rank {me} waits", flush=True)
    while not pathlib.Path(gate).exists():
        fw.progress(20, 40)
    print(f"rank {me} goes on", flush=True)
    return me


@fw.pipeline
def together(gate: str):
    return fit(gate)
"""
TALKING = """
import fairway as fw


@fw.step(gang=fw.gang(replicas=2), cpu=0.2)
def talk() -> int:
    me = fw.context().rank
    for n in range(4000):
        print(f"rank {me} line {n}")
    return me


@fw.pipeline
def talking():
    return talk()
"""
SEARCH = """
import fairway as fw


@fw.step
def fit(lr: float, depth: int = 3) -> float:
    for step in range(5):
        fw.log(auc=lr + depth / 10 + step / 100, step=step)
    if depth == 9:
        raise ValueError("too deep")
    return lr + depth / 10


@fw.pipeline
def search():
    space = {"lr": ("float", 0.001, 1.0, "log"), "depth": range(2, 10)}
    found = fw.tune(fit, space=space, metric="auc", trials=24, parallel=2, sampler="random", seed=2)
    return found.best_value
"""

ROWS = """
all => all.map((charts) => {
  const rows = new Map();
  for (const one of charts.children) rows.set(one.offsetTop, [...(rows.get(one.offsetTop) ?? []), one]);
  return [...rows.values()].map((row) => {
    const width = row.reduce((sum, one) => sum + one.offsetWidth, 0);
    if (width < charts.clientWidth * 0.9) throw new Error(`there is nothing beside ${row[0].dataset.plot}`);
    return row.map((one) => one.dataset.plot);
  });
})
"""
"""The pictures of each search, row by row; all rows are full."""


@pytest.fixture(scope="module")
def trained(dashboard: Dashboard) -> Path:
    """The folder, with both pipelines in it."""
    (dashboard.folder / "together.py").write_text(GANG)
    (dashboard.folder / "search.py").write_text(SEARCH)
    return dashboard.folder


@pytest.fixture
def live(dashboard: Dashboard, trained: Path, tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """A gang that goes on until the gate is there: (its run, the gate)."""
    gate = tmp_path / "gate"
    process = dashboard.start("together.py", "--gate", str(gate), "--name", "together", "--no-cache")
    try:
        while True:
            listed = json.loads(fairway(trained, "runs", "-o", "json"))
            rows = [row for row in listed if row.get("name") == "together" and row.get("status", "running") == "running"]
            if rows and "waits" in fairway(trained, "logs", rows[0]["run"], "fit", check=False):
                break
            assert process.poll() is None
        yield rows[0]["run"], gate
    finally:
        gate.touch()
        process.wait(60)


def test_ranks_are_watched_while_they_run(visitor: Visitor, live: tuple[str, Path], axe: str) -> None:
    run, gate = live
    page = visitor.open(f"/runs/{run}/task?task=fit")
    rows = page.locator("[data-merged] .log-row")
    expect(rows.filter(has_text="rank 0 waits")).to_have_count(1)
    expect(rows.filter(has_text="rank 1 waits").locator(".log-rank")).to_have_text("1")
    check_access(page, axe)
    page.get_by_label("Rank 1").click()
    expect(page.locator("[data-log] .log-text")).to_have_text(["rank 1 waits"])
    page.locator("[data-tab=ranks]").first.click()
    expect(page.locator(".ranks tbody tr")).to_have_count(2)
    expect(page.locator(".ranks tbody tr").first).to_contain_text("20/40")
    expect(page.locator("[data-use=memory] canvas")).to_be_visible()
    check_access(page, axe)
    page.locator("[data-tab=metrics]").first.click()
    expect(page.locator("[data-metric=loss] canvas")).to_be_visible()
    expect(page.locator("[data-metric=loss] .task-curve-last")).to_have_text("0.55 (0.05 to 1.05)")
    page.get_by_role("link", name="Log").first.click()
    gate.touch()
    expect(rows.filter(has_text="goes on")).to_have_count(2)


def test_the_log_of_all_ranks_goes_back_to_its_beginning(visitor: Visitor, trained: Path) -> None:
    (trained / "talking.py").write_text(TALKING)
    fairway(trained, "run", "talking.py", "--name", "talking")
    run = next(row["run"] for row in json.loads(fairway(trained, "runs", "-o", "json")) if row["name"] == "talking")
    page = visitor.open(f"/runs/{run}?task=talk", viewport={"width": 1100, "height": 900})
    rows, more = page.locator("[data-merged] .log-row"), page.get_by_role("button", name="Show earlier lines")
    expect(rows.last).to_contain_text("line 3999")
    expect(more).to_have_count(1)
    while more.is_visible():
        before = rows.count()
        more.dispatch_event("click")  # not by the pointer: for that it is scrolled to, which asks for more as well, and may be the last
        expect(rows).not_to_have_count(before)
    expect(rows).to_have_count(8000)
    assert len(set(rows.all_inner_texts())) == 8000
    id = page.locator(".run-id").bounding_box()
    assert id is not None and id["height"] < 32  # beside an open panel, too, it is one line


def canvases(page: Page) -> list[str]:
    """Which pictures are drawn, once each has been scrolled to."""
    for figure in page.locator(".tune-figure").all():
        figure.scroll_into_view_if_needed()
        expect(figure.locator("canvas").first).to_be_visible()
    return page.locator(".tune-figure").evaluate_all("all => all.map(one => one.dataset.plot)")


def check_access(page: Page, axe: str) -> None:
    """Nothing keeps people out."""
    page.evaluate(axe)  # not as a script of the page: its policy allows none
    found = page.evaluate("rules => axe.run(document, { runOnly: { type: 'tag', values: rules } })", RULES)
    assert [(one["id"], [node["target"] for node in one["nodes"]][:3]) for one in found["violations"]] == []


def test_a_search_is_drawn(visitor: Visitor, trained: Path, tmp_path: Path, axe: str) -> None:
    fairway(trained, "run", "search.py", "--name", "searched")
    run = next(row["run"] for row in json.loads(fairway(trained, "runs", "-o", "json")) if row["name"] == "searched")
    page = visitor.open(f"/runs/{run}")
    page.get_by_role("link", name="Trials").click()
    assert canvases(page) == ["history", "importance", "contour", "parallel", "curves"]
    expect(page.locator("[data-trial]")).to_have_count(24)
    page.get_by_role("button", name="auc").click()
    page.get_by_role("button", name="auc").click()
    expect(page.locator("tr[data-trial]").first).to_contain_text("best")
    shoot(page, "tune")
    check_access(page, axe)
    narrow = visitor.open(f"/runs/{run}/tune", viewport={"width": 390, "height": 844}, color_scheme="dark")
    canvases(narrow)
    check_access(narrow, axe)
    assert narrow.evaluate("document.documentElement.scrollWidth") == 390
    report = tmp_path / "report.html"
    fairway(trained, "tune", "report", run, "-o", str(report))
    alone = visitor.context(offline=True).new_page()
    alone.goto(report.as_uri())
    assert canvases(alone) == ["history", "importance", "contour", "parallel", "curves"]


def of_two_metrics(study: Study) -> Study:
    trials = tuple(replace(trial, values=(trial.values[0], float(trial.number))) for trial in study.trials)
    return replace(study, metrics=("auc", "ms"), directions=("max", "min"), trials=trials)


def test_of_few_trials_it_is_said_why_there_is_no_importance_and_no_row_is_half_empty(visitor: Visitor, tmp_path: Path) -> None:
    """Also of several metrics, with one trial and with several: what has no picture beside it is as wide as the page."""
    some = [make_study(6), *(of_two_metrics(make_study(count)) for count in (1, 6))]
    report = tmp_path / "report.html"
    report.write_text(make_report(some, run="20261129-114030-heddt", pipeline="p", at="now"))
    page = visitor.context(offline=True).new_page()
    page.goto(report.as_uri())
    expect(page.locator("[data-plot=importance] .tune-none").first).to_have_text("Told from 8 complete trials on; there are 6.")
    expect(page.locator("[data-plot=history] canvas").first).to_be_visible()
    rows = page.locator(".tune-charts").evaluate_all(ROWS)
    assert [sorted(row) for row in rows[0][:2]] == [["history"], ["contour", "importance"]]
    assert rows[1][0] == ["history"]
    assert [sorted(row) for row in rows[2][:2]] == [["history", "pareto"], ["contour", "importance"]]
