"""Start a run from its form and watch it to its end, with nothing but the page."""

from __future__ import annotations

import re

from playwright.sync_api import expect

from tests.pages.conftest import Dashboard, Visitor
from tests.waiting import Gate


def test_a_wrong_parameter_is_said_beside_its_field(visitor: Visitor) -> None:
    page = visitor.open("/pipelines/wine?tab=start")
    page.get_by_role("textbox", name="rows").fill("many")
    page.get_by_role("textbox", name="depths").fill("2,x")
    page.get_by_role("button", name="Start", exact=True).click()
    expect(page.get_by_role("textbox", name="rows")).to_have_attribute("aria-invalid", "true")
    expect(page.get_by_role("textbox", name="rows")).to_have_value("many")
    expect(page.get_by_text("expected a whole number (int)").first).to_be_visible()
    expect(page.get_by_role("textbox", name="depths")).to_have_attribute("aria-invalid", "true")
    expect(page.get_by_text("how fast the loss falls")).to_be_visible()
    assert page.url.endswith("/pipelines/wine?tab=start")
    visitor.complaints.clear()  # the browser notes the answer 422


def test_the_command_follows_the_form(visitor: Visitor) -> None:
    page = visitor.open("/pipelines/wine?tab=start")
    page.get_by_role("textbox", name="rows").fill("300")
    page.get_by_role("textbox", name="depths").fill("1, 2")
    expect(page.locator("#start-command code")).to_have_text("fairway run wine.py --rows 300 --depths '1, 2' --rate 0.4")


def test_a_run_started_from_the_form_is_watched_to_its_end(visitor: Visitor, dashboard: Dashboard) -> None:
    gate = Gate(dashboard.folder / "form.gate")
    seed = dashboard.start("gated.py", "--gate", str(gate.path), "--name", "seed")
    gate.open()
    assert seed.wait(60) == 0
    gate = Gate(gate.path)
    page = visitor.open("/pipelines/gated?tab=start")
    page.get_by_text("Name, tags, cache").click()
    page.get_by_label("Take from the cache").uncheck()
    page.get_by_role("button", name="Start", exact=True).click()
    page.wait_for_url(re.compile(r"/runs/\d{8}-\d{6}-\w{5}"))
    main = page.get_by_role("main")
    expect(main.get_by_text("running").first).to_be_visible()
    loads = page.evaluate("performance.getEntriesByType('navigation').length + performance.timeOrigin")
    gate.open()
    expect(main.locator(".state[data-state=succeeded]").first).to_be_visible()
    assert page.evaluate("performance.getEntriesByType('navigation').length + performance.timeOrigin") == loads, "the page was loaded anew"
