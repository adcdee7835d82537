"""Requests over connections that stay open, tried again while they may succeed: how a pod speaks with its server.

Everything asked of a server can be asked twice, so whatever fails for now (nobody listens, a connection breaks, "not now" answers) is
asked again after growing waits, for as long as `patience_s` says: a server may be started anew under its pods.
"""

from __future__ import annotations

import hashlib
import http.client
import json
import os
import random
import socket
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any, BinaryIO, TypeVar
from urllib.parse import urlsplit

from fairway.errors import FairwayError, InfraError, NotFoundError, StoreUnavailable

T = TypeVar("T")
PATIENCE_S = 600.0
_NOT_NOW = frozenset({408, 425, 429, 500, 502, 503, 504})
_BLOCK_BYTES = 1 << 20
_FIRST_WAIT_S, _LONGEST_WAIT_S = 0.05, 5.0
_KEPT_OPEN = 8
_CONNECT_S = 5.0
_QUIET_S = 10.0  # a server that is away for less is not worth a word
_PROBES = {"TCP_KEEPIDLE": 10, "TCP_KEEPINTVL": 5, "TCP_KEEPCNT": 3}
_DAMAGED_TRIES = 3


class NotNow(Exception):
    """An answer that asks for another try; `after_s`: not before that."""

    def __init__(self, why: str, after_s: float = 0.0) -> None:
        super().__init__(why)
        self.after_s = after_s


TRANSIENT = (OSError, http.client.HTTPException, NotNow)
"""What another try may cure."""


class Refused(InfraError):
    """The server answered, and it was no. `status` is the answer's."""

    def __init__(self, message: str, *, status: int, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.status = status


class Answer:
    """A status and the whole body."""

    __slots__ = ("body", "headers", "status")

    def __init__(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        self.status, self.headers, self.body = status, headers, body

    def json(self) -> Any:
        """The body, parsed."""
        return json.loads(self.body)


class Patience:
    """Waits between tries of one thing, until there is none left. `hurry` may shorten it from another thread."""

    def __init__(self, link: Link, longest_wait_s: float = _LONGEST_WAIT_S) -> None:
        self._link, self._began, self._wait_s, self._longest_wait_s = link, time.monotonic(), _FIRST_WAIT_S, longest_wait_s
        self._told = False

    def progress(self) -> None:
        """The last try got somewhere: start counting anew."""
        self._began, self._wait_s = time.monotonic(), _FIRST_WAIT_S

    def wait(self, doing: str, why: BaseException) -> None:
        """Until the next try. Raises InfraError when the patience is used up."""
        now = time.monotonic()
        left = min(self._began + self._link.patience_s, self._link.give_up_at) - now
        if left <= 0:
            raise InfraError(
                f"{doing} failed: {_words(why)}", hint="is the server of the target running? `fairway up` shows what it waits for"
            ) from why
        pause = max(self._wait_s * random.uniform(0.5, 1.0), getattr(why, "after_s", 0.0))
        self._wait_s = min(self._wait_s * 2, self._longest_wait_s)
        if now - self._began > _QUIET_S and not self._told:
            self._told = True
            self._link.say(f"fairway: {doing}: {_words(why)}; trying again for up to {left:.0f} s")
        self._link.pause(min(pause, left))


class Link:
    """Connections to any number of servers, shared by all threads of a process. `say` takes a line when a server is away for long."""

    def __init__(self, *, patience_s: float = PATIENCE_S, timeout_s: float = 60.0, say: Callable[[str], None] = lambda text: None) -> None:
        self.patience_s, self.timeout_s, self.say = patience_s, timeout_s, say
        self.give_up_at = float("inf")
        self._idle: dict[tuple[str, str], list[http.client.HTTPConnection]] = {}
        self._lock = threading.Lock()
        self._hurried = threading.Event()

    def hurry(self, within_s: float) -> None:
        """Give up whatever has not succeeded in `within_s` from now; waits in progress end."""
        self.give_up_at = time.monotonic() + within_s
        self._hurried.set()

    def pause(self, seconds: float) -> None:
        """Sleep; not through a `hurry` that comes meanwhile."""
        if self._hurried.is_set():
            time.sleep(min(seconds, 0.2))
        else:
            self._hurried.wait(seconds)

    def call(
        self, method: str, url: str, *, body: bytes = b"", headers: Mapping[str, str] | None = None, fine: tuple[int, ...] = (200,)
    ) -> Answer:
        """One exchange, tried until it is answered. Raises Refused for answers not in `fine`, InfraError if there is none in time."""
        patience, doing = Patience(self), f"{method} {_shown(url)}"
        while True:
            try:
                return self.exchange(method, url, body=body, headers=headers, read=lambda r: _whole(r, fine, doing))
            except TRANSIENT as error:
                patience.wait(doing, error)

    def upload(self, find_url: Callable[[], str], file: BinaryIO, *, doing: str, headers: Mapping[str, str] | None = None) -> None:
        """PUT a file's bytes. `find_url` is asked anew when an address has become invalid. Raises as `call`, StoreUnavailable for 507."""
        patience, url = Patience(self), find_url()

        def read(response: http.client.HTTPResponse) -> None:
            check_status(response, (200, 201, 204), doing)
            response.read()

        while True:
            try:
                file.seek(0)
                self.exchange("PUT", url, body=file, headers=headers, read=read)
                return
            except TRANSIENT as error:
                patience.wait(doing, error)
            except Refused as error:
                if error.status != 403 or (anew := find_url()) == url:
                    raise
                url = anew

    def download(
        self, find_url: Callable[[], str], file: BinaryIO, *, digest: str = "", doing: str, headers: Mapping[str, str] | None = None
    ) -> None:
        """GET an address into an empty file, from where a broken connection left off. With `digest` (hex SHA-256) what arrives is checked.

        Raises as `call`, NotFoundError, and StoreUnavailable for bytes that are damaged again and again.
        """
        patience, url, arrived = Patience(self), find_url(), _Arriving(file, doing)
        damaged = 0
        while True:
            before = arrived.count
            try:
                self.exchange("GET", url, headers={**(headers or {}), **arrived.range_header()}, read=arrived.read)
                if not digest or arrived.hash.hexdigest() == digest:
                    return
                damaged += 1
                arrived.start_anew()
                if damaged >= _DAMAGED_TRIES:
                    raise StoreUnavailable(
                        f"{doing}: the bytes are damaged", hint="are they damaged in the store? look at the server's disk"
                    )
            except TRANSIENT as error:
                if arrived.count > before:
                    patience.progress()
                patience.wait(doing, error)
            except Refused as error:
                if error.status != 403 or (anew := find_url()) == url:
                    raise
                url = anew

    def exchange(
        self,
        method: str,
        url: str,
        *,
        read: Callable[[http.client.HTTPResponse], T],
        body: bytes | BinaryIO = b"",
        headers: Mapping[str, str] | None = None,
        timeout_s: float = 0.0,
        opened: Callable[[socket.socket], None] | None = None,
    ) -> T:
        """One try. `read` takes what it wants of the answer; a connection whose answer it has not read to the end is not used again.

        `opened` is told the socket before it is used. Raises OSError or HTTPException for broken connections, and what `read` and `opened`
        raise.
        """
        at = urlsplit(url)
        where, path = (at.scheme, at.netloc), at.path + (f"?{at.query}" if at.query else "")
        while True:
            connection, used = self._take(where)
            try:
                _open(connection, timeout_s or self.timeout_s)
                if opened is not None:
                    opened(connection.sock)
                response = _send(connection, method, path, body, headers or {})
                result = read(response)
            except BaseException as error:
                connection.close()
                if used and isinstance(error, (http.client.RemoteDisconnected, BrokenPipeError, ConnectionResetError)):
                    if not isinstance(body, bytes):
                        body.seek(0)
                    continue  # the server had closed it while nobody used it
                raise
            if response.isclosed() and not response.will_close:
                self._give_back(where, connection)
            else:
                connection.close()
            return result

    def close(self) -> None:
        """Close what is open and not in use."""
        with self._lock:
            idle = [each for several in self._idle.values() for each in several]
            self._idle.clear()
        for connection in idle:
            connection.close()

    def _take(self, where: tuple[str, str]) -> tuple[http.client.HTTPConnection, bool]:
        with self._lock:
            idle = self._idle.get(where)
            if idle:
                return idle.pop(), True
        make = http.client.HTTPSConnection if where[0] == "https" else http.client.HTTPConnection
        return make(where[1], timeout=_CONNECT_S, blocksize=_BLOCK_BYTES), False

    def _give_back(self, where: tuple[str, str], connection: http.client.HTTPConnection) -> None:
        with self._lock:
            idle = self._idle.setdefault(where, [])
            if len(idle) < _KEPT_OPEN:
                idle.append(connection)
                return
        connection.close()


class _Arriving:
    """A file that arrives in one piece or several."""

    def __init__(self, file: BinaryIO, doing: str) -> None:
        self._file, self._doing = file, doing
        self.count, self.hash = 0, hashlib.sha256()

    def range_header(self) -> dict[str, str]:
        return {"Range": f"bytes={self.count}-"} if self.count else {}

    def start_anew(self) -> None:
        self._file.seek(0)
        self._file.truncate()
        self.count, self.hash = 0, hashlib.sha256()

    def read(self, response: http.client.HTTPResponse) -> None:
        """Take what comes. Raises NotNow if it ends too early."""
        if self.count and response.status == 416:  # nothing was missing but the end
            response.read()
            return
        check_status(response, (200, 206), self._doing)
        if self.count and response.status == 200:
            self.start_anew()
        expected = response.length
        buffer = memoryview(bytearray(min(_BLOCK_BYTES, expected if expected else _BLOCK_BYTES)))
        while got := response.readinto(buffer):
            self._file.write(buffer[:got])
            self.hash.update(buffer[:got])
            self.count += got
            expected = expected - got if expected is not None else None
        if expected:
            raise NotNow(f"the connection broke with {expected} bytes to come")


def check_status(response: http.client.HTTPResponse, fine: tuple[int, ...], doing: str) -> None:
    """Raises NotNow for answers that ask for another try, Refused for all that are not in `fine`."""
    status = response.status
    if status in fine:
        return
    detail, hint = _explain(response.read(1 << 16))
    if status in _NOT_NOW:
        raise NotNow(f"the server answers {status}{detail}", _retry_after(response))
    if status == 404:
        raise NotFoundError(f"{doing}: not there{detail}", hint=hint)
    if status == 507:
        raise StoreUnavailable(
            f"{doing}: the server's disk is full{detail}", hint=hint or "`fairway gc` frees some; or give the target more storage"
        )
    raise Refused(f"{doing} was refused: {status}{detail}", status=status, hint=hint)


def _open(connection: http.client.HTTPConnection, timeout_s: float) -> None:
    """Connect if need be. A peer that vanishes without a word is noticed by keep-alive probes."""
    if connection.sock is None:
        connection.connect()
        sock: Any = connection.sock
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for name, value in _PROBES.items():
            if hasattr(socket, name):
                sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
    open_sock: Any = connection.sock
    open_sock.settimeout(timeout_s)


def _send(
    connection: http.client.HTTPConnection, method: str, path: str, body: bytes | BinaryIO, headers: Mapping[str, str]
) -> http.client.HTTPResponse:
    if isinstance(body, bytes):
        connection.request(
            method, path, body=body or None, headers={**headers, "Content-Length": str(len(body))} if method != "GET" else dict(headers)
        )
        return connection.getresponse()
    size = os.fstat(body.fileno()).st_size
    connection.putrequest(method, path)
    for name, value in {**headers, "Content-Length": str(size)}.items():
        connection.putheader(name, value)
    try:
        connection.endheaders()
        _pour(connection, body)
    except (BrokenPipeError, ConnectionResetError):
        try:
            return connection.getresponse()  # refused before all was sent: the answer says why
        except (OSError, http.client.HTTPException):
            pass
        raise
    return connection.getresponse()


def _pour(connection: http.client.HTTPConnection, file: BinaryIO) -> None:
    """The file's bytes, by the kernel where the connection is not encrypted."""
    sock: socket.socket = connection.sock
    if type(sock) is socket.socket:
        sock.sendfile(file)
        return
    while block := file.read(_BLOCK_BYTES):
        sock.sendall(block)


def _whole(response: http.client.HTTPResponse, fine: tuple[int, ...], doing: str) -> Answer:
    check_status(response, fine, doing)
    return Answer(response.status, dict(response.headers), response.read())


def _retry_after(response: http.client.HTTPResponse) -> float:
    text = response.headers.get("Retry-After", "")
    return min(float(text), 60.0) if text.isdigit() else 0.0


def _explain(body: bytes) -> tuple[str, str]:
    """(": what the server says", its hint) of a problem+json answer."""
    try:
        said = json.loads(body)
        detail, hint = str(said.get("detail") or said.get("title") or ""), str(said.get("hint") or "")
    except (ValueError, AttributeError):
        detail, hint = body[:200].decode("utf-8", "replace").strip(), ""
    return (f": {detail}" if detail else ""), hint


def _words(error: BaseException) -> str:
    if isinstance(error, FairwayError):
        return error.message
    if isinstance(error, ConnectionRefusedError):
        return "nobody listens there"
    if isinstance(error, TimeoutError):
        return "no answer in time"
    return str(error) or type(error).__name__


def _shown(url: str) -> str:
    """An address without its signature."""
    return url.partition("?")[0]
