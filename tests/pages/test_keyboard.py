"""Without a mouse: every page is reached, every list walked, a failure found, by keys alone."""

from __future__ import annotations

import re

from playwright.sync_api import expect

from tests.pages.conftest import Dashboard, Visitor


def test_pages_are_reached_by_two_keys(visitor: Visitor) -> None:
    page = visitor.open("/runs")
    for keys, place in (("gp", "pipelines"), ("ga", "artifacts"), ("gs", "system"), ("gr", "runs")):
        for key in keys:
            page.keyboard.press(key)
        page.wait_for_url(re.compile(f"/{place}"))


def test_rows_are_walked_chosen_and_opened(visitor: Visitor, dashboard: Dashboard) -> None:
    page = visitor.open("/runs?q=wine")
    page.keyboard.press("j")
    page.keyboard.press("j")
    page.keyboard.press("k")
    expect(page.locator("tr.at")).to_have_attribute("data-run", dashboard.runs["second"])
    page.keyboard.press("x")
    expect(page.locator("tr.at").get_by_role("checkbox")).to_be_checked()
    page.keyboard.press("Enter")
    page.wait_for_url(re.compile(f"/runs/{dashboard.runs['second']}"))


def test_a_slash_searches_and_escape_leaves(visitor: Visitor) -> None:
    page = visitor.open("/runs")
    page.keyboard.press("/")
    expect(page.locator("#q")).to_be_focused()
    page.keyboard.type("gj")
    page.keyboard.press("Escape")
    page.keyboard.press("Escape")
    expect(page.locator("#q")).not_to_be_focused()
    page = visitor.open("/system")
    page.keyboard.press("/")
    expect(page.get_by_label("Search runs")).to_be_focused()
    page.keyboard.type("wine")
    page.keyboard.press("Enter")
    page.wait_for_url(re.compile(r"/runs\?q=wine"))


def test_a_question_mark_tells_the_keys(visitor: Visitor) -> None:
    page = visitor.open("/pipelines")
    page.keyboard.press("?")
    dialog = page.get_by_role("dialog", name="Keys")
    expect(dialog).to_be_visible()
    page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()


def test_the_first_stop_of_the_tab_key_skips_to_the_content(visitor: Visitor) -> None:
    page = visitor.open("/pipelines")
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("main")).to_be_focused()
