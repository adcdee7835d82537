"""A run that failed: what, why, and the line of the log, in a few clicks; then mend, cancel, label, with the page's buttons."""

from __future__ import annotations

import re

from playwright.sync_api import Route, expect

from tests.pages.conftest import Dashboard, Visitor
from tests.waiting import Gate, await_true


def test_from_the_list_to_the_line_of_the_log_in_three_clicks(visitor: Visitor, dashboard: Dashboard) -> None:
    page = visitor.open("/runs")
    page.locator(f"tr[data-run='{dashboard.runs['broken']}']").get_by_role("link").first.click()
    head = page.locator("#run-head")
    expect(head).to_contain_text("ZeroDivisionError")
    head.get_by_role("link", name="clean").first.click()
    panel = page.locator("#run-panel")
    expect(panel).to_contain_text("return [number / divisor for number in numbers]")
    expect(panel.locator(".log-rows")).to_contain_text("the divisor is 0")


def test_a_log_is_searched_and_a_line_has_an_address(visitor: Visitor, dashboard: Dashboard) -> None:
    page = visitor.open(f"/runs/{dashboard.runs['broken']}?task=clean&tab=log")
    panel = page.locator("#run-panel")
    panel.get_by_label("Search the log").fill("number 17")
    expect(panel.locator(".log-count")).to_have_text(re.compile("1 of 1|1 line"))
    panel.get_by_label("Search the log").press("Enter")
    expect(panel.locator(".log-rows mark").first).to_have_text("number 17")
    page.goto(f"/runs/{dashboard.runs['broken']}?task=clean&tab=log&line=3")
    expect(panel.locator(".log-rows")).to_contain_text("number 1")


def test_colours_of_a_terminal_are_shown(visitor: Visitor, dashboard: Dashboard) -> None:
    page = visitor.open(f"/runs/{dashboard.runs['first']}?task=load&tab=log")
    rows = page.locator("#run-panel .log-rows")
    expect(rows).to_contain_text("loaded 200 rows")
    assert "\x1b" not in (rows.text_content() or "")
    plain = "getComputedStyle(document.querySelector('#run-panel .log-rows')).color"
    word = rows.get_by_text("loaded", exact=True)
    assert word.evaluate("element => getComputedStyle(element).color") != page.evaluate(plain)


def test_a_log_grows_while_it_is_looked_at(visitor: Visitor, dashboard: Dashboard) -> None:
    gate = Gate(dashboard.folder / "log.gate")
    running = dashboard.start("gated.py", "--gate", str(gate.path), "--name", "talks")
    page = visitor.open("/runs?q=talks")
    page.locator("tr[data-run]", has_text="talks").get_by_role("link").first.click()
    page.wait_for_url(re.compile(r"/runs/\d{8}-\d{6}-\w{5}"))
    page.goto(f"{page.url.partition('?')[0]}?task=wait&tab=log")
    rows = page.locator("#run-panel .log-rows")
    expect(rows).to_contain_text("waiting at the gate")
    gate.open()
    expect(rows).to_contain_text("through the gate")
    assert running.wait(60) == 0


def test_lines_that_come_before_the_page_listens_are_shown(visitor: Visitor, dashboard: Dashboard) -> None:
    gate = Gate(dashboard.folder / "early.gate")
    running = dashboard.start("gated.py", "--gate", str(gate.path), "--name", "hasty")
    page = visitor.open("/runs?q=hasty")
    page.locator("tr[data-run]", has_text="hasty").get_by_role("link").first.click()
    page.wait_for_url(re.compile(r"/runs/\d{8}-\d{6}-\w{5}"))
    address = f"{page.url.partition('?')[0]}?task=wait&tab=log"
    page.goto(address)
    rows = page.locator("#run-panel .log-rows")
    expect(rows).to_contain_text("waiting at the gate")
    late = visitor.context().new_page()
    held: list[Route] = []
    late.route("**/log.js*", lambda route: held.append(route))  # noqa: PLW0108 - a method of C code is none to playwright
    late.goto(address, wait_until="commit")
    expect(late.locator("#run-panel [data-log]")).to_have_attribute("data-tail", re.compile("waiting at the gate"))
    await_true(lambda: late.evaluate("true") and held, "the log is not shown")
    gate.open()
    assert running.wait(180) == 0
    for route in held:
        route.continue_()
    expect(late.locator("#run-panel .log-rows")).to_contain_text("through the gate")


def test_a_run_is_cancelled_and_resumed_from_its_page(visitor: Visitor, dashboard: Dashboard) -> None:
    gate = Gate(dashboard.folder / "cancel.gate")
    running = dashboard.start("gated.py", "--gate", str(gate.path), "--name", "stopped")
    page = visitor.open("/runs?q=stopped")
    page.locator("tr[data-run]", has_text="stopped").get_by_role("link").first.click()
    head = page.locator("#run-head")
    expect(head.locator(".state").first).to_have_text("running")
    page.get_by_role("button", name="Cancel").first.click()
    dialog = page.get_by_role("dialog")
    expect(dialog.locator(".command code")).to_contain_text("fairway cancel")
    dialog.locator("button.main, button.danger").last.click()
    expect(head.locator(".state").first).to_have_text("cancelled")
    running.wait(60)
    gate.open()
    page.get_by_role("button", name="Resume").first.click()
    dialog.locator("button.main").last.click()
    expect(head.locator(".state").first).to_have_text("succeeded")


def test_previews_fit_the_type(visitor: Visitor, dashboard: Dashboard) -> None:
    page = visitor.open(dashboard.artifact("table"))
    main = page.get_by_role("main")
    expect(main.get_by_role("columnheader", name=re.compile("score"))).to_be_visible()
    expect(main).to_contain_text("0.8")
    page.goto(dashboard.artifact("report"))
    expect(main.get_by_role("heading", name="The best")).to_be_visible()
    expect(main.locator("strong", has_text="8")).to_be_visible()
    page.goto(dashboard.artifact("metrics"))
    expect(main).to_contain_text("auc")
    page.goto(dashboard.artifact("page"))
    expect(page.frame_locator("iframe").get_by_role("heading", name="Report of 2")).to_be_visible()
    visitor.complaints.clear()  # of the page in its sandbox, which is kept from the API


def test_an_artifact_says_which_data_made_it(visitor: Visitor, dashboard: Dashboard) -> None:
    page = visitor.open(dashboard.artifact("metrics"))
    main = page.get_by_role("main")
    expect(main).to_contain_text(re.compile("made by", re.IGNORECASE))
    expect(main.get_by_role("link", name=re.compile("best")).first).to_be_visible()
    expect(main).to_contain_text("rows")


def test_a_run_that_fails_before_its_page_listens_is_shown_as_failed(visitor: Visitor, dashboard: Dashboard) -> None:
    for _ in range(3):
        page = visitor.open(f"/runs/{dashboard.runs['broken']}")
        page.get_by_role("button", name="Run again").click()
        page.get_by_role("dialog").locator("button.main").last.click()
        page.wait_for_url(re.compile(rf"/runs/(?!{dashboard.runs['broken']})"))
        expect(page.locator("#run-head .state").first).to_have_text("failed")
        expect(page.locator("#run-head")).to_contain_text("1 failed")


def test_a_run_that_failed_is_started_with_other_values(visitor: Visitor, dashboard: Dashboard) -> None:
    page = visitor.open(f"/runs/{dashboard.runs['broken']}")
    page.get_by_role("link", name="With other values").click()
    page.get_by_role("textbox", name="divisor").fill("2")
    expect(page.get_by_role("button", name="divisor: take the default")).to_be_visible()
    page.get_by_role("button", name="Start", exact=True).click()
    expect(page.locator("#run-head .state").first).to_have_text("succeeded")
