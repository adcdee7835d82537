"""Sockets to listen on, and what comes in on them."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from ssl import SSLContext

_FULL = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
_PAUSE_S = 0.5


class Listener:
    """Takes the connections that come to a bound socket; each gets a protocol from `make`. `backlog`: how many may wait in the kernel.

    asyncio's own server loses the connections that it has accepted in the turn of the loop in which it is closed: they stay open, and
    nobody ever answers on them. This one knows of every connection it has accepted.
    """

    def __init__(self, make: Callable[[], asyncio.BaseProtocol], sock: socket.socket, *, ssl: SSLContext | None, backlog: int) -> None:
        self._make, self._sock, self._ssl, self._backlog = make, sock, ssl, backlog
        self._loop = asyncio.get_running_loop()
        self._opening = set[asyncio.Task[None]]()
        self._pause: asyncio.TimerHandle | None = None
        sock.setblocking(False)
        sock.listen(backlog)
        self._loop.add_reader(sock, self._take)

    @property
    def opening(self) -> int:
        """How many connections are accepted, and not yet with their protocol."""
        return len(self._opening)

    def drain(self) -> None:
        """Take who waits in the kernel already, as they believe that they are connected, and nobody from then on."""
        if self._sock.fileno() >= 0:
            with contextlib.suppress(OSError):
                self._take()
            self._end()

    def close(self) -> None:
        """Take nobody from now on, and break the connections that are not with their protocol yet."""
        if self._sock.fileno() >= 0:
            self._end()
        for task in self._opening:
            task.cancel()

    def _end(self) -> None:
        if self._pause is not None:
            self._pause.cancel()
        self._loop.remove_reader(self._sock)
        self._sock.close()

    def _take(self) -> None:
        for _ in range(self._backlog):
            try:
                link, _ = self._sock.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                if error.errno not in _FULL:
                    raise
                print(f"no connection can be taken for the moment: {error.strerror}", file=sys.stderr, flush=True)
                self._loop.remove_reader(self._sock)
                self._pause = self._loop.call_later(_PAUSE_S, self._loop.add_reader, self._sock, self._take)
                return
            task = self._loop.create_task(self._open(link))
            self._opening.add(task)
            task.add_done_callback(self._opening.discard)

    async def _open(self, link: socket.socket) -> None:
        with contextlib.suppress(OSError):  # it left, or does not speak TLS
            await self._loop.connect_accepted_socket(self._make, link, ssl=self._ssl)


def listen_on(host: str, port: int) -> socket.socket:
    """A socket bound to the address. Raises OSError."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # With the protocol named, asyncio sends small pieces at once (TCP_NODELAY); else a stream's waits 40 ms for the one before.
    sock = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        sock.bind((host, port))
    except OSError:
        sock.close()
        raise
    sock.setblocking(False)
    return sock


def listen_on_path(path: str) -> socket.socket:
    """A Unix socket at the path, for its owner alone; what lay there is replaced. Raises OSError."""
    Path(path).unlink(missing_ok=True)
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    old = os.umask(0o177)
    try:
        sock.bind(path)
    except OSError:
        sock.close()
        raise
    finally:
        os.umask(old)
    sock.setblocking(False)
    return sock
