"""POST /predict: rows as JSON, CSV, Arrow or Parquet; predictions as JSON, CSV, Arrow, or events as they come."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

from fairway.serve.call import Call, Result
from fairway.serve.package.answertables import ACCEPT
from fairway.serve.protocols.answers import CSV, NDJSON, SSE, read_then, reply_bytes, reply_stream, start, submit, to_csv, to_predictions
from fairway.serve.protocols.requests import choose, content_type, is_json, query_of, read_body
from fairway.serve.protocols.serving import Params, Serving, shorten
from fairway.serve.refusal import Refused

if TYPE_CHECKING:
    from fairway.serve.exchange import Exchange

ARROW = "application/vnd.apache.arrow.stream"
PARQUET = "application/vnd.apache.parquet"
OFFERS = ("application/json", "text/csv", ARROW, PARQUET, "text/event-stream", "application/x-ndjson")
TABLES = {ARROW: ARROW, PARQUET: PARQUET, "application/x-parquet": PARQUET, "application/parquet": PARQUET}
_READS = f"application/json, text/csv, {ARROW} and {PARQUET}"


def predict(serving: Serving, exchange: Exchange, params: Params) -> None:
    """Answer with predictions, or with a problem as JSON."""
    try:
        offer = choose(exchange, OFFERS)
    except Refused as refused:
        exchange.refuse(refused)
        return

    def go(call: Call) -> None:
        if exchange.query:
            call.method = query_of(exchange).get("method", "")
        if offer == "application/json":
            submit(serving, exchange, call, lambda result: write_json(serving, exchange, result), refuse)
            return
        call.streams = offer in ("text/event-stream", "application/x-ndjson")
        if offer in (ARROW, PARQUET):
            call.params = {**call.params, ACCEPT: offer}
        submit(serving, exchange, call, lambda result: write_offer(serving, exchange, result, offer), refuse)

    read_then(exchange, lambda: read_call(serving, exchange), go, refuse)


def refuse(exchange: Exchange, refused: Refused) -> None:
    exchange.refuse(refused)


def read_call(serving: Serving, exchange: Exchange) -> Call:
    """The checked call that the body holds. Raises Refused 400, 413, 415, 422."""
    kind = content_type(exchange)
    body = read_body(serving, exchange)
    if is_json(kind):
        return serving.checker.read_json(body)
    if kind in ("text/csv", "application/csv"):
        return serving.checker.read_csv(body)
    if kind in TABLES:
        return read_table(body, TABLES[kind])
    hint = "send the header content-type: application/json" if body[:1] in (b"{", b"[") else ""
    raise Refused(415, "FW-UNSUPPORTED", f"the content type is {shorten(kind)!r}, expected one of {_READS}", hint=hint)


def read_table(body: bytes, kind: str) -> Call:
    """A table for the model process, which has the library to read it; here only how it begins and ends is looked at."""
    if kind == ARROW:
        good = len(body) >= 8 and body[:4] == b"\xff\xff\xff\xff"
        what = "an Arrow stream (of the form with end-of-stream markers, as pyarrow.ipc.new_stream writes it; a file is not a stream)"
    else:
        good = len(body) >= 12 and body[:4] == body[-4:] == b"PAR1"
        what = "a Parquet file"
    if not good:
        raise Refused(400, "FW-NOT-TABLE", f"the body is not {what}: came {len(body)} bytes that begin with {bytes(body[:4])!r}")
    return Call("table", body, content_type=kind)


def write_json(serving: Serving, exchange: Exchange, result: Result) -> None:
    """The usual answer."""
    if result.form == "bytes":
        reply_bytes(exchange, result)
    else:
        exchange.reply(200, to_predictions(serving, exchange.id, result))


def write_offer(serving: Serving, exchange: Exchange, result: Result, offer: str) -> None:
    """An answer of another kind. Raises Refused 406 where the result cannot be of it."""
    if offer == "text/csv":
        if result.form == "bytes":
            reply_bytes(exchange, result)
        else:
            exchange.reply(200, to_csv(result), CSV)
    elif offer in (ARROW, PARQUET):
        if result.form != "bytes":
            raise Refused(
                406, "FW-UNSUPPORTED", f"this model cannot be answered as {offer}: its process lacks pyarrow, or its answer is no table",
                hint="install pyarrow beside the model, or ask for application/json",
            )  # fmt: skip
        reply_bytes(exchange, result)
    else:
        kind = SSE if offer == "text/event-stream" else NDJSON
        start(reply_stream(exchange, result if result.form == "stream" else alone(result), kind), exchange)


def alone(result: Result) -> Result:
    """A stream of one piece."""

    async def chunks() -> AsyncIterator[Result]:
        yield result

    stream = Result("stream")
    stream.chunks = chunks()
    return stream
