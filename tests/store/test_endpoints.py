"""Every store of endpoints keeps its promises; and the SQLite one shares a file that its journal has for itself alone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from fairway.spec.endpoint import Endpoint
from fairway.spec.ports import EndpointStore, run_now
from fairway.store import open_endpoints, open_journal
from fairway.testing.contracts import EndpointStoreContract
from fairway.testing.memory import MemoryEndpointStore


class TestSqliteEndpointStore(EndpointStoreContract):
    @pytest.fixture
    def endpoints(self, tmp_path: Path) -> Iterator[EndpointStore]:
        journal = open_journal(tmp_path / "fairway.db")
        yield open_endpoints(journal)
        run_now(journal.close())


class TestPostgresEndpointStore(EndpointStoreContract):
    @pytest.fixture
    def endpoints(self, postgres_url: str) -> Iterator[EndpointStore]:
        journal = open_journal(postgres_url)
        yield open_endpoints(journal)
        run_now(journal.close())


class TestMemoryEndpointStore(EndpointStoreContract):
    @pytest.fixture
    def endpoints(self) -> MemoryEndpointStore:
        return MemoryEndpointStore()


def test_a_file_that_the_journal_has_for_itself_alone_keeps_endpoints_too(tmp_path: Path) -> None:
    journal = open_journal(tmp_path / "fairway.db", exclusive=True)
    run_now(journal.head(""))
    endpoints = open_endpoints(journal)
    run_now(endpoints.put_endpoint(Endpoint("risk")))
    run_now(journal.close())
    again = open_journal(tmp_path / "fairway.db", exclusive=True)
    assert run_now(open_endpoints(again).find_endpoint("risk")) == Endpoint("risk", version=1)
    run_now(again.close())
