"""Blobs: signed URLs that lead to the blobs' port, and the way through the API."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path
from urllib.request import Request, urlopen

import pytest
from starlette.testclient import TestClient

from fairway.errors import NotFoundError
from fairway.spec.layout import SCRATCH
from fairway.testing.memory import MemoryArtifactStore
from fairway.web.ports import KeySigner
from fairway.web.presence import claim
from fairway.web.routes.blobs import UPLOAD_LIMIT_BYTES
from tests.web.rig import Server, blob_port

KEY = "5a" * 32


@pytest.fixture
def server(tmp_path: Path) -> Server:
    return Server(tmp_path, signer=KeySigner(KEY))


@pytest.fixture
def client(server: Server) -> Iterator[TestClient]:
    with server.client() as client:
        yield client


def key_of(data: bytes) -> str:
    digest = hashlib.sha256(data).hexdigest()
    return f"sha256/{digest[:2]}/{digest[2:]}"


def test_signed_urls_lead_to_the_blobs_port_in_both_directions(server: Server, client: TestClient) -> None:
    there, new = b"there", b"new"
    server.services.artifacts.put(key_of(there), there)
    asked = {"get": [key_of(there)], "put": [[key_of(there), 5], [key_of(new), 3]]}
    signed = client.post("/blobs", json=asked).json()
    assert signed["put"][key_of(there)] is None
    with blob_port(server.home, KEY) as url:
        with urlopen(url + signed["get"][key_of(there)], timeout=60) as answer:
            assert answer.read() == there
        with urlopen(Request(url + signed["put"][key_of(new)], data=new, method="PUT"), timeout=60) as answer:
            assert answer.status == 201
    assert server.services.artifacts.get(key_of(new)) == new


def test_what_is_there_already_is_young_again(server: Server, client: TestClient) -> None:
    store = server.services.artifacts
    store.put(key_of(b"old"), b"old")
    path = store.local_path(key_of(b"old"))
    assert path is not None
    os.utime(path, (1.0, 1.0))
    client.post("/blobs", json={"put": [[key_of(b"old"), 3]]})
    stat = store.stat(key_of(b"old"))
    assert stat is not None
    assert stat.modified_at > 1e9
    assert not store.delete(key_of(b"old"), unused_since=1e9)


def test_a_blob_that_goes_while_it_is_claimed_is_not_there() -> None:
    class Vanishing(MemoryArtifactStore):
        def local_path(self, key: str) -> Path | None:
            return Path("/nowhere") / key if key.endswith("gone") else None

        def put(self, key: str, source: bytes | Path, **how: bool) -> bool:
            raise NotFoundError(f"there is no file {source}")

    store = Vanishing()
    store.blobs = {"sha256/aa/gone": (b"", 0.0), "sha256/aa/far": (b"", 0.0)}
    assert claim(store, ["sha256/aa/gone", "sha256/aa/far", "sha256/aa/never"]) == {"sha256/aa/far"}


def test_a_server_without_a_blobs_port_says_so(tmp_path: Path) -> None:
    with Server(tmp_path).client() as client:
        answer = client.post("/blobs", json={"get": ["sha256/aa/bb"]})
        assert (answer.status_code, answer.json()["code"]) == (422, "FW-UNSUPPORTED")


@pytest.mark.parametrize("key", ["outcome/r/a-1", "sha256/aa/short", "bundle/../x", "bundle/" + "a" * 63, "fairway.db"])
def test_users_write_nothing_but_artifacts_and_bundles(client: TestClient, key: str) -> None:
    assert client.post("/blobs", json={"put": [[key, 1]]}).status_code == 422
    assert client.put(f"/blobs/{key.replace('..', '%2e%2e')}", content=b"x").status_code == 422


def test_a_small_blob_is_stored_and_read_through_the_api(server: Server, client: TestClient) -> None:
    data = b"0123456789" * 1000
    made = client.put(f"/blobs/{key_of(data)}", content=data)
    assert (made.status_code, made.json()) == (201, {"stored": True})
    again = client.put(f"/blobs/{key_of(data)}", content=data)
    assert (again.status_code, again.json()) == (200, {"stored": False})
    assert client.get(f"/blobs/{key_of(data)}").content == data
    head = client.head(f"/blobs/{key_of(data)}")
    assert (head.headers["content-length"], head.content) == (str(len(data)), b"")
    part = client.get(f"/blobs/{key_of(data)}", headers={"range": "bytes=9990-"})
    assert (part.status_code, part.content) == (206, data[9990:])
    assert list((server.home / SCRATCH).iterdir()) == []


def test_bytes_that_are_not_what_they_are_called_are_refused(server: Server, client: TestClient) -> None:
    answer = client.put(f"/blobs/{key_of(b'right')}", content=b"wrong")
    assert (answer.status_code, answer.json()["where"]) == (422, "body")
    assert server.services.artifacts.stat(key_of(b"right")) is None
    assert list((server.home / SCRATCH).iterdir()) == []


def test_a_blob_that_is_too_large_for_the_api_is_told_the_way(client: TestClient) -> None:
    def parts() -> Iterator[bytes]:
        for _ in range((UPLOAD_LIMIT_BYTES >> 20) + 1):
            yield b"x" * (1 << 20)

    answer = client.put(f"/blobs/{key_of(b'')}", content=parts())
    assert (answer.status_code, "POST /blobs" in answer.json()["hint"]) == (413, True)


def test_blobs_are_listed_in_pages(server: Server, client: TestClient) -> None:
    keys = sorted(key_of(str(n).encode()) for n in range(5))
    for n in range(5):
        server.services.artifacts.put(key_of(str(n).encode()), str(n).encode())
    seen: list[str] = []
    cursor = ""
    while True:
        page = client.get("/blobs", params={"prefix": "sha256/", "limit": 2, "cursor": cursor}).json()
        seen += [item["key"] for item in page["items"]]
        cursor = page["next"]
        if not cursor:
            break
    assert seen == keys
    assert client.get("/blobs", params={"prefix": "outcome/"}).json()["items"] == []
    for key in ("outcome/r1/a", "outcome/r1-x/a"):  # a folder lists these in the other order
        server.services.artifacts.put(key, b"")
    first = client.get("/blobs", params={"prefix": "outcome/", "limit": 1}).json()
    rest = client.get("/blobs", params={"prefix": "outcome/", "cursor": first["next"]}).json()
    assert [item["key"] for item in first["items"] + rest["items"]] == ["outcome/r1-x/a", "outcome/r1/a"]


@pytest.mark.parametrize("key", ["sha256/aa/absent", "%2e%2e/fairway.db", "..%2f..%2fetc/passwd"])
def test_a_blob_that_is_not_there(client: TestClient, key: str) -> None:
    assert client.get(f"/blobs/{key}").status_code in (404, 422)
