"""Data that exists already: `fw.artifact` of a path or URL, with its digest."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from fairway.errors import ConfigError, DefinitionError, NotFoundError, StoreUnavailable, UnsupportedError
from tests.semantics.rig import Rig, outputs

SOURCE = """
@fw.step
def size(data: fw.File) -> int:
    return len(data.read_bytes())

@fw.step
def name(data: fw.File) -> str:
    return data.name

@fw.pipeline
def main():
    data = fw.artifact({source!r}, digest={digest!r})
    return {{"size": size(data), "name": name(data)}}
"""
DATA = b"income,age\n1,2\n"
DIGEST = hashlib.sha256(DATA).hexdigest()


class Server(ThreadingHTTPServer):
    """A web server on this machine that counts what it is asked for."""

    daemon_threads = True

    def __init__(self) -> None:
        self.asked: list[str] = []
        super().__init__(("127.0.0.1", 0), _Handler)

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/{path}"


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        server: Any = self.server
        server.asked.append(self.path)
        if self.path == "/gone.csv":
            self.send_error(404)
            return
        self.send_response(200)
        self.send_header("Content-Length", str(len(DATA) + (10 if self.path == "/cut.csv" else 0)))
        self.end_headers()
        self.wfile.write(DATA)

    def log_message(self, format: str, *args: Any) -> None:
        """Quiet."""


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as made:
        thread = threading.Thread(target=made.serve_forever)
        thread.start()
        yield made
        made.shutdown()
        thread.join()


def source(place: str, digest: str = "") -> str:
    return SOURCE.format(source=place, digest=digest)


@pytest.mark.parametrize("spelled", ["data.csv", "./data.csv", "{root}/data.csv", "file://{root}/data.csv"])
def test_a_path_is_stored_by_digest_under_its_own_name(rig: Rig, spelled: str) -> None:
    (rig.root / "data.csv").write_bytes(DATA)
    run = rig.run(source(spelled.format(root=rig.root), "sha256:" + DIGEST.upper()))
    assert outputs(run) == {"size": len(DATA), "name": "data.csv"}
    assert run.tasks["size"].inputs["data"].digest == DIGEST


def test_other_content_than_the_digest_says_is_refused_before_anything_runs(rig: Rig) -> None:
    (rig.root / "data.csv").write_bytes(DATA + b"3,4\n")
    with pytest.raises(ConfigError, match=f"data.csv is [0-9a-f]+, not {DIGEST}") as caught:
        rig.run(source("data.csv", DIGEST))
    assert "restore it" in caught.value.hint
    assert caught.value.where
    assert rig.count_runs() == 0


def test_a_folder_is_imported_whole(rig: Rig) -> None:
    (rig.root / "in").mkdir()
    for word in ("a", "b"):
        (rig.root / "in" / word).write_text(word)
    run = rig.run("""
        @fw.step
        def names(folder: fw.Directory) -> list[str]:
            return [file.name for file in folder.files()]

        @fw.pipeline
        def main():
            return names(fw.artifact("in", fw.Directory))
    """)
    assert outputs(run) == {"result": ["a", "b"]}


def test_a_url_is_fetched_once_if_its_digest_is_stated(rig: Rig, server: Server) -> None:
    text = source(server.url("some/data.csv?key=1"), DIGEST)
    assert outputs(rig.run(text)) == {"size": len(DATA), "name": "data.csv"}
    assert outputs(rig.run(text)) == {"size": len(DATA), "name": "data.csv"}
    assert server.asked == ["/some/data.csv?key=1"]


def test_a_url_without_a_digest_is_looked_at_each_time_and_what_did_not_change_is_cached(rig: Rig, server: Server) -> None:
    text = source(server.url("data.csv"))
    rig.run(text)
    path = rig.write(text, "same.py")
    rig.fairway("run", path)
    rig.fairway("run", path)
    assert len(server.asked) == 3
    assert rig.last().tasks["size"].status == "cached"


def test_what_a_url_gives_must_be_what_the_digest_says(rig: Rig, server: Server) -> None:
    with pytest.raises(ConfigError, match=f"gave {DIGEST}, not {'0' * 64}"):
        rig.run(source(server.url("data.csv"), "0" * 64))


WRONG = {
    "nothing there": ("nowhere.csv", NotFoundError, "there is no nowhere.csv"),
    "404": ("{url}gone.csv", NotFoundError, "404"),
    "cut short": ("{url}cut.csv", StoreUnavailable, "the connection ended after 15 of 25 bytes"),
    "nobody answers": ("http://127.0.0.1:9/data.csv", StoreUnavailable, "cannot be fetched"),
    "a bucket": ("s3://bucket/data.csv", UnsupportedError, "cannot read s3://"),
    "a password in the address": ("https://me:pass@example.org/data.csv", DefinitionError, "password"),
    "a folder": (".", DefinitionError, "is a folder, and a file is wanted"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_cannot_be_had_is_refused_with_the_line(rig: Rig, server: Server, case: str) -> None:
    place, kind, message = WRONG[case]
    with pytest.raises(kind) as caught:
        rig.run(source(place.format(url=server.url(""))))
    assert message in caught.value.message
    assert "pass@" not in caught.value.message
    assert caught.value.hint
    assert caught.value.where.startswith("flow_")
    assert rig.count_runs() == 0
    assert not list(Path(rig.root, ".fairway").rglob(".importing*")), "nothing half fetched is left"


def test_only_files_and_folders_are_artifacts(rig: Rig) -> None:
    with pytest.raises(DefinitionError, match="gives files and folders, not `int`"):
        rig.run("@fw.step\ndef s(x): ...\n\n@fw.pipeline\ndef main():\n    s(fw.artifact('x', int))\n")


def test_artifacts_in_lists_and_in_maps(rig: Rig) -> None:
    for word in ("a", "bb"):
        (rig.root / word).write_text(word)
    run = rig.run("""
        @fw.step
        def size(data: fw.File) -> int:
            return len(data.read_bytes())

        @fw.step
        def join(parts: list[fw.File]) -> str:
            return "".join(part.read_text() for part in parts)

        @fw.pipeline
        def main():
            both = [fw.artifact("a"), fw.artifact("bb")]
            return {"sizes": size(fw.each(both)), "joined": join(both), "itself": fw.artifact("a")}
    """)
    found = outputs(run)
    assert (found["sizes"], found["joined"], found["itself"].read_text()) == ([1, 2], "abb", "a")
