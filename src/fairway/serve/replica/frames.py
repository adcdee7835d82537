"""What front, model parent and model workers say to each other over socket pairs: a MessagePack header and bytes behind it.

A frame is 4 bytes (length of the header), 8 bytes (length of the payload), header, payload. Headers are lists whose first item names them.
"""

from __future__ import annotations

import array
import socket
import struct
from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

from fairway.serve.call import Call, Result, Tensor

PREFIX = struct.Struct("<IQ")
BUFFER_BYTES = 4 << 20
_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder().decode
Bytes = bytes | bytearray | memoryview


def pack(header: Any, size: int = 0) -> bytes:
    """Prefix and header of a frame whose payload of `size` bytes follows."""
    head = _encode(header)
    return PREFIX.pack(len(head), size) + head


class FrameReader:
    """Frames out of whatever pieces a stream comes in."""

    __slots__ = ("_buffer", "_needed")

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._needed = 0

    def feed(self, data: bytes) -> Iterator[tuple[Any, memoryview]]:
        """(header, payload) of every frame that is complete now. A payload stays valid."""
        if self._buffer:
            self._buffer += data
            if len(self._buffer) < self._needed:
                return
            data = bytes(self._buffer)
            self._buffer = bytearray()
        view, at, end = memoryview(data), 0, len(data)
        while end - at >= PREFIX.size:
            head, size = PREFIX.unpack_from(view, at)
            stop = at + PREFIX.size + head + size
            if stop > end:
                self._needed = stop - at
                self._buffer += view[at:]
                return
            first = at + PREFIX.size
            yield _decode(view[first : first + head]), view[first + head : stop]
            at = stop
        self._needed = PREFIX.size
        self._buffer += view[at:]


class Link:
    """One end of a socket pair, blocking: for the processes that wait for nothing else."""

    __slots__ = ("_fds", "_pending", "_reader", "sock")

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self._reader = FrameReader()
        self._pending: list[tuple[Any, memoryview]] = []
        self._fds: list[int] = []

    def receive(self) -> tuple[Any, memoryview] | None:
        """The next frame; None when the other side has gone."""
        while not self._pending:
            data = self.sock.recv(BUFFER_BYTES)
            if not data:
                return None
            self._pending.extend(self._reader.feed(data))
        return self._pending.pop(0)

    def receive_with_fd(self) -> tuple[Any, int] | None:
        """The next frame and the descriptor that came with it (-1: none). One frame at a time is under way on such a link."""
        while not self._pending:
            data, ancillary, _, _ = self.sock.recvmsg(65536, socket.CMSG_SPACE(4))
            for level, kind, raw in ancillary:
                if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
                    numbers = array.array("i")
                    numbers.frombytes(raw[: len(raw) - len(raw) % numbers.itemsize])
                    self._fds.extend(numbers)
            if not data:
                return None
            self._pending.extend(self._reader.feed(data))
        header, _ = self._pending.pop(0)
        return header, self._fds.pop(0) if self._fds else -1

    def send(self, header: Any, *payload: Bytes) -> None:
        """Raises OSError when the other side has gone."""
        size = sum(len(part) if not isinstance(part, memoryview) else part.nbytes for part in payload)
        head = pack(header, size)
        if size <= 65536:
            self.sock.sendall(b"".join((head, *payload)))
            return
        self.sock.sendall(head)
        for part in payload:
            self.sock.sendall(part)


def socket_pair() -> tuple[socket.socket, socket.socket]:
    """Two connected sockets with room for a large batch."""
    ours, theirs = socket.socketpair()
    for sock in (ours, theirs):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, BUFFER_BYTES)
    return ours, theirs


def describe_call(call: Call) -> tuple[list[Any], list[Bytes]]:
    """A call as a header's part, and its bytes."""
    parts: list[Bytes] = [call.payload] if call.payload else []
    tensors = [[tensor.name, tensor.datatype, tensor.shape, len(tensor.data)] for tensor in call.tensors]
    parts.extend(tensor.data for tensor in call.tensors)
    head = [
        call.form, call.rows, len(call.payload), call.dtype, call.names, call.content_type, call.method, call.wanted, call.params,
        tensors, call.streams, call.id,
    ]  # fmt: skip
    return head, parts


def restore_calls(heads: Sequence[Any], payload: memoryview) -> list[Call]:
    """What `describe_call` described, over one payload."""
    at, calls = 0, list[Call]()
    for form, rows, size, dtype, names, content_type, method, wanted, params, tensors, streams, id in heads:
        body = payload[at : at + size]
        at += size
        arrays = list[Tensor]()
        for name, datatype, shape, length in tensors:
            arrays.append(Tensor(name, datatype, tuple(shape), payload[at : at + length]))
            at += length
        call = Call(form, body, rows=rows, names=tuple(names), dtype=dtype, tensors=tuple(arrays), content_type=content_type)
        call.method, call.wanted, call.params, call.streams, call.id = method, tuple(wanted), params, streams, id
        calls.append(call)
    return calls


def describe_result(result: Result) -> tuple[list[Any], list[Bytes]]:
    """A result as a header's part, and its bytes."""
    parts: list[Bytes] = [result.payload] if len(result.payload) else []
    tensors = [[tensor.name, tensor.datatype, tensor.shape, len(tensor.data)] for tensor in result.tensors]
    parts.extend(tensor.data for tensor in result.tensors)
    head = [
        result.form, result.status, len(result.payload), result.dtype, result.shape, result.names, result.content_type, result.code,
        result.message, tensors,
    ]  # fmt: skip
    return head, parts


def restore_results(heads: Sequence[Any], payload: memoryview) -> list[Result]:
    """What `describe_result` described, over one payload."""
    at, results = 0, list[Result]()
    for form, status, size, dtype, shape, names, content_type, code, message, tensors in heads:
        result = Result(form, payload[at : at + size], status=status)
        at += size
        arrays = list[Tensor]()
        for name, datatype, dimensions, length in tensors:
            arrays.append(Tensor(name, datatype, tuple(dimensions), payload[at : at + length]))
            at += length
        result.dtype, result.shape, result.names = dtype, tuple(shape), tuple(names)
        result.content_type, result.code, result.message, result.tensors = content_type, code, message, tuple(arrays)
        results.append(result)
    return results
