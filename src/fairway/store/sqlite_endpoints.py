"""Endpoints in the SQLite file of a journal."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

from fairway.spec.endpoint import Endpoint
from fairway.store.endpoints import changed_meanwhile, parse_endpoint, render_endpoint
from fairway.store.sqlite import SqliteJournal


class SqliteEndpointStore:
    """See `spec.ports.EndpointStore`. It uses the journal's connection: a server may have the file for itself alone."""

    def __init__(self, journal: SqliteJournal) -> None:
        self._journal = journal

    async def endpoints(self) -> Sequence[Endpoint]:
        """All of them, by name."""
        sql = "SELECT document, version FROM endpoints WHERE document IS NOT NULL ORDER BY name"
        rows = self._journal.transact(lambda db: db.execute(sql).fetchall(), writes=False)
        return [parse_endpoint(text, version) for text, version in rows]

    async def find_endpoint(self, name: str) -> Endpoint | None:
        """The endpoint of that name."""
        sql = "SELECT document, version FROM endpoints WHERE name = ? AND document IS NOT NULL"
        row = self._journal.transact(lambda db: db.execute(sql, (name,)).fetchone(), writes=False)
        return parse_endpoint(*row) if row else None

    async def put_endpoint(self, endpoint: Endpoint) -> int:
        """Write it over the version that it names; see the port. Raises JournalConflict."""
        sql = "INSERT INTO endpoints VALUES (?, 1, ?) ON CONFLICT (name) DO UPDATE SET version = version + 1, document = excluded.document"

        def work(db: sqlite3.Connection) -> int:
            select = "SELECT version, document IS NOT NULL FROM endpoints WHERE name = ?"
            row = db.execute(select, (endpoint.name,)).fetchone()
            there = row[0] if row and row[1] else 0
            if there != endpoint.version:
                raise changed_meanwhile(endpoint.name, there)
            db.execute(sql, (endpoint.name, render_endpoint(endpoint)))
            return db.execute(select, (endpoint.name,)).fetchone()[0]

        return self._journal.transact(work, writes=True)

    async def delete_endpoint(self, name: str) -> None:
        """Absent is success."""
        sql = "UPDATE endpoints SET version = version + 1, document = NULL WHERE name = ? AND document IS NOT NULL"
        self._journal.transact(lambda db: db.execute(sql, (name,)), writes=True)

    async def close(self) -> None:
        """The journal's owner closes the journal."""
