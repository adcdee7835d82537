"""One connection of the HTTP server: httptools parses, answers keep their order, and limits hold before anything is read into memory."""

from __future__ import annotations

import asyncio
import re
import select
import socket
import time
from collections import deque
from http import HTTPStatus
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

import httptools

from fairway.serve.exchange import ID, Exchange, Header, Stream
from fairway.serve.refusal import Refused, too_large

if TYPE_CHECKING:
    from fairway.serve.http import HttpServer

_REASONS = {status.value: status.phrase.encode() for status in HTTPStatus}
_SANE_ID = re.compile(rb"[A-Za-z0-9._:-]{1,64}").fullmatch
_HEAD_BYTES = 64 << 10
_JOINED_BYTES = 64 << 10  # an answer up to this size is copied behind its head: one system call is cheaper than the copy
_AHEAD = 8
_LEAST_RATE = 8 << 10  # bytes of a body for each second
_LINGER_S = 2.0


class Connection(asyncio.Protocol):
    """Parses what comes, keeps the order of answers, and holds the limits."""

    __slots__ = (
        "_ahead",
        "_answering",
        "_deadline",
        "_discards",
        "_half_closed",
        "_owed",
        "_parser",
        "_reading",
        "_room",
        "_server",
        "transport",
    )

    def __init__(self, server: HttpServer) -> None:
        self._server = server
        self.transport: Any = None
        self._parser: Any = None
        self._reading: Exchange | None = None  # its message is not complete
        self._answering: Exchange | None = None
        self._ahead: deque[Exchange] = deque()
        self._deadline = 0.0
        self._discards = self._half_closed = False
        self._owed = 0
        self._room: asyncio.Future[None] | None = None

    # what asyncio calls

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        self._parser = httptools.HttpRequestParser(self)
        self._server.connections.add(self)
        self._deadline = time.monotonic() + self._server.head_s

    def connection_lost(self, exc: Exception | None) -> None:
        self._server.connections.discard(self)
        self.transport = None
        if self._room is not None and not self._room.done():
            self._room.set_exception(ConnectionResetError("the client has left"))
        for exchange in (self._answering, self._reading, *self._ahead):
            if exchange is None:
                continue
            exchange.gone = True
            if exchange.on_gone is not None:
                exchange.on_gone()
        if self._answering is not None:
            self._server.in_flight -= 1
        self._answering = None
        self._ahead.clear()

    def data_received(self, data: bytes) -> None:
        if self._discards:
            return
        if self._owed:
            self._take_owed(data)
            return
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            if not self._discards:  # an offer that we did not take up (h2c): what comes behind is HTTP/1.1 as before
                self._parser = httptools.HttpRequestParser(self)
                rest = data[upgrade.args[0] :]
                if rest:
                    self.data_received(rest)
        except httptools.HttpParserError as error:
            if self._discards:  # our own refusal, raised through the parser
                return
            self._refuse_unread(Refused(400, "FW-REQUEST", f"this is not a request of HTTP/1.1: {error}"))

    def eof_received(self) -> bool:
        """A client may close its side and wait for the answer; over a Unix socket one that has left can be told from it."""
        self._half_closed = True
        return self._answering is not None and not self._discards and not self._has_hung_up()

    def _has_hung_up(self) -> bool:
        sock = self.transport.get_extra_info("socket")
        if sock is None or sock.family != socket.AF_UNIX:
            return False
        poll = select.poll()
        poll.register(sock.fileno(), 0)
        return any(event & select.POLLHUP for _, event in poll.poll(0))

    def pause_writing(self) -> None:
        if self._room is None or self._room.done():
            self._room = asyncio.get_running_loop().create_future()

    def resume_writing(self) -> None:
        if self._room is not None and not self._room.done():
            self._room.set_result(None)

    # what the parser calls

    def on_message_begin(self) -> None:
        self._reading = exchange = Exchange(self)
        self._deadline = exchange.started + self._server.head_s

    def on_url(self, url: bytes) -> None:
        exchange = self._reading
        if exchange is None:
            return
        exchange.url += url
        if len(exchange.url) > _HEAD_BYTES:
            self._refuse_unread(Refused(414, "FW-REQUEST", f"the address is longer than {_HEAD_BYTES} bytes"))

    def on_header(self, name: bytes, value: bytes) -> None:
        exchange = self._reading
        if exchange is None:
            return
        exchange.size += len(name) + len(value)
        if exchange.size > _HEAD_BYTES:
            self._refuse_unread(Refused(431, "FW-REQUEST", f"the headers are longer than {_HEAD_BYTES} bytes"))
            return
        name = name.lower()
        known = exchange.headers.get(name)
        exchange.headers[name] = value if known is None else known + b", " + value

    def on_headers_complete(self) -> None:
        exchange = self._reading
        if exchange is None:
            return
        exchange.method = self._parser.get_method().decode("latin-1")
        exchange.size = 0
        path, _, query = exchange.url.partition(b"?")
        if not path.startswith(b"/") and path != b"*":  # the absolute form, as proxies get it
            path = b"/" + path.partition(b"://")[2].partition(b"/")[2]
        exchange.path = unquote(path.decode("latin-1")) if b"%" in path else path.decode("latin-1")
        exchange.query = query.decode("latin-1")
        exchange.keeps_alive = bool(self._parser.should_keep_alive())
        headers = exchange.headers
        given = headers.get(ID) or headers.get(b"x-request-id")
        exchange.id = given.decode() if given is not None and _SANE_ID(given) else self._server.make_id()
        offers = bool(self._parser.should_upgrade())
        if offers and (headers.get(b"upgrade", b"").lower() != b"h2c" or b"transfer-encoding" in headers):
            self._refuse_unread(Refused(400, "FW-UNSUPPORTED", "connections are not upgraded here", hint="use plain HTTP/1.1"))
            return
        length = int(headers.get(b"content-length", b"0") or b"0")
        has_body = length > 0 or b"transfer-encoding" in headers
        if length > self._server.body_bytes:
            self._refuse_unread(too_large(self._server.body_bytes, length))
            return
        if not has_body:
            return
        self._owed = length if offers else 0  # the parser leaves the body of such a request to us
        if self._server.admit is not None and self._answering is None:  # else when its turn comes, so that answers keep their order
            exchange.admitted = True
            self._server.admit(exchange)
            if exchange.answered:
                return
        if not self._discards:
            self._deadline = time.monotonic() + self._server.body_s
            if headers.get(b"expect", b"").lower() == b"100-continue" and self._answering is None:
                self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def on_body(self, data: bytes) -> None:
        exchange = self._reading
        if exchange is None:
            return
        exchange.size += len(data)
        if exchange.size > self._server.body_bytes:
            self._refuse_unread(too_large(self._server.body_bytes, 0))
            return
        exchange._parts.append(data)
        if len(exchange._parts) > 1:  # more time only for what has come: a body that drips in ends like one that stays away
            self._deadline = exchange.started + self._server.body_s + exchange.size / _LEAST_RATE

    def _take_owed(self, data: bytes) -> None:
        """The body of a request that offered another protocol, and what comes behind it."""
        piece, rest = data[: self._owed], data[self._owed :]
        self._owed -= len(piece)
        self.on_body(piece)
        if not self._owed:
            self.on_message_complete()
        if rest:
            self.data_received(rest)

    def on_message_complete(self) -> None:
        if self._owed:
            return
        exchange, self._reading = self._reading, None
        if exchange is None or exchange.answered:
            return
        parts = exchange._parts
        exchange.body = parts[0] if len(parts) == 1 else b"".join(parts)
        exchange._parts = []
        if self._answering is None:
            self._begin(exchange)
            return
        self._ahead.append(exchange)
        if len(self._ahead) >= _AHEAD:
            self.transport.pause_reading()

    # answers

    def _begin(self, exchange: Exchange) -> None:
        self._answering = exchange
        self._deadline = 0.0
        self._server.in_flight += 1
        if self._server.admit is not None and not exchange.admitted:
            self._server.admit(exchange)
            if exchange.answered:
                return
        self._server.handle(exchange)

    def write_answer(
        self, exchange: Exchange, status: int, body: bytes | memoryview, content_type: bytes, headers: tuple[Header, ...]
    ) -> None:
        """The whole answer. One to a request whose body is still on its way ends the connection."""
        unread = exchange is self._reading
        if exchange.gone or self.transport is None:
            self._server_ended(exchange)
            return
        size = len(body)
        head = self._head(exchange, status, content_type, headers, b"\r\ncontent-length: %d" % size, closes=unread)
        if exchange.method == "HEAD" or status in (204, 304):
            self.transport.write(head)
        elif size <= _JOINED_BYTES:
            data = head + body if type(body) is bytes else b"".join((head, body))
            if self._server.held is not None and exchange.keeps_alive and not unread and not self._half_closed:
                self._server.held.append((self.transport, data))
            else:
                self.transport.write(data)
        else:
            self.transport.write(head)
            self.transport.write(body)
        if unread:
            self._server_ended(exchange)
            self._discard()
        else:
            self.finish(exchange)

    def begin_stream(self, exchange: Exchange, status: int, content_type: bytes, headers: tuple[Header, ...]) -> Stream:
        chunked = self._parser.get_http_version() != "1.0"
        if not chunked:
            exchange.keeps_alive = False
        if self.transport is not None and not exchange.gone:
            self.transport.write(
                self._head(exchange, status, content_type, headers, b"\r\ntransfer-encoding: chunked" if chunked else b"", closes=False)
            )
        return Stream(self, exchange, chunked)

    def _head(
        self, exchange: Exchange, status: int, content_type: bytes, headers: tuple[Header, ...], length: bytes, *, closes: bool
    ) -> bytes:
        head = b"HTTP/1.1 %d %b\r\ncontent-type: %b\r\nfairway-request-id: %b%b%b" % (
            status, _REASONS.get(status, b"Unknown"), content_type, exchange.id.encode(), self._server.date, length,
        )  # fmt: skip
        for name, value in headers:
            head += b"\r\n%b: %b" % (name, value)
        if closes or not exchange.keeps_alive or self._server.draining:
            exchange.keeps_alive = False
            return head + b"\r\nconnection: close\r\n\r\n"
        return head + b"\r\n\r\n"

    def finish(self, exchange: Exchange) -> None:
        """The exchange is over; the next one may begin."""
        self._server_ended(exchange)
        if exchange is not self._answering:
            return
        self._answering = None
        self._server.in_flight -= 1
        if self.transport is None:
            return
        if not exchange.keeps_alive or (self._half_closed and not self._ahead):
            self.close()
            return
        self._deadline = time.monotonic() + self._server.idle_s
        if self._ahead:
            asyncio.get_running_loop().call_soon(self._next)

    def _next(self) -> None:
        if self._answering is None and self._ahead and self.transport is not None:
            if len(self._ahead) >= _AHEAD:
                self.transport.resume_reading()
            self._begin(self._ahead.popleft())

    def _server_ended(self, exchange: Exchange) -> None:
        if self._server.ended is not None:
            self._server.ended(exchange)

    def _refuse_unread(self, refused: Refused) -> None:
        """Answer a request that will not be read to its end, after those before it are answered."""
        exchange = self._reading or Exchange(self)
        if self._answering is not None or self._ahead:
            self.close()  # what was asked before is answered first; this one's sender broke the protocol in between
            return
        exchange.id = exchange.id or self._server.make_id()
        self._reading = exchange
        exchange.refuse(refused)

    def _discard(self) -> None:
        """Say no more, but read on for a while: a connection that is closed with data unread loses the answer on its way."""
        self._discards, self._reading = True, None
        self._deadline = time.monotonic() + _LINGER_S
        if self.transport is not None and self.transport.can_write_eof():
            self.transport.write_eof()

    # ends

    @property
    def is_idle(self) -> bool:
        """Is nothing asked of us on it?"""
        return self._answering is None and self._reading is None and not self._ahead

    @property
    def left_waiting(self) -> Exchange | None:
        """What it still has to answer, if its client will say no more."""
        return self._answering if self._half_closed else None

    def check_time(self, now: float) -> None:
        """End it if it is too slow."""
        if not self._deadline or now < self._deadline or self._answering is not None:
            return
        if self._reading is not None and not self._discards and not self._ahead:
            what = "body" if self._reading.method else "head"
            self._refuse_unread(Refused(408, "FW-TIMEOUT", f"the {what} of the request did not come in time"))
        elif self._discards:
            self.abort()
        else:
            self.close()

    def close(self) -> None:
        """After what was written is sent."""
        if self.transport is not None:
            self.transport.close()

    def abort(self) -> None:
        if self.transport is not None:
            self.transport.abort()

    async def drained(self) -> None:
        """Room to write again."""
        if self.transport is None:
            raise ConnectionResetError("the client has left")
        if self._room is not None and not self._room.done():
            await self._room
