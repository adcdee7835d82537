"""Under which names the server answers, and what every answer says to browsers."""

from __future__ import annotations

from pathlib import Path

import pytest

from fairway.web.guard import PAGE_POLICY, is_ours, service_names
from tests.web.rig import TOKEN, Server


@pytest.mark.parametrize(
    "host",
    [
        "localhost",
        "localhost:8080",
        "LocalHost:1",
        "a.localhost",
        "127.0.0.1:8080",
        "10.1.2.3",
        "[::1]:8080",
        "[2001:db8::1]",
        "ui.example.org:443",
    ],
)
def test_a_name_that_no_stranger_can_own_is_ours(host: str) -> None:
    assert is_ours(host, {"ui.example.org"})


@pytest.mark.parametrize(
    "host",
    [
        "",
        "evil.example",
        "evil.example:8080",
        "127.0.0.1.evil.example",
        "localhost.evil.example",
        "notlocalhost",
        "[::1",
        "1",
        "ui.example.org.",
        "0x7f.1",
    ],
)
def test_any_other_name_is_not(host: str) -> None:
    assert not is_ours(host, {"ui.example.org"})


def test_a_service_has_the_names_that_a_cluster_gives_it() -> None:
    assert service_names("fairway", "ml") == ("fairway", "fairway.ml", "fairway.ml.svc", "fairway.ml.svc.cluster.local")
    assert service_names("fairway", "") == ()


@pytest.mark.parametrize("path", ["/runs", "/login", "/session", "/api/v1/health", "/api/v1/runs", "/static/x/js/app.js", "/nothing"])
def test_a_strangers_name_for_this_server_is_refused(tmp_path: Path, path: str) -> None:
    with Server(tmp_path).client("") as client:
        answer = client.get(path, headers={"host": "evil.example"})
        assert (answer.status_code, answer.json()["code"]) == (421, "FW-FORBIDDEN")
        assert "evil.example" not in answer.text


def test_programs_with_a_token_and_probes_may_use_any_name(tmp_path: Path) -> None:
    with Server(tmp_path).client("") as client:
        assert client.get("/runs", headers={"host": "proxy.example", "fairway-token": TOKEN}).status_code == 200
        assert client.get("http://proxy.example/livez").status_code == 200
        assert client.get("http://proxy.example/metrics").status_code == 200


def test_every_answer_says_what_browsers_may_do_with_it(tmp_path: Path) -> None:
    with Server(tmp_path).client() as client:
        page, data, asset = client.get("http://server/login"), client.get("/runs"), client.get("http://server/static/x/js/live-worker.js")
        missing, wrong = client.get("http://server/nothing"), client.post("/runs", json={})
        assert page.headers["content-security-policy"] == PAGE_POLICY
        assert asset.headers["content-security-policy"] == PAGE_POLICY, "a worker has the policy of its script"
        assert "sandbox" in data.headers["content-security-policy"] and "default-src 'none'" in data.headers["content-security-policy"]
        for answer in (page, data, asset, missing, wrong):
            assert answer.headers["x-content-type-options"] == "nosniff"
            assert answer.headers["referrer-policy"] == "same-origin"
            assert answer.headers["cross-origin-opener-policy"] == "same-origin"
            assert answer.headers["cross-origin-resource-policy"] == "same-origin"
            assert "content-security-policy" in answer.headers
            assert not any(name.startswith("access-control-") for name in answer.headers), "no other site reads what is here"


def test_the_pages_policy_lets_in_nothing_inline_and_nothing_from_elsewhere() -> None:
    assert "unsafe" not in PAGE_POLICY and "*" not in PAGE_POLICY and "http" not in PAGE_POLICY
    for directive in ("default-src 'none'", "frame-ancestors 'none'", "base-uri 'none'", "form-action 'self'"):
        assert directive in PAGE_POLICY


def test_an_answer_without_news_leaves_the_page_that_a_browser_keeps_as_it_is(tmp_path: Path) -> None:
    with Server(tmp_path).client() as client:
        page = client.get("http://server/pipelines", headers={"accept": "text/html"})
        again = client.get("http://server/pipelines", headers={"accept": "text/html", "if-none-match": page.headers["etag"]})
    assert again.status_code == 304
    assert "content-security-policy" not in again.headers, "a browser takes it for the policy of the page that it has"
