"""The Open Inference Protocol (V2) over REST, with the binary tensor extension in both directions."""

from __future__ import annotations

import contextlib
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import msgspec

from fairway.serve.call import Call, Result, Tensor
from fairway.serve.protocols.answers import JSON, check_status, read_then, submit
from fairway.serve.protocols.requests import decode_body, need_json, read_body, to_text
from fairway.serve.protocols.serving import Params, Serving, check_model, shorten
from fairway.serve.protocols.tensors import EXTENSIONS, SERVER_NAME, describe_model, pick, to_tensors
from fairway.serve.refusal import Refused
from fairway.serve.schema.elements import to_values
from fairway.serve.schema.tensors import bad_tensor, check_size, count_of, pack
from fairway.serve.schema.values import say

if TYPE_CHECKING:
    from fairway.serve.exchange import Exchange

HEADER_LENGTH = b"inference-header-content-length"
BINARY = b"application/octet-stream"
_encode = msgspec.json.Encoder().encode
_Parameters = dict[str, Any]


class InferInput(msgspec.Struct):
    """A tensor of a request. `data` is there, or `parameters.binary_data_size` is."""

    name: str
    shape: list[int]
    datatype: str
    parameters: _Parameters = {}
    data: msgspec.Raw = msgspec.Raw()


class InferOutput(msgspec.Struct):
    """An output that is asked for."""

    name: str
    parameters: _Parameters = {}


class InferRequest(msgspec.Struct):
    """What the protocol's body says before any binary data."""

    inputs: list[InferInput]
    id: str = ""
    parameters: _Parameters = {}
    outputs: list[InferOutput] = []


_decode = msgspec.json.Decoder(InferRequest).decode
_decode_floats = msgspec.json.Decoder(list[float]).decode
_decode_any = msgspec.json.Decoder().decode


def infer(serving: Serving, exchange: Exchange, params: Params) -> None:
    """Answer with tensors."""

    def read() -> tuple[Call, InferRequest]:
        check_model(serving, params)
        return read_call(serving, exchange)

    def go(found: tuple[Call, InferRequest]) -> None:
        call, request = found
        submit(serving, exchange, call, lambda result: write(serving, exchange, result, request), refuse)

    read_then(exchange, read, go, refuse)


def refuse(exchange: Exchange, refused: Refused) -> None:
    """The protocol's own form of an error."""
    headers = ((b"retry-after", b"%d" % max(1, round(refused.retry_after_s))),) if refused.retry_after_s else ()
    exchange.reply(refused.status, _encode({"error": to_text(refused)}), JSON, headers)


def read_call(serving: Serving, exchange: Exchange) -> tuple[Call, InferRequest]:
    """The checked call and what was said of its answer. Raises Refused 400, 413, 415, 422."""
    body = read_body(serving, exchange)
    length = exchange.headers.get(HEADER_LENGTH)
    if length is None:
        need_json(exchange, "application/octet-stream")
        head, binary = body, memoryview(b"")
    else:
        size = find_header_size(length, len(body))
        view = memoryview(body)
        head, binary = view[:size], view[size:]
    request = decode_body(_decode, head, "the body" if length is None else f"the first {len(head)} bytes of the body")
    call = serving.checker.read_tensors(read_tensors(request, binary))
    call.wanted = tuple(output.name for output in request.outputs)
    call.params = request.parameters
    return call, request


def find_header_size(length: bytes, size: int) -> int:
    """What the header Inference-Header-Content-Length says. Raises Refused 400 if it cannot be."""
    if not length.isdigit() or len(length) > 12:
        raise Refused(
            400,
            "FW-REQUEST",
            f"the header Inference-Header-Content-Length is {shorten(length.decode('latin-1'))!r}, expected a number of bytes",
        )
    if int(length) > size:
        raise Refused(
            400, "FW-REQUEST", f"the header Inference-Header-Content-Length says {int(length)} bytes, but the whole body has {size}"
        )
    return int(length)


def read_tensors(request: InferRequest, binary: memoryview) -> list[Tensor]:
    """The tensors. Binary ones are not copied; whether their bytes are what datatype and shape say is for the schema's checker to see."""
    tensors: list[Tensor] = []
    at = 0
    for given in request.inputs:
        size = given.parameters.get("binary_data_size")
        if size is None:
            tensors.append(read_data(given))
        else:
            if not isinstance(size, int) or isinstance(size, bool) or size < 0:
                raise Refused(400, "FW-REQUEST", f"tensor {given.name!r}: binary_data_size is {size!r}, expected a number of bytes")
            if len(given.data):
                raise Refused(400, "FW-REQUEST", f"tensor {given.name!r} has both data and binary_data_size, expected one of them")
            if at + size > len(binary):
                raise Refused(
                    400,
                    "FW-REQUEST",
                    f"tensor {given.name!r}: binary_data_size says {size} bytes, but {len(binary) - at} are left of the body",
                )
            tensors.append(Tensor(given.name, given.datatype, tuple(given.shape), binary[at : at + size]))
            at += size
    if at != len(binary):
        for tensor in tensors:
            check_size(tensor)  # which says whose length it is that lies
        raise Refused(
            400,
            "FW-REQUEST",
            f"{len(binary) - at} bytes at the end of the body belong to no tensor: binary_data_size of all inputs adds up to {at}, "
            f"but {len(binary)} bytes come after the JSON",
        )
    return tensors


def read_data(given: InferInput) -> Tensor:
    """The tensor of JSON data, flat or nested."""
    total = count_of(given.name, given.shape)
    if not len(given.data):
        raise Refused(400, "FW-REQUEST", f"tensor {given.name[:80]!r} has neither data nor binary_data_size")
    values: Any = None
    if given.datatype in ("FP32", "FP64"):
        with contextlib.suppress(msgspec.ValidationError):  # nested: told apart below
            values = _decode_floats(given.data)
    if values is None or len(values) != total:
        values = decode_body(_decode_any, given.data, f"the data of tensor {given.name[:80]!r}")
    if not isinstance(values, list):
        raise bad_tensor(given.name, say(values), f"a list of {total}")
    return pack(given.name, given.datatype, values, tuple(given.shape))


def write(serving: Serving, exchange: Exchange, result: Result, request: InferRequest) -> None:
    """The answer, with outputs in binary where they were asked for so. Raises Refused for outputs that are none."""
    check_status(result)
    tensors = pick(to_tensors(serving, result), [output.name for output in request.outputs])
    binary = request.parameters.get("binary_data_output") is True
    asked = {output.name: output.parameters for output in request.outputs}
    outputs: list[dict[str, Any]] = []
    blobs: list[bytes | memoryview] = []
    for tensor in tensors:
        about: dict[str, Any] = {"name": tensor.name, "datatype": tensor.datatype, "shape": tensor.shape}
        if asked.get(tensor.name, _NOTHING).get("binary_data", binary) is True:
            about["parameters"] = {"binary_data_size": len(tensor.data)}
            blobs.append(tensor.data)
        else:
            about["data"] = to_data(tensor)
        outputs.append(about)
    head = _beginning(serving.name, serving.version) + _encode(request.id or exchange.id) + b',"outputs":' + _encode(outputs) + b"}"
    if not blobs:
        exchange.reply(200, head)
        return
    exchange.reply(200, b"".join((head, *blobs)), BINARY, ((b"Inference-Header-Content-Length", b"%d" % len(head)),))


_NOTHING: dict[str, Any] = {}


@lru_cache(maxsize=8)
def _beginning(name: str, version: str) -> bytes:
    return b'{"model_name":%b,"model_version":%b,"id":' % (_encode(name), _encode(version))


def to_data(tensor: Tensor) -> list[Any]:
    """Elements as JSON has them. Raises Refused 400 for bytes that are no text."""
    values = to_values(tensor.datatype, tensor.data)
    if tensor.datatype != "BYTES":
        return values
    try:
        return [value.decode() for value in values]
    except UnicodeDecodeError:
        raise Refused(
            400, "FW-UNSUPPORTED", f"output {tensor.name!r} holds bytes that are no text", hint="ask for it with binary_data: true"
        ) from None


def server_metadata(serving: Serving, exchange: Exchange, params: Params) -> None:
    from fairway import __version__

    exchange.reply(200, _encode({"name": SERVER_NAME, "version": __version__, "extensions": EXTENSIONS}))


def model_metadata(serving: Serving, exchange: Exchange, params: Params) -> None:
    try:
        check_model(serving, params)
        exchange.reply(200, _encode(describe_model(serving)))
    except Refused as refused:
        refuse(exchange, refused)


def model_ready(serving: Serving, exchange: Exchange, params: Params) -> None:
    """200 when the model can be asked, 503 before."""
    try:
        check_model(serving, params)
        exchange.reply(200 if serving.ready else 503, _encode({"name": serving.name, "ready": serving.ready}))
    except Refused as refused:
        refuse(exchange, refused)


def server_live(serving: Serving, exchange: Exchange, params: Params) -> None:
    exchange.reply(200, b'{"live":true}')


def server_ready(serving: Serving, exchange: Exchange, params: Params) -> None:
    exchange.reply(200 if serving.ready else 503, b'{"live":true,"ready":%b}' % (b"true" if serving.ready else b"false"))
