"""The Open Inference Protocol (V2) over gRPC."""

from __future__ import annotations

import asyncio
import hmac
import os
import re
import ssl
import time
import zlib
from collections.abc import Awaitable, Callable
from typing import Any

import h2.exceptions
from google.protobuf.message import DecodeError
from grpclib.const import Cardinality, Handler, Status
from grpclib.exceptions import StreamTerminatedError

from fairway.serve.call import Call, Result, Tensor
from fairway.serve.grpclistening import GrpcListener
from fairway.serve.listening import listen_on
from fairway.serve.protocols import inference_messages as messages
from fairway.serve.protocols.answers import check_status, gather
from fairway.serve.protocols.requests import to_text
from fairway.serve.protocols.serving import Serving, check_model, find_timeout, refused_of
from fairway.serve.protocols.tensors import EXTENSIONS, SERVER_NAME, describe_model, pick, to_tensors
from fairway.serve.refusal import Refused
from fairway.serve.schema.elements import split_strings, to_values
from fairway.serve.schema.tensors import bad_tensor, pack

_SANE_ID = re.compile(r"[A-Za-z0-9._:-]{1,64}").fullmatch
_STATUSES = {
    401: Status.UNAUTHENTICATED, 403: Status.PERMISSION_DENIED, 404: Status.NOT_FOUND, 408: Status.DEADLINE_EXCEEDED,
    413: Status.RESOURCE_EXHAUSTED, 429: Status.RESOURCE_EXHAUSTED, 499: Status.CANCELLED, 501: Status.UNIMPLEMENTED,
    503: Status.UNAVAILABLE, 504: Status.DEADLINE_EXCEEDED,
}  # fmt: skip
_CONTENTS = {
    "BOOL": "bool_contents", "INT8": "int_contents", "INT16": "int_contents", "INT32": "int_contents", "INT64": "int64_contents",
    "UINT8": "uint_contents", "UINT16": "uint_contents", "UINT32": "uint_contents", "UINT64": "uint64_contents",
    "FP32": "fp32_contents", "FP64": "fp64_contents", "BYTES": "bytes_contents",
}  # fmt: skip
_ERROR_CHARACTERS = 2000  # it travels as a header
_PREFIX_BYTES = 5
_SERVICE = "/inference.GRPCInferenceService/"
Stream = Any
Answer = Callable[["InferenceService", Any, "Context"], Awaitable[Any]]


class Context:
    """What is known of a request besides its message."""

    __slots__ = ("deadline", "id", "timeout")

    def __init__(self, stream: Stream) -> None:
        given = stream.metadata.get("fairway-request-id") or stream.metadata.get("x-request-id")
        self.id = given if isinstance(given, str) and _SANE_ID(given) else os.urandom(12).hex()
        self.timeout = stream.metadata.get("fairway-timeout-ms")
        self.deadline = stream.deadline.time_remaining() if stream.deadline is not None else None


class InferenceService:
    """Answers for one replica."""

    def __init__(self, serving: Serving, token: str, ended: Callable[[str, int, float], None]) -> None:
        self.serving, self._token, self._ended = serving, token.encode(), ended
        self.in_flight = 0

    def __mapping__(self) -> dict[str, Handler]:
        return {
            f"{_SERVICE}{name}": Handler(
                self._wrap(name, answer), Cardinality.UNARY_UNARY, getattr(messages, f"{name}Request"), getattr(messages, f"{name}Response")
            )
            for name, answer in _METHODS.items()
        }

    def _wrap(self, name: str, answer: Answer) -> Callable[[Stream], Awaitable[None]]:
        request_type = getattr(messages, f"{name}Request")

        async def handle(stream: Stream) -> None:
            context, began, status = Context(stream), time.monotonic(), 499
            self.in_flight += 1
            try:
                self._check_token(name, stream)
                request = await receive(stream, request_type, self.serving.limits.body_bytes)
                response = await answer(self, request, context)
                await stream.send_initial_metadata(metadata={"fairway-request-id": context.id})
                await stream.send_message(response)
                status = 200
            except Refused as refused:
                status = refused.status
                await stream.send_trailing_metadata(
                    status=status_of(refused.status), status_message=to_text(refused)[:_ERROR_CHARACTERS],
                    metadata={"fairway-request-id": context.id},
                )  # fmt: skip
            except (StreamTerminatedError, h2.exceptions.StreamClosedError):
                return  # the client has left
            finally:
                self._ended(name, status, time.monotonic() - began)
                self.in_flight -= 1

        return handle

    def _check_token(self, name: str, stream: Stream) -> None:
        given = str(stream.metadata.get("fairway-token", "")).encode()
        if self._token and name not in ("ServerLive", "ServerReady") and not hmac.compare_digest(given, self._token):
            raise Refused(401, "FW-KEY", "this takes a token in the metadata fairway-token")

    async def server_live(self, request: Any, context: Context) -> Any:
        return messages.ServerLiveResponse(live=True)

    async def server_ready(self, request: Any, context: Context) -> Any:
        return messages.ServerReadyResponse(ready=self.serving.ready)

    async def model_ready(self, request: Any, context: Context) -> Any:
        check_model(self.serving, {"model": request.name, "version": request.version})
        return messages.ModelReadyResponse(ready=self.serving.ready)

    async def server_metadata(self, request: Any, context: Context) -> Any:
        from fairway import __version__

        return messages.ServerMetadataResponse(name=SERVER_NAME, version=__version__, extensions=EXTENSIONS)

    async def model_metadata(self, request: Any, context: Context) -> Any:
        check_model(self.serving, {"model": request.name, "version": request.version})
        about = describe_model(self.serving)
        tensor = messages.ModelMetadataResponse.TensorMetadata
        about["inputs"] = [tensor(**one) for one in about["inputs"]]
        about["outputs"] = [tensor(**one) for one in about["outputs"]]
        return messages.ModelMetadataResponse(**about)

    async def model_infer(self, request: Any, context: Context) -> Any:
        serving = self.serving
        check_model(serving, {"model": request.model_name, "version": request.model_version})
        call = serving.checker.read_tensors(read_tensors(request))
        call.wanted = tuple(output.name for output in request.outputs)
        call.params = read_parameters(request.parameters)
        call.id = context.id
        timeout = find_timeout(serving.limits, context.timeout.encode() if context.timeout else None)
        if context.deadline is not None:
            timeout = min(timeout, max(context.deadline, 0.001))
        call.deadline = time.monotonic() + timeout
        result = await ask(serving, call)
        if result.form == "error":
            raise refused_of(result.code, result.status, result.message)
        check_status(result)
        return self.write(request, context, pick(to_tensors(serving, result), call.wanted))

    def write(self, request: Any, context: Context, tensors: list[Tensor]) -> Any:
        """The answer: typed contents for who sent typed contents, else bytes."""
        response = messages.ModelInferResponse(
            model_name=self.serving.name, model_version=self.serving.version, id=request.id or context.id
        )
        typed = not request.raw_input_contents and all(tensor.datatype in _CONTENTS for tensor in tensors)
        for tensor in tensors:
            output = response.outputs.add(name=tensor.name, datatype=tensor.datatype, shape=tensor.shape)
            if not typed:
                response.raw_output_contents.append(bytes(tensor.data))
            elif tensor.datatype == "BYTES":
                output.contents.bytes_contents.extend(split_strings(tensor.data))
            else:
                getattr(output.contents, _CONTENTS[tensor.datatype]).extend(to_values(tensor.datatype, tensor.data))
        return response


_METHODS: dict[str, Answer] = {
    "ServerLive": InferenceService.server_live,
    "ServerReady": InferenceService.server_ready,
    "ModelReady": InferenceService.model_ready,
    "ServerMetadata": InferenceService.server_metadata,
    "ModelMetadata": InferenceService.model_metadata,
    "ModelInfer": InferenceService.model_infer,
}


def status_of(status: int) -> Status:
    """gRPC's status for HTTP's."""
    return _STATUSES.get(status, Status.INVALID_ARGUMENT if status < 500 else Status.INTERNAL)


async def receive(stream: Stream, message_type: Any, limit: int) -> Any:
    """The request's message, read only if it is not longer than `limit`, which grpclib itself does not look at. Raises Refused."""
    source = stream._stream
    try:
        prefix = await source.recv_data(_PREFIX_BYTES)
        if len(prefix) < _PREFIX_BYTES:
            raise Refused(400, "FW-REQUEST", "the request has no message")
        size = int.from_bytes(prefix[1:], "big")
        if size > limit:
            raise too_long(size, limit)
        data = await source.recv_data(size)
    except AssertionError:
        raise Refused(400, "FW-REQUEST", "the request ends before its message does") from None
    if len(data) != size:
        raise Refused(400, "FW-REQUEST", f"the message has {len(data)} bytes, expected {size} as its prefix says")
    if prefix[0]:
        data = unpack(data, limit)
    try:
        return message_type.FromString(data)
    except DecodeError:
        raise Refused(400, "FW-REQUEST", f"the {size} bytes of the message are not a {message_type.DESCRIPTOR.full_name}") from None


def too_long(size: int, limit: int) -> Refused:
    return Refused(413, "FW-TOO-LARGE", f"the message is too large: came {size / 1e6:.1f} MB, at most {limit / 1e6:.1f} MB is taken")


def unpack(data: bytes, limit: int) -> bytes:
    """A compressed message (gzip or deflate), within the limit. Raises Refused."""
    unpacker = zlib.decompressobj(zlib.MAX_WBITS | 32)
    try:
        plain = unpacker.decompress(data, limit + 1)
    except zlib.error:
        raise Refused(
            501, "FW-UNSUPPORTED", "the message is compressed in a way that is not known here, expected gzip or deflate"
        ) from None
    if len(plain) > limit:
        raise too_long(len(plain), limit)
    return plain


def read_parameters(parameters: Any) -> dict[str, Any]:
    """Parameters as plain values."""
    found: dict[str, Any] = {}
    for name, parameter in parameters.items():
        choice = parameter.WhichOneof("parameter_choice")
        if choice is not None:
            found[name] = getattr(parameter, choice)
    return found


def read_tensors(request: Any) -> list[Tensor]:
    """The tensors. Whether raw bytes are what datatype and shape say is for the schema's checker to see. Raises Refused 400."""
    raw = request.raw_input_contents
    if raw and len(raw) != len(request.inputs):
        raise Refused(
            400, "FW-REQUEST", f"raw_input_contents has {len(raw)} entries, expected one for each of the {len(request.inputs)} inputs"
        )
    tensors: list[Tensor] = []
    for at, given in enumerate(request.inputs):
        name, datatype, shape = given.name, given.datatype, tuple(given.shape)
        if raw:
            if given.HasField("contents"):
                raise Refused(400, "FW-REQUEST", f"tensor {name!r} has contents beside raw_input_contents, expected one of them")
            tensors.append(Tensor(name, datatype, shape, raw[at]))
        else:
            tensors.append(read_contents(name, datatype, shape, given.contents))
    return tensors


def read_contents(name: str, datatype: str, shape: tuple[int, ...], contents: Any) -> Tensor:
    """The tensor of typed contents. Raises Refused 400 naming the tensor and the field that was expected."""
    field = _CONTENTS.get(datatype)
    if field is None:
        raise bad_tensor(name, f"the datatype {datatype[:40]!r} in typed contents", "it in raw_input_contents")
    others = [one.name for one, _ in contents.ListFields() if one.name != field]
    if others:
        raise bad_tensor(name, others[0], f"{field} for {datatype}")
    return pack(name, datatype, list(getattr(contents, field)), shape, allows_nan=True)


async def ask(serving: Serving, call: Call) -> Result:
    """The call's whole result. Raises Refused if the replica takes no more calls."""
    waiting: asyncio.Future[Result] = asyncio.get_running_loop().create_future()

    def done(result: Result) -> None:
        if not waiting.done():
            waiting.set_result(result)

    serving.submit(call, done)
    result = await waiting
    return await gather(result) if result.form == "stream" else result


class GrpcServer:
    """A gRPC server that listens. `port` is the one it got."""

    def __init__(self, listener: GrpcListener, service: InferenceService, port: int) -> None:
        self._listener, self._service, self.port = listener, service, port

    async def close(self, timeout_s: float = 10.0, linger_s: float = 0.5) -> None:
        """Take nothing new, and answer what is there for at most `timeout_s`."""
        await self._listener.drain(lambda: self._service.in_flight > 0, timeout_s, linger_s)


def _nothing(name: str, status: int, seconds: float) -> None:
    return


async def serve_grpc(
    serving: Serving,
    host: str,
    port: int,
    *,
    token: str = "",
    certificate: str = "",
    key: str = "",
    ended: Callable[[str, int, float], None] = _nothing,
) -> GrpcServer:
    """Answer on the address (port 0: any that is free), encrypted with the certificate if there is one. `ended` is told of every call: its
    name, HTTP's status for how it ended, and its seconds. Raises OSError."""
    context = None
    if certificate:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key or None)
        context.set_alpn_protocols(["h2"])
    service = InferenceService(serving, token, ended)
    listener = GrpcListener([service])
    sock = listen_on(host, port)
    found = sock.getsockname()[1]
    listener.listen(sock, ssl=context)
    return GrpcServer(listener, service, found)
