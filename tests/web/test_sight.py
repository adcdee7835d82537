"""What somebody of one project sees of what all share: lists, counts, the cache, blobs, news."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from fairway.spec.artifact import ArtifactRef, blob_key
from fairway.spec.event import RunStarted
from fairway.spec.outcome import outcome_key
from fairway.spec.record import replace
from fairway.spec.summary import CacheEntry, RunSummary
from fairway.web.access import check_run
from fairway.web.identity import Identity
from fairway.web.routes.events import _follow_runs
from tests.web.rig import TOKEN, Server, graph, started

MINE, THEIRS = "20261124-081503-mine1", "20261125-091604-their"
VIC, ROB, ADA = "u1.vic.secret", "u1.rob.secret", "u1.ada.secret"


class Shop:
    """Two projects' runs, each with a folder and a bundle of its own in the store that all share."""

    def __init__(self, home: Path) -> None:
        self.server = Server(home)
        for token, role in ((VIC, "view"), (ROB, "run"), (ADA, "admin")):
            self.server.users.by_token[token] = Identity(token.split(".")[1], role, ("mine",))
        self.files: dict[str, dict[str, str]] = {}

    def put(self, data: bytes) -> str:
        digest = hashlib.sha256(data).hexdigest()
        self.server.services.artifacts.put(blob_key(digest), data)
        return digest

    def begin(self, client: TestClient, run: str, project: str) -> None:
        """A run whose parameter is a folder."""
        inner = self.put(f"a file of {project}".encode())
        manifest = json.dumps({"files": [{"path": "a", "digest": inner, "size_bytes": 1}]}).encode()
        folder = self.put(manifest)
        bundle = hashlib.sha256(project.encode()).hexdigest()
        self.server.services.artifacts.put(f"bundle/{bundle}", b"code")
        self.server.services.artifacts.put(outcome_key(run, "a-1"), b"{}")
        ref = ArtifactRef(folder, len(manifest), "dir")
        event = RunStarted(run, graph(f"{project}-flow"), {}, bundle, 1.0, project=project)
        client.portal.call(self.record, run, event, ref)  # type: ignore[union-attr]
        self.files[run] = {"inner": inner, "folder": folder, "bundle": bundle}

    async def record(self, run: str, event: RunStarted, ref: ArtifactRef) -> None:
        journal = self.server.services.journal
        summary = RunSummary(run, event.graph.name, "succeeded", project=event.project, started_at=1.0)
        entry = CacheEntry(f"key of {run}", run, "load", {"result": ref}, 1.0)
        await journal.append(run, 0, [replace(event, params={"data": ref})], "b1", summary=summary, cache=[entry])

    def keys(self, run: str) -> list[str]:
        """Every blob of the run."""
        files = self.files[run]
        return [blob_key(files["inner"]), blob_key(files["folder"]), f"bundle/{files['bundle']}", outcome_key(run, "a-1")]


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    return Shop(tmp_path)


@pytest.fixture
def client(shop: Shop) -> Iterator[TestClient]:
    with shop.server.client() as client:
        shop.begin(client, MINE, "mine")
        shop.begin(client, THEIRS, "theirs")
        yield client


def as_(token: str) -> dict[str, str]:
    return {"Fairway-Token": token}


def test_lists_and_counts_are_of_what_may_be_seen(client: TestClient) -> None:
    assert [row["run"] for row in client.get("/runs").json()["items"]] == [THEIRS, MINE]
    assert [row["run"] for row in client.get("/runs", headers=as_(VIC)).json()["items"]] == [MINE]
    assert client.get("/runs", params={"match": THEIRS[-5:]}, headers=as_(VIC)).json()["items"] == []
    assert [one["name"] for one in client.get("/pipelines", headers=as_(VIC)).json()["items"]] == ["mine-flow"]
    assert {row["pipeline"]: row["runs"] for row in client.get("/pipelines", headers=as_(VIC)).json()["tally"]} == {"mine-flow": 1}
    assert len(client.get("/pipelines").json()["items"]) == 2


def test_pages_of_a_list_are_full_though_others_runs_lie_between(shop: Shop, client: TestClient) -> None:
    runs = [f"20261126-0816{n:02}-abcde" for n in range(20)]
    for n, run in enumerate(runs):
        shop.begin(client, run, "mine" if n % 5 == 0 else "theirs")
    seen: list[str] = []
    cursor = ""
    while True:
        page = client.get("/runs", params={"limit": 2, "cursor": cursor}, headers=as_(VIC)).json()
        seen += [row["run"] for row in page["items"]]
        cursor = page["next"]
        if not cursor:
            break
        assert len(page["items"]) == 2
    assert seen == [*runs[::5][::-1], MINE]


def test_the_cache_shows_entries_of_runs_that_may_be_seen(client: TestClient) -> None:
    keys = [f"key of {MINE}", f"key of {THEIRS}"]
    assert [one["key"] for one in client.get("/cache", headers=as_(VIC)).json()["items"]] == keys[:1]
    assert list(client.post("/cache/find", json={"keys": keys}, headers=as_(VIC)).json()["entries"]) == keys[:1]
    assert sorted(client.post("/cache/find", json={"keys": keys}).json()["entries"]) == sorted(keys)


def test_blobs_are_read_through_runs_that_may_be_seen(shop: Shop, client: TestClient) -> None:
    for key in shop.keys(MINE):
        assert client.get(f"/blobs/{key}", headers=as_(VIC)).status_code == 200, key
    for key in [*shop.keys(THEIRS), f"sha256/00/{'0' * 62}", "secret/x", "outcome/x"]:
        assert client.get(f"/blobs/{key}", headers=as_(VIC)).status_code == 404, key
    for key in shop.keys(THEIRS):
        assert client.get(f"/blobs/{key}").status_code == 200, key
    inner = shop.files[THEIRS]["inner"]
    assert client.get(f"/artifacts/{inner}", headers=as_(VIC)).status_code == 404
    assert client.get(f"/artifacts/{inner}/content", headers=as_(VIC)).status_code == 404
    assert client.get(f"/artifacts/{inner}/content").content == b"a file of theirs"
    assert client.get(f"/artifacts/{shop.files[MINE]['inner']}/content", headers=as_(VIC)).content == b"a file of mine"
    assert client.get("/blobs", headers=as_(ADA)).status_code == 403, "a list of all is of all projects"


def test_what_a_run_names_later_is_seen_then(shop: Shop, client: TestClient) -> None:
    late = "20261127-081503-later"
    key = blob_key(hashlib.sha256(b"a file of late").hexdigest())
    shop.put(b"a file of late")
    assert client.get(f"/blobs/{key}", headers=as_(VIC)).status_code == 404
    shop.server.users.by_token[VIC] = Identity("vic", "view", ("mine", "late"))
    shop.begin(client, late, "late")
    assert client.get(f"/blobs/{key}", headers=as_(VIC)).status_code == 200


def test_addresses_of_blobs_are_signed_for_who_may_use_them(shop: Shop, tmp_path: Path) -> None:
    from fairway.web.ports import KeySigner

    other = Shop(tmp_path / "signing")
    other.server = Server(tmp_path / "signing" / "home", signer=KeySigner("5a" * 32))
    other.server.users.by_token |= shop.server.users.by_token
    with other.server.client() as client:
        other.begin(client, MINE, "mine")
        other.begin(client, THEIRS, "theirs")
        mine, theirs = other.keys(MINE)[0], other.keys(THEIRS)[0]
        new = f"sha256/11/{'1' * 62}"
        assert client.post("/blobs", json={"get": [mine], "put": []}, headers=as_(VIC)).status_code == 200
        assert client.post("/blobs", json={"get": [mine, theirs], "put": []}, headers=as_(VIC)).status_code == 404
        assert client.post("/blobs", json={"get": [], "put": [[new, 1]]}, headers=as_(VIC)).status_code == 403
        assert client.post("/blobs", json={"get": [], "put": [[new, 1]]}, headers=as_(ROB)).status_code == 200


def test_captured_traffic_is_read_by_who_sees_all_projects_in_it(shop: Shop, client: TestClient) -> None:
    def keep(name: str, *projects: str) -> tuple[str, str]:
        digest = shop.put(f"traffic of {name} {projects}".encode())
        manifest = {
            "endpoint": name,
            "parts": [{"path": "date=2026-11-28/traffic-a.parquet", "digest": digest}],
            "projects": list(projects),
        }
        shop.server.services.artifacts.put(f"traffic/{name}", json.dumps(manifest).encode(), if_absent=False)
        return f"traffic/{name}", blob_key(digest)

    for key in keep("mine", "mine"):
        assert client.get(f"/blobs/{key}", headers=as_(VIC)).status_code == 200, key
    for key in (*keep("theirs", "theirs"), *keep("both", "mine", "theirs"), *keep("unsaid"), "traffic/none"):
        assert client.get(f"/blobs/{key}", headers=as_(VIC)).status_code == 404, key
        assert client.get(f"/blobs/{key}").status_code == (404 if key == "traffic/none" else 200), key
    key, blob = keep("mine", "mine", "theirs")  # the name was somebody else's meanwhile
    assert client.get(f"/blobs/{key}", headers=as_(VIC)).status_code == client.get(f"/blobs/{blob}", headers=as_(VIC)).status_code == 404


def test_runs_are_started_in_ones_own_projects_only(client: TestClient) -> None:
    body = started("20261126-081503-aaaaa", project="theirs")
    refused = client.post("/runs", json=body, headers=as_(ROB))
    assert (refused.status_code, refused.json()["detail"]) == (403, "your token is not for the project 'theirs'")
    assert client.post("/runs", json=started("20261126-081503-aaaaa", project="mine"), headers=as_(ROB)).status_code == 201
    assert client.post("/runs", json=started("20261126-081503-bbbbb", project=""), headers=as_(ROB)).status_code == 403


def test_what_concerns_all_projects_is_for_who_sees_all(client: TestClient) -> None:
    for path, body in (("/gc", {"dry_run": True}), ("/cache/forget", {"keys": []})):
        assert client.post(path, json=body, headers=as_(ADA)).status_code == 403
        assert client.post(path, json=body, headers=as_(TOKEN)).status_code < 300
    assert client.get("http://server/system/audit", headers=as_(ADA)).status_code == 403


def test_health_names_runs_to_who_may_see_them(client: TestClient) -> None:
    for run, project in (("20261126-081503-ccccc", "mine"), ("20261126-081503-ddddd", "theirs")):
        assert client.post("/runs", json=started(run, project=project)).status_code == 201
    assert client.get("/health", headers=as_("")).json()["driven"] == []
    assert client.get("/health", headers=as_(VIC)).json()["driven"] == ["20261126-081503-ccccc"]
    assert len(client.get("/health").json()["driven"]) == 2


def test_news_of_runs_are_of_those_that_may_be_seen(shop: Shop, client: TestClient) -> None:
    site: Any = next(route.app._site for route in shop.server.app.routes if getattr(route, "path", "") == "/api/v1/runs")  # type: ignore[attr-defined]

    async def listen() -> list[bytes]:
        news = _follow_runs(site, Identity("vic", "view", ("mine",)))
        heard = [await anext(news)]
        for run, project in ((THEIRS, "theirs"), (MINE, "mine")):
            await site.services.journal.append(
                run, 1, [to_label(run)], f"l-{run}", summary=RunSummary(run, f"{project}-flow", "failed", project=project)
            )
        site.host.bus.publish("")
        heard.append(await anext(news))
        await news.aclose()  # type: ignore[attr-defined]
        return heard

    heard = client.portal.call(listen)  # type: ignore[union-attr]
    assert MINE.encode() in heard[1] and THEIRS.encode() not in b"".join(heard)


def to_label(run: str) -> Any:
    from fairway.spec.event import RunLabelled

    return RunLabelled(2.0, "ann", (), (), "changed", None)


def test_a_run_without_a_summary_is_seen_by_who_sees_all_alone(shop: Shop, client: TestClient) -> None:
    site: Any = next(route.app._site for route in shop.server.app.routes if getattr(route, "path", "") == "/api/v1/runs")  # type: ignore[attr-defined]
    run = "20261128-081503-fresh"

    async def look() -> list[str]:
        await site.services.journal.append(run, 0, [RunStarted(run, graph(), {}, "", 1.0, project="mine")], "b")
        said = []
        for identity in (Identity("ann", "admin"), Identity("vic", "view", ("mine",))):
            try:
                await check_run(site, identity, run)
                said.append("seen")
            except Exception as error:
                said.append(type(error).__name__)
        return said

    assert client.portal.call(look) == ["seen", "NotFoundError"]  # type: ignore[union-attr]
