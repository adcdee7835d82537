"""Connections that break in the middle of a read: a clear error or another try; rows neither come twice nor are lost in silence."""

from __future__ import annotations

import contextlib
import datetime as dt
import http.server
import json
import socket
import threading
from collections.abc import Generator, Iterator
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import obstore
import psycopg
import pytest

import fairway as fw
from fairway.data.streams import Window, follow
from fairway.errors import InfraError, StoreUnavailable
from tests.store.seaweed import ACCESS_KEY, SECRET_KEY, serve_s3


class Cutter:
    """A way to a server that breaks: `cut()` closes what is open, and each new connection after so many bytes of answers (None: never)."""

    def __init__(self, host: str, port: int) -> None:
        self._target = (host, port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.after: int | None = None
        self.heals = False
        self.cuts = 0
        self._open: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            try:
                far = socket.create_connection(self._target)
            except OSError:
                near.close()
                continue
            self._open += [near, far]
            threading.Thread(target=self._copy, args=(near, far, False), daemon=True).start()
            threading.Thread(target=self._copy, args=(far, near, True), daemon=True).start()

    def _copy(self, source: socket.socket, target: socket.socket, answers: bool) -> None:
        passed = 0
        with contextlib.suppress(OSError):
            while data := source.recv(1 << 14):
                target.sendall(data)
                passed += len(data)
                if answers and self.after is not None and passed > self.after:
                    self.cuts += 1
                    self.after = None if self.heals else self.after
                    break
        _shut(source, target)

    def cut(self) -> None:
        _shut(*self._open)
        self._open.clear()

    def close(self) -> None:
        _shut(self._listener)
        self._listener.close()
        self.cut()


def _shut(*ends: socket.socket) -> None:
    for one in ends:
        with contextlib.suppress(OSError):
            one.shutdown(socket.SHUT_RDWR)


@contextlib.contextmanager
def cutter(host: str, port: int) -> Generator[Cutter]:
    made = Cutter(host, port)
    try:
        yield made
    finally:
        made.close()


ROWS = 400_000
_CSV = b"n,t\n" + b"".join(b"%d,text %d\n" % (n, n) for n in range(ROWS))


@pytest.fixture(scope="module")
def bucket(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cutter]:
    with serve_s3(tmp_path_factory.mktemp("s3")) as url, pytest.MonkeyPatch.context() as patch:
        parts = urlsplit(url)
        assert parts.hostname and parts.port
        with cutter(parts.hostname, parts.port) as way:
            for name, value in {
                "AWS_ACCESS_KEY_ID": ACCESS_KEY, "AWS_SECRET_ACCESS_KEY": SECRET_KEY, "AWS_REGION": "us-east-1",
                "AWS_ENDPOINT_URL": f"http://127.0.0.1:{way.port}",
            }.items():  # fmt: skip
                patch.setenv(name, value)
            store = obstore.store.from_url("s3://tests", client_options={"allow_http": True})
            obstore.put(store, "t.csv", _CSV)
            path = tmp_path_factory.mktemp("p") / "t.parquet"
            fw.read({"n": range(ROWS), "t": [f"text {n * 7919 % 99_991}" for n in range(ROWS)]}).write(path)
            obstore.put(store, "t.parquet", path.read_bytes())
            yield way


@pytest.mark.parametrize("heals", [True, False])
@pytest.mark.parametrize("name", ["t.csv", "t.parquet"])
def test_s3_is_tried_again_or_is_an_error(bucket: Cutter, name: str, heals: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fairway.data.sources.remote._RETRY", {"max_retries": 2, "backoff": {"init_backoff": dt.timedelta(milliseconds=9)}})
    table = fw.read(f"s3://tests/{name}")
    numbers: list[int] = []
    bucket.after, bucket.heals = 100_000, heals
    bucket.cut()
    try:
        for batch in table.batches(["n", "t"]):
            numbers += batch.columns["n"].data.tolist()
    except StoreUnavailable as error:
        assert f"s3://tests/{name}" in str(error)
        assert not heals
        assert numbers == list(range(len(numbers))), "rows came twice or are missing"
    else:
        assert numbers == list(range(ROWS))
    finally:
        cuts, bucket.after, bucket.cuts = bucket.cuts, None, 0
    assert cuts, "nothing was cut"
    assert fw.read(f"s3://tests/{name}").count() == ROWS, "it is read again once the server is back"


def test_http_that_breaks_off_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_bytes(_CSV)
    handler = partial(Quiet, directory=str(tmp_path))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        with cutter("127.0.0.1", server.server_port) as way:
            uri = f"http://127.0.0.1:{way.port}/t.csv"
            table = fw.read(uri)
            way.after = 3_000_000
            numbers: list[int] = []
            with pytest.raises(StoreUnavailable, match="broke off after"):
                for batch in table.batches(["n"]):
                    numbers += batch.columns["n"].data.tolist()
            assert numbers == list(range(len(numbers)))
            way.after = None
            assert table.count() == ROWS
        server.shutdown()


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        pass


_TERMINATE = "select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and pid <> %s"


@pytest.mark.filterwarnings("error::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("parts", [{}, {"partition": "id", "partitions": 3}], ids=["one", "parts"])
def test_a_terminated_backend_of_postgresql_is_an_error(postgres_server: str, parts: dict[str, Any]) -> None:
    with psycopg.connect(postgres_server, autocommit=True) as link:
        link.execute("create table cut as select n as id from generate_series(1, 1500000) n")
        try:
            numbers: list[int] = []
            with pytest.raises(InfraError, match="ended the connection") as caught:
                for batch in fw.read(postgres_server, table="cut", **parts).batches(["id"]):
                    if not numbers:
                        (ended,) = link.execute(_TERMINATE, [link.info.backend_pid]).fetchall()[0]
                        assert ended
                    numbers += batch.columns["id"].data.tolist()
            assert "try again" in caught.value.hint
            assert len(set(numbers)) == len(numbers) < 1_500_000
            assert fw.read(postgres_server, table="cut").count() == 1_500_000
        finally:
            link.execute("drop table cut")


def _numbers(window: Window) -> list[int]:
    return window.batch.columns["n"].data.tolist() if window.batch.rows else []


def test_redis_that_is_gone_for_a_while_loses_nothing(redis_server: str) -> None:
    import redis

    port = int(redis_server.rpartition(":")[2])
    client = redis.Redis(port=port)
    for number in range(50):
        client.xadd("gone", {"n": number})
    with cutter("127.0.0.1", port) as way:
        stream = follow(f"redis://127.0.0.1:{way.port}/0?stream=gone", window="10 rows", group="g", start="oldest")
        told: list[int] = []
        windows = iter(stream)
        for place in range(8):
            window = next(windows)
            told += _numbers(window)
            if place == 2:
                way.cut()  # the connection breaks before the commit
            window.commit()
            if place == 4:
                way.cut()  # and while nothing waits
                for number in range(50, 80):
                    client.xadd("gone", {"n": number})
        assert told == list(range(80)), "each row once, in order"
        assert client.xpending("gone", "g")["pending"] == 0
        stream.close()
    client.close()


def test_redis_that_does_not_come_back_gives_what_was_not_done_to_the_next(redis_server: str) -> None:
    import redis

    port = int(redis_server.rpartition(":")[2])
    client = redis.Redis(port=port)
    for number in range(30):
        client.xadd("away", {"n": number})
    options: dict[str, Any] = {"window": "10 rows", "group": "g", "start": "oldest", "consumer": "me"}
    with cutter("127.0.0.1", port) as way:
        stream = follow(f"redis://127.0.0.1:{way.port}/0?stream=away", **options)
        windows = iter(stream)
        next(windows).commit()
        way.close()
        second = next(windows)
        assert _numbers(second) == list(range(10, 20))
        second.commit()
        assert any("could not be acknowledged" in note for note in stream.notes)
        stream.close()
    again = [n for window in follow(f"{redis_server}/0?stream=away", **options, once=True) for n in _numbers(window)]
    assert again == list(range(10, 30))
    client.close()


def test_brokers_of_kafka_that_are_gone() -> None:
    from confluent_kafka import Producer

    cluster = Producer({"bootstrap.servers": "127.0.0.1:1", "test.mock.num.brokers": 1, "log_level": 0})
    (broker,) = cluster.list_topics(timeout=60).brokers.values()
    for number in range(40):
        cluster.produce("gone", json.dumps({"n": number}).encode(), partition=0)
    assert cluster.flush(30) == 0
    options: dict[str, Any] = {"window": "10 rows", "group": "g", "start": "oldest", "config": {"session.timeout.ms": 6000}, "retry_s": 5}
    stream = follow(f"kafka://{broker.host}:{broker.port}/gone", **options)
    windows = iter(stream)
    first = next(windows)
    assert _numbers(first) == list(range(10))
    del cluster
    first.commit()
    assert any("could not be committed and will come again" in note for note in stream.notes), stream.notes
    stream.stop()
    stream.close()
    later: dict[str, Any] = options | {"retry_s": 0.5}
    with pytest.raises(InfraError, match="does not answer"):
        next(iter(follow(f"kafka://{broker.host}:{broker.port}/gone", **later)))
