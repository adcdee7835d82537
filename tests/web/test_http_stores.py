"""The stores of a server as others see them keep the promises of their ports, over real connections."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from fairway.errors import UnsupportedError
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
        api = ServerApi(live.url, TOKEN, blobs_url=blobs_url, patience_s=5.0)
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


class TestHttpStreamStore(StreamReaderContract):
    @pytest.fixture
    def streams(self, api: ServerApi) -> HttpStreamStore:
        return HttpStreamStore(api)

    @pytest.fixture
    def writer(self, server: Server) -> StreamsOfRuns:
        return StreamsOfRuns(server)


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
