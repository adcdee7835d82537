"""The blob process: bulk bytes by signed address, whole or not at all, whoever is slow, lost, wrong or out of room."""

from __future__ import annotations

import hashlib
import http.client
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fairway.spec.artifact import blob_key
from fairway.spec.layout import BLOBS
from fairway.spec.tokens import blob_url, sign_url
from fairway.step.folder import FolderArtifactStore
from fairway.web import blobs
from fairway.web.blobs import BlobServer
from tests.waiting import await_true

KEY = "5e" * 32
DATA = bytes(range(256)) * 8000


def key_of(data: bytes) -> str:
    return blob_key(hashlib.sha256(data).hexdigest())


def signed(method: str, key: str, *, size: int = -1, valid_s: float = 60.0, by: str = KEY) -> str:
    return blob_url(key, sign_url(by, method, key, time.time() + valid_s, size))


class Bench:
    def __init__(self, home: Path) -> None:
        self.home = home
        self.server = BlobServer(("127.0.0.1", 0), str(home), KEY)
        self.store = self.server.store
        self.port = self.server.server_port
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True)
        self.thread.start()

    def ask(self, method: str, url: str, body: bytes | None = None, **headers: str) -> tuple[int, dict[str, str], bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            connection.request(method, url, body=body, headers={name.replace("_", "-"): value for name, value in headers.items()})
            answer = connection.getresponse()
            return answer.status, dict(answer.headers), answer.read()
        finally:
            connection.close()

    def put(self, data: bytes, key: str = "") -> tuple[int, dict[str, str], bytes]:
        return self.ask("PUT", signed("PUT", key or key_of(data), size=len(data)), data)

    def unfinished(self) -> list[Path]:
        folder = self.home / BLOBS / ".tmp"
        return list(folder.iterdir()) if folder.exists() else []

    def close(self) -> None:
        self.server.stop()
        self.thread.join(60)


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path)
    yield made
    made.close()


def test_a_blob_goes_in_once_and_comes_out_as_it_was(bench: Bench) -> None:
    assert bench.put(DATA)[0] == 201
    assert bench.put(DATA)[0] == 200
    status, headers, body = bench.ask("GET", signed("GET", key_of(DATA)))
    assert (status, body) == (200, DATA)
    assert headers["ETag"] == f'"{hashlib.sha256(DATA).hexdigest()}"'
    assert "immutable" in headers["Cache-Control"]
    assert bench.store.get(key_of(DATA)) == DATA
    assert bench.unfinished() == []


def test_an_empty_blob(bench: Bench) -> None:
    assert bench.put(b"")[0] == 201
    assert bench.ask("GET", signed("GET", key_of(b"")))[2] == b""
    assert bench.ask("GET", signed("GET", key_of(b"")), Range="bytes=0-")[0] == 416


def test_what_is_put_again_counts_as_used(bench: Bench) -> None:
    bench.put(DATA)
    path = bench.store.local_path(key_of(DATA))
    assert path is not None
    os.utime(path, (1, 1))
    assert bench.put(DATA)[0] == 200
    assert path.stat().st_mtime > 1


@pytest.mark.parametrize(
    "url",
    [
        f"/b/{key_of(DATA)}",
        signed("GET", key_of(DATA), valid_s=-1),
        signed("GET", key_of(DATA), by="00" * 32),
        signed("PUT", key_of(DATA)),
        signed("GET", key_of(b"another")).replace(key_of(b"another"), key_of(DATA)),
        signed("GET", key_of(DATA)).replace("e=", "e=9"),
        "/",
        "/b/../fairway.db?e=1&s=x",
    ],
    ids=["no signature", "too late", "another key", "for writing", "for another blob", "a longer time", "no blob", "outside"],
)
def test_nothing_is_read_by_an_address_that_was_not_signed_for_it(bench: Bench, url: str) -> None:
    bench.put(DATA)
    status, _, body = bench.ask("GET", url)
    assert status == 403 and DATA[:64] not in body


def test_nothing_is_written_by_an_address_that_was_not_signed_for_it(bench: Bench) -> None:
    for url in (signed("GET", key_of(DATA)), signed("PUT", key_of(b"another"), size=len(DATA)).replace(key_of(b"another"), key_of(DATA))):
        assert bench.ask("PUT", url, DATA)[0] == 403
    assert bench.ask("PUT", signed("PUT", key_of(DATA), size=5), DATA)[0] == 400
    assert list(bench.store.list("")) == [] and bench.unfinished() == []


def test_a_signed_key_that_leads_out_of_the_store_is_refused(bench: Bench) -> None:
    (bench.home / "secret").write_text("secret")
    status, _, body = bench.ask("GET", signed("GET", "sha256/../../secret"))
    assert status == 500 and b"not a key" in body


def test_the_signature_is_never_logged(bench: Bench, capfd: pytest.CaptureFixture[str]) -> None:
    url = signed("GET", key_of(DATA), valid_s=-1)
    bench.ask("GET", url)
    said = capfd.readouterr().err
    assert "403" in said and key_of(DATA) in said
    assert url.partition("s=")[2] not in said


def test_bytes_that_are_not_what_the_key_says_are_refused(bench: Bench) -> None:
    status, _, body = bench.put(DATA[:-1] + b"?", key_of(DATA))
    assert status == 400 and hashlib.sha256(DATA).hexdigest().encode() in body
    assert list(bench.store.list("")) == [] and bench.unfinished() == []
    assert bench.put(DATA)[0] == 201


def test_a_missing_blob(bench: Bench) -> None:
    status, headers, _ = bench.ask("GET", signed("GET", key_of(b"missing")))
    assert status == 404 and headers["Content-Type"] == "application/problem+json"
    assert bench.ask("HEAD", signed("GET", key_of(b"missing")))[0] == 404


def test_a_head_has_everything_but_the_bytes(bench: Bench) -> None:
    bench.put(DATA)
    status, headers, body = bench.ask("HEAD", signed("GET", key_of(DATA)))
    assert (status, headers["Content-Length"], body) == (200, str(len(DATA)), b"")


@pytest.mark.parametrize(
    ("wanted", "first", "last"),
    [
        ("bytes=0-0", 0, 0),
        ("bytes=5-9", 5, 9),
        ("bytes=100-", 100, len(DATA) - 1),
        ("bytes=-7", len(DATA) - 7, len(DATA) - 1),
        ("bytes=5-99999999", 5, len(DATA) - 1),
        ("bytes=-99999999", 0, len(DATA) - 1),
    ],
)
def test_a_range(bench: Bench, wanted: str, first: int, last: int) -> None:
    bench.put(DATA)
    status, headers, body = bench.ask("GET", signed("GET", key_of(DATA)), Range=wanted)
    assert (status, headers["Content-Range"]) == (206, f"bytes {first}-{last}/{len(DATA)}")
    assert body == DATA[first : last + 1]


@pytest.mark.parametrize("wanted", [f"bytes={len(DATA)}-", "bytes=-0", "bytes=9-5"])
def test_a_range_that_is_not_there(bench: Bench, wanted: str) -> None:
    bench.put(DATA)
    status, headers, _ = bench.ask("GET", signed("GET", key_of(DATA)), Range=wanted)
    assert (status, headers["Content-Range"]) == (416, f"bytes */{len(DATA)}")


@pytest.mark.parametrize("wanted", ["bytes=1-2,4-5", "lines=1-2", "bytes=a-b", "bytes=-"])
def test_a_range_of_another_kind_is_passed_over(bench: Bench, wanted: str) -> None:
    bench.put(DATA)
    status, _, body = bench.ask("GET", signed("GET", key_of(DATA)), Range=wanted)
    assert (status, body) == (200, DATA)


def test_what_the_reader_has_is_not_sent_again(bench: Bench) -> None:
    bench.put(DATA)
    tag = f'"{hashlib.sha256(DATA).hexdigest()}"'
    assert bench.ask("GET", signed("GET", key_of(DATA)), If_None_Match=f'"other", {tag}')[0] == 304
    assert bench.ask("GET", signed("GET", key_of(DATA)), If_None_Match='"other"')[0] == 200
    assert bench.ask("GET", signed("GET", key_of(DATA)), Range="bytes=0-3", If_Range=tag)[2] == DATA[:4]
    assert bench.ask("GET", signed("GET", key_of(DATA)), Range="bytes=0-3", If_Range='"other"')[2] == DATA


def test_several_requests_over_one_connection(bench: Bench) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", bench.port, timeout=60)
    connection.request("PUT", signed("PUT", key_of(DATA), size=len(DATA)), body=DATA)
    assert (answer := connection.getresponse()).status == 201 and answer.read() == b""
    first = connection.sock
    for method, url, status in (
        ("GET", signed("GET", key_of(DATA)), 200),
        ("GET", signed("GET", key_of(b"x")), 404),
        ("PUT", signed("PUT", key_of(DATA), size=len(DATA)), 200),
        ("PUT", signed("GET", key_of(DATA)), 403),
        ("GET", signed("GET", key_of(DATA)), 200),
    ):
        connection.request(method, url, body=DATA if method == "PUT" else None)
        answer = connection.getresponse()
        assert (answer.status, connection.sock is first) == (status, True)
        answer.read()
    connection.close()


def test_an_upload_without_a_length_is_refused(bench: Bench) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", bench.port, timeout=60)
    connection.request("PUT", signed("PUT", key_of(DATA)), body=iter([DATA]), headers={"Transfer-Encoding": "chunked"}, encode_chunked=True)
    assert connection.getresponse().status == 411
    connection.close()


def test_an_upload_that_is_cut_off_leaves_nothing(bench: Bench) -> None:
    with socket.create_connection(("127.0.0.1", bench.port)) as sock:
        head = f"PUT {signed('PUT', key_of(DATA), size=len(DATA))} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(DATA)}\r\n\r\n"
        sock.sendall(head.encode() + DATA[:1000])
        await_true(bench.unfinished, "the upload does not begin")
    await_true(lambda: not bench.unfinished(), "what has begun is left")
    assert list(bench.store.list("")) == []


def test_more_than_the_disk_has_room_for_is_refused_before_it_is_sent(bench: Bench) -> None:
    size = 1 << 49
    with socket.create_connection(("127.0.0.1", bench.port)) as sock:
        sock.sendall(f"PUT {signed('PUT', key_of(DATA), size=size)} HTTP/1.1\r\nHost: x\r\nContent-Length: {size}\r\n\r\n".encode())
        answer = sock.makefile("rb").read()
    assert answer.startswith(b"HTTP/1.1 507") and b"no room" in answer and b"fairway gc" in answer
    assert bench.unfinished() == []


def test_a_disk_that_fills_up_meanwhile_leaves_nothing(tmp_path: Path) -> None:
    """A process whose files may not become larger than a megabyte meets the kernel's own refusal, as on a disk that is full."""
    (tmp_path / "key").write_text(KEY)
    code = "import resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20)); from fairway.web.blobs import main; main()"
    with serving(tmp_path, "-c", code) as (_, port):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        connection.request("PUT", signed("PUT", key_of(DATA), size=len(DATA)), body=DATA)
        answer = connection.getresponse()
        assert (answer.status, b"the disk is full" in answer.read()) == (507, True)
        assert list((tmp_path / BLOBS / ".tmp").iterdir()) == []
        connection.request("PUT", signed("PUT", key_of(b"small"), size=5), body=b"small")
        assert connection.getresponse().status == 201
        connection.close()


def test_of_many_who_upload_the_same_one_stores_it(bench: Bench) -> None:
    seen: list[int] = []
    threads = [threading.Thread(target=lambda: seen.append(bench.put(DATA)[0])) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(seen) <= {200, 201} and bench.store.get(key_of(DATA)) == DATA and bench.unfinished() == []


def test_slow_readers_hold_up_nobody_and_no_memory(bench: Bench) -> None:
    big = os.urandom(1 << 20) * 16
    bench.put(big)
    slow = [socket.create_connection(("127.0.0.1", bench.port)) for _ in range(20)]
    before = resident_bytes()
    for sock in slow:
        sock.sendall(f"GET {signed('GET', key_of(big))} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    for sock in slow:
        assert sock.recv(4, socket.MSG_WAITALL) == b"HTTP"  # each is being served, and reads no further
    assert bench.ask("GET", signed("GET", key_of(big)), Range="bytes=0-9")[2] == big[:10]
    assert resident_bytes() - before < 16 << 20, "20 answers of 16 MB each are under way"
    for sock in slow:
        sock.close()


def test_more_peers_than_places_are_served_in_turn(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blobs, "CONNECTIONS", 4)
    bench.put(DATA)
    idle = [socket.create_connection(("127.0.0.1", bench.port)) for _ in range(3)]
    await_true(lambda: len(bench.server._open) == 3, "three do not come")
    _, headers, body = bench.ask("GET", signed("GET", key_of(DATA)))
    assert body == DATA and headers["Connection"] == "close", "whoever is served makes room"
    for sock in idle:
        sock.close()


def test_it_can_be_stopped_while_all_places_are_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blobs, "CONNECTIONS", 2)
    monkeypatch.setattr(blobs, "_IDLE_S", 3600.0)
    bench = Bench(tmp_path)
    idle = [socket.create_connection(("127.0.0.1", bench.port)) for _ in range(4)]
    await_true(lambda: len(bench.server._open) == 2, "none goes")
    bench.close()
    assert not bench.thread.is_alive() and len(bench.server._open) == 2, "long before the idle ones are closed"
    for sock in idle:
        sock.close()


def test_the_process_ends_well_when_told_and_finishes_what_it_does(tmp_path: Path) -> None:
    (tmp_path / "key").write_text(KEY + "\n")
    with serving(tmp_path, "-m", "fairway.web.blobs") as (process, port):
        sock = socket.create_connection(("127.0.0.1", port))
        head = f"PUT {signed('PUT', key_of(DATA), size=len(DATA))} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(DATA)}\r\n\r\n"
        sock.sendall(head.encode() + DATA[:1000])
        await_true(lambda: list((tmp_path / BLOBS / ".tmp").glob("*")), "no upload has begun")
        process.send_signal(signal.SIGTERM)
        sock.sendall(DATA[1000:])
        assert sock.recv(100).startswith(b"HTTP/1.1 201")
        sock.close()
        assert process.wait(60) == 0
    assert FolderArtifactStore(tmp_path / BLOBS).get(key_of(DATA)) == DATA


def test_what_killed_processes_have_left_is_swept_at_the_start(tmp_path: Path) -> None:
    (tmp_path / "key").write_text(KEY)
    (tmp_path / BLOBS / ".tmp").mkdir(parents=True)
    for name, at in (("old", 1), ("new", time.time())):
        (tmp_path / BLOBS / ".tmp" / name).write_text("half")
        os.utime(tmp_path / BLOBS / ".tmp" / name, (at, at))
    with serving(tmp_path, "-m", "fairway.web.blobs"):
        assert [path.name for path in (tmp_path / BLOBS / ".tmp").iterdir()] == ["new"]


def test_a_missing_key_is_said_in_one_line(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "fairway.web.blobs", "--home", tmp_path, "--key-file", tmp_path / "none", "--port", "0"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert done.stderr.startswith("blobs: cannot serve: cannot read the signing key") and done.stderr.count("\n") == 1


def test_it_is_alive(bench: Bench) -> None:
    assert bench.ask("GET", "/livez")[:1] == (200,)


class serving:
    """The process, and its port."""

    def __init__(self, home: Path, *how: str) -> None:
        command = [sys.executable, *how, "--home", home, "--port", "0", "--key-file", home / "key"]
        self.process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)

    def __enter__(self) -> tuple[subprocess.Popen[str], int]:
        assert self.process.stderr is not None
        line = self.process.stderr.readline()
        found = re.search(r":(\d+)$", line.strip())
        assert found, line
        return self.process, int(found[1])

    def __exit__(self, *_: Any) -> None:
        self.process.kill()
        self.process.wait()
        assert self.process.stderr is not None
        self.process.stderr.close()


def resident_bytes() -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmRSS"):
            return int(line.split()[1]) * 1024
    raise AssertionError
