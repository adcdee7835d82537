"""The README's pictures: the main example in the dashboard, a report of data. `make pictures` puts them into docs/images."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from playwright.sync_api import Browser, expect

import fairway as fw
from tests.data.damages import CREDIT, credit, damages_of
from tests.pages.conftest import ROOT, Dashboard, fairway, shoot


@pytest.fixture(scope="module")
def example(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Dashboard]:
    folder = tmp_path_factory.mktemp("picture") / "default_risk"
    shutil.copytree(ROOT / "examples" / "default_risk", folder, ignore=shutil.ignore_patterns(".fairway", "__pycache__"))
    (folder / "fairway.toml").write_text("")
    fairway(folder, "run", "pipeline.py", "--name", "main")
    yield Dashboard(folder)
    fairway(folder, "down", "--on", "local", "--yes")


@pytest.mark.parametrize("colours", ["light", "dark"])
def test_the_main_example_in_the_dashboard(browser: Browser, example: Dashboard, colours: Any) -> None:
    context = browser.new_context(viewport={"width": 1360, "height": 800}, color_scheme=colours, base_url=example.url)
    page = context.new_page()
    page.goto(example.link())
    page.wait_for_url("**/runs*")
    page.goto(f"/runs/{example.runs['main']}?task=evaluate&tab=io")
    page.wait_for_selector("#run-graph[data-layout=done]")
    expect(page.locator("#run-panel")).to_contain_text("auc")
    page.wait_for_function("() => document.querySelectorAll('.htmx-request, .htmx-settling').length === 0")
    shoot(page, f"dashboard-{colours}")
    context.close()


def test_a_report_of_damaged_data(browser: Browser, tmp_path: Path) -> None:
    """The credit data, then other customers of the same file: limits in thousands, two states more, half as often."""
    new, random = credit(seed=2), np.random.default_rng(2)
    for name in ("unit", "categories", "cadence", "nulls"):
        new = damages_of(CREDIT, 60)[name].do(new, random)
    fw.read(credit(seed=1)).write(tmp_path / "train.parquet")
    fw.read(new).write(tmp_path / "new.parquet")
    fairway(tmp_path, "data", "schema", "infer", "train.parquet", "--out", "schema.json")
    fairway(tmp_path, "data", "report", "new.parquet", "--against", "train.parquet", "--schema", "schema.json")
    context = browser.new_context(viewport={"width": 1360, "height": 1000}, color_scheme="light")
    page = context.new_page()
    page.goto((tmp_path / "report.html").as_uri())
    expect(page.locator("body")).to_contain_text("LIMIT_BAL is in another unit now")
    expect(page.locator("body")).to_contain_text("2 times as long")
    shoot(page, "data-report")
    context.close()
