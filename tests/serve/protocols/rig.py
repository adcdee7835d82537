"""A replica in memory: a function instead of model processes. And an exchange in memory, which keeps its answer."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable
from typing import Any

import msgspec
import numpy as np

from fairway.data.schema.datatypes import FROM_NUMPY
from fairway.serve.call import Call, Done, Result, Tensor
from fairway.serve.exchange import ID
from fairway.serve.package.package import Package
from fairway.serve.protocols import dispatch
from fairway.serve.refusal import Refused
from fairway.serve.schema import compile_checker, load_schema, no_schema
from fairway.serve.schema.elements import split_strings
from fairway.spec.endpoint import Limits

ROWS = {
    "inputs": {"type": "array", "items": {"type": "object", "properties": {"age": {"type": "number"}, "income": {"type": "number"}},
                                          "required": ["age", "income"]}},
    "outputs": {"type": "array", "items": {"type": "number"}},
}  # fmt: skip


class MemoryServing:
    """`answer` maps a call to a result; it may raise Refused, as a full queue does."""

    def __init__(self, answer: Callable[[Call], Result], schema: Any = ROWS, *, kind: str = "sklearn", body_bytes: int = 1 << 20) -> None:
        self.name, self.version, self.ready = "risk", "3", True
        self.phases = (("libraries", 0.5), ("model", 0.25), ("warm-up", 0.01))
        self.schema = no_schema() if schema is None else load_schema(schema, "schema.json")
        self.checker = compile_checker(self.schema)
        self.package = Package(folder="/nowhere", kind=kind, name="risk", entry="model", schema=schema)
        self.limits = Limits(body_bytes=body_bytes)
        self.answer = answer
        self.calls: list[Call] = []

    def submit(self, call: Call, done: Done) -> None:
        self.calls.append(call)
        done(self.answer(call))

    def ask(self, method: str, url: str, body: bytes = b"", **headers: str) -> MemoryExchange:
        """One request and its answer; `headers` with underscores for dashes."""
        exchange = MemoryExchange(method, url, body, {k.replace("_", "-"): v for k, v in headers.items()})
        dispatch(self, exchange)  # type: ignore[arg-type]
        return exchange

    def post(self, url: str, value: Any, **headers: str) -> MemoryExchange:
        """JSON to an address."""
        return self.ask("POST", url, msgspec.json.encode(value), **{"content_type": "application/json", **headers})


class MemoryExchange:
    """What http.Exchange offers, in memory."""

    def __init__(self, method: str, url: str, body: bytes, headers: dict[str, str]) -> None:
        self.method = method
        self.path, _, self.query = url.partition("?")
        self.headers = {k.lower().encode(): v.encode("latin-1") for k, v in headers.items()}
        self.body, self.peer, self.id = body, "127.0.0.1", headers.get(ID.decode(), "id-1")
        self.started, self.gone = time.monotonic(), False
        self.status, self.answer, self.kind = 0, b"", b""
        self.sent: dict[bytes, bytes] = {}
        self.replies = 0
        self.streamed: list[bytes] | None = None
        self.ended = self.aborted = False
        self.on_gone: Callable[[], object] | None = None

    def reply(self, status: int, body: bytes = b"", content_type: bytes = b"application/json", headers: tuple[Any, ...] = ()) -> None:
        assert isinstance(body, bytes | memoryview), type(body)
        self.replies += 1
        self.status, self.answer, self.kind, self.sent = status, bytes(body), content_type, dict(headers)

    def refuse(self, refused: Refused) -> None:
        headers = ((b"retry-after", b"%d" % refused.retry_after_s),) if refused.retry_after_s else ()
        self.reply(refused.status, msgspec.json.encode(refused.plain(self.id)), headers=headers)

    def stream(self, status: int, content_type: bytes, headers: tuple[Any, ...] = ()) -> MemoryExchange:
        self.replies += 1
        self.status, self.kind, self.sent, self.streamed = status, content_type, dict(headers), []
        return self

    def write(self, data: bytes) -> None:
        assert self.streamed is not None
        self.streamed.append(data)

    async def drain(self) -> None:
        if self.gone:
            raise ConnectionResetError("the client has left")

    def end(self) -> None:
        self.ended = True

    def abort(self) -> None:
        self.aborted = True

    @property
    def json(self) -> Any:
        return msgspec.json.decode(self.answer)

    @property
    def error(self) -> str:
        """The text of the error, in whichever form."""
        found = self.json
        if "message" in found:
            return found["message"]
        return found["error"] if isinstance(found["error"], str) else found["error"]["message"]


def array_of(values: Any, dtype: str = "<f8", names: tuple[str, ...] = ()) -> Result:
    array = np.asarray(values, dtype=dtype)
    result = Result("array", array.tobytes())
    result.dtype, result.shape, result.names = dtype, array.shape, names
    return result


def json_of(value: Any) -> Result:
    return Result("json", msgspec.json.encode(value))


def failed(status: int = 500, message: str = "the model raised ValueError: no") -> Result:
    result = Result("error", status=status)
    result.code, result.message = "FW-MODEL", message
    return result


def stream_of(pieces: Iterable[Any], seen: list[str] | None = None) -> Result:
    """A stream of JSON values, bytes or results; `seen` learns when its reader has stopped."""

    async def chunks() -> Any:
        try:
            for piece in pieces:
                await asyncio.sleep(0)
                if isinstance(piece, Result):
                    yield piece
                elif isinstance(piece, bytes):
                    raw = Result("bytes", piece)
                    raw.content_type = "text/plain"
                    yield raw
                else:
                    yield json_of(piece)
        finally:
            if seen is not None:
                seen.append("stopped")

    result = Result("stream")
    result.chunks = chunks()
    return result


def to_array(call: Call) -> np.ndarray:
    """The rows of a call as a model process would see them."""
    if call.form == "matrix":
        return np.frombuffer(call.payload, call.dtype).reshape(call.rows, -1)
    assert call.form == "rows", call.form
    return np.asarray(msgspec.msgpack.decode(call.payload), dtype=float)


def sum_rows(call: Call) -> Result:
    """The sum of each row, of the dtype that came."""
    rows = to_array(call)
    return array_of(rows.sum(axis=1), rows.dtype.str)


def identity(call: Call) -> Result:
    """The tensors that came."""
    if call.form == "matrix":
        return array_of(to_array(call), call.dtype)
    result = Result("tensors")
    result.tensors = call.tensors
    return result


NUMPY = {ours: numpy for numpy, ours in FROM_NUMPY.items()}


def to_numpy(tensor: Tensor) -> np.ndarray:
    if tensor.datatype == "BYTES":
        return np.array(list(split_strings(tensor.data)), dtype=object).reshape(tensor.shape)
    return np.frombuffer(tensor.data, NUMPY[tensor.datatype]).reshape(tensor.shape)
