"""The Open Inference Protocol over gRPC, by the same rules as HTTP: keys, weights, held requests, deadlines. Messages pass as they are; of
each, only the model's name and version are read. Loaded only where the gateway has a port for it."""

from __future__ import annotations

import asyncio
import os
import re
import socket
import ssl
import time
import zlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import h2.exceptions
from grpclib.client import Channel
from grpclib.config import Configuration
from grpclib.const import Cardinality, Handler, Status
from grpclib.encoding.base import CodecBase
from grpclib.exceptions import GRPCError, StreamTerminatedError

from fairway.serve.gateway.protofields import read_field, write_text
from fairway.serve.grpclistening import GrpcListener
from fairway.serve.httpclient import Answer, Done
from fairway.serve.refusal import Refused, too_large

if TYPE_CHECKING:
    from fairway.serve.gateway.gateway import Gateway

SERVICE = "/inference.GRPCInferenceService/"
_FORWARDED = ("ModelReady", "ModelMetadata", "ModelInfer")
_SANE_ID = re.compile(r"[A-Za-z0-9._:-]{1,64}").fullmatch
_STATUSES = {
    400: Status.INVALID_ARGUMENT, 401: Status.UNAUTHENTICATED, 403: Status.PERMISSION_DENIED, 404: Status.NOT_FOUND,
    413: Status.RESOURCE_EXHAUSTED, 429: Status.RESOURCE_EXHAUSTED, 499: Status.CANCELLED, 501: Status.UNIMPLEMENTED,
    502: Status.UNAVAILABLE, 503: Status.UNAVAILABLE, 504: Status.DEADLINE_EXCEEDED,
}  # fmt: skip
_HTTP = {
    Status.INVALID_ARGUMENT: 400, Status.UNAUTHENTICATED: 401, Status.PERMISSION_DENIED: 403, Status.NOT_FOUND: 404,
    Status.RESOURCE_EXHAUSTED: 429, Status.UNIMPLEMENTED: 501, Status.UNAVAILABLE: 503, Status.DEADLINE_EXCEEDED: 504,
    Status.CANCELLED: 499, Status.FAILED_PRECONDITION: 400, Status.OUT_OF_RANGE: 400,
}  # fmt: skip
_KEPT = ("content-type", "te", "user-agent", "grpc-timeout", "grpc-encoding", "grpc-accept-encoding", "authorization", "x-api-key")
_TRUE = b"\x08\x01"  # `live` or `ready` of the answers about the server
_PREFIX_BYTES = 5
_WINDOW = 4 << 20
_CONFIG = Configuration(http2_connection_window_size=_WINDOW, http2_stream_window_size=_WINDOW)


class RawCodec(CodecBase):
    """Messages as bytes."""

    __content_subtype__ = "proto"  # pyright: ignore[reportIncompatibleMethodOverride, reportAssignmentType]  # as grpclib's own

    def encode(self, message: Any, message_type: Any) -> bytes:
        return message

    def decode(self, data: bytes, message_type: Any) -> Any:
        return data


class GrpcExchange:
    """A call in the shape of `fairway.serve.exchange.Exchange`, so that the gateway needs to know nothing of gRPC."""

    query = ""
    method = "POST"

    def __init__(self, name: str, stream: Any, body: bytes, is_encrypted: bool) -> None:
        self.name, self.body, self.is_encrypted = name, body, is_encrypted
        model, version = read_field(body, 1), read_field(body, 2)
        tail = b"/versions/" + version if version else b""
        self.url = b"/v2/models/" + model.replace(b"/", b"%2F") + tail
        self.path = self.url.decode("latin-1")
        self.given = dict(stream.metadata)
        self.headers = {key.encode(): value.encode("latin-1", "replace") for key, value in self.given.items() if isinstance(value, str)}
        self.headers[b"content-length"] = b"%d" % len(body)
        self.headers[b"host"] = b"localhost"
        if stream.deadline is not None:
            self.headers.setdefault(b"fairway-timeout-ms", b"%d" % max(1, int(stream.deadline.time_remaining() * 1000)))
        given = self.given.get("fairway-request-id") or self.given.get("x-request-id")
        self.id = given if isinstance(given, str) and _SANE_ID(given) else os.urandom(12).hex()
        address = stream.peer.addr() if stream.peer is not None else None
        self.peer = str(address[0]) if isinstance(address, tuple) and address else ""
        self.started = time.monotonic()
        self.answered = self.gone = False
        self.status = 0
        self.state: Any = None
        self.on_gone: Callable[[], None] | None = None
        self.answer: asyncio.Future[tuple[Status, str, bytes, dict[str, str]]] = asyncio.get_running_loop().create_future()

    def reply(self, status: int, body: bytes = b"", content_type: bytes = b"", headers: tuple[tuple[bytes, bytes], ...] = ()) -> None:
        """The replica's message, or its error."""
        told = {name.decode(): value.decode("latin-1") for name, value in headers}
        code, text = told.pop("grpc-status", "0"), told.pop("grpc-message", "")
        self._settle(status, Status(int(code)), text, body, told)

    def refuse(self, refused: Refused) -> None:
        text = f"{refused.message}; {refused.hint}" if refused.hint else refused.message
        more = {"retry-after": str(max(1, round(refused.retry_after_s)))} if refused.retry_after_s else {}
        self._settle(refused.status, _STATUSES.get(refused.status, Status.INTERNAL), f"{text} ({refused.code})", b"", more)

    def upstream_of(self, replica: Any) -> Any:
        """The way to the replica's second port."""
        return GrpcUpstream(replica, self)

    def _settle(self, status: int, code: Status, text: str, body: bytes, more: dict[str, str]) -> None:
        if not self.answered:
            self.answered, self.status = True, status
            self.answer.set_result((code, text, body, {"fairway-request-id": self.id, **more}))


class GrpcUpstream:
    """One call to a replica, in the shape of `fairway.serve.httpclient.Upstream`."""

    def __init__(self, replica: Any, exchange: GrpcExchange) -> None:
        self._replica, self._exchange = replica, exchange

    def send(self, head: bytes, body: bytes, done: Done, timeout_s: float, *, is_fresh: bool = False) -> Any:
        """The task of the call: `cancel` ends it."""
        return asyncio.get_running_loop().create_task(self._call(body, done, timeout_s))

    async def _call(self, body: bytes, done: Done, timeout_s: float) -> None:
        replica, exchange = self._replica, self._exchange
        if not replica.grpc:
            done(_error(Status.UNIMPLEMENTED, f"replica {replica.id} has no port for gRPC"))
            return
        metadata = {key: value for key, value in exchange.given.items() if key not in _KEPT and not key.startswith(("fairway-", ":"))}
        metadata["fairway-request-id"] = exchange.id
        job = exchange.state
        if job.caller:
            metadata["fairway-caller"] = job.caller
        channel = replica.channel
        if channel is None:
            host, _, port = replica.grpc.rpartition(":")
            channel = replica.channel = Channel(host.strip("[]"), int(port), codec=RawCodec(), config=_CONFIG)
        sent = False
        try:
            async with channel.request(
                SERVICE + exchange.name, Cardinality.UNARY_UNARY, bytes, bytes, timeout=timeout_s or None, metadata=metadata
            ) as call:
                await call.send_request()
                sent = True
                await call.send_message(body, end=True)
                answer = Answer(200)
                answer.body = await call.recv_message() or b""
        except GRPCError as error:
            answer = _error(error.status, error.message or "")
        except TimeoutError:
            answer = Answer(problem="timeout", why="no answer in time")
        except (OSError, StreamTerminatedError, h2.exceptions.H2Error) as error:
            problem = "closed" if sent else "connect"
            answer = Answer(problem=problem, why=str(error) or "the connection broke off", sent=sent)
        except Exception as error:  # noqa: BLE001 - the caller waits for an answer, whatever the library does
            answer = Answer(problem="broken", why=repr(error))
        done(answer)


def _error(status: Status, text: str) -> Answer:
    answer = Answer(_HTTP.get(status, 500))
    answer.headers = [(b"grpc-status", b"%d" % status.value), (b"grpc-message", " ".join(text.split()).encode("latin-1", "replace"))]
    return answer


class GrpcGate:
    """The port for gRPC."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._listener = GrpcListener([self], codec=RawCodec(), config=_CONFIG)
        self._is_encrypted = False
        self.in_flight = 0

    def __mapping__(self) -> dict[str, Handler]:
        made = {name: self._forwarding(name) for name in _FORWARDED}
        made.update(ServerLive=self._telling(lambda: _TRUE), ServerReady=self._telling(self._ready), ServerMetadata=self._telling(_about))
        return {SERVICE + name: Handler(answer, Cardinality.UNARY_UNARY, bytes, bytes) for name, answer in made.items()}

    def listen(self, sock: socket.socket, context: ssl.SSLContext | None) -> None:
        """Serve on a bound socket."""
        self._is_encrypted = context is not None
        self._listener.listen(sock, ssl=context)

    async def drain(self, timeout_s: float, linger_s: float = 0.5) -> None:
        """Take no new connections, answer what was asked, and end."""
        await self._listener.drain(lambda: self.in_flight > 0, timeout_s, linger_s)

    def _ready(self) -> bytes:
        return _TRUE if self._gateway.version >= 0 else b""

    def _telling(self, tell: Callable[[], bytes]) -> Any:
        async def handle(stream: Any) -> None:
            await stream.recv_message()
            await stream.send_message(tell())

        return handle

    def _forwarding(self, name: str) -> Any:
        async def handle(stream: Any) -> None:
            self.in_flight += 1
            exchange: GrpcExchange | None = None
            try:
                body = await receive(stream, self._gateway.server.body_bytes)
                exchange = GrpcExchange(name, stream, body, self._is_encrypted)
                self._gateway.take(exchange)
                code, text, answer, metadata = await exchange.answer
                if code is Status.OK:
                    await stream.send_initial_metadata(metadata=metadata)
                    await stream.send_message(answer)
                else:
                    await stream.send_trailing_metadata(status=code, status_message=text[:2000], metadata=metadata)
            except Refused as refused:
                await stream.send_trailing_metadata(status=_STATUSES[refused.status], status_message=refused.message)
            except (StreamTerminatedError, h2.exceptions.StreamClosedError):
                return  # the client has left
            finally:
                self.in_flight -= 1
                if exchange is not None:
                    if not exchange.answered and exchange.on_gone is not None:
                        exchange.gone = True
                        exchange.on_gone()
                    self._gateway.end(exchange)

        return handle


async def receive(stream: Any, limit: int) -> bytes:
    """The call's message, read only if it is not longer than `limit`. Raises Refused."""
    source = stream._stream
    try:
        prefix = await source.recv_data(_PREFIX_BYTES)
        size = int.from_bytes(prefix[1:], "big")
        if len(prefix) < _PREFIX_BYTES:
            raise Refused(400, "FW-REQUEST", "the request has no message")
        if size > limit:
            raise too_large(limit, size)
        data = await source.recv_data(size)
    except AssertionError:
        raise Refused(400, "FW-REQUEST", "the request ends before its message does") from None
    if not prefix[0]:
        return data
    unpacker = zlib.decompressobj(zlib.MAX_WBITS | 32)
    try:
        plain = unpacker.decompress(data, limit + 1)
    except zlib.error:
        raise Refused(501, "FW-UNSUPPORTED", "the message is compressed in a way that is not known here") from None
    if len(plain) > limit:
        raise too_large(limit, 0)
    return plain


def _about() -> bytes:
    from fairway import __version__

    return write_text(1, "fairway gateway") + write_text(2, __version__) + write_text(3, "binary_tensor_data")
