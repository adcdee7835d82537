"""Results as bytes of an answer: JSON, CSV, streams. Nothing here looks at single elements where C can."""

from __future__ import annotations

import asyncio
import csv
import io
import struct
from collections.abc import Callable, Coroutine
from functools import lru_cache
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from fairway.data.schema.datatypes import FROM_NUMPY
from fairway.serve.call import Call, Result
from fairway.serve.protocols.serving import Serving, prepare, refused_of
from fairway.serve.refusal import Refused
from fairway.serve.schema.elements import to_values

if TYPE_CHECKING:
    from fairway.serve.exchange import Exchange

JSON, CSV, NDJSON, SSE = b"application/json", b"text/csv; charset=utf-8", b"application/x-ndjson", b"text/event-stream"
_encode = msgspec.json.Encoder().encode
_tasks: set[asyncio.Task[None]] = set()

_LARGE_BYTES = 256 << 10

T = TypeVar("T")
Write = Callable[[Result], None]
Refuse = Callable[["Exchange", Refused], None]


_UNWRITABLE = (ValueError, TypeError, KeyError, struct.error, msgspec.MsgspecError)


def unwritable(error: Exception) -> Refused:
    return Refused(500, "FW-INTERNAL", f"the result of the model cannot be written as an answer: {error}")


def submit(serving: Serving, exchange: Exchange, call: Call, write: Write, refuse: Refuse) -> None:
    """Have the call answered: `write` gets its whole result, `refuse` what went wrong. Streams are gathered before unless the call takes
    them. Raises Refused if the replica takes no more calls."""

    def done(result: Result) -> None:
        form = result.form
        if form == "error":
            refuse(exchange, refused_of(result.code, result.status, result.message))
            return
        if form == "stream" and not call.streams:
            start(answer_gathered(result), exchange)
            return
        attempt(result)

    def attempt(result: Result) -> None:
        try:
            write(result)
        except Refused as refused:
            refuse(exchange, refused)
        except _UNWRITABLE as error:
            refuse(exchange, unwritable(error))

    async def answer_gathered(result: Result) -> None:
        gathered = await gather(result)
        if gathered.form == "error":
            done(gathered)
        else:
            attempt(gathered)

    serving.submit(prepare(serving, exchange, call), done)


def read_then(exchange: Exchange, read: Callable[[], T], go: Callable[[T], None], refuse: Refuse) -> None:
    """`go` with what `read` makes of the request. A large one is read in a thread of its own: to find what is wrong in 20 MB takes a
    second, in which others are to be answered."""
    if len(exchange.body) <= _LARGE_BYTES:
        try:
            go(read())
        except Refused as refused:
            refuse(exchange, refused)
        return

    async def later() -> None:
        try:
            go(await asyncio.get_running_loop().run_in_executor(None, read))
        except Refused as refused:
            refuse(exchange, refused)

    start(later(), exchange)


def start(work: Coroutine[Any, Any, None], exchange: Exchange) -> None:
    """Let it run in the loop until it is done or the client has left."""
    task = asyncio.get_running_loop().create_task(work)
    _tasks.add(task)  # the loop alone does not keep it from being collected
    task.add_done_callback(_tasks.discard)

    def stop() -> None:
        task.cancel()

    exchange.on_gone = stop


async def gather(result: Result) -> Result:
    """A stream as one result: a JSON list of its pieces, bytes put together, or the error it ended with."""
    chunks: Any = result.chunks
    pieces: list[bytes | memoryview] = []
    kind = ""
    try:
        async for chunk in chunks:
            if chunk.form == "error":
                return chunk
            if chunk.form == "bytes":
                kind = chunk.content_type or "application/octet-stream"
                pieces.append(chunk.payload)
            else:
                pieces.append(to_json(chunk))
    finally:
        await chunks.aclose()
    if kind:
        whole = Result("bytes", b"".join(pieces))
        whole.content_type = kind
        return whole
    return Result("json", b"[" + b",".join(pieces) + b"]")


def to_json(result: Result) -> bytes | memoryview:
    """The result as JSON. NaN and infinities, which JSON lacks, are null."""
    form = result.form
    if form == "array":
        return _encode(to_list(result))
    if form == "json":
        return result.payload
    if form == "tensors":
        return _encode({t.name: _texts(to_values(t.datatype, t.data, t.shape)) if t.datatype == "BYTES" else
                        to_values(t.datatype, t.data, t.shape) for t in result.tensors})  # fmt: skip
    if form == "bytes":
        return _encode(bytes(result.payload).decode("utf-8", "replace"))
    raise ValueError(f"a result of the form {form!r} is no value")


def to_list(result: Result) -> list[Any]:
    """An array as (nested) lists of numbers."""
    shape = result.shape
    if len(shape) == 1 and result.dtype == "<f8":
        return memoryview(result.payload).cast("d").tolist() if len(result.payload) else []
    if not shape:
        return to_values(FROM_NUMPY[result.dtype], result.payload)[0]
    return to_values(FROM_NUMPY[result.dtype], result.payload, shape)


def _texts(values: list[Any]) -> list[Any]:
    return [_texts(value) if isinstance(value, list) else value.decode("utf-8", "replace") for value in values]


@lru_cache(maxsize=8)
def tail(name: str, version: str) -> bytes:
    """What ends an answer of /predict after its id."""
    return b'","model":' + _encode(name) + b',"version":' + _encode(version) + b"}"


def to_predictions(serving: Serving, id: str, result: Result) -> bytes:
    """The JSON answer of /predict."""
    return b'{"predictions":%b,"id":"%b%b' % (to_json(result), id.encode(), tail(serving.name, serving.version))


def to_rows(result: Result) -> tuple[list[str], list[Any]]:
    """The result as a table: names of columns, and rows. Raises Refused 406 if it is none."""
    value = to_list(result) if result.form == "array" else msgspec.json.decode(to_json(result))
    if isinstance(value, dict):
        columns = list(value.values())
        if not columns or not all(isinstance(column, list) and len(column) == len(columns[0]) for column in columns):
            raise Refused(406, "FW-UNSUPPORTED", "the answer is not a table", hint="ask for application/json")
        return list(value), [list(row) for row in zip(*columns, strict=True)]
    if not isinstance(value, list):
        value = [value]
    names = list(result.names)
    first = value[0] if value else None
    if isinstance(first, dict):
        names = list(dict.fromkeys(name for row in value if isinstance(row, dict) for name in row))
        if not all(isinstance(row, dict) for row in value):
            raise Refused(406, "FW-UNSUPPORTED", "the answer is not a table", hint="ask for application/json")
        return names, [[row.get(name) for name in names] for row in value]
    if isinstance(first, list):
        if len(names) != len(first):
            names = [f"prediction_{at}" for at in range(len(first))]
        return names, value
    return (names if len(names) == 1 else ["prediction"]), [[row] for row in value]


def to_csv(result: Result) -> bytes:
    """The result as CSV with a line of names."""
    names, rows = to_rows(result)
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(names)
    writer.writerows([[_cell(value) for value in row] for row in rows])
    return out.getvalue().encode()


def _cell(value: Any) -> Any:
    if isinstance(value, list | dict):
        return _encode(value).decode()
    if isinstance(value, bool):
        return "true" if value else "false"
    return "" if value is None or value != value else value


def check_status(result: Result) -> None:
    """Refuse a script's own response whose status is not 200, for protocols that have no place for it: its text is the error's."""
    if result.form == "bytes" and result.status != 200:
        raise Refused(result.status, "FW-MODEL", bytes(result.payload[:1000]).decode("utf-8", "replace"))


def reply_predictions(exchange: Exchange, result: Result) -> None:
    """The answer of V1 and MLflow."""
    check_status(result)
    exchange.reply(200, b'{"predictions":%b}' % to_json(result))


def reply_bytes(exchange: Exchange, result: Result) -> None:
    """The answer as the script wrote it."""
    exchange.reply(result.status, result.payload, (result.content_type or "application/octet-stream").encode("latin-1", "replace"))


async def reply_stream(exchange: Exchange, result: Result, kind: bytes) -> None:
    """Pieces as they come: server-sent events, lines of JSON, or bytes as they are (`kind` b""). An error in the midst is an event of its
    own, or breaks the connection where the form has no place for it. A client that leaves ends the model's work."""
    chunks: Any = result.chunks
    stream = None
    try:
        async for chunk in chunks:
            if exchange.gone:
                return
            if chunk.form == "error":
                refused = refused_of(chunk.code, chunk.status, chunk.message)
                if stream is None:
                    exchange.refuse(refused)
                    return
                if kind != SSE:
                    stream.abort()
                    return
                stream.write(b"event: error\ndata: %b\n\n" % _encode(refused.plain(exchange.id)))
                break
            piece = _piece(chunk, kind)
            if stream is None:
                stream = _begin(exchange, chunk, kind)
            stream.write(piece)
            await stream.drain()
        if stream is None:
            stream = exchange.stream(200, kind or NDJSON, _STREAMED)
        if kind == SSE:
            stream.write(b"event: end\ndata: %b\n\n" % _encode({"id": exchange.id}))
        stream.end()
    except ConnectionResetError:
        return  # the client has left
    except _UNWRITABLE as error:
        if stream is None:
            exchange.refuse(unwritable(error))
        else:
            stream.abort()
    finally:
        await chunks.aclose()


_STREAMED = ((b"cache-control", b"no-store"), (b"x-accel-buffering", b"no"))


def _begin(exchange: Exchange, first: Result, kind: bytes) -> Any:
    if kind:
        return exchange.stream(200, kind, _STREAMED)
    plain = first.content_type.encode("latin-1", "replace") if first.form == "bytes" else NDJSON
    return exchange.stream(200, plain or b"application/octet-stream", _STREAMED)


def _piece(chunk: Result, kind: bytes) -> bytes:
    if kind == SSE:
        if chunk.form == "bytes":
            lines = bytes(chunk.payload).decode("utf-8", "replace").splitlines() or [""]
            return "".join(f"data: {line}\n" for line in lines).encode() + b"\n"
        return b"data: %b\n\n" % to_json(chunk)
    if chunk.form == "bytes" and kind != NDJSON:
        return bytes(chunk.payload)
    return b"%b\n" % to_json(chunk)
