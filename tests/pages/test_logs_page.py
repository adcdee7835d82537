"""The log viewer in a browser: logs longer than any window, live ones, search, links to lines; and what is done to a run from its page."""

from __future__ import annotations

import re
from itertools import pairwise
from pathlib import Path

import pytest
from playwright.sync_api import Page, Route, expect

from tests.pages.conftest import Dashboard, Visitor, fairway
from tests.waiting import await_true

LINES = 200_000


@pytest.fixture
def log(dashboard: Dashboard) -> Path:
    """The driver's log of a run, of many lines; each says its number."""
    file = dashboard.folder / ".fairway" / "streams" / dashboard.runs["second"] / "driver" / "log"
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("w") as out:
        for n in range(1, LINES + 1):
            colour = "\x1b[32mINFO\x1b[0m" if n % 2 else "\x1b[1;31mWARN\x1b[0m"
            out.write(f"2026-11-24T08:15:03.250Z {n} {colour}: row{' needle' if n % 50_000 == 7 else ''}\n")
    return file


def add(log: Path, *lines: str) -> None:
    with log.open("a") as out:
        out.writelines(f"2026-11-24T08:15:04.000Z {line}\n" for line in lines)


def top_line(page: Page) -> int:
    """Number of the first line that is to be seen."""
    return page.locator(".log-view").evaluate(
        "view => Number([...view.querySelectorAll('.log-row')].find(row => row.offsetTop + row.offsetHeight > view.scrollTop)"
        ".querySelector('.log-n').dataset.n)"
    )


def check_rows(page: Page) -> None:
    """Every row has the number that its text says, and the rows follow each other."""
    numbers = page.locator(".log-row").evaluate_all(
        "rows => rows.map(row => [Number(row.querySelector('.log-n').dataset.n),"
        " Number.parseInt(row.querySelector('.log-text').textContent)])"
    )
    assert all(number == said for number, said in numbers)
    assert all(after[0] == before[0] + 1 for before, after in pairwise(numbers))


def test_a_long_log_opens_at_its_end_and_scrolls_back(visitor: Visitor, dashboard: Dashboard, log: Path) -> None:
    page = visitor.open(f"/runs/{dashboard.runs['second']}/driver")
    expect(page.locator(".log-row").last).to_contain_text(f"{LINES} WARN: row")
    expect(page.locator(".log-row .log-n").last).to_have_attribute("data-n", str(LINES))
    expect(page.locator(".log-row .ansi-red").last).to_have_text("WARN")
    first = int(page.locator(".log-n").first.get_attribute("data-n") or 0)
    page.locator(".log-view").hover()
    page.mouse.wheel(0, -100_000)
    expect(page.locator(f'.log-n[data-n="{first - 1}"]')).to_be_attached()
    check_rows(page)
    page.locator(".log-view").press("Home")
    expect(page.locator('.log-n[data-n="1"]')).to_be_visible()
    assert top_line(page) == 1
    page.locator("[data-log-end]").click()
    expect(page.locator(f'.log-n[data-n="{LINES}"]')).to_be_visible()
    check_rows(page)


def test_the_beginning_is_gone_to_though_lines_are_still_on_their_way(visitor: Visitor, dashboard: Dashboard, log: Path) -> None:
    page = visitor.open(f"/runs/{dashboard.runs['second']}/driver")
    expect(page.locator(".log-row .log-n").last).to_have_attribute("data-n", str(LINES))
    held = list[Route]()
    page.route(re.compile(r"/log\?"), lambda route: route.continue_() if held else held.append(route))  # the first is held up
    page.locator(".log-view").hover()
    page.mouse.wheel(0, -100_000)
    await_true(lambda: page.evaluate("true") and held, "nothing is loaded")
    page.locator(".log-view").press("Home")
    held[0].continue_()
    expect(page.locator('.log-n[data-n="1"]')).to_be_visible()
    assert top_line(page) == 1


def test_a_log_is_searched_to_its_end(visitor: Visitor, dashboard: Dashboard, log: Path) -> None:
    page = visitor.open(f"/runs/{dashboard.runs['second']}/driver")
    page.get_by_label("Search the log").fill("ROW NEEDLE")
    count = page.locator(".log-count")
    expect(count).to_have_text("4 of 4")
    expect(page.locator(".is-hit")).to_contain_text("150007 INFO: row needle")
    page.get_by_label("Search the log").press("Enter")
    expect(count).to_have_text("1 of 4")
    expect(page.locator(".is-hit .log-n")).to_have_attribute("data-n", "7")
    expect(page.locator(".is-hit mark")).to_have_text("row needle")
    page.locator(".log-view").focus()
    page.keyboard.press("N")
    expect(count).to_have_text("4 of 4")
    page.locator("[data-log-case]").click()
    expect(count).to_have_text("no match")
    page.locator("[data-log-case]").click()
    page.locator("[data-log-regex]").click()
    page.get_by_label("Search the log").fill(r"^100007 .* needle$")
    expect(count).to_have_text("1 of 1")
    expect(page.locator(".is-hit .log-n")).to_have_attribute("data-n", "100007")


def test_a_line_has_an_address(visitor: Visitor, dashboard: Dashboard, log: Path) -> None:
    page = visitor.open(f"/runs/{dashboard.runs['second']}/driver?line=123456")
    expect(page.locator(".log-row.is-line")).to_contain_text("123456 WARN: row")
    expect(page.locator(".log-row.is-line")).to_be_in_viewport()
    page.locator('.log-n[data-n="123458"]').click()
    page.wait_for_url("**line=123458")
    page.locator('.log-n[data-n="123460"]').click(modifiers=["Shift"])
    page.wait_for_url("**line=123458-123460")
    page.reload()
    expect(page.locator(".log-row.is-line")).to_have_count(3)


def test_what_is_written_appears_and_reading_on_above_is_not_disturbed(visitor: Visitor, dashboard: Dashboard, log: Path) -> None:
    page = visitor.open(f"/runs/{dashboard.runs['second']}/driver")
    expect(page.locator(f'.log-n[data-n="{LINES}"]')).to_be_visible()
    add(log, f"{LINES + 1} new", f"{LINES + 2} newer")
    expect(page.locator(".log-row").last).to_contain_text(f"{LINES + 2} newer")
    expect(page.locator(".log-row").last).to_be_in_viewport()
    page.locator(".log-view").hover()
    page.mouse.wheel(0, -200)
    expect(page.locator("[data-log-end]")).to_be_visible()
    before = top_line(page)
    add(log, f"{LINES + 3} newest")
    expect(page.locator(f'.log-n[data-n="{LINES + 3}"]')).to_be_attached()
    assert top_line(page) == before
    page.locator("[data-log-end]").click()
    expect(page.locator(".log-row").last).to_be_in_viewport()
    check_rows(page)


def test_tags_and_a_note_are_kept_from_the_page(visitor: Visitor, dashboard: Dashboard) -> None:
    run = dashboard.runs["second"]
    page = visitor.open(f"/runs/{run}")
    page.locator("[data-act=label]").click()
    dialog = page.locator("dialog#act")
    expect(dialog).to_contain_text(f"fairway tag {run}")
    dialog.get_by_label("Tags").fill("looked-at")
    dialog.get_by_label("Note").fill("of the paper")
    dialog.get_by_role("button", name="Keep").click()
    expect(dialog).to_have_count(0)
    expect(page.locator(".run-more")).to_contain_text("looked-at")
    expect(page.locator(".run-more")).to_contain_text("of the paper")
    fairway(dashboard.folder, "tag", run, "looked-at", "--delete")
    fairway(dashboard.folder, "note", run, "")
    expect(page.locator(".run-more")).not_to_contain_text("of the paper")
