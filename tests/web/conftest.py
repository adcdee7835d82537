"""One HTTP server for the whole room; homes whose journal is a file, or in PostgreSQL."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path

import pytest

from fairway.spec.ports import run_now
from fairway.store.postgres import split_url
from tests.web.recorded import Journals, copy_journal, record_runs
from tests.web.rig import Live

_numbers = itertools.count(1)
_TABLES = ("batches", "runs", "inbox", "cache", "listed", "value_names")


@pytest.fixture(scope="session")
def live() -> Iterator[Live]:
    live = Live()
    yield live
    live.close()


@pytest.fixture(scope="session")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str]]:
    """A home with real runs in it, and their ids by what they are. For reading only: who changes something copies it."""
    return record_runs(tmp_path_factory.mktemp("recorded"))


class Database:
    """PostgreSQL for homes: each has a schema of its own, which the next one takes over."""

    def __init__(self, server: str) -> None:
        self._server = server
        self._free: list[str] = []

    @contextmanager
    def lend(self) -> Iterator[Journals]:
        """Where the journals of homes are while the block lasts. They begin with what the home's own file says."""
        known: dict[Path, str] = {}

        def place(home: Path) -> str:
            if home not in known:
                known[home] = self._free.pop() if self._free else f"{self._server}&schema=home%20{next(_numbers)}"
                run_now(copy_journal(home, known[home]))
            return known[home]

        yield place
        for url in known.values():
            self._empty(url)
            self._free.append(url)

    def _empty(self, url: str) -> None:
        import psycopg

        libpq, schema = split_url(url)
        with psycopg.connect(libpq, autocommit=True) as db:
            db.execute("; ".join(f'DELETE FROM "{schema}".{table}' for table in _TABLES))  # type: ignore[call-overload]


@pytest.fixture(scope="session")
def database(request: pytest.FixtureRequest) -> Database:
    return Database(request.getfixturevalue("postgres_server"))


@pytest.fixture(scope="module", params=["sqlite", "postgres"])
def kind(request: pytest.FixtureRequest) -> str:
    """Where journals are in this round of the module's tests."""
    return request.param


@pytest.fixture
def journals(kind: str, request: pytest.FixtureRequest) -> Iterator[Journals]:
    """Where the journal of a home is: "" for a file in it."""
    with _lend(kind, request) as place:
        yield place


@pytest.fixture(scope="module")
def lasting_journals(kind: str, request: pytest.FixtureRequest) -> Iterator[Journals]:
    """As `journals`, for homes that all tests of a module share."""
    with _lend(kind, request) as place:
        yield place


def _lend(kind: str, request: pytest.FixtureRequest) -> AbstractContextManager[Journals]:
    return nullcontext(lambda home: "") if kind == "sqlite" else request.getfixturevalue("database").lend()
