"""The stores of a server as others see them keep the promises of their ports, over real connections."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from fairway.errors import ConfigError, UnsupportedError
from fairway.spec.artifact import blob_key
from fairway.spec.event import ClockAdvanced
from fairway.spec.layout import STREAMS
from fairway.spec.ports import run_now
from fairway.spec.summary import RunSummary
from fairway.step.folder import FolderStreamStore
from fairway.store.http import HttpArtifactStore, HttpJournal, HttpStreamStore
from fairway.store.serverapi import ServerApi
from fairway.testing.contracts import ArtifactReaderContract, JournalReaderContract, StreamReaderContract
from fairway.web.ports import KeySigner
from tests.web.rig import TOKEN, Live, Server, blob_port

KEY = "5a" * 32


@pytest.fixture
def server(live: Live, tmp_path: Path) -> Iterator[Server]:
    with live.serving(Server(tmp_path / "home", signer=KeySigner(KEY))) as server:
        yield server


@pytest.fixture
def api(live: Live, server: Server) -> Iterator[ServerApi]:
    with blob_port(server.home, KEY) as blobs_url:
        api = ServerApi(live.url, TOKEN, blobs_url=blobs_url, patience_s=60)
        yield api
        api.close()


class TestHttpJournal(JournalReaderContract):
    @pytest.fixture
    def journal(self, api: ServerApi) -> HttpJournal:
        return HttpJournal(api)

    @pytest.fixture
    def writer(self, server: Server) -> object:
        return server.services.journal

    def test_only_the_server_appends(self, journal: HttpJournal) -> None:
        with pytest.raises(UnsupportedError, match="only the server"):
            run_now(journal.append("r", 0, [ClockAdvanced(1.0)], "b"))


class TestHttpArtifactStore(ArtifactReaderContract):
    @pytest.fixture
    def store(self, api: ServerApi, tmp_path: Path) -> HttpArtifactStore:
        return HttpArtifactStore(api, tmp_path / "here")

    @pytest.fixture
    def writer(self, server: Server) -> object:
        return server.services.artifacts

    def test_what_one_puts_another_reads(self, server: Server, api: ServerApi, store: HttpArtifactStore, tmp_path: Path) -> None:
        data = b"line\n" * 100_000
        key = blob_key(hashlib.sha256(data).hexdigest())
        path = tmp_path / "source"
        path.write_bytes(data)
        assert store.put(key, path)
        assert server.services.artifacts.get(key) == data
        other = HttpArtifactStore(api, tmp_path / "elsewhere")
        found = other.local_path(key)
        assert found is not None
        assert (found.read_bytes(), str(found).startswith(str(tmp_path / "elsewhere"))) == (data, True)

    def test_what_was_fetched_is_read_from_the_folder_here(self, server: Server, store: HttpArtifactStore) -> None:
        key = blob_key(hashlib.sha256(b"kept").hexdigest())
        server.services.artifacts.put(key, b"kept")
        assert store.get(key) == b"kept"
        server.services.artifacts.delete(key)
        assert store.get(key) == b"kept"
        assert store.stat(key) is None  # the server's word counts

    def test_what_the_server_lost_is_sent_again(self, server: Server, store: HttpArtifactStore) -> None:
        key = blob_key(hashlib.sha256(b"lost").hexdigest())
        store.put(key, b"lost")
        server.services.artifacts.delete(key)
        store.upload([key])
        assert server.services.artifacts.get(key) == b"lost"

    def test_bundles_are_put_and_nothing_else_is(self, server: Server, store: HttpArtifactStore) -> None:
        key = f"bundle/{'ab' * 32}"
        assert store.put(key, b"archive")
        assert not store.put(key, b"archive")
        assert store.get(key) == b"archive"
        with pytest.raises(ConfigError):
            store.put("outcome/r/a-1", b"{}")
        with pytest.raises(UnsupportedError):
            store.delete(key)


class TestHttpStreamStore(StreamReaderContract):
    @pytest.fixture
    def streams(self, api: ServerApi) -> HttpStreamStore:
        return HttpStreamStore(api)

    @pytest.fixture
    def writer(self, server: Server) -> StreamsOfRuns:
        return StreamsOfRuns(server)

    def test_only_attempts_write(self, streams: HttpStreamStore) -> None:
        with pytest.raises(UnsupportedError):
            streams.append("r/a-1/log", b"x")
        with pytest.raises(UnsupportedError):
            streams.delete("r")


class StreamsOfRuns(FolderStreamStore):
    """The server's streams; what writes one has its run in the journal, as every attempt has."""

    def __init__(self, server: Server) -> None:
        super().__init__(server.home / STREAMS)
        self._journal = server.services.journal

    def append(self, stream: str, data: bytes) -> None:
        run = stream.partition("/")[0]
        if not run_now(self._journal.head(run)):
            run_now(self._journal.append(run, 0, [ClockAdvanced(1.0)], "b", summary=RunSummary(run, "flow")))
        super().append(stream, data)
