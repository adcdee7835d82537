"""Word of what others commit to a PostgreSQL journal, as the database tells it (LISTEN)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from fairway.errors import StoreUnavailable

_RETRY_FIRST_S, _RETRY_MOST_S = 0.5, 30.0


class PostgresNews:
    """Calls `tell` with a run's id when something was committed for it, with "" when something may have been while the connection was gone.

    `connect` opens a connection that listens; it is called in a thread, and again for as long as it raises StoreUnavailable.
    """

    def __init__(self, connect: Callable[[], Any], tell: Callable[[str], None], loop: asyncio.AbstractEventLoop) -> None:
        self._connect, self._tell, self._loop = connect, tell, loop
        self._connection: Any = None
        self._file = -1  # of the connection: one that is lost does not tell any more
        self._listening: asyncio.Task[None] = loop.create_task(self._listen(), name="news of the journal")

    def close(self) -> None:
        """Tell of nothing more."""
        self._listening.cancel()
        self._drop()

    async def _listen(self) -> None:
        delay_s = _RETRY_FIRST_S
        while True:
            try:
                self._connection = await asyncio.to_thread(self._connect)
            except StoreUnavailable:
                await asyncio.sleep(delay_s)
                delay_s = min(_RETRY_MOST_S, 2 * delay_s)
                continue
            delay_s = _RETRY_FIRST_S
            ended = self._loop.create_future()
            self._file = self._connection.fileno()
            self._loop.add_reader(self._file, self._read, ended)
            self._tell("")
            await ended

    def _read(self, ended: asyncio.Future[None]) -> None:
        link = self._connection.pgconn
        try:
            link.consume_input()
        except Exception:  # noqa: BLE001 - whatever the driver raises, the connection is gone
            self._drop()
            if not ended.done():
                ended.set_result(None)
            return
        told: dict[str, None] = {}
        while (found := link.notifies()) is not None:
            told[found.extra.decode("utf-8", "replace")] = None
        for run in told:
            self._tell(run)

    def _drop(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            self._loop.remove_reader(self._file)
            with suppress(Exception):
                connection.close()
