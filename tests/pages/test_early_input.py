"""What somebody types or chooses while the page's scripts are still on their way counts as if they had been there."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Page, Route, expect

from tests.pages.conftest import Dashboard, Visitor
from tests.pages.test_endpoints_page import Site, share, site  # noqa: F401  # the fixture
from tests.pages.test_endpoints_page import visitor as site_visitor  # noqa: F401  # the fixture
from tests.pages.test_logs_page import log  # noqa: F401  # the fixture


def open_without(visitor: Visitor, script: str, path: str) -> tuple[Page, Callable[[], None]]:
    """The page while `script` is on its way, and what lets it arrive."""
    page = visitor.context().new_page()
    its = re.compile(rf"/{re.escape(script)}(\?|$)")
    held = list[Route]()
    has_arrived = False

    def hold(route: Route) -> None:
        if has_arrived:
            route.continue_()
        else:
            held.append(route)

    page.route(its, hold)
    with page.expect_request(its):
        page.goto(path, wait_until="commit")

    def arrive() -> None:
        nonlocal has_arrived
        has_arrived = True
        for route in held:
            route.continue_()

    return page, arrive


def test_a_log_is_searched(visitor: Visitor, dashboard: Dashboard, log: Path) -> None:  # noqa: F811
    page, arrive = open_without(visitor, "log.js", f"/runs/{dashboard.runs['second']}/driver")
    page.get_by_label("Search the log").fill("ROW NEEDLE")
    arrive()
    expect(page.locator(".log-count")).to_have_text("4 of 4")
    expect(page.locator(".is-hit")).to_contain_text("150007 INFO: row needle")
    expect(page.locator(".is-hit mark")).to_be_in_viewport()


def test_runs_are_filtered(visitor: Visitor, dashboard: Dashboard) -> None:
    page, arrive = open_without(visitor, "runs.js", "/runs")
    page.locator("#q").fill("failed")
    arrive()
    page.wait_for_url("**/runs?q=failed")
    expect(page.locator(f'tr[data-run="{dashboard.runs["broken"]}"]')).to_be_visible()
    expect(page.locator(f'tr[data-run="{dashboard.runs["first"]}"]')).to_have_count(0)


def test_runs_stay_chosen(visitor: Visitor, dashboard: Dashboard) -> None:
    page, arrive = open_without(visitor, "runs.js", "/runs")
    page.locator(f'tr[data-run="{dashboard.runs["first"]}"] input').check()
    arrive()
    expect(page.locator("#picked")).to_be_visible()
    expect(page.locator("#picked [data-count]").first).to_have_text("1")
    expect(page.locator(f'tr[data-run="{dashboard.runs["first"]}"] input')).to_be_checked()


def test_all_runs_stay_chosen(visitor: Visitor) -> None:
    page, arrive = open_without(visitor, "runs.js", "/runs")
    page.locator("#pick-all").check()
    arrive()
    expect(page.locator("tr[data-run] input:not(:checked)")).to_have_count(0)
    expect(page.locator("#picked")).to_be_visible()


@pytest.mark.parametrize("script", ["pipeline.js", "app.js"])
def test_the_command_follows_the_form(visitor: Visitor, script: str) -> None:
    page, arrive = open_without(visitor, script, "/pipelines/wine?tab=start")
    page.get_by_role("textbox", name="rows").fill("300")
    arrive()
    expect(page.locator("#start-command code")).to_contain_text("--rows 300")
    expect(page.locator('[data-reset="p-rows"]')).to_be_visible()


def test_a_scatter_shows_the_chosen_columns(visitor: Visitor, dashboard: Dashboard) -> None:
    path = f"/compare?run={dashboard.runs['first']}&run={dashboard.runs['second']}&tab=charts"
    page, arrive = open_without(visitor, "compare.js", path)
    across = page.locator("select[name=sx]")
    wanted = across.locator("option").last.get_attribute("value") or ""
    across.select_option(wanted)
    arrive()
    page.wait_for_function("() => new URLSearchParams(location.search).has('sx')")
    expect(across).to_have_value(wanted)


def test_curves_are_as_smooth_as_they_were_asked_to_be(visitor: Visitor, dashboard: Dashboard) -> None:
    path = f"/compare?run={dashboard.runs['first']}&run={dashboard.runs['second']}&tab=curves"
    page, arrive = open_without(visitor, "compare.js", path)
    page.locator("input[name=smooth]").fill("0.5")
    arrive()
    expect(page.locator(".curves-tools output")).to_have_text("0.5")


def test_what_a_browser_has_put_back_into_a_form_counts_too(visitor: Visitor, dashboard: Dashboard) -> None:
    """After a reload, or on the way back: without an event."""
    page, arrive = open_without(visitor, "early.js", f"/compare?run={dashboard.runs['first']}&run={dashboard.runs['second']}&tab=curves")
    page.locator("input[name=smooth]").evaluate("slider => { slider.value = '0.5'; }")
    arrive()
    expect(page.locator(".curves-tools output")).to_have_text("0.5")


def test_artifacts_are_found(visitor: Visitor) -> None:
    page, arrive = open_without(visitor, "htmx.min.js", "/artifacts")
    page.get_by_label("Find artifacts").fill("no such thing")
    arrive()
    page.wait_for_url("**/artifacts?q=no%20such%20thing*")


def test_a_run_to_compare_with_is_found(visitor: Visitor, dashboard: Dashboard) -> None:
    page, arrive = open_without(visitor, "htmx.min.js", f"/compare?run={dashboard.runs['first']}")
    page.get_by_label("Add a run").last.fill("second")
    arrive()
    expect(page.locator("#found-runs")).to_contain_text("second")


def test_shares_of_the_traffic_are_moved(site_visitor: Visitor, site: Site) -> None:  # noqa: F811
    page, arrive = open_without(site_visitor, "endpoint-traffic.js", "/endpoints/risk")
    page.locator("#w-4").fill("60")
    arrive()
    expect(page.locator("#traffic-command code")).to_contain_text("3=40 4=60")
    assert (share(page, 3), share(page, 4)) == (40, 60)
    expect(page.locator("#traffic-apply")).to_be_enabled()
