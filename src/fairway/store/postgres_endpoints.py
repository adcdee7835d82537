"""Endpoints in the PostgreSQL schema of a journal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fairway.spec.endpoint import Endpoint
from fairway.store.endpoints import changed_meanwhile, parse_endpoint, render_endpoint
from fairway.store.postgres import PostgresJournal


class PostgresEndpointStore:
    """See `spec.ports.EndpointStore`."""

    def __init__(self, journal: PostgresJournal) -> None:
        self._journal = journal

    async def endpoints(self) -> Sequence[Endpoint]:
        """All of them, by name."""
        sql = "SELECT document, version FROM endpoints WHERE document IS NOT NULL ORDER BY name"
        rows: list[Any] = await self._journal.transact(lambda db: db.execute(sql).fetchall(), writes=False)
        return [parse_endpoint(text, version) for text, version in rows]

    async def find_endpoint(self, name: str) -> Endpoint | None:
        """The endpoint of that name."""
        sql = "SELECT document, version FROM endpoints WHERE name = %s AND document IS NOT NULL"
        row: Any = await self._journal.transact(lambda db: db.execute(sql, (name,)).fetchone(), writes=False)
        return parse_endpoint(*row) if row else None

    async def put_endpoint(self, endpoint: Endpoint) -> int:
        """Write it over the version that it names; see the port. Raises JournalConflict."""
        text = render_endpoint(endpoint)
        values = {"name": endpoint.name, "version": endpoint.version, "text": text}
        sql = "UPDATE endpoints SET version = version + 1, document = %(text)s WHERE name = %(name)s AND version = %(version)s"
        sql += " AND document IS NOT NULL RETURNING version"
        if not endpoint.version:
            sql = (
                "INSERT INTO endpoints VALUES (%(name)s, 1, %(text)s) ON CONFLICT (name) DO UPDATE"
                " SET version = endpoints.version + 1, document = %(text)s WHERE endpoints.document IS NULL RETURNING version"
            )

        def work(db: Any) -> int:
            row = db.execute(sql, values).fetchone()
            if row is not None:
                return row[0]
            found = db.execute("SELECT version, document FROM endpoints WHERE name = %(name)s", values).fetchone()
            if found is not None and found[1] == text and (found[0] == endpoint.version + 1 or not endpoint.version):
                return found[0]  # it was written, and the word of it was lost with the connection
            raise changed_meanwhile(endpoint.name, found[0] if found and found[1] is not None else 0)

        return await self._journal.transact(work, writes=True)

    async def delete_endpoint(self, name: str) -> None:
        """Absent is success."""
        sql = "UPDATE endpoints SET version = version + 1, document = NULL WHERE name = %s AND document IS NOT NULL"
        await self._journal.transact(lambda db: db.execute(sql, (name,)), writes=True)

    async def close(self) -> None:
        """The journal's owner closes the journal."""
