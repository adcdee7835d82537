"""grpclib's server on sockets of ours, which ends without losing a call."""

from __future__ import annotations

import asyncio
import math
import socket
import weakref
from collections.abc import Callable
from ssl import SSLContext
from typing import Any

from grpclib.protocol import Connection, H2Protocol
from grpclib.server import Server
from hyperframe.frame import GoAwayFrame

from fairway.serve.listening import Listener

_GOING = GoAwayFrame(0, last_stream_id=2**31 - 1).serialize()
"""Says that the connection ends, and that all that was asked on it is answered."""
_BACKLOG = 1024
_LAST_S = 2.0
_PAUSE_S = 0.2
"""Between an answer and the word that its connection ends: clients that read both at once lose the answer."""


class GrpcListener(Server):
    """Serves on one socket, and knows its connections."""

    def __init__(self, handlers: list[Any], **options: Any) -> None:
        super().__init__(handlers, **options)
        self._protocols = weakref.WeakSet[H2Protocol]()
        self._taking: Listener | None = None

    def _protocol_factory(self) -> H2Protocol:
        made = super()._protocol_factory()
        self._protocols.add(made)
        return made

    def listen(self, sock: socket.socket, *, ssl: SSLContext | None) -> None:
        """Serve on a bound socket."""
        self._taking = Listener(self._protocol_factory, sock, ssl=ssl, backlog=_BACKLOG)

    async def drain(self, is_busy: Callable[[], bool], timeout_s: float, linger_s: float) -> None:
        """Take no new connections and answer what is asked, for at most `timeout_s`; who sent a request before it heard of the end has
        `linger_s`. A connection is told that it ends once nothing is being answered on it: many clients (all that build on h2, the
        gateway's own among them) give up what they wait for when they hear so. Those that are busy all the time are told at last."""
        taking = self._taking
        if taking is None:
            return
        taking.drain()
        told = weakref.WeakSet[Connection]()
        now = asyncio.get_running_loop().time
        at_rest = weakref.WeakKeyDictionary[Connection, float]()  # since when nothing is being answered on it

        def is_resting(link: Connection) -> bool:
            if link._connection.open_inbound_streams:
                at_rest[link] = math.inf
            elif at_rest.get(link) == math.inf:
                at_rest[link] = now()
            return now() - at_rest.setdefault(link, 0.0) >= _PAUSE_S

        quiet, end = now() + linger_s, now() + timeout_s
        last = end - min(_LAST_S, timeout_s / 2)
        while now() < end and (is_busy() or not all(map(is_resting, self._open())) or (now() < quiet and (taking.opening or self._open()))):
            for link in self._open():
                if link not in told and (now() >= last or is_resting(link)):
                    told.add(link)
                    link._transport.write(_GOING)
            await asyncio.sleep(0.01)
        taking.close()
        for handler in self._handlers:
            handler.close()
        for link in self._open():
            link._transport.close()

    def _open(self) -> list[Connection]:
        """Connections that are."""
        links = [one.connection for one in self._protocols if hasattr(one, "connection")]
        return [link for link in links if hasattr(link, "_transport") and not link._transport.is_closing()]  # it is taken away at the end


__all__ = ["GrpcListener"]
