"""How a rank reaches the programs that run beside the others: whoever calls or answers has to know the gang's key."""

from __future__ import annotations

import socket
import time
from multiprocessing.connection import Connection, Listener, answer_challenge, deliver_challenge
from typing import Any


def listen(host: str, port: int, key: str) -> Listener:
    """At an address of either kind."""
    return Listener((host, port), family="AF_INET6" if ":" in host else "AF_INET", authkey=key.encode())


def reach(endpoint: str, key: str, patience_s: float) -> Any:
    """A connection to who listens at HOST:PORT (IPv6's address in brackets), who may come a little later than we do. Raises
    AuthenticationError for somebody who does not know the key, OSError if nobody comes in `patience_s`."""
    host, _, port = endpoint.rpartition(":")
    until = time.monotonic() + patience_s
    while True:
        try:
            return _greet(socket.create_connection((host.strip("[]"), int(port))), key.encode())
        except OSError:
            if time.monotonic() > until:
                raise
            time.sleep(0.05)


def _greet(caller: socket.socket, key: bytes) -> Connection[Any, Any]:
    """As `multiprocessing.connection.Client` does, which knows no IPv6."""
    connection: Connection[Any, Any] = Connection(caller.detach())
    try:
        answer_challenge(connection, key)
        deliver_challenge(connection, key)
    except BaseException:
        connection.close()
        raise
    return connection
