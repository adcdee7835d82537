"""`python -m fairway.train.beside.relay HOST PORT`: joins a step with the workers of its gang, for programs that cannot choose where they
listen and ask nobody who they are (R's). The key is in FAIRWAY_GANG_KEY.

Both sides call, and say "KEY worker RANK" or "KEY step RANK" in a line. When both of a rank have come, the step is sent one byte; from then
on what one of them says the other hears. When one leaves, so does the other.
"""

from __future__ import annotations

import contextlib
import hmac
import os
import queue
import socket
import sys
import threading
from collections import defaultdict

from fairway.train.beside.doors import open_door

_HELLO_S, _HELLO_BYTES = 30.0, 512
_CHUNK = 1 << 18
JOINED = b"."


def serve(host: str, port: int, key: str) -> None:
    """Until this process is ended."""
    workers = defaultdict[bytes, queue.SimpleQueue[socket.socket]](queue.SimpleQueue)
    with open_door(host, port) as listener:
        while True:
            caller, _ = listener.accept()
            caller.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(target=_greet, args=(caller, key, workers), daemon=True).start()


def _greet(caller: socket.socket, key: str, workers: defaultdict[bytes, queue.SimpleQueue[socket.socket]]) -> None:
    said = _hear(caller)
    told, side, rank = (*said.rsplit(b" ", 2), b"", b"")[:3]
    if not hmac.compare_digest(told, key.encode()):
        if said:  # who says nothing only wanted to know whether we are there
            print("fairway: refused a caller that does not know the gang's key", file=sys.stderr, flush=True)
        caller.close()
        return
    if side == b"worker":
        workers[rank].put(caller)
        return
    worker = workers[rank].get()
    with contextlib.suppress(OSError):
        caller.sendall(JOINED)
    threading.Thread(target=_pass_on, args=(worker, caller), daemon=True).start()
    _pass_on(caller, worker)


def _hear(caller: socket.socket) -> bytes:
    """Its first line, of which nothing behind is read; b"" if none comes."""
    caller.settimeout(_HELLO_S)
    said = bytearray()
    with contextlib.suppress(OSError):
        while len(said) < _HELLO_BYTES and (byte := caller.recv(1)) not in (b"", b"\n"):
            said += byte
    caller.settimeout(None)
    return bytes(said)


def _pass_on(source: socket.socket, target: socket.socket) -> None:
    """Until one of them has left."""
    buffer = memoryview(bytearray(_CHUNK))
    with contextlib.suppress(OSError):
        while count := source.recv_into(buffer):
            target.sendall(buffer[:count])
    for end in (source, target):
        with contextlib.suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)


if __name__ == "__main__":
    serve(sys.argv[1], int(sys.argv[2]), os.environ["FAIRWAY_GANG_KEY"])
