"""Objects by URL: a real S3 server, and a plain web server."""

from __future__ import annotations

import gzip
import http.server
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import obstore
import pytest

from fairway.data.sources import remote
from fairway.data.table import read
from fairway.errors import ConfigError, NotFoundError, StoreUnavailable
from tests.store.seaweed import ACCESS_KEY, SECRET_KEY, serve_s3

ROWS = {"n": list(range(5000)), "t": [f"text {n}" for n in range(5000)], "x": [n / 4 for n in range(5000)]}


@pytest.fixture(scope="module")
def bucket(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("s3")
    with serve_s3(folder) as url, pytest.MonkeyPatch.context() as patch:
        for name, value in {
            "AWS_ACCESS_KEY_ID": ACCESS_KEY, "AWS_SECRET_ACCESS_KEY": SECRET_KEY, "AWS_ENDPOINT_URL": url, "AWS_REGION": "us-east-1",
        }.items():  # fmt: skip
            patch.setenv(name, value)
        store = obstore.store.from_url("s3://tests", client_options={"allow_http": True})
        made = tmp_path_factory.mktemp("made")
        for ending in ("parquet", "csv", "ndjson", "arrow"):
            read(ROWS).write(made / f"t.{ending}")
            obstore.put(store, f"a/t.{ending}", (made / f"t.{ending}").read_bytes())
        obstore.put(store, "a/u.parquet", (made / "t.parquet").read_bytes())
        obstore.put(store, "a/deep/t.csv.gz", gzip.compress((made / "t.csv").read_bytes()))
        yield "s3://tests"


class TestBuckets:
    @pytest.mark.parametrize("name", ["a/t.parquet", "a/t.csv", "a/t.ndjson", "a/t.arrow", "a/deep/t.csv.gz"])
    def test_every_format(self, bucket: str, name: str) -> None:
        table = read(f"{bucket}/{name}")
        assert table.columns == ["n", "t", "x"]
        assert table.count() == 5000
        assert table.rows(2) == [{"n": 0, "t": "text 0", "x": 0.0}, {"n": 1, "t": "text 1", "x": 0.25}]
        assert table.where("n >= 4999").select("x").rows() == [{"x": 4999 / 4}]

    def test_globs_and_folders(self, bucket: str) -> None:
        assert read(f"{bucket}/a/*.parquet").count() == 10_000
        assert read(f"{bucket}/a/**/*.csv*", format="csv").count() == 10_000
        assert read(f"{bucket}/a/deep/", format="csv").count() == 5000
        with pytest.raises(NotFoundError, match="no object is named like"):
            read(f"{bucket}/a/*.orc", format="parquet")

    def test_an_object_that_was_written_again_has_another_version(self, bucket: str) -> None:
        store = obstore.store.from_url(bucket, client_options={"allow_http": True})
        found = []
        for text in (b"n\n1\n", b"n\n2\n"):
            obstore.put(store, "b/again.csv", text)
            found.append(remote.find_version(f"{bucket}/b/again.csv"))
            assert found[-1] == remote.find_version(f"{bucket}/b/again.csv")
        assert found[0] != found[1] and [one and one[1] for one in found] == [4, 4]

    def test_missing(self, bucket: str) -> None:
        with pytest.raises(NotFoundError, match="there is no object"):
            read(f"{bucket}/a/none.parquet")

    def test_a_server_that_is_not_there(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("AWS_ENDPOINT_URL", "https://127.0.0.1:1")
        monkeypatch.setattr("fairway.data.sources.remote._RETRY", {"max_retries": 0})
        with pytest.raises(StoreUnavailable):
            read("s3://tests/a/t.csv")


class _Handler(http.server.BaseHTTPRequestHandler):
    files: dict[str, bytes] = {}
    asked: list[tuple[str, str]] = []

    def do_GET(self) -> None:
        data = self.files.get(self.path.partition("?")[0])
        span = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range") or "")
        self.asked.append((self.command, self.headers.get("Range") or ""))
        if data is None:
            self.send_error(404)
            return
        whole = len(data)
        if span and "whole" not in self.path:
            data = data[int(span[1]) : int(span[2]) + 1]
            self.send_response(206)
        else:
            self.send_response(200)
        if "tagged" in self.path:
            self.send_header("ETag", f'"{hash(data)}"')
        self.send_header("Content-Length", str(whole if "broken" in self.path else len(data)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(data[: len(data) // 2] if "broken" in self.path else data)

    do_HEAD = do_GET

    def log_message(self, format: str, *args: Any) -> None:
        pass


@contextmanager
def served(files: dict[str, bytes]) -> Iterator[tuple[str, list[tuple[str, str]]]]:
    handler = type("Handler", (_Handler,), {"files": files, "asked": []})
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", handler.asked
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class TestWeb:
    def test_texts_and_parquet_by_ranges(self, tmp_path: Path) -> None:
        read({**ROWS, "wide": ["x" * 100 + str(n * 7919 % 5003) for n in range(5000)]}).write(tmp_path / "t.parquet")
        data = (tmp_path / "t.parquet").read_bytes()
        with served({"/t.csv": b"a;b\n1;x\n2;y\n", "/t.parquet": data}) as (url, asked):
            assert read(f"{url}/t.csv?token=1").rows() == [{"a": 1, "b": "x"}, {"a": 2, "b": "y"}]
            table = read(f"{url}/t.parquet")
            asked.clear()
            assert sum(batch.columns["n"].data.sum() for batch in table.batches(["n"])) == sum(range(5000))
            fetched = sum(int(end) - int(start) + 1 for _, span in asked if span for start, end in [span[6:].split("-")])
            assert all(span or verb == "HEAD" for verb, span in asked)
            assert fetched < 5 * len(data)

    def test_errors(self) -> None:
        with served({"/broken.csv": b"a,b\n" + b"1,2\n" * 100_000}) as (url, _):
            with pytest.raises(NotFoundError):
                read(f"{url}/none.csv")
            with pytest.raises(StoreUnavailable, match="broke off"):
                read(f"{url}/broken.csv").count()
        with pytest.raises(ConfigError, match="password"):
            read("http://user:secret@127.0.0.1:1/t.csv")
        with pytest.raises(StoreUnavailable):
            read("http://127.0.0.1:1/t.csv")
