"""The list of runs: found as one types, live, chosen, compared."""

from __future__ import annotations

import re

from playwright.sync_api import Page, expect

from tests.pages.conftest import Dashboard, Visitor
from tests.waiting import Gate


def shown(page: Page) -> list[str]:
    """Runs in the list, from the top."""
    return page.locator("tr[data-run]").evaluate_all("rows => rows.map(row => row.dataset.run)")


def test_runs_are_found_as_one_types_and_the_address_keeps_it(visitor: Visitor, dashboard: Dashboard) -> None:
    page = visitor.open("/runs")
    page.locator("#q").press_sequentially("wine auc>0.85", delay=10)
    expect(page.locator("tr[data-run]")).to_have_count(1)
    assert shown(page) == [dashboard.runs["second"]]
    page.wait_for_url(re.compile(r"q=wine"))
    page.reload()
    expect(page.locator("#q")).to_have_value("wine auc>0.85")
    assert shown(page) == [dashboard.runs["second"]]


def test_a_mistake_is_shown_where_it_is_and_the_list_stays(visitor: Visitor) -> None:
    page = visitor.open("/runs?q=wine")
    expect(page.locator("tr[data-run]").first).to_be_visible()
    before = shown(page)
    page.locator("#q").press_sequentially(" auc>", delay=10)
    expect(page.locator("#mistake mark")).to_be_visible()
    assert shown(page) == before
    visitor.complaints.clear()  # the browser notes the answer 422


def test_a_run_that_another_process_starts_appears_and_ends_by_itself(visitor: Visitor, dashboard: Dashboard) -> None:
    gate = Gate(dashboard.folder / "list.gate")
    page = visitor.open("/runs?q=gated")
    running = dashboard.start("gated.py", "--gate", str(gate.path), "--name", "appears")
    row = page.locator("tr[data-run]", has_text="appears")
    expect(row.locator(".state")).to_have_text("running")
    page.evaluate("window.mark = 'same page'")
    row.get_by_role("checkbox").check()
    gate.open()
    expect(row.locator(".state")).to_have_text("succeeded")
    assert running.wait(60) == 0
    expect(row.get_by_role("checkbox")).to_be_checked()
    assert page.evaluate("window.mark") == "same page"


def test_chosen_runs_are_compared(visitor: Visitor, dashboard: Dashboard) -> None:
    page = visitor.open("/runs?q=wine")
    for name in ("first", "second"):
        page.locator(f"tr[data-run='{dashboard.runs[name]}']").get_by_role("checkbox").check()
    page.get_by_role("link", name="Compare").or_(page.get_by_role("button", name="Compare")).first.click()
    page.wait_for_url(re.compile("/compare"))
    main = page.get_by_role("main")
    expect(main).to_contain_text("depths")
    expect(main).to_contain_text("rate")
    expect(main).to_contain_text("0.4")
    expect(main.get_by_role("table").first).not_to_contain_text("rows")
    page.set_viewport_size({"width": 390, "height": 844})
    lines = "cell => { const range = document.createRange(); range.selectNodeContents(cell); return range.getClientRects().length }"
    assert main.get_by_role("rowheader", name="duration").evaluate(lines) == 1, "no name is broken within a word"
    main.get_by_role("table").first.get_by_role("cell").first.evaluate("cell => { cell.textContent = 'a long value '.repeat(9) }")
    second = main.locator("thead th").last.bounding_box()
    assert second is not None and second["x"] < 300, "two runs stand beside each other on a telephone"


def test_more_pages_than_a_browser_has_connections_stay_live(visitor: Visitor, dashboard: Dashboard) -> None:
    gate = Gate(dashboard.folder / "tabs.gate")
    context = visitor.context()
    pages = [context.new_page() for _ in range(10)]
    for page in pages:
        page.goto("/runs?q=gated")
    running = dashboard.start("gated.py", "--gate", str(gate.path), "--name", "everywhere")
    for page in pages:
        expect(page.locator("tr[data-run]", has_text="everywhere").locator(".state")).to_have_text("running")
    gate.open()
    for page in pages:
        expect(page.locator("tr[data-run]", has_text="everywhere").locator(".state")).to_have_text("succeeded")
    assert running.wait(60) == 0
