"""An HTTP/1.1 server for the inference server and the gateway: httptools parses, asyncio carries, a handler answers when it likes.

A handler is called once the body is there and may answer at once or from any later callback of the loop: no task is made for a request.
Requests that are sent ahead on one connection are answered in their order. Limits hold before anything is read into memory.
"""

from __future__ import annotations

import asyncio
import os
import socket
import time
from collections.abc import Callable
from email.utils import formatdate
from typing import Any

from fairway.serve.connection import Connection
from fairway.serve.exchange import Exchange
from fairway.serve.listening import Listener

_IDS = 256
_ID_DIGITS = 24
Handler = Callable[[Exchange], None]


class HttpServer:
    """Serves `handle` on any number of sockets.

    `admit` sees an exchange when its head is complete and may answer it before its body is read. `ended` sees it when it is answered.
    `body_bytes`: the largest body; `head_s`: how long a head may take; `body_s`: how long a body may stay away (8 kB of it buy a second
    more); `idle_s`: how long a connection may be quiet.
    """

    def __init__(
        self, handle: Handler, *, admit: Handler | None = None, ended: Handler | None = None, body_bytes: int = 32 << 20,
        head_s: float = 10.0, body_s: float = 30.0, idle_s: float = 75.0,
    ) -> None:  # fmt: skip
        self.handle, self.admit, self.ended, self.body_bytes = handle, admit, ended, body_bytes
        self.head_s, self.body_s, self.idle_s = head_s, body_s, idle_s
        self.connections: set[Connection] = set()
        self.in_flight = 0
        self.draining = False
        self.date = b""
        self._ids = ""
        self._next_id = 0
        self._listeners = list[Listener]()
        self._sweeper: asyncio.TimerHandle | None = None
        self.held: list[tuple[Any, bytes]] | None = None

    async def listen(self, sock: socket.socket, *, ssl: Any = None, backlog: int = 2048) -> None:
        """Serve on a bound socket too."""
        if self._sweeper is None:
            self._sweep()
        self._listeners.append(Listener(lambda: Connection(self), sock, ssl=ssl, backlog=backlog))

    def make_id(self) -> str:
        """A new id of a request: nobody can guess it."""
        at = self._next_id
        if at >= len(self._ids):
            self._ids = os.urandom(_IDS * _ID_DIGITS // 2).hex()
            at = 0
        self._next_id = at + _ID_DIGITS
        return self._ids[at : at + _ID_DIGITS]

    def hold(self) -> None:
        """Many answers are about to be made: they are sent together by `release`, one right after the other. Each that is sent while its
        reader sleeps costs waking it; of those that come close together only the first does."""
        self.held = []

    def release(self) -> None:
        held, self.held = self.held or [], None
        for transport, data in held:
            transport.write(data)

    def half_closed(self) -> list[Exchange]:
        """Those whose clients will say no more: they wait for the answer, or have left."""
        return [item.left_waiting for item in self.connections if item.left_waiting is not None]

    async def drain(self, timeout_s: float, linger_s: float = 0.5) -> None:
        """Take no new connections; answer what comes on the old ones, asking them to close; return when all are closed. Those that stay
        quiet for `linger_s` are closed, those that still work after `timeout_s` are broken."""
        self.draining = True
        for listener in self._listeners:
            listener.drain()
        now = time.monotonic()
        quiet, end = now + linger_s, now + timeout_s
        while self.connections or (now < quiet and any(listener.opening for listener in self._listeners)):
            now = time.monotonic()
            for connection in tuple(self.connections):
                if now >= end:
                    connection.abort()
                elif now >= quiet and connection.is_idle:
                    connection.close()
            await asyncio.sleep(0.02)
        self.close()

    def close(self) -> None:
        """Stop now."""
        for listener in self._listeners:
            listener.close()
        for connection in tuple(self.connections):
            connection.abort()
        if self._sweeper is not None:
            self._sweeper.cancel()
            self._sweeper = None

    def _sweep(self) -> None:
        """Once a second: the date of answers, and an end for those who are too slow."""
        self.date = b"\r\ndate: " + formatdate(usegmt=True).encode()
        now = time.monotonic()
        for connection in tuple(self.connections):
            connection.check_time(now)
        self._sweeper = asyncio.get_running_loop().call_later(1.0, self._sweep)
