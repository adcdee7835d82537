"""The system page: what runs, what there is, how large the store is, what failed, who did what."""

from __future__ import annotations

import asyncio
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from fairway.spec.layout import BLOBS, DATABASE
from fairway.spec.resources import Resources
from fairway.store import gc
from fairway.web.pages.system import resource_rows
from fairway.web.storesize import StoreMeter
from tests.web.recorded import Journals
from tests.web.rig import Server, started

HTML = {"accept": "text/html"}
PART = {**HTML, "hx-request": "true"}
SITE = "http://server"


@pytest.fixture
def server(recorded: tuple[Path, dict[str, str]], tmp_path: Path, journals: Journals) -> Server:
    shutil.copytree(recorded[0], tmp_path / "home")
    return Server(tmp_path / "home", journals(tmp_path / "home"))


@pytest.fixture
def client(server: Server) -> Iterator[TestClient]:
    with server.client() as client:
        yield client


def test_what_runs_is_shown_with_its_attempts(client: TestClient, server: Server) -> None:
    run = "20261124-081503-x7kq3"
    assert client.post("/runs", json=started(run)).status_code == 201
    client.portal.call(server.executor.submitted)  # type: ignore[union-attr]
    text = client.get(f"{SITE}/system", headers=HTML).text
    assert "1 run going on" in text
    assert f'href="/runs/{run}"' in text and "this server" in text
    assert f"/runs/{run}?task=load" in text
    part = client.get(f"{SITE}/system", headers={**PART, "hx-target": "work"}).text
    assert "<html" not in part and run in part and "This server" not in part


def test_what_failed_lately_is_shown_with_its_cause(client: TestClient, recorded: tuple[Path, dict[str, str]]) -> None:
    text = client.get(f"{SITE}/system", headers=HTML).text
    assert f'href="/runs/{recorded[1]["failed"]}"' in text
    assert "no such luck" in text


def test_the_inventory_says_what_is_free(client: TestClient) -> None:
    text = client.get(f"{SITE}/system/inventory", headers=PART).text
    assert "CPU cores" in text and ">8<" in text and "17 GB" in text
    assert "<dt>nodes</dt><dd>2</dd>" in text


def test_resources_that_there_are_none_of_have_no_row() -> None:
    rows = resource_rows(Resources(cpu=4, accelerators={"nvidia.com/gpu": 2}), Resources(cpu=1), Resources(cpu=4))
    assert [(row["name"], row["total"], row["free"]) for row in rows] == [("CPU cores", 4, 1), ("nvidia.com/gpu", 2, 0)]


def test_the_store_is_measured_when_asked_for(client: TestClient, server: Server) -> None:
    assert "would free" in client.get(f"{SITE}/system", headers=HTML).text
    (server.home / BLOBS / "sha256" / "ab").mkdir(parents=True, exist_ok=True)
    text = client.get(f"{SITE}/system/store", headers=PART).text
    assert "in all" in text and "artifacts" in text
    assert "in all" in client.get(f"{SITE}/system", headers=HTML).text, "what was measured is remembered"


@pytest.mark.parametrize("beside", [True, False], ids=["beside", "within"])
def test_sizes_are_those_of_the_files(server: Server, *, beside: bool) -> None:
    services = server.services
    places = gc.Places(services.home, (services.journal,), services.artifacts, services.streams, frozenset())
    meter = StoreMeter(lambda: places, beside=beside)
    found = asyncio.run(meter.measure())
    files = [path for path in (server.home / BLOBS).rglob("*") if path.is_file()]
    assert found.parts["artifacts"] == sum(path.stat().st_size for path in files) > 0
    assert meter.last == found
    assert found.total_bytes == sum(found.parts.values())


def test_what_the_journal_is_in_is_named(client: TestClient, server: Server) -> None:
    text = client.get(f"{SITE}/system", headers=HTML).text
    elsewhere = hasattr(server.services.journal, "url")
    assert ("postgresql://" in text, "<dt>SQLite</dt>" in text) == (elsewhere, not elsewhere)


def test_a_journal_elsewhere_is_asked_and_none_is_made_in_the_home(
    recorded: tuple[Path, dict[str, str]], tmp_path: Path, postgres_url: str
) -> None:
    home = tmp_path / "home"
    shutil.copytree(recorded[0], home, ignore=shutil.ignore_patterns(f"{DATABASE}*"))
    services = Server(home, postgres_url).services
    places = gc.Places(services.home, (services.journal,), services.artifacts, services.streams, frozenset())
    found = asyncio.run(StoreMeter(lambda: places, beside=True).measure())
    assert found.parts["artifacts"] > 0
    assert found.parts["journal"] > 100_000, "its tables, in the database"
    assert not list(home.glob(f"{DATABASE}*")), "in an empty one, all artifacts would belong to no run"


def test_who_did_what_is_for_admins(client: TestClient) -> None:
    client.post(f"{SITE}/logout", headers=HTML, follow_redirects=False)
    client.patch("/runs/20261124-000000-aaaaa", json={})
    text = client.get(f"{SITE}/system/audit", headers=HTML).text
    assert "PATCH /runs/{run}" in text and "404" in text
    assert re.search(r'href="/system/audit\?user=ann"', text)
    assert "PATCH" not in client.get(f"{SITE}/system/audit?user=eve", headers=HTML).text


def test_a_store_that_cannot_be_measured_is_said_so(client: TestClient, server: Server) -> None:
    (server.home / DATABASE).write_bytes(b"not a database at all, but long enough to be looked at" * 100)
    text = client.get(f"{SITE}/system/store", headers=PART).text
    assert "could not be measured" in text and "fairway gc" in text
