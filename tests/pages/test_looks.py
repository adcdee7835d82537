"""Every page: nothing keeps people out, nothing runs over the edge, light and dark, telephone to wall. Pictures are kept."""

from __future__ import annotations

import json
from typing import Any

import pytest
from playwright.sync_api import Page

from tests.pages.conftest import Dashboard, Visitor, shoot

PAGES = {
    "runs": "/runs",
    "runs-found": "/runs?q=auc%3E0.5",
    "runs-none": "/runs?q=nowhere",
    "run": "/runs/{first}",
    "run-timeline": "/runs/{first}?view=timeline",
    "run-steps": "/runs/{first}?view=steps",
    "run-failed": "/runs/{broken}",
    "task-log": "/runs/{broken}?task=clean&tab=log",
    "task-metrics": "/runs/{first}?task=train[1]&tab=metrics",
    "task-values": "/runs/{first}?task=best&tab=io",
    "task-code": "/runs/{first}?task=best&tab=code",
    "compare": "/compare?run={first}&run={second}",
    "artifacts": "/artifacts",
    "artifact": "{table}",
    "pipelines": "/pipelines",
    "pipeline": "/pipelines/wine",
    "pipeline-versions": "/pipelines/wine?tab=versions",
    "pipeline-start": "/pipelines/wine?tab=start&run={second}",
    "endpoints-none": "/endpoints",
    "system": "/system",
    "audit": "/system/audit",
    "missing": "/nowhere",
}
SIZES = {"telephone": (390, 844), "laptop": (1440, 900), "wall": (3840, 2160)}
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]


def open_page(visitor: Visitor, dashboard: Dashboard, name: str, **options: Any) -> Page:
    """The page, with all that comes by itself."""
    page = visitor.open(PAGES[name].format(**dashboard.runs, table=dashboard.artifact("table")), **options)
    page.wait_for_function("() => document.querySelectorAll('.htmx-request, .htmx-settling').length === 0")
    if name == "missing":
        visitor.complaints.clear()  # the browser notes the answer 404
    return page


@pytest.mark.parametrize("colours", ["light", "dark"])
@pytest.mark.parametrize("name", PAGES)
def test_nothing_keeps_people_out(visitor: Visitor, dashboard: Dashboard, axe: str, name: str, colours: Any) -> None:
    page = open_page(visitor, dashboard, name, color_scheme=colours)
    shoot(page, f"{name}-{colours}")
    page.evaluate(axe)  # not as a script of the page: its policy allows none
    found = page.evaluate("rules => axe.run(document, { runOnly: { type: 'tag', values: rules } })", RULES)
    told = [f"{one['id']}: {one['help']}: {[node['target'] for node in one['nodes']][:3]}" for one in found["violations"]]
    assert told == [], json.dumps(found["violations"][0]["nodes"][0], indent=1)[:2000]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", PAGES)
def test_nothing_runs_over_the_edge(visitor: Visitor, dashboard: Dashboard, name: str, size: str) -> None:
    width, height = SIZES[size]
    page = open_page(visitor, dashboard, name, viewport={"width": width, "height": height})
    if size != "laptop":
        shoot(page, f"{name}-{size}")
    over = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    assert over <= 0, f"{over} px too wide"
    shift = page.evaluate(
        "new Promise(done => { let sum = 0; new PerformanceObserver(list => { for (const one of list.getEntries()) sum += one.value; })"
        ".observe({ type: 'layout-shift', buffered: true }); requestAnimationFrame(() => requestAnimationFrame(() => done(sum))); })"
    )
    assert shift < 0.1, "the page jumps while it is built"  # what the field calls good


@pytest.mark.parametrize("size", SIZES)
def test_room_is_left_for_a_task_before_its_panel_has_come(visitor: Visitor, dashboard: Dashboard, size: str) -> None:
    width, height = SIZES[size]
    page = open_page(visitor, dashboard, "task-log", viewport={"width": width, "height": height})
    main = "document.querySelector('.run-main').getBoundingClientRect().width"
    beside = page.evaluate(main)
    page.evaluate("document.getElementById('run-panel').remove()")  # as on a slow machine, which paints the page while it comes
    assert page.evaluate(main) == beside


def test_colours_follow_the_system_until_one_chooses(visitor: Visitor) -> None:
    page = visitor.open("/runs", color_scheme="dark")
    ground = "getComputedStyle(document.body).backgroundColor"
    dark = page.evaluate(ground)
    switch = page.get_by_role("button", name="Colours")
    switch.click()  # from the system's dark to light
    light = page.evaluate(ground)
    assert light != dark
    page.reload()
    assert page.evaluate(ground) == light, "a choice is remembered, and there before the first paint"
    page.keyboard.press("t")
    assert page.evaluate(ground) == dark
    page.keyboard.press("t")
    page.emulate_media(color_scheme="light")
    assert page.evaluate(ground) == light, "as the system again"
