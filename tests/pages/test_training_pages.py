"""A gang's ranks and a search, in a browser: live lines of all ranks, a rank's own log, curves, pictures of trials."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.pages.conftest import Dashboard, Visitor, fairway, shoot
from tests.pages.test_looks import RULES

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
    space = {"lr": (0.001, 1.0, "log"), "depth": range(2, 10)}
    found = fw.tune(fit, space=space, metric="auc", trials=24, parallel=2, sampler="random", seed=2)
    return found.best_value
"""


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
