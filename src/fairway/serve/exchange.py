"""One request over HTTP and its answer, as handlers see them."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import msgspec

from fairway.serve.refusal import Refused

if TYPE_CHECKING:
    from fairway.serve.connection import Connection

JSON = b"application/json"
ID = b"fairway-request-id"
Header = tuple[bytes, bytes]


class Exchange:
    """One request and its answer. Header names are lower-case; `path` is decoded and has no query. `gone`: the client has left."""

    __slots__ = (
        "_connection", "_parts", "admitted", "answered", "body", "gone", "headers", "id", "keeps_alive", "method", "on_gone", "path",
        "query", "size", "started", "state", "status", "url",
    )  # fmt: skip

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._parts: list[bytes] = []
        self.method = self.path = self.query = self.id = ""
        self.url = b""
        self.headers: dict[bytes, bytes] = {}
        self.body: bytes = b""
        self.size = 0
        self.status = 0
        self.admitted = self.answered = self.gone = False
        self.keeps_alive = True
        self.started = time.monotonic()
        self.on_gone: Callable[[], None] | None = None
        self.state: Any = None  # whatever the handler wants to remember

    @property
    def peer(self) -> str:
        """Who called: an address, "" over a Unix socket."""
        found = self._connection.transport.get_extra_info("peername") if self._connection.transport is not None else None
        return str(found[0]) if isinstance(found, tuple) and found else ""

    @property
    def is_encrypted(self) -> bool:
        return self._connection.transport is not None and self._connection.transport.get_extra_info("sslcontext") is not None

    def reply(self, status: int, body: bytes | memoryview = b"", content_type: bytes = JSON, headers: tuple[Header, ...] = ()) -> None:
        """Answer, once. An exchange that is answered already, or whose client has left, takes no more."""
        if self.answered:
            return
        self.answered, self.status = True, status
        self._connection.write_answer(self, status, body, content_type, headers)

    def stream(self, status: int, content_type: bytes, headers: tuple[Header, ...] = ()) -> Stream:
        """Begin an answer whose length is not known."""
        self.answered, self.status = True, status
        return self._connection.begin_stream(self, status, content_type, headers)

    def drop(self) -> None:
        """Break the connection: nobody waits for the answer."""
        self._connection.abort()

    def refuse(self, refused: Refused) -> None:
        """Answer with what was wrong."""
        headers: tuple[Header, ...] = ()
        if refused.retry_after_s:
            headers = ((b"retry-after", b"%d" % max(1, round(refused.retry_after_s))),)
        self.reply(refused.status, msgspec.json.encode(refused.plain(self.id)), JSON, headers)


class Stream:
    """An answer in pieces, as fast as the client takes them."""

    __slots__ = ("_chunked", "_connection", "_exchange", "closed")

    def __init__(self, connection: Connection, exchange: Exchange, chunked: bool) -> None:
        self._connection, self._exchange, self._chunked = connection, exchange, chunked
        self.closed = exchange.gone

    def write(self, data: bytes) -> None:
        transport = self._connection.transport
        if self.closed or self._exchange.gone or transport is None or not data:
            return
        transport.write(b"%x\r\n%b\r\n" % (len(data), data) if self._chunked else data)

    @property
    def is_gone(self) -> bool:
        """Has the client left?"""
        return self._exchange.gone or self._connection.transport is None

    @property
    def waiting_bytes(self) -> int:
        """What was written, and not yet taken by the client."""
        transport = self._connection.transport
        return transport.get_write_buffer_size() if transport is not None else 0

    async def drain(self) -> None:
        """Wait until the client has taken most of what was written; ConnectionResetError if it has left."""
        await self._connection.drained()

    def end(self) -> None:
        """The answer is whole."""
        if self.closed:
            return
        self.closed = True
        transport = self._connection.transport
        if self._chunked and transport is not None and not self._exchange.gone:
            transport.write(b"0\r\n\r\n")
        self._connection.finish(self._exchange)

    def abort(self) -> None:
        """The answer will never be whole: break the connection, so that nobody takes it for one."""
        self.closed = True
        if self._connection.transport is not None:
            self._connection.transport.abort()
