"""Endpoints in a browser: live figures, shares of the traffic, a request that is sent, keys. The keeper is one in memory."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from fairway.serve.control.view import Answered, EndpointView
from fairway.spec.record import replace
from fairway.web.identity import Identity
from tests.pages.conftest import Dashboard, Visitor, fairway, shoot
from tests.pages.test_looks import RULES, SIZES
from tests.web.rig import TOKEN, Live, Server
from tests.web.served import MemoryEndpoints, broken, busy, cold, figures

LOOKER = "u1.lou.secret"


class Site:
    """A server with endpoints, in threads of this process."""

    def __init__(self, live: Live, server: Server, keeper: MemoryEndpoints) -> None:
        self.live, self.server, self.keeper, self.url = live, server, keeper, live.url

    def put(self, view: EndpointView) -> None:
        """The keeper has news."""

        async def tell() -> None:
            self.keeper.put(view)

        self.live.call(tell())


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    now = time.time()
    keeper = MemoryEndpoints(busy(now=now), cold(now=now), broken(now=now))
    server = Server(tmp_path, endpoints=keeper)
    server.users.by_token[LOOKER] = Identity("lou", "view")
    keeper.bus = server.host.bus
    live = Live()
    with live.serving(server):
        yield Site(live, server, keeper)
        server.host.bus.close()
    live.close()


def enter(browser: Browser, site: Site, token: str = TOKEN) -> Any:
    """The cookies of somebody with that token."""
    context = browser.new_context()
    answer = context.request.post(f"{site.url}/session", form={"token": token}, headers={"accept": "application/json", "origin": site.url})
    assert answer.ok, answer.text()
    state = context.storage_state()
    context.close()
    return state


class AsDashboard(Dashboard):
    """What a visitor needs to know of the site."""

    def __init__(self, url: str) -> None:
        self.url = url


@pytest.fixture
def visitor(browser: Browser, site: Site) -> Iterator[Visitor]:
    visitor = Visitor(browser, AsDashboard(site.url), enter(browser, site))
    yield visitor
    visitor.close()
    assert visitor.complaints == []


def share(page: Page, number: int) -> float:
    return float(page.locator(f"#w-{number}").input_value())


def field(page: Page, name: str) -> Locator:
    """The field of the form that sends a request."""
    return page.locator("#try-fields .field", has=page.locator("label", has_text=re.compile(rf"^{name} "))).locator(".input")


def settled(page: Page) -> None:
    page.wait_for_function("() => document.querySelectorAll('.htmx-request, .htmx-settling').length === 0")


def test_what_changes_is_seen_without_a_reload(visitor: Visitor, site: Site) -> None:
    listed, page = visitor.open("/endpoints"), visitor.open("/endpoints/risk")
    for one in (listed, page):
        one.evaluate("window.mark = 'same page'")
    expect(page.locator("#endpoint-top")).to_contain_text("142 /s")
    page.wait_for_function("() => document.querySelectorAll('#endpoint-charts canvas').length === 4")
    view = busy(now=time.time())
    site.put(replace(view, figures=figures(977.0, slow=3.0), replicas=7, wanted=8))
    expect(page.locator("#endpoint-top")).to_contain_text("977 /s")
    expect(page.locator("#endpoint-top")).to_contain_text("→ 8")
    expect(page.locator("#endpoint-rest")).to_contain_text("Refused and failed lately")
    expect(listed.locator("#endpoint-risk")).to_contain_text("977 /s")
    assert page.evaluate("window.mark") == listed.evaluate("window.mark") == "same page"


def test_a_cold_endpoint_draws_its_charts_when_there_is_something_to_draw(visitor: Visitor, site: Site) -> None:
    page = visitor.open("/endpoints/churn")
    expect(page.get_by_text("No requests in the last 30 minutes")).to_be_visible()
    assert page.evaluate("window.echarts === undefined"), "a library that no chart needs is not loaded"
    now = time.time()
    site.put(replace(cold(now=now), state="ready", replicas=1, series=busy(now=now).series[-20:]))
    page.wait_for_function("() => document.querySelectorAll('#endpoint-charts canvas').length >= 2")
    expect(page.get_by_text("No requests in the last 30 minutes")).to_be_hidden()


def test_shares_are_moved_by_keys_and_add_up_before_anything_happens(visitor: Visitor, site: Site) -> None:
    page = visitor.open("/endpoints/risk")
    apply, undo = page.get_by_role("button", name="Apply"), page.get_by_role("button", name="Undo")
    expect(apply).to_be_disabled()
    slider = page.get_by_role("slider", name="Share of revision 4")
    slider.focus()
    for _ in range(15):
        page.keyboard.press("ArrowRight")
    assert (share(page, 4), share(page, 3)) == (20, 80)
    expect(page.locator("#traffic-command")).to_contain_text("fairway traffic risk 3=80 4=20 --on campus")
    assert site.keeper.done == []
    undo.click()
    assert (share(page, 4), share(page, 3)) == (5, 95)
    expect(apply).to_be_disabled()
    page.locator("#w-2").fill("10")
    assert round(sum(share(page, number) for number in (1, 2, 3, 4)), 2) == 100
    page.locator("#w-2").fill("0")
    page.locator("#w-4").fill("50")
    apply.click()
    expect(page.locator("#traffic-said")).to_contain_text("revision 4 has 50 %")
    assert site.keeper.done == [("traffic", "risk", ((3, 50.0), (4, 50.0)), "ann")]
    expect(page.locator("#revision-4")).to_contain_text("50 %")
    page.get_by_role("button", name="Put it back").click()
    expect(page.locator("#revision-4")).to_contain_text("5 %")
    assert site.keeper.done[-1] == ("traffic", "risk", ((3, 95.0), (4, 5.0)), "ann")


def test_shares_that_are_set_elsewhere_are_followed_unless_somebody_is_at_them(visitor: Visitor, site: Site) -> None:
    page = visitor.open("/endpoints/risk")
    settled(page)
    view = busy(now=time.time())
    site.put(replace(view, endpoint=replace(view.endpoint, traffic=((3, 75.0), (4, 25.0)))))
    expect(page.locator("#w-4")).to_have_value("25")
    page.locator("#w-4").fill("60")
    site.put(replace(view, endpoint=replace(view.endpoint, traffic=((3, 50.0), (4, 50.0)))))
    expect(page.locator("#traffic-now")).to_have_attribute("data-shares", re.compile(r'"4": ?50'))
    expect(page.locator("#w-4")).to_have_value("60")
    page.get_by_role("button", name="Undo").click()
    expect(page.locator("#w-4")).to_have_value("50")


def test_a_rollout_is_paused_from_its_card(visitor: Visitor, site: Site) -> None:
    page = visitor.open("/endpoints/risk")
    page.get_by_role("link", name="Pause the rollout").click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("fairway rollout risk --pause --on campus")
    dialog.get_by_role("button", name="Pause").click()
    expect(page.locator(".toast")).to_contain_text("The rollout is paused")
    expect(page.locator("#endpoint-top")).to_contain_text("nothing moves until it is resumed")
    assert site.keeper.done == [("pause-rollout", "risk", True, "ann")]


def test_a_rollback_says_its_command_as_one_chooses(visitor: Visitor, site: Site) -> None:
    page = visitor.open("/endpoints/risk")
    page.get_by_role("link", name="Roll back…").click()
    dialog = page.get_by_role("dialog")
    expect(dialog.locator("code")).to_have_text("fairway rollback risk --on campus")
    dialog.get_by_label("To").select_option("2")
    expect(dialog.locator("code")).to_have_text("fairway rollback risk 2 --on campus")
    dialog.get_by_role("button", name="Roll back").click()
    expect(page.locator("#revision-2")).to_contain_text("100 %")
    expect(page.locator("#w-2")).to_have_value("100")
    assert site.keeper.done == [("rollback", "risk", 2, "ann")]


def test_a_request_is_sent_as_the_form_says(visitor: Visitor, site: Site) -> None:
    page = visitor.open("/endpoints/risk?tab=try")
    field(page, "age").fill("52")
    field(page, "job").select_option("retired")
    page.get_by_label("previous: null").uncheck()
    field(page, "previous").fill("12,5")
    page.get_by_role("button", name="Send").click()
    expect(page.locator("#try-facts")).to_contain_text("200")
    expect(page.locator("#try-facts")).to_contain_text("c0ffee")
    expect(page.locator("#try-answer")).to_contain_text("0.42")
    sent = json.loads(site.keeper.asked[-1].body)
    (row,) = sent["inputs"]
    assert (row["age"], row["job"], row["previous"], row["address"]) == (52, "retired", 12.5, {"city": "Delft", "zip": None})
    expect(page.locator("#try-curl")).to_contain_text('"age":52')


def test_what_is_wrong_stands_at_its_field(visitor: Visitor, site: Site) -> None:
    page = visitor.open("/endpoints/risk?tab=try")
    age = field(page, "age")
    age.fill("old")
    page.keyboard.press("Control+Enter")
    expect(page.get_by_text("old is no number")).to_be_visible()
    assert site.keeper.asked == []
    age.fill("7")
    fault = {"row": 0, "field": "age", "came": "7", "expected": "at least 18"}
    body = {"error": {"code": "FW-SCHEMA", "message": "the request does not fit", "faults": [fault]}, "id": "x"}
    site.keeper.answer = Answered(422, json.dumps(body).encode(), "application/json", "x", 3, 1.0)
    page.keyboard.press("Control+Enter")
    expect(page.locator("#try-answer")).to_contain_text("age: came 7, expected at least 18")
    expect(age).to_have_attribute("aria-invalid", "true")
    expect(age).to_be_focused()


def test_what_is_still_empty_is_marked_when_it_is_sent_and_not_before(visitor: Visitor, site: Site) -> None:
    page = visitor.open("/endpoints/risk?tab=try")
    age, previous = field(page, "age"), field(page, "previous")
    age.fill("")
    page.get_by_label("previous: null").uncheck()
    previous.press_sequentially("12")
    expect(previous).to_be_focused()
    expect(previous).to_have_value("12")
    expect(page.get_by_text("a value is missing")).to_have_count(0)
    page.get_by_role("button", name="Send").click()
    expect(page.get_by_text("a value is missing")).to_be_visible()
    expect(age).to_be_focused()
    assert site.keeper.asked == []


def test_rows_are_pasted_from_a_spreadsheet(visitor: Visitor, site: Site) -> None:
    page = visitor.open("/endpoints/risk?tab=try")
    page.get_by_role("button", name="CSV").click()
    page.locator("#try-csv").fill("age\tjob\n41\tadmin")
    page.get_by_label("Revision").select_option("4")
    page.get_by_role("button", name="Send").click()
    expect(page.locator("#try-facts")).to_contain_text("200")
    asked = site.keeper.asked[-1]
    assert (asked.body, asked.content_type, asked.revision) == (b"age,job\n41,admin\n", "text/csv", 4)


def test_a_key_is_made_shown_once_and_taken_away(visitor: Visitor, site: Site) -> None:
    page = visitor.open("/endpoints/risk?tab=keys")
    page.get_by_role("link", name="Add a key").click()
    page.get_by_label("Name of the caller").fill("web")
    page.get_by_label("Requests a second").fill("5")
    page.get_by_role("button", name="Make it").click()
    expect(page.get_by_role("dialog")).to_contain_text("fk1.web.s3cret")
    page.get_by_role("link", name="Done").click()
    expect(page.get_by_role("table")).to_contain_text("web")
    expect(page.get_by_text("fk1.web.s3cret")).to_have_count(0)
    page.get_by_role("link", name="Remove the key web").click()
    page.get_by_role("button", name="Remove it").click()
    expect(page.get_by_role("table")).not_to_contain_text("web")
    assert [done[0] for done in site.keeper.done] == ["add-key", "remove-key"]


def test_logs_are_read_and_narrowed(visitor: Visitor) -> None:
    page = visitor.open("/endpoints/risk?tab=logs")
    expect(page.locator(".ep-log")).to_contain_text("risk-3-a1")
    page.get_by_label("Replica").select_option("risk-4-b1")
    expect(page.locator(".ep-log")).not_to_contain_text("risk-3-a1")
    expect(page.locator(".ep-log")).to_contain_text("risk-4-b1")


def test_a_replica_leads_to_its_logs(visitor: Visitor) -> None:
    page = visitor.open("/endpoints/risk")
    page.get_by_role("link", name="risk-4-b1").click()
    expect(page.locator(".ep-log")).to_contain_text("risk-4-b1")
    expect(page.locator(".ep-log")).not_to_contain_text("risk-3-a1")
    expect(page.get_by_label("Replica")).to_have_value("risk-4-b1")
    page.wait_for_url("**/endpoints/risk?tab=logs&replica=risk-4-b1")


def test_who_may_only_look_can_change_nothing(browser: Browser, site: Site) -> None:
    visitor = Visitor(browser, AsDashboard(site.url), enter(browser, site, LOOKER))
    page = visitor.open("/endpoints/risk")
    expect(page.locator("#endpoint-top")).to_contain_text("142 /s")
    assert page.get_by_role("slider").count() == page.get_by_role("link", name="Pause").count() == 0
    visitor.close()
    assert visitor.complaints == []


LOOKS = {
    "endpoints": "/endpoints",
    "endpoint": "/endpoints/risk",
    "endpoint-cold": "/endpoints/churn",
    "endpoint-failed": "/endpoints/prices",
    "endpoint-try": "/endpoints/risk?tab=try",
    "endpoint-quality": "/endpoints/risk?tab=quality",
    "endpoint-keys": "/endpoints/risk?tab=keys",
    "endpoint-logs": "/endpoints/risk?tab=logs",
    "endpoint-settings": "/endpoints/risk?tab=settings",
    "endpoint-revision": "/endpoints/risk/revisions/4",
    "endpoint-act": "/endpoints/risk/act?what=rollback",
}


@pytest.mark.parametrize("colours", ["light", "dark"])
def test_nothing_keeps_people_out(visitor: Visitor, axe: str, colours: Any) -> None:
    context = visitor.context(color_scheme=colours)
    page = context.new_page()
    told: list[str] = []
    for name, path in LOOKS.items():
        page.goto(path)
        settled(page)
        shoot(page, f"{name}-{colours}")
        page.evaluate(axe)
        found = page.evaluate("rules => axe.run(document, { runOnly: { type: 'tag', values: rules } })", RULES)
        told += [f"{name}: {one['id']}: {one['help']}: {[node['target'] for node in one['nodes']][:3]}" for one in found["violations"]]
    assert told == []


@pytest.mark.parametrize("size", SIZES)
def test_nothing_runs_over_the_edge(visitor: Visitor, size: str) -> None:
    width, height = SIZES[size]
    page = visitor.context(viewport={"width": width, "height": height}).new_page()
    over: dict[str, float] = {}
    for name, path in LOOKS.items():
        page.goto(path)
        settled(page)
        if size != "laptop":
            shoot(page, f"{name}-{size}")
        over[name] = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    assert {name: by for name, by in over.items() if by > 0} == {}


SCORE = """
import json


def init():
    print("the tables are read", flush=True)


def run(raw_data):
    rows = json.loads(raw_data)["data"]
    return [round(row["acid"] / 10, 3) for row in rows]
"""
SCORE_SCHEMA = {
    "inputs": {"acid": {"type": "number", "maximum": 10}, "kind": {"enum": ["red", "white"]}},
    "examples": [{"acid": 3.1, "kind": "red"}],
}


@pytest.fixture
def served(dashboard: Dashboard) -> Iterator[Dashboard]:
    """The project, with a script that is really served."""
    (dashboard.folder / "score.py").write_text(SCORE)
    (dashboard.folder / "score.schema.json").write_text(json.dumps(SCORE_SCHEMA))
    fairway(dashboard.folder, "deploy", "score.py", "--schema", "score.schema.json", "--name", "wine", "--min", "0", "--max", "2")
    yield dashboard
    fairway(dashboard.folder, "endpoints", "wine", "--delete", "-y")


def test_a_script_that_is_really_served(browser: Browser, served: Dashboard, signed_in: Any) -> None:
    visitor = Visitor(browser, served, signed_in)
    page = visitor.open("/endpoints")
    row = page.locator("#endpoint-wine")
    expect(row).to_contain_text("ready")
    row.get_by_role("link", name="wine").click()
    expect(page.locator("#revision-1")).to_contain_text("100 %")
    page.get_by_role("link", name="Try it").first.click()
    expect(field(page, "acid")).to_have_value("3.1")
    field(page, "acid").fill("4.2")
    page.get_by_role("button", name="Send").click()
    expect(page.locator("#try-facts")).to_contain_text("revision 1")
    expect(page.locator("#try-answer")).to_contain_text("0.42")
    field(page, "acid").fill("11")
    page.get_by_role("button", name="Send").click()
    expect(field(page, "acid")).to_have_attribute("aria-invalid", "true")
    page.get_by_role("link", name="Logs").click()
    expect(page.locator(".ep-log")).to_contain_text("the tables are read")
    page.get_by_role("link", name="Overview").click()
    expect(page.locator("#endpoint-rest")).to_contain_text("422")
    page.get_by_role("link", name="Pause…").click()
    page.get_by_role("button", name="Pause").click()
    expect(page.locator("#endpoint-head")).to_contain_text("paused")
    visitor.close()
    assert visitor.complaints == []
