"""The page /docs of a real inference server: the form sends real requests, and what is wrong is told beside its field."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.pages.conftest import shoot
from tests.serve.replica.rig import Replica, replica, script

SCHEMA: dict[str, Any] = {
    "title": "Credit default",
    "inputs": {
        "age": {"type": "integer", "minimum": 18, "maximum": 120},
        "job": {"enum": ["clerk", "cook"]},
        "income": {"type": "number", "missing": True},
        "since": {"type": "date", "required": False},
        "note": {"type": "string", "required": False},
    },
    "examples": [[{"age": 31, "job": "cook", "income": 1200.5}]],
}
SCRIPT = "import json\ndef init(): pass\ndef run(raw_data): return json.loads(raw_data)['data']\n"
PLAIN = "the server responded with a status of 422"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Replica]:
    with replica(script(tmp_path_factory.mktemp("docs") / "credit", SCRIPT, schema=SCHEMA), "--name", "credit") as server:
        yield server


@pytest.fixture(params=["light", "dark"])
def page(browser: Browser, server: Replica, request: pytest.FixtureRequest) -> Iterator[Page]:
    width = 390 if request.param == "dark" else 1440
    page = browser.new_page(color_scheme=request.param, viewport={"width": width, "height": 900})
    complaints: list[str] = []
    page.on("console", lambda said: complaints.append(said.text) if said.type in ("error", "warning") and PLAIN not in said.text else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.goto(f"{server.ready['url']}/docs")
    yield page
    assert complaints == []
    page.close()


def test_the_form_sends_a_request_and_shows_the_answer(page: Page, server: Replica) -> None:
    page.get_by_label("age").fill("44")
    page.get_by_label("job").select_option("clerk")
    page.get_by_label("income").fill("")
    page.get_by_label("note").fill('say "hi"')
    page.get_by_role("button", name="Send").click()
    expect(page.locator("#status")).to_have_class(re.compile("good"))
    answer = page.locator("#answer")
    for part in ('"age": 44', '"job": "clerk"', '"income": null', '"note": "say \\"hi\\""', '"model": "credit"'):
        expect(answer).to_contain_text(part)
    command = page.locator("#curl")
    expect(command).to_contain_text(f"curl '{server.ready['url']}/predict'")
    expect(command).to_contain_text('"age": 44')
    expect(command).not_to_contain_text("since")
    width = page.viewport_size["width"] if page.viewport_size else 0
    assert page.evaluate("document.documentElement.scrollWidth") == width
    shoot(page, f"serve-docs-{width}")


def test_what_is_wrong_is_told_beside_its_field(page: Page) -> None:
    age = page.get_by_label("age")
    age.fill("old")
    page.get_by_label("since").fill("yesterday")
    page.get_by_role("button", name="Send").click()
    expect(age).to_have_attribute("aria-invalid", "true")
    expect(age).to_be_focused()
    expect(page.locator("#e0")).to_have_text("came the text 'old', expected a whole number from 18 to 120")
    expect(page.locator("#e3")).to_have_text("came the text 'yesterday', expected a date such as 2026-01-31")
    expect(page.locator("#status")).to_contain_text("422 refused")
    age.fill("44")
    page.get_by_label("since").fill("2020-01-01")
    age.press("Enter")
    expect(page.locator("#status")).to_have_class(re.compile("good"))
    expect(page.locator("#e0")).to_be_hidden()


def test_json_can_be_written_by_hand(page: Page) -> None:
    page.get_by_role("tab", name="Form").press("ArrowRight")
    text = page.get_by_label("The request's body")
    expect(text).to_have_value(re.compile('"age": 31'))
    text.fill('{"inputs": [[31, "cook", null, null, null], [17, "cook", 1, null, null]]}')
    page.get_by_role("button", name="Send").click()
    expect(page.locator("#faults")).to_contain_text("row 1, field 'age': came the number 17, expected a whole number from 18 to 120")


def test_nobody_is_kept_out(page: Page, axe: str) -> None:
    page.evaluate(axe)  # not as a script of the page: its policy allows none
    found = page.evaluate("axe.run()")
    assert [f"{one['id']}: {one['nodes'][0]['html']}" for one in found["violations"]] == []
