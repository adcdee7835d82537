"""Bytes of artifacts for browsers: by an address that needs no cookie and gives no rights, for some minutes."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.testclient import TestClient

from fairway.spec.artifact import ArtifactRef, blob_key
from fairway.web.grants import GRANT_S, Grants
from fairway.web.identity import Identity
from tests.web.rig import Server, started

ANN = Identity("ann", "view")
RUN = "20261124-081503-x7kq3"


def test_a_grant_is_for_one_artifact_until_its_time_is_over() -> None:
    now = [1000.0]
    grants = Grants("ab" * 32, clock=lambda: now[0])
    url = grants.make(RUN, "d" * 64, "page/a b.html", ANN)
    found = re.fullmatch(r"/content/([\w.-]+)/page/a%20b\.html", url)
    assert found is not None
    grant = grants.check(found[1])
    assert grant is not None and (grant.run, grant.digest, grant.name, grant.user) == (RUN, "d" * 64, "page/a b.html", "ann")
    now[0] += GRANT_S - 1
    assert grants.check(found[1]) is not None
    now[0] += 1
    assert grants.check(found[1]) is None
    assert Grants("cd" * 32, clock=lambda: 1000.0).check(found[1]) is None


@given(st.text(max_size=80), st.integers(0, 400))
def test_no_other_text_is_a_grant(junk: str, at: int) -> None:
    grants = Grants("ab" * 32)
    grant = grants.make(RUN, "d" * 64, "x", ANN).split("/")[2]
    place = at % len(grant)
    changed = grant[:place] + junk + grant[place + len(junk) :]
    assert changed == grant or grants.check(changed) is None
    assert grants.check(junk) is None


class Files:
    """A server whose store has one folder and some single artifacts, as a run names them."""

    def __init__(self, home: Path) -> None:
        self.server = Server(home)
        self.grants = Grants(self.server.users.signing_key)
        self.files = {
            "index.html": b"<script src=js/own.js></script><img src=img/a.png>",
            "js/own.js": b"document.title = 'drawn'",
            "img/a.png": b"\x89PNG....",
            "data.unknown": b"<html>not for browsers to guess</html>",
            "umläut & co.txt": "grüße".encode(),
        }
        listed = [
            {"path": path, "digest": self.put(data), "size_bytes": len(data), "mode": 0o644} for path, data in sorted(self.files.items())
        ]
        manifest = json.dumps({"files": listed}).encode()
        self.folder = ArtifactRef(self.put(manifest), len(manifest), "dir")
        page = b"<h1>page</h1>"
        self.page = ArtifactRef(self.put(page), len(page), "html", "fairway.Html")
        self.small = ArtifactRef(hashlib.sha256(b"7").hexdigest(), 1, "json", "int", inline="7")

    def put(self, data: bytes) -> str:
        digest = hashlib.sha256(data).hexdigest()
        self.server.services.artifacts.put(blob_key(digest), data)
        return digest

    def url(self, ref: ArtifactRef, path: str) -> str:
        """An address as a page of the server would make it."""
        found: Any = self.server.app
        site = next(route.app._site for route in found.routes if getattr(route, "path", "") == "/api/v1/runs")
        return "http://server" + site.grants.make(RUN, ref.digest, path, ANN, ref=ref)


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files(tmp_path)


@pytest.fixture
def browser(files: Files) -> Iterator[TestClient]:
    with files.server.client("") as client:
        yield client


def test_a_page_is_sent_without_any_rights(files: Files, browser: TestClient) -> None:
    answer = browser.get(files.url(files.page, "report.html"))
    assert (answer.status_code, answer.content) == (200, b"<h1>page</h1>")
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    policy = dict(part.strip().partition(" ")[::2] for part in answer.headers["content-security-policy"].split(";"))
    assert policy["sandbox"] == "allow-scripts"
    assert "allow-same-origin" not in answer.headers["content-security-policy"]
    for directive in ("connect-src", "form-action", "base-uri", "frame-src", "object-src", "default-src"):
        assert policy[directive] == "'none'", directive
    assert policy["frame-ancestors"] == "'self'"
    grant = answer.request.url.path.split("/")[2]
    own = f"http://server/content/{grant}/"
    assert policy["script-src"].split() == ["'unsafe-inline'", "'unsafe-eval'", "blob:", own]
    assert policy["img-src"].split() == ["data:", "blob:", own]
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["referrer-policy"] == "no-referrer", "its address is all that is needed to read it"
    assert answer.headers["cross-origin-resource-policy"] == "cross-origin"
    assert "set-cookie" not in answer.headers
    assert not any(name.startswith("access-control-") for name in answer.headers)


def test_files_of_a_folder_find_each_other(files: Files, browser: TestClient) -> None:
    start = files.url(files.folder, "index.html")
    media = {
        "index.html": "text/html; charset=utf-8",
        "js/own.js": "text/javascript; charset=utf-8",
        "img/a.png": "image/png",
        "data.unknown": "application/octet-stream",
        "umläut & co.txt": "text/plain; charset=utf-8",
    }
    for path, data in files.files.items():
        answer = browser.get(start.replace("index.html", path))
        assert (answer.status_code, answer.content, answer.headers["content-type"]) == (200, data, media[path])
        assert answer.headers["content-security-policy"].startswith("sandbox allow-scripts;")
    for path in ("other.html", "", "..%2f..%2fetc%2fpasswd", "js/"):
        assert browser.get(start.replace("index.html", path)).status_code == 404


def test_a_grant_for_one_file_is_for_no_other_name(files: Files, browser: TestClient) -> None:
    url = files.url(files.page, "report.html")
    for path in ("other.html", "report.html/x", ""):
        answer = browser.get(url.replace("report.html", path))
        assert answer.status_code == 404
        assert answer.headers["content-security-policy"].startswith("sandbox")


def test_ranges_and_what_the_browser_has(files: Files, browser: TestClient) -> None:
    url = files.url(files.page, "report.html")
    part = browser.get(url, headers={"range": "bytes=4-7"})
    assert (part.status_code, part.content, part.headers["content-range"]) == (206, b"page", "bytes 4-7/13")
    assert part.headers["content-security-policy"].startswith("sandbox")
    assert browser.get(url, headers={"range": "bytes=99-"}).status_code == 416
    again = browser.get(url, headers={"if-none-match": part.headers["etag"]})
    assert again.status_code == 304
    assert again.headers["content-security-policy"].startswith("sandbox"), "what a browser keeps is kept with this policy"
    assert browser.head(url).headers["content-length"] == "13"


def test_what_travels_in_its_reference_is_there_too(files: Files, browser: TestClient) -> None:
    answer = browser.get(files.url(files.small, "value.json"))
    assert (answer.text, answer.headers["content-type"]) == ("7", "application/json")


def test_an_address_is_good_for_some_minutes_only(files: Files, browser: TestClient) -> None:
    url = files.url(files.page, "report.html")
    grant = url.split("/")[4]
    for wrong in (grant[:-1] + ("0" if grant[-1] != "0" else "1"), "x", grant + "0"):
        answer = browser.get(url.replace(grant, wrong))
        assert (answer.status_code, answer.headers["cache-control"]) == (403, "no-store")
        assert answer.headers["content-type"].startswith("text/plain")
        assert "sandbox" in answer.headers["content-security-policy"]


def test_an_artifact_that_its_run_does_not_name_is_not_there(files: Files, browser: TestClient) -> None:
    with_run = files.grants.make(RUN, files.page.digest, "report.html", ANN)  # made elsewhere: this server has not seen the reference
    assert browser.get(f"http://server{with_run}").status_code == 404
    answer = browser.post("/runs", json=started(RUN), headers={"Fairway-Token": "u1.ann.secret"})
    assert answer.status_code == 201
    assert browser.get(f"http://server{with_run}").status_code == 404


def test_a_server_that_was_started_anew_knows_what_is_meant(recorded: tuple[Path, dict[str, str]]) -> None:
    server = Server(recorded[0])
    with server.client() as client:
        run = recorded[1]["first"]
        (ref,) = [one["ref"] for one in client.get(f"/runs/{run}/artifacts").json()["items"] if one["artifact"] == "table"]
        url = Grants(server.users.signing_key).make(run, ref["digest"], "table.json", ANN)
        answer = client.get(f"http://server{url}")
        assert (answer.status_code, answer.headers["content-type"]) == (200, "application/json")
        assert len(answer.json()["rows"]) == 3


def test_bytes_that_are_gone_are_said_to_be(files: Files, browser: TestClient) -> None:
    url = files.url(files.page, "report.html")
    files.server.services.artifacts.delete(blob_key(files.page.digest))
    answer = browser.get(url)
    assert answer.status_code == 404 and "run the pipeline again" not in answer.text
    assert answer.headers["content-security-policy"].startswith("sandbox")


def test_an_artifact_writes_nothing(files: Files, browser: TestClient) -> None:
    url = files.url(files.page, "report.html")
    for method in ("POST", "PUT", "DELETE", "OPTIONS"):
        assert browser.request(method, url).status_code == 405
