"""Azure ML's way of asking a script: POST /score with whatever the script takes, GET /score with a query, /swagger.json."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from fairway.serve.call import Call, Result
from fairway.serve.protocols.answers import JSON, SSE, reply_bytes, reply_stream, start, submit, to_json
from fairway.serve.protocols.requests import content_type, need_json, query_of, read_body
from fairway.serve.protocols.serving import Params, Serving
from fairway.serve.refusal import Refused

if TYPE_CHECKING:
    from fairway.serve.exchange import Exchange

SCRIPTS = frozenset({"script", "class", "r"})


def score(serving: Serving, exchange: Exchange, params: Params) -> None:
    """Answer what the script returns, and nothing around it."""
    try:
        body = read_body(serving, exchange)
        kind = content_type(exchange)
        if exchange.method != "POST":
            body, kind = msgspec.json.encode(query_of(exchange)), "application/json"
        call = read_call(serving, exchange, body, kind)
        call.streams = True
        submit(serving, exchange, call, lambda result: write(exchange, result), refuse)
    except Refused as refused:
        exchange.refuse(refused)


def read_call(serving: Serving, exchange: Exchange, body: bytes, kind: str) -> Call:
    """A script gets the body as it came, once it is found to keep to the schema; other models get rows. Raises Refused."""
    if serving.package.kind not in SCRIPTS:
        need_json(exchange)
        return serving.checker.read_json(body)
    if serving.schema.is_known:
        need_json(exchange)
        serving.checker.read_json(body)
    return Call("raw", body, content_type=kind)


def refuse(exchange: Exchange, refused: Refused) -> None:
    exchange.refuse(refused)


def write(exchange: Exchange, result: Result) -> None:
    """The value alone; what the script yields comes in pieces."""
    if result.form == "stream":
        wants_events = exchange.headers.get(b"accept", b"").startswith(SSE)
        start(reply_stream(exchange, result, SSE if wants_events else b""), exchange)
    elif result.form == "bytes":
        reply_bytes(exchange, result)
    else:
        exchange.reply(200, to_json(result), JSON, ((b"x-ms-request-id", exchange.id.encode()),))
