"""An HTTP/1.1 client for the gateway: keeps connections to one address, answers through callbacks, streams what is long.

Each answer says whether the request may have been read on the other side, so that a caller knows when it may safely be sent again: a
replica that shuts down loses no request, and none is ever worked on twice.
"""

from __future__ import annotations

import array
import asyncio
import fcntl
import socket
import struct
import termios
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable
from typing import Any, Protocol

import httptools

Header = tuple[bytes, bytes]

_JOINED_BYTES = 64 << 10
_WHOLE_BYTES = 1 << 20  # an answer up to this size is handed over whole: it can still become an error while it is on its way
_HIGH_BYTES, _LOW_BYTES = 256 << 10, 64 << 10
_IDLE_S = 30.0  # shorter than the server keeps quiet connections, so that it is seldom the first to close
_USER_TIMEOUT_MS = 15_000
_RESET = struct.pack("ii", 1, 0)


class Answer:
    """What came back. `status` 0: nothing did; then `problem` says why ("connect", "closed", "timeout", "broken", "cancelled"), and `sent`
    whether the other side may have read the whole request. `chunks`: the body, if it comes in pieces; else it is in `body`."""

    __slots__ = ("body", "chunks", "headers", "problem", "sent", "status", "why")

    def __init__(self, status: int = 0, *, problem: str = "", why: str = "", sent: bool = True) -> None:
        self.status, self.problem, self.why, self.sent = status, problem, why, sent
        self.headers: list[Header] = []
        self.body: bytes = b""
        self.chunks: Chunks | None = None

    def find_header(self, name: bytes) -> bytes:
        """Its value; empty if there is none. `name` is lower-case."""
        return next((value for known, value in self.headers if known == name), b"")


Done = Callable[[Answer], None]


class Reader(Protocol):
    """What holds back and gives up a connection whose answer is read in pieces."""

    def pause(self) -> None: ...
    def resume(self) -> None: ...
    def abort(self) -> None: ...


class Chunks:
    """A body in pieces. Iterating raises ConnectionResetError if it breaks off before its end."""

    __slots__ = ("_ended", "_paused", "_pieces", "_reader", "_size", "_waiter", "_why")

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._pieces: deque[bytes] = deque()
        self._size = 0
        self._ended = self._paused = False
        self._why = ""
        self._waiter: asyncio.Future[None] | None = None

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self._iterate()

    async def _iterate(self) -> AsyncIterator[bytes]:
        while True:
            if self._pieces:
                piece = self._pieces.popleft() if len(self._pieces) == 1 else b"".join(self._pieces)
                self._pieces.clear()
                self._size = 0
                if self._paused:
                    self._paused = False
                    self._reader.resume()
                yield piece
            elif self._ended:
                if self._why:
                    raise ConnectionResetError(self._why)
                return
            else:
                self._waiter = asyncio.get_running_loop().create_future()
                await self._waiter

    def close(self) -> None:
        """Nobody reads on: the other side learns that the caller has left."""
        if not self._ended:
            self._ended = True
            self._reader.abort()

    # what the connection calls

    def feed(self, data: bytes) -> None:
        self._pieces.append(data)
        self._size += len(data)
        if self._size > _HIGH_BYTES and not self._paused:
            self._paused = True
            self._reader.pause()
        self._tell()

    def end(self, why: str = "") -> None:
        self._ended, self._why = True, why
        self._tell()

    def _tell(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


class Ticket:
    """A request on its way. `cancel` ends it: `done` is not called any more, and the other side sees the connection go."""

    __slots__ = ("_done", "_timer", "_upstream", "body", "connection", "head", "is_head", "over")

    def __init__(self, upstream: Upstream, head: bytes, body: bytes, done: Done) -> None:
        self._upstream, self.head, self.body, self._done = upstream, head, body, done
        self.connection: _Connection | None = None
        self.is_head = head.startswith(b"HEAD ")
        self.over = False
        self._timer: asyncio.TimerHandle | None = None

    def cancel(self) -> None:
        if self.over:
            return
        self._stop()

    def begin(self, timeout_s: float) -> None:
        if timeout_s > 0:
            self._timer = asyncio.get_running_loop().call_later(timeout_s, self._run_out)

    def settle(self, answer: Answer) -> None:
        """Tell who asked, once."""
        if self.over:
            return
        self.over = True
        if self._timer is not None:
            self._timer.cancel()
        self._done(answer)

    def _run_out(self) -> None:
        if self.over:
            return
        done, sent = self._done, self.connection is not None
        self._stop()
        done(Answer(problem="timeout", why="no answer in time", sent=sent))

    def _stop(self) -> None:
        self.over = True
        if self._timer is not None:
            self._timer.cancel()
        if self.connection is not None:
            self.connection.abort()


class Upstream:
    """One address ("unix:/path" or "host:port") and the connections to it. `most`: connections at once; further requests wait for one."""

    def __init__(self, address: str, *, connect_s: float = 2.0, most: int = 1024) -> None:
        self.address, self.connect_s, self.most = address, connect_s, most
        self.is_closed = False
        self.connections: set[_Connection] = set()
        self._idle: list[_Connection] = []
        self._connecting = 0
        self._waiting: deque[Ticket] = deque()
        self._tasks: set[asyncio.Task[None]] = set()
        self._sweeper: asyncio.TimerHandle | None = None
        host = b"localhost" if address.startswith("unix:") else address.encode()
        self._host = b" HTTP/1.1\r\nhost: " + host + b"\r\n"

    def request(
        self, method: str, path: str | bytes, headers: Iterable[Header], body: bytes | memoryview, done: Done, timeout_s: float
    ) -> Ticket:
        """Send it; `done` is called once, later, from the loop. `path` is as it stands in the request line. A `host` among the headers
        is taken instead of the address. `timeout_s`: until the answer, or the head of a long one, is there (0: for ever)."""
        lines = b"".join([b"%b: %b\r\n" % header for header in headers])
        target = path if isinstance(path, bytes) else path.encode("latin-1")
        data = bytes(body)
        size = b"content-length: %d\r\n" % len(data) if data or method in ("POST", "PUT", "PATCH") else b""
        first = b" HTTP/1.1\r\n" if lines.startswith(b"host:") else self._host
        return self.send(b"%b %b%b%b%b\r\n" % (method.encode(), target, first, lines, size), data, done, timeout_s)

    def send(self, head: bytes, body: bytes, done: Done, timeout_s: float, *, is_fresh: bool = False) -> Ticket:
        """`request` with the whole head as bytes. `is_fresh`: on a new connection."""
        ticket = Ticket(self, head, body, done)
        ticket.begin(timeout_s)
        while self._idle and not is_fresh:
            connection = self._idle.pop()
            if connection.is_open:
                connection.send(ticket)
                return ticket
        if len(self.connections) + self._connecting >= self.most:
            self._waiting.append(ticket)
            return ticket
        self._connecting += 1
        task = asyncio.get_running_loop().create_task(self._connect(ticket))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return ticket

    async def ask(
        self, method: str, path: str, headers: Iterable[Header] = (), body: bytes = b"", timeout_s: float = 10.0
    ) -> Answer:  # fmt: skip
        """`request` for those who can wait."""
        future: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()

        def settle(answer: Answer) -> None:
            if not future.done():
                future.set_result(answer)

        ticket = self.request(method, path, headers, body, settle, timeout_s)
        try:
            return await future
        finally:
            ticket.cancel()

    def close(self) -> None:
        """Take no more; those on their way go on."""
        self.is_closed = True
        for connection in self._idle:
            connection.close()
        self._idle.clear()
        if self._sweeper is not None:
            self._sweeper.cancel()
            self._sweeper = None

    def abort(self) -> None:
        """Break off everything."""
        self.close()
        for connection in tuple(self.connections):
            connection.abort()
        for task in self._tasks:
            task.cancel()

    async def _connect(self, ticket: Ticket) -> None:
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(self.connect_s):
                if self.address.startswith("unix:"):
                    _, made = await loop.create_unix_connection(lambda: _Connection(self), self.address.removeprefix("unix:"))
                else:
                    host, _, port = self.address.rpartition(":")
                    _, made = await loop.create_connection(lambda: _Connection(self), host.strip("[]"), int(port))
        except (OSError, ValueError, asyncio.CancelledError) as error:  # TimeoutError is an OSError
            why = f"it takes no connections within {self.connect_s:g} s" if isinstance(error, TimeoutError) else str(error)
            self._connecting -= 1
            ticket.settle(Answer(problem="connect", why=why, sent=False))
            if isinstance(error, asyncio.CancelledError):
                raise
            self._serve_next()
            return
        self._connecting -= 1
        if ticket.over:
            self.free(made)
        else:
            made.send(ticket)

    # what a connection calls

    def free(self, connection: _Connection) -> None:
        """It can take the next request."""
        while self._waiting:
            ticket = self._waiting.popleft()
            if not ticket.over:
                connection.send(ticket)
                return
        if self.is_closed:
            connection.close()
            return
        connection.idle_since = time.monotonic()
        self._idle.append(connection)
        if self._sweeper is None:
            self._sweeper = asyncio.get_running_loop().call_later(_IDLE_S / 2, self._sweep)

    def lost(self, connection: _Connection) -> None:
        self.connections.discard(connection)
        if connection.idle_since and connection in self._idle:
            self._idle.remove(connection)
        self._serve_next()

    def _serve_next(self) -> None:
        while self._waiting and len(self.connections) + self._connecting < self.most:
            ticket = self._waiting.popleft()
            if not ticket.over:
                self._connecting += 1
                task = asyncio.get_running_loop().create_task(self._connect(ticket))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)

    def _sweep(self) -> None:
        self._sweeper = None
        old = time.monotonic() - _IDLE_S
        kept = [c for c in self._idle if c.idle_since > old]
        for connection in self._idle:
            if connection.idle_since <= old:
                connection.close()
        self._idle = kept
        if kept:
            self._sweeper = asyncio.get_running_loop().call_later(_IDLE_S / 2, self._sweep)


class _Connection(asyncio.Protocol):
    """One connection; one request at a time."""

    __slots__ = ("_answer", "_headers", "_length", "_parser", "_parts", "_seen", "_ticket", "_transport", "_upstream", "idle_since")

    def __init__(self, upstream: Upstream) -> None:
        self._upstream = upstream
        self._transport: Any = None
        self._parser: Any = None
        self._ticket: Ticket | None = None
        self._answer: Answer | None = None  # its head is complete
        self._parts: list[bytes] = []
        self._headers: list[Header] = []
        self._length = -1  # of the body, as announced (-1: it was not)
        self._seen = False  # has any byte of the answer come?
        self.idle_since = 0.0

    @property
    def is_open(self) -> bool:
        return self._transport is not None and not self._transport.is_closing()

    def send(self, ticket: Ticket) -> None:
        self._ticket, ticket.connection = ticket, self
        self._seen, self.idle_since = False, 0.0
        body = ticket.body
        if len(body) <= _JOINED_BYTES:
            self._transport.write(ticket.head + body if body else ticket.head)
        else:
            self._transport.write(ticket.head)
            self._transport.write(body)

    def pause(self) -> None:
        if self.is_open:
            self._transport.pause_reading()

    def resume(self) -> None:
        if self.is_open:
            self._transport.resume_reading()

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()

    def abort(self) -> None:
        """Break it, so that the other side sees that nobody waits: an end alone could mean that only this side is closed."""
        if self._transport is None:
            return
        sock = self._transport.get_extra_info("socket")
        if sock is not None and sock.family != socket.AF_UNIX and not self._transport.is_closing():
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        self._transport.abort()

    # what asyncio calls

    def connection_made(self, transport: Any) -> None:
        self._transport = transport
        self._parser = httptools.HttpResponseParser(self)
        self._upstream.connections.add(self)
        sock = transport.get_extra_info("socket")
        if sock is not None and sock.family != socket.AF_UNIX:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            if hasattr(socket, "TCP_USER_TIMEOUT"):  # a node that is gone without a word
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _USER_TIMEOUT_MS)

    def data_received(self, data: bytes) -> None:
        if self._ticket is None:  # nobody asked
            self.abort()
            return
        self._seen = True
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserCallbackError:  # of ours: asyncio logs it
            self.abort()
            raise
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            self._fail("broken", f"what came is not an answer of HTTP/1.1: {error}")
            self.abort()
            return
        answer = self._answer
        if answer is not None and answer.chunks is None and not 0 <= self._length <= _WHOLE_BYTES:
            self._begin_chunks(answer)

    def eof_received(self) -> None:
        if self._ticket is not None and not self._seen:
            self._fail("closed", "it closed the connection without an answer", sent=not self._is_unread())
        elif self._answer is not None and self._length < 0 and not self._is_chunked():
            self._complete(self._answer, keeps=False)  # the end of the connection is the end of the body

    def connection_lost(self, exc: Exception | None) -> None:
        if self._ticket is not None:
            # A peer that closes with our bytes unread resets the connection; one that has read them ends it.
            unread = not self._seen and isinstance(exc, ConnectionResetError | BrokenPipeError)
            self._fail("closed", "the connection broke off before the end of the answer", sent=not unread)
        self._transport = None
        self._upstream.lost(self)

    # what the parser calls

    def on_message_begin(self) -> None:
        self._answer = None
        self._parts, self._headers, self._length = [], [], -1

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        status = self._parser.get_status_code()
        if status < 200:
            return
        self._answer = answer = Answer(status)
        answer.headers = self._headers
        for name, value in self._headers:
            if name == b"content-length":
                self._length = int(value)
        if self._ticket is not None and self._ticket.is_head:  # the parser does not know that no body follows
            self._complete(answer, keeps=False)

    def on_body(self, data: bytes) -> None:
        answer = self._answer
        if answer is None:
            return
        if answer.chunks is not None:
            answer.chunks.feed(data)
        else:
            self._parts.append(data)

    def on_message_complete(self) -> None:
        if self._answer is not None:
            self._complete(self._answer, keeps=bool(self._parser.should_keep_alive()))

    # ends

    def _begin_chunks(self, answer: Answer) -> None:
        ticket = self._ticket
        if ticket is None:
            return
        answer.chunks = Chunks(self)
        for part in self._parts:
            answer.chunks.feed(part)
        self._parts = []
        ticket.settle(answer)

    def _complete(self, answer: Answer, *, keeps: bool) -> None:
        ticket, self._ticket, self._answer = self._ticket, None, None
        if ticket is None:
            return
        ticket.connection = None
        if answer.chunks is not None:
            answer.chunks.end()
        else:
            answer.body = self._parts[0] if len(self._parts) == 1 else b"".join(self._parts)
        self._parts = []
        if keeps and self.is_open:
            self._upstream.free(self)
        else:
            self.close()
        if answer.chunks is None:
            ticket.settle(answer)

    def _fail(self, problem: str, why: str, *, sent: bool = True) -> None:
        ticket, answer = self._ticket, self._answer
        self._ticket = self._answer = None
        if ticket is None:
            return
        ticket.connection = None
        if answer is not None and answer.chunks is not None:
            answer.chunks.end(why)
        else:
            ticket.settle(Answer(problem=problem, why=why, sent=sent))

    def _is_chunked(self) -> bool:
        return any(name == b"transfer-encoding" for name, _ in self._headers)

    def _is_unread(self) -> bool:
        """Has the kernel bytes of the request that the other side never took?"""
        if self._transport.get_write_buffer_size():
            return True
        sock = self._transport.get_extra_info("socket")
        left = array.array("i", [0])
        try:
            fcntl.ioctl(sock.fileno(), termios.TIOCOUTQ, left)
        except (OSError, AttributeError):  # TLS, or it is closed already
            return False
        return left[0] > 0
