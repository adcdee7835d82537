"""The README's picture: the main example in the dashboard. `make pictures` puts it into docs/images."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, expect

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
