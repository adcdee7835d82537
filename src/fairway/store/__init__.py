"""Journals and endpoints in SQLite and PostgreSQL, run ids, and the collector of what nothing reaches any more."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fairway.spec.ports import EndpointStore, Journal


def open_journal(place: str | os.PathLike[str], *, exclusive: bool = False, quiet: bool = False) -> Journal:
    """The journal at a path (SQLite) or at a `postgresql://` URL. Nothing is opened before the first call.

    `exclusive`: no other process may open the SQLite file while this one has it open. `quiet`: of what is written through it nobody who
    listens to the database need be told.
    """
    text = os.fspath(place)
    if text.startswith(("postgresql://", "postgres://")):
        from fairway.store.postgres import PostgresJournal

        return PostgresJournal(text, quiet=quiet)
    from fairway.store.sqlite import SqliteJournal

    return SqliteJournal(text.removeprefix("sqlite:///"), exclusive=exclusive)


def open_endpoints(journal: Journal) -> EndpointStore:
    """The endpoints that are kept beside a journal that `open_journal` has made, through its connection."""
    from fairway.store.sqlite import SqliteJournal

    if isinstance(journal, SqliteJournal):
        from fairway.store.sqlite_endpoints import SqliteEndpointStore

        return SqliteEndpointStore(journal)
    from fairway.store.postgres import PostgresJournal
    from fairway.store.postgres_endpoints import PostgresEndpointStore

    assert isinstance(journal, PostgresJournal)
    return PostgresEndpointStore(journal)
