"""The way through the pages where a project's journal is in PostgreSQL: the same pages, as live as over a file."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, expect

from tests.pages.conftest import Dashboard, Visitor, fairway, sign_in
from tests.pages.pipelines import FILES
from tests.waiting import Gate


@pytest.fixture(scope="module")
def dashboard(tmp_path_factory: pytest.TempPathFactory, postgres_server: str) -> Iterator[Dashboard]:
    """In place of the one that all others share."""
    folder = tmp_path_factory.mktemp("remote")
    for name, text in FILES.items():
        (folder / name).write_text(text)
    (folder / "fairway.toml").write_text(f'journal = "{postgres_server}&schema=pages"')
    (folder / "open").touch()
    fairway(folder, "run", "wine.py", "--name", "low", "--depths", "2")
    fairway(folder, "run", "wine.py", "--name", "high", "--depths", "16")
    fairway(folder, "run", "shaky.py", "--name", "broken", check=False)
    (folder / "open").touch()
    fairway(folder, "run", "gated.py", "--name", "open", "--gate", str(folder / "open"))
    assert not list(folder.rglob("fairway.db")), "there is no second journal"
    made = Dashboard(folder)
    yield made
    fairway(folder, "down", "--on", "local", "--yes")


@pytest.fixture(scope="module")
def signed_in(browser: Browser, dashboard: Dashboard) -> Any:
    return sign_in(browser, dashboard)


def test_runs_are_listed_and_found_by_a_metric(visitor: Visitor, dashboard: Dashboard) -> None:
    page = visitor.open("/runs")
    expect(page.locator("tr[data-run]")).to_have_count(4)
    page.locator("#q").press_sequentially("auc>0.8", delay=10)
    expect(page.locator("tr[data-run]")).to_have_count(1)
    expect(page.locator(f"tr[data-run='{dashboard.runs['high']}']")).to_be_visible()


def test_a_run_that_the_page_starts_is_watched_to_its_end(visitor: Visitor, dashboard: Dashboard) -> None:
    gate = Gate(dashboard.folder / "form.gate")
    page = visitor.open("/pipelines/gated?tab=start")
    page.get_by_role("textbox", name=re.compile("^gate")).fill(str(gate.path))
    page.get_by_role("button", name="Start", exact=True).click()
    page.wait_for_url(re.compile(r"/runs/\d{8}-\d{6}-\w{5}"))
    main = page.get_by_role("main")
    expect(main.get_by_text("running").first).to_be_visible()
    page.evaluate("window.mark = 'same page'")
    gate.open()
    expect(main.locator(".state[data-state=succeeded]").first).to_be_visible()
    assert page.evaluate("window.mark") == "same page"


def test_a_run_of_another_process_is_live_in_list_and_log(visitor: Visitor, dashboard: Dashboard) -> None:
    gate = Gate(dashboard.folder / "command.gate")
    listed = visitor.open("/runs?q=gated")
    running = dashboard.start("gated.py", "--gate", str(gate.path), "--name", "command")
    row = listed.locator("tr[data-run]", has_text="command")
    expect(row.locator(".state")).to_have_text("running")
    page = visitor.open(f"/runs/{row.get_attribute('data-run')}?task=wait&tab=log")
    rows = page.locator("#run-panel .log-rows")
    expect(rows).to_contain_text("waiting at the gate")
    gate.open()
    expect(rows).to_contain_text("through the gate")
    expect(row.locator(".state")).to_have_text("succeeded")
    assert running.wait(60) == 0


def test_a_failure_leads_to_the_line_of_its_log(visitor: Visitor, dashboard: Dashboard) -> None:
    page = visitor.open("/runs?q=failed")
    page.locator(f"tr[data-run='{dashboard.runs['broken']}']").get_by_role("link").first.click()
    head = page.locator("#run-head")
    expect(head).to_contain_text("ZeroDivisionError")
    head.get_by_role("link", name="clean").first.click()
    expect(page.locator("#run-panel .log-rows")).to_contain_text("the divisor is 0")
