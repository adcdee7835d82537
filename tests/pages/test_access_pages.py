"""Getting in: a link's code is good for once, a cookie for later, and nobody gets in without."""

from __future__ import annotations

import re

from playwright.sync_api import Browser, expect

from tests.pages.conftest import Dashboard, Visitor


def test_a_link_lets_in_once(browser: Browser, dashboard: Dashboard) -> None:
    link = dashboard.link()
    first = browser.new_context()
    page = first.new_page()
    page.goto(link)
    page.wait_for_url("**/runs")
    assert "#" not in page.url, "the code stays in the address"
    (cookie,) = first.cookies()
    assert cookie["httpOnly"]
    assert cookie["sameSite"] == "Strict"
    other = browser.new_context().new_page()
    other.goto(link)
    expect(other.get_by_role("alert")).to_be_visible()
    assert other.context.cookies() == []
    first.close()
    other.context.close()


def test_without_a_session_every_page_leads_to_the_login(browser: Browser, dashboard: Dashboard) -> None:
    context = browser.new_context(base_url=dashboard.url)
    page = context.new_page()
    page.goto("/pipelines")
    page.wait_for_url(re.compile("/login"))
    expect(page.get_by_text("Or use a token")).to_be_visible()
    context.close()


def test_a_page_of_artifacts_cannot_reach_the_api(visitor: Visitor, dashboard: Dashboard) -> None:
    page = visitor.open(f"/runs/{dashboard.runs['first']}")
    answer = page.evaluate(f"fetch('/api/v1/runs/{dashboard.runs['first']}/artifacts').then(answer => answer.json())")
    digest = next(one["ref"]["digest"] for one in answer["items"] if one["ref"]["format"] == "html")
    page.goto(f"/artifacts/{digest}?run={dashboard.runs['first']}")
    frame = page.frame_locator("iframe")
    expect(frame.get_by_role("heading", name="Report of 2")).to_be_visible()  # its scripts run
    address = page.locator("iframe").get_attribute("src")
    assert address is not None
    alone = page.context.new_page()
    alone.goto(address)
    expect(alone).to_have_title("kept out")
    assert alone.evaluate("origin") == "null"
    visitor.complaints.clear()  # the browser says that it has kept the page from it
