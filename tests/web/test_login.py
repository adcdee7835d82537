"""Signing in and out through the pages, and what is written down of it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.requests import Request
from starlette.testclient import TestClient

from fairway.web.access import find_identity, safe_next, while_known
from fairway.web.identity import Identity
from fairway.web.limits import FREE
from fairway.web.live import _follow
from fairway.web.sse import HEARTBEAT
from tests.web.rig import API, TOKEN, Server, started

PAGE = {"accept": "text/html,application/xhtml+xml"}
DATA = {"accept": "application/json"}
RUN = "20261124-081503-x7kq3"


@pytest.fixture
def server(tmp_path: Path) -> Server:
    return Server(tmp_path)


@pytest.fixture
def browser(server: Server) -> Iterator[TestClient]:
    with server.client("") as client:
        client.follow_redirects = False
        client.base_url = "http://server"  # type: ignore[assignment]
        yield client


def code(browser: TestClient) -> str:
    answer = browser.post(f"{API}/session-code", headers={"Fairway-Token": TOKEN})
    assert answer.status_code == 201
    return answer.json()["code"]


def audited(server: Server) -> list[tuple[str, str, str, int]]:
    lines = (server.home / "audit.jsonl").read_text().splitlines()
    return [(one["user"], one["did"], one["on"], one["status"]) for one in map(json.loads, lines)]


def test_a_links_code_begins_a_session_once(browser: TestClient) -> None:
    taken = code(browser)
    answer = browser.post("/session", data={"code": taken, "next": "/runs?q=failed"}, headers=DATA)
    assert (answer.status_code, answer.json()) == (200, {"user": "ann", "next": "/runs?q=failed"})
    (cookie,) = answer.headers.get_list("set-cookie")
    assert re.fullmatch(r"fairway_session_\w{8}=\S+; HttpOnly; Max-Age=43200; Path=/; SameSite=strict", cookie), cookie
    assert answer.headers["cache-control"] == "no-store"
    assert browser.get("/session").json()["user"] == "ann"
    assert browser.get("/runs").status_code == 200
    assert browser.post("/session", data={"code": taken}, headers=DATA).status_code == 401


def test_a_session_makes_no_codes_for_others(browser: TestClient) -> None:
    browser.post("/session", data={"token": TOKEN}, headers=DATA)
    csrf = form_token(browser)
    assert browser.post(f"{API}/session-code", headers={"X-CSRF-Token": csrf}).status_code == 403


def form_token(browser: TestClient) -> str:
    found = re.search(r'"X-CSRF-Token": "(\w+)"', browser.get("/runs").text)
    assert found is not None
    return found[1]


def test_the_form_takes_a_token_and_leads_on(browser: TestClient) -> None:
    page = browser.get("/login", params={"next": "/pipelines"})
    assert (page.status_code, page.headers["cache-control"]) == (200, "no-store")
    assert 'name="next" value="/pipelines"' in page.text and "nobody" not in page.text
    answer = browser.post("/session", data={"token": f" {TOKEN}\n", "next": "/pipelines"}, headers=PAGE)
    assert (answer.status_code, answer.headers["location"]) == (303, "/pipelines")
    wrong = browser.post("/session", data={"token": "u1.ann.wrong", "next": "/pipelines"}, headers=PAGE)
    assert wrong.status_code == 401
    assert "does not know this token" in wrong.text and 'value="/pipelines"' in wrong.text and "u1.ann.wrong" not in wrong.text


@pytest.mark.parametrize("path", ["/runs", "/runs?q=a&b=%20", "/pipelines/a%20b", "/"])
def test_pages_of_ours_may_be_gone_on_to(path: str) -> None:
    assert safe_next(path) == path


@pytest.mark.parametrize(
    "path",
    [
        "",
        "https://evil.example",
        "//evil.example",
        "/\\evil.example",
        "\\\\evil.example",
        "javascript:x",
        "/a\nb",
        "/login?next=/login",
        "/x\\y",
    ],
)
def test_nobody_is_led_elsewhere(path: str) -> None:
    assert safe_next(path) == "/runs"


def test_the_way_to_the_login_knows_the_way_back(browser: TestClient) -> None:
    answer = browser.get("/pipelines?x=a%26b", headers=PAGE)
    assert answer.headers["location"] == "/login?next=/pipelines%3Fx%3Da%2526b"
    fragment = browser.get("/pipelines", headers={"hx-request": "true", "hx-current-url": "http://server/runs/a?task=b"})
    assert (fragment.status_code, fragment.headers["hx-redirect"]) == (401, "/login?next=/runs/a%3Ftask%3Db")
    assert browser.get("/", headers=PAGE).headers["location"] == "/login"


def test_signing_out_is_for_good(browser: TestClient, server: Server) -> None:
    browser.post("/session", data={"token": TOKEN}, headers=DATA)
    kept = dict(browser.cookies)
    csrf = form_token(browser)
    answer = browser.post("/logout", data={"csrf": csrf}, headers=PAGE)
    assert (answer.status_code, answer.headers["location"]) == (303, "/login")
    assert "Max-Age=0" in answer.headers["set-cookie"]
    assert browser.get("/session").json()["user"] == ""
    browser.cookies.update(kept)
    assert browser.get("/session").json()["user"] == "", "a copy of the cookie is void, too"


def test_a_session_ends_with_its_users_token(browser: TestClient, server: Server) -> None:
    browser.post("/session", data={"token": TOKEN}, headers=DATA)
    server.users.by_token = {"u1.ann.new": Identity("ann", "admin")}
    assert browser.get("/session").json()["user"] == ""


def test_a_cookie_of_another_server_on_this_machine_is_left_alone(browser: TestClient) -> None:
    browser.post("/session", data={"token": TOKEN}, headers=DATA)
    browser.cookies.set("fairway_session_00000000", "another server's")
    assert browser.get("/session").json()["user"] == "ann"


def test_who_fails_too_often_has_to_wait(browser: TestClient, server: Server) -> None:
    for _ in range(FREE):
        assert browser.post("/session", data={"code": "wrong"}, headers=DATA).status_code == 401
    answer = browser.post("/session", data={"token": TOKEN}, headers=DATA)
    assert (answer.status_code, answer.headers["retry-after"], answer.json()["hint"]) == (429, "1", "try again in 1 s")
    page = browser.post("/session", data={"token": TOKEN}, headers=PAGE)
    assert page.status_code == 429 and "too many logins have failed" in page.text
    assert audited(server) == [("", "login", "/session", 401)] * FREE, "those that had to wait were not looked at"


@pytest.mark.parametrize(
    "headers", [{"sec-fetch-site": "cross-site"}, {"sec-fetch-site": "same-site"}, {"origin": "http://evil.example"}, {"origin": "null"}]
)
def test_no_other_site_signs_a_browser_in(browser: TestClient, headers: dict[str, str]) -> None:
    """Nor as somebody else, whose runs one would then take for one's own."""
    answer = browser.post("/session", data={"token": TOKEN}, headers={**DATA, **headers})
    assert answer.status_code == 403 and "set-cookie" not in answer.headers


def test_behind_tls_the_cookie_is_for_tls_only(tmp_path: Path) -> None:
    with Server(tmp_path, address="https://server").client("") as client:
        answer = client.post("http://server/session", data={"token": TOKEN}, headers=DATA)
        assert "; Secure" in answer.headers["set-cookie"]


def test_behind_a_proxy_each_visitor_has_an_address(tmp_path: Path) -> None:
    """The last address is the proxy's own word. Without a proxy nobody is believed."""
    for address, sources in (("https://server", ["10.0.0.7", "10.0.0.8"]), ("", ["testclient", "testclient"])):
        server = Server(tmp_path / (address[:5] or "plain"), address=address)
        with server.client("") as client:
            for said in ("1.2.3.4, 10.0.0.7", "10.0.0.8"):
                client.post("http://server/session", data={"code": "wrong"}, headers={**DATA, "x-forwarded-for": said})
        lines = (server.home / "audit.jsonl").read_text().splitlines()
        assert [json.loads(line)["source"] for line in lines] == sources


@pytest.mark.asyncio
async def test_an_answer_without_end_ends_with_its_token(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fairway.web.access.LOOK_EVERY_S", 0.0)
    server = Server(tmp_path, heartbeat_s=0.001)
    site = next(route.app._site for route in server.app.routes if getattr(route, "path", "") == f"{API}/runs")  # type: ignore[attr-defined]
    scope = {"type": "http", "method": "GET", "path": "/live", "query_string": b"", "headers": [(b"fairway-token", TOKEN.encode())]}
    request = Request(scope)
    identity = await find_identity(site, request)
    parts = while_known(site, request, identity, _follow(site, ["runs"]))
    assert (await anext(parts)).startswith(b"id: 0\n")
    assert await anext(parts) == HEARTBEAT
    server.users.by_token[TOKEN] = Identity("ann", "view")
    assert [part async for part in parts] == [], "who may do something else now has to ask anew"
    await server.services.journal.close()


def test_what_is_done_is_written_down(browser: TestClient, server: Server) -> None:
    token = {"Fairway-Token": TOKEN}
    browser.post(f"{API}/runs", json=started(RUN), headers=token)
    browser.post(f"{API}/runs/{RUN}/cancel", json={"reason": "the reason is not written down"}, headers=token)
    browser.post(f"{API}/runs/nothing/cancel", json={}, headers=token)
    browser.post(f"{API}/cache/find", json={"keys": []}, headers=token)  # reads
    browser.get(f"{API}/runs", headers=token)
    browser.post(f"{API}/runs", json={})  # nobody
    browser.post("/session", data={"token": "u1.eve.wrong"}, headers=DATA)
    browser.post("/session", data={"code": code(browser)}, headers=DATA)
    csrf = form_token(browser)
    browser.post(f"{API}/runs/{RUN}/cancel", json={}, headers={"x-csrf-token": csrf})
    browser.post(f"{API}/runs/{RUN}/cancel", json={})
    browser.post("/logout", data={"csrf": csrf}, headers=PAGE)
    assert audited(server) == [
        ("ann", "POST /runs", f"{API}/runs", 201),
        ("ann", "POST /runs/{run}/cancel", f"{API}/runs/{RUN}/cancel", 202),
        ("ann", "POST /runs/{run}/cancel", f"{API}/runs/nothing/cancel", 404),
        ("", "login", "/session", 401),
        ("ann", "login", "/session", 200),
        ("ann", "POST /runs/{run}/cancel", f"{API}/runs/{RUN}/cancel", 202),
        ("ann", "POST /runs/{run}/cancel", f"{API}/runs/{RUN}/cancel", 403),
        ("ann", "POST /logout", "/logout", 303),
    ]
    text = (server.home / "audit.jsonl").read_text()
    assert "secret" not in text and "wrong" not in text and csrf not in text and "reason" not in text
    shown = browser.get("/system/audit", headers={**token, **PAGE})
    assert shown.status_code == 200 and "/runs/nothing/cancel" in shown.text


def test_a_program_with_a_wrong_token_is_not_let_in_by_a_cookie(browser: TestClient) -> None:
    browser.post("/session", data={"token": TOKEN}, headers=DATA)
    answer: Any = browser.get(f"{API}/runs", headers={"Fairway-Token": "u1.ann.wrong"})
    assert answer.status_code == 401
