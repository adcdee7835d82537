"""The server's store over the network: by digest, checked, whatever happens to connections and servers."""

from __future__ import annotations

import hashlib
import json
import os
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from fairway.errors import InfraError, NotFoundError, StoreUnavailable, UnsupportedError
from fairway.spec.artifact import ArtifactRef, blob_key
from fairway.spec.record import to_plain
from fairway.step import artifacts
from fairway.step.control import Control
from fairway.step.folder import FolderArtifactStore
from fairway.step.link import Link, Refused
from fairway.step.remote import RemoteArtifactStore
from tests.step.pods import Server
from tests.waiting import await_true

ID = "a0123456789abcdef0123-1"


def key_of(data: bytes) -> str:
    return blob_key(hashlib.sha256(data).hexdigest())


@pytest.fixture
def link() -> Iterator[Link]:
    made = Link(patience_s=60)
    yield made
    made.close()


@pytest.fixture
def store(server: Server, link: Link, tmp_path: Path) -> RemoteArtifactStore:
    return RemoteArtifactStore(tmp_path / "cache", Control(link, server.url, server.token(ID)), server.blobs_url)


def test_what_is_put_is_on_the_server_and_in_the_folder(server: Server, store: RemoteArtifactStore) -> None:
    data = b"abc" * 1000
    assert store.put(key_of(data), data)
    assert server.store.get(key_of(data)) == data == store.cache.get(key_of(data))
    assert not store.put(key_of(data), data)


def test_what_is_read_is_fetched_once(server: Server, store: RemoteArtifactStore) -> None:
    data = os.urandom(3 << 20)
    server.store.put(key_of(data), data)
    assert store.get(key_of(data)) == data
    asked = len(server.requests)
    with store.open(key_of(data)) as file:
        assert file.read() == data
    path = store.local_path(key_of(data))
    assert path is not None and path.read_bytes() == data
    assert len(server.requests) == asked


def test_what_is_nowhere_is_not_found(store: RemoteArtifactStore) -> None:
    key = key_of(b"nowhere")
    with pytest.raises(NotFoundError):
        store.get(key)
    assert store.local_path(key) is None
    assert store.stat(key) is None
    store.fetch([key])
    assert list(store.cache.list("sha256/")) == []


def test_sizes_are_known_without_fetching(server: Server, store: RemoteArtifactStore) -> None:
    for data in (b"", b"x", b"y" * 100_000):
        server.store.put(key_of(data), data)
        found = store.stat(key_of(data))
        assert found is not None and found.size_bytes == len(data)
    assert list(store.cache.list("sha256/")) == []


def test_outcomes_stay_here_and_nothing_is_deleted_there(server: Server, store: RemoteArtifactStore) -> None:
    store.put("outcome/r/a-1", b"{}")
    assert server.requests == [] and store.get("outcome/r/a-1") == b"{}"
    with pytest.raises(UnsupportedError):
        store.delete(key_of(b""))


def test_artifacts_travel_whole_whatever_they_are_made_of(server: Server, store: RemoteArtifactStore, link: Link, tmp_path: Path) -> None:
    folder = tmp_path / "data"
    (folder / "inner").mkdir(parents=True)
    for name in ("a.bin", "inner/b.bin"):
        (folder / name).write_bytes(os.urandom(2000))
    local = store.cache
    folder_ref = artifacts.import_path(folder, local)
    refs = [
        folder_ref,
        artifacts.save([os.urandom(10), os.urandom(2000)], local, tmp_path / "scratch"),
        artifacts.save({"deep": {"bytes": os.urandom(2000)}}, local, tmp_path / "scratch"),
        artifacts.save("text " * 1000, local, tmp_path / "scratch"),
        artifacts.save(7, local, tmp_path / "scratch"),
    ]
    store.upload_outputs(refs)
    elsewhere = RemoteArtifactStore(tmp_path / "elsewhere", Control(link, server.url, server.token(ID)), server.blobs_url)
    elsewhere.fetch_inputs(refs)
    asked = len(server.requests)
    for ref in refs:
        for digest in artifacts.digests(ref, elsewhere.cache):
            assert elsewhere.cache.stat(blob_key(digest)) is not None or ref.inline is not None
    assert artifacts.load(refs[1], elsewhere.cache, tmp_path / "s2") == artifacts.load(refs[1], local, tmp_path / "s3")
    assert len(server.requests) == asked


def test_what_a_dynamic_tasks_graph_refers_to_travels_with_it(server: Server, store: RemoteArtifactStore, tmp_path: Path) -> None:
    inner = artifacts.save(b"x" * 5000, store.cache, tmp_path)
    graph = json.dumps({"nodes": [{"inputs": {"x": {"kind": "artifact", "ref": to_plain(inner)}}}]}).encode()
    digest = hashlib.sha256(graph).hexdigest()
    store.cache.put(blob_key(digest), graph)
    store.upload_outputs([], [digest])
    assert server.store.get(blob_key(digest)) == graph
    assert server.store.get(blob_key(inner.digest)) == b"x" * 5000


def test_many_blobs_travel_with_few_questions(server: Server, store: RemoteArtifactStore) -> None:
    many = [str(n).encode() for n in range(600)]
    for data in many:
        store.cache.put(key_of(data), data)
    store.upload(map(key_of, many))
    assert all(server.store.stat(key_of(data)) for data in many)
    assert server.requests == [("POST", "/worker/v1/blobs")] * 2
    store.upload(map(key_of, many))
    assert server.requests == [("POST", "/worker/v1/blobs")] * 4


def test_of_many_readers_at_once_one_fetches(server: Server, store: RemoteArtifactStore) -> None:
    data = os.urandom(4 << 20)
    server.store.put(key_of(data), data)
    seen: list[bytes] = []
    threads = [threading.Thread(target=lambda: seen.append(store.get(key_of(data)))) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen == [data] * 6
    assert server.requests == [("POST", "/worker/v1/blobs")]


def test_bytes_that_are_damaged_in_the_store_are_refused(server: Server, store: RemoteArtifactStore) -> None:
    data = b"right" * 100
    server.store.put(key_of(data), data)
    path = server.store.local_path(key_of(data))
    assert path is not None
    path.chmod(0o644)
    path.write_bytes(b"wrong" * 100)
    with pytest.raises(StoreUnavailable, match="damaged"):
        store.get(key_of(data))
    assert store.cache.stat(key_of(data)) is None
    assert list((Path(store.root) / ".tmp").iterdir()) == []


def test_a_server_that_is_away_is_asked_again(server: Server, store: RemoteArtifactStore) -> None:
    data = b"later" * 1000
    server.stop()
    done: list[bool] = []
    writer = threading.Thread(target=lambda: done.append(store.put(key_of(data), data)))
    writer.start()
    await_true(lambda: store.cache.stat(key_of(data)) is not None, "nothing was put")
    server.start()
    writer.join(60)
    assert done == [True]
    assert server.store.get(key_of(data)) == data


def test_patience_ends_with_an_error_that_says_who_did_not_answer(server: Server, tmp_path: Path) -> None:
    server.stop()
    store = RemoteArtifactStore(tmp_path / "cache", Control(Link(patience_s=0.1), server.url, ""), server.blobs_url)
    with pytest.raises(InfraError, match="nobody listens") as caught:
        store.get(key_of(b"x"))
    assert server.url in caught.value.message and "Token" not in caught.value.message


def test_a_refusal_is_no_reason_to_wait(server: Server, link: Link, tmp_path: Path) -> None:
    store = RemoteArtifactStore(tmp_path / "cache", Control(link, server.url, "w1.a.9999999999.00"), server.blobs_url)
    with pytest.raises(Refused) as caught:
        store.get(key_of(b"x"))
    assert caught.value.status == 401


class Bucket(ThreadingHTTPServer):
    """An object store with presigned addresses: absolute ones, on a server of its own. It can be told to misbehave."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), BucketHandler)
        self.blobs: dict[str, bytes] = {}
        self.cuts: list[int] = []  # the next answers (or requests) end after so many bytes
        self.statuses: list[int] = []  # the next answers are these
        self.ignores_ranges = False
        self.seen: list[tuple[str, str]] = []
        self.signed = 0
        threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True).start()

    def sign(self, key: str) -> str:
        self.signed += 1
        return f"http://127.0.0.1:{self.server_address[1]}/{key}?X-Signature={self.signed}"


class BucketHandler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Bucket  # type: ignore[assignment]

    def do_GET(self) -> None:
        key = self.path[1:].partition("?")[0]
        self.server.seen.append(("GET", self.headers.get("Range", "")))
        if self._misbehaves():
            return
        data = self.server.blobs[key]
        wanted = self.headers.get("Range", "") if not self.server.ignores_ranges else ""
        start = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted else 0
        self.send_response(206 if wanted else 200)
        self.send_header("Content-Length", str(len(data) - start))
        self.end_headers()
        part = data[start:]
        if self.server.cuts:
            self.wfile.write(part[: self.server.cuts.pop(0)])
            self.close_connection = True
            self.connection.shutdown(2)
            return
        self.wfile.write(part)

    def do_PUT(self) -> None:
        key, size = self.path[1:].partition("?")[0], int(self.headers["Content-Length"])
        self.server.seen.append(("PUT", ""))
        if self.server.cuts:
            self.rfile.read(self.server.cuts.pop(0))
            self.close_connection = True
            self.connection.close()
            return
        data = self.rfile.read(size)
        if self._misbehaves():
            return
        self.server.blobs[key] = data
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def _misbehaves(self) -> bool:
        if not self.server.statuses:
            return False
        self.send_response(self.server.statuses.pop(0))
        self.send_header("Content-Length", "0")
        self.end_headers()
        return True

    def log_message(self, format: str, *args: Any) -> None:
        return


@pytest.fixture
def bucket(server: Server) -> Iterator[Bucket]:
    made = Bucket()
    server.channel.signer.sign = lambda method, key, size=-1: made.sign(key)  # type: ignore[method-assign]
    yield made
    made.shutdown()
    made.server_close()


DATA = bytes(range(256)) * 20_000


def test_presigned_addresses_of_an_object_store_are_followed(
    bucket: Bucket, server: Server, store: RemoteArtifactStore, tmp_path: Path
) -> None:
    store.put(key_of(DATA), DATA)
    assert bucket.blobs[key_of(DATA)] == DATA
    assert server.store.stat(key_of(DATA)) is None
    FolderArtifactStore(store.root).delete(key_of(DATA))
    assert store.get(key_of(DATA)) == DATA


def test_a_download_goes_on_where_the_connection_broke(bucket: Bucket, store: RemoteArtifactStore) -> None:
    bucket.blobs[key_of(DATA)] = DATA
    bucket.cuts = [1_000_000, 500_000]
    assert store.get(key_of(DATA)) == DATA
    ranges = [wanted for _, wanted in bucket.seen]
    assert ranges[0] == "" and [int(each.removeprefix("bytes=").rstrip("-")) for each in ranges[1:]] == [1_000_000, 1_500_000]


def test_a_store_without_ranges_is_read_from_the_start(bucket: Bucket, store: RemoteArtifactStore) -> None:
    bucket.blobs[key_of(DATA)] = DATA
    bucket.cuts, bucket.ignores_ranges = [1_000_000], True
    assert store.get(key_of(DATA)) == DATA


def test_an_upload_that_broke_is_made_again(bucket: Bucket, store: RemoteArtifactStore) -> None:
    bucket.cuts = [1_000_000]
    store.put(key_of(DATA), DATA)
    assert bucket.blobs[key_of(DATA)] == DATA


@pytest.mark.parametrize("status", [429, 500, 503])
def test_an_answer_that_says_not_now_is_asked_for_again(bucket: Bucket, store: RemoteArtifactStore, status: int) -> None:
    bucket.statuses = [status, status]
    store.put(key_of(DATA), DATA)
    bucket.statuses = [status]
    FolderArtifactStore(store.root).delete(key_of(DATA))
    assert store.get(key_of(DATA)) == DATA


def test_an_address_whose_time_is_over_is_replaced(bucket: Bucket, store: RemoteArtifactStore) -> None:
    bucket.statuses = [403]
    store.put(key_of(DATA), DATA)
    bucket.statuses = [403]
    FolderArtifactStore(store.root).delete(key_of(DATA))
    assert store.get(key_of(DATA)) == DATA


def test_damage_on_the_way_is_noticed_and_the_bytes_are_fetched_again(bucket: Bucket, store: RemoteArtifactStore) -> None:
    class Once(dict[str, bytes]):
        reads = 0

        def __getitem__(self, key: str) -> bytes:
            self.reads += 1
            return DATA if self.reads > 1 else DATA[:-1] + b"?"

    bucket.blobs = Once()
    assert store.get(key_of(DATA)) == DATA
    assert bucket.blobs.reads == 2


def test_a_full_disk_there_is_said_at_once(bucket: Bucket, store: RemoteArtifactStore) -> None:
    bucket.statuses = [507]
    with pytest.raises(StoreUnavailable, match="disk is full"):
        store.put(key_of(DATA), DATA)
    assert len(bucket.seen) == 1


def test_a_missing_input_is_left_to_the_attempt_to_report(server: Server, store: RemoteArtifactStore) -> None:
    gone = ArtifactRef(hashlib.sha256(b"gone").hexdigest(), 4, "list")
    here = ArtifactRef(hashlib.sha256(b"here").hexdigest(), 4, "file")
    server.store.put(blob_key(here.digest), b"here")
    store.fetch_inputs([gone, here])
    assert store.cache.get(blob_key(here.digest)) == b"here"
