"""Frames between driver, worker and zygotes: length-prefixed JSON over a stream socket, with file descriptors beside them."""

from __future__ import annotations

import array
import json
import os
import socket
from collections import deque
from typing import Any

_HEAD = 4
_CHUNK_BYTES = 1 << 18
_MAX_FDS = 16
_GONE = (BrokenPipeError, ConnectionResetError)

_encode = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False).encode


class Channel:
    """One end of a socket pair. Never blocks when the socket is non-blocking: what does not fit waits in `pending` until `flush`.

    A lost peer is reported once, by `receive` returning None; sending to it is not an error.
    """

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.pending: deque[tuple[memoryview, tuple[int, ...]]] = deque()
        self.fds: deque[int] = deque()
        self._buffer = bytearray()

    def fileno(self) -> int:
        """The socket's descriptor, for `poll`."""
        return self.sock.fileno()

    def send(self, message: dict[str, Any], fds: tuple[int, ...] = ()) -> None:
        """Queue a frame and send what the socket takes now. The descriptors are duplicated and may be closed once they are sent."""
        body = _encode(message).encode("utf-8", "surrogatepass")
        frame = len(body).to_bytes(_HEAD, "big") + body
        own = tuple(map(os.dup, fds)) if self.pending else fds
        self.pending.append((memoryview(frame), own))
        self.flush(keep=() if self.pending and own is not fds else fds)

    def flush(self, keep: tuple[int, ...] = ()) -> bool:
        """Send what waits; True when nothing is left. `keep`: descriptors that belong to the caller and are duplicated if they have to
        wait."""
        while self.pending:
            data, fds = self.pending[0]
            try:
                if fds:
                    sent = self.sock.sendmsg([data], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))])
                else:
                    sent = self.sock.send(data)
            except BlockingIOError:
                if fds and fds == keep:
                    self.pending[0] = (data, tuple(map(os.dup, fds)))
                return False
            except _GONE:
                self._drop(keep)
                return True
            if fds and fds != keep:
                _close_all(fds)
            if sent == len(data):
                self.pending.popleft()
            else:
                self.pending[0] = (data[sent:], ())
        return True

    def receive(self) -> list[dict[str, Any]] | None:
        """The frames that have arrived (one read of the socket); None when the other end is gone."""
        try:
            data, ancillary, _, _ = self.sock.recvmsg(_CHUNK_BYTES, socket.CMSG_SPACE(_MAX_FDS * 4))
        except BlockingIOError:
            return []
        except _GONE:
            return None
        for level, kind, payload in ancillary:
            if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
                received = array.array("i")
                received.frombytes(payload[: len(payload) - len(payload) % received.itemsize])
                self.fds.extend(received)
        if not data:
            return None
        buffer = self._buffer
        buffer += data
        frames: list[dict[str, Any]] = []
        start = 0
        while len(buffer) - start >= _HEAD:
            end = start + _HEAD + int.from_bytes(buffer[start : start + _HEAD], "big")
            if end > len(buffer):
                break
            frames.append(json.loads(buffer[start + _HEAD : end].decode("utf-8", "surrogatepass")))
            start = end
        del buffer[:start]
        return frames

    def take_fds(self, count: int) -> tuple[int, ...]:
        """The descriptors that came with the oldest frames not yet asked for."""
        return tuple(self.fds.popleft() for _ in range(count))

    def close(self) -> None:
        """Close this end and forget what was not sent."""
        self._drop(())
        _close_all(tuple(self.fds))
        self.fds.clear()
        self.sock.close()

    def _drop(self, keep: tuple[int, ...]) -> None:
        for _, fds in self.pending:
            if fds != keep:
                _close_all(fds)
        self.pending.clear()


def _close_all(fds: tuple[int, ...]) -> None:
    for fd in fds:
        try:
            os.close(fd)
        except OSError:
            continue
