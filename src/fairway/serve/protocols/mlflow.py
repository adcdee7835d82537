"""MLflow's scoring protocol: /invocations with tables in its four spellings of JSON or as CSV, /ping, /version."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from fairway.serve.call import Call
from fairway.serve.protocols.answers import JSON, read_then, reply_predictions, submit
from fairway.serve.protocols.requests import content_type, decode_body, is_json, read_body, to_text
from fairway.serve.protocols.serving import Params, Serving, shorten
from fairway.serve.refusal import Refused

if TYPE_CHECKING:
    from fairway.serve.exchange import Exchange

SPELLINGS = ("dataframe_split", "dataframe_records", "instances", "inputs")
_CODES = {400: "BAD_REQUEST", 404: "RESOURCE_DOES_NOT_EXIST", 429: "REQUEST_LIMIT_EXCEEDED", 503: "TEMPORARILY_UNAVAILABLE"}
TEXT = b"text/plain; charset=utf-8"


class Invocation(msgspec.Struct, forbid_unknown_fields=True):
    """The protocol's body: one of four spellings of the input, and parameters for the model."""

    dataframe_split: msgspec.Raw = msgspec.Raw()
    dataframe_records: msgspec.Raw = msgspec.Raw()
    instances: msgspec.Raw = msgspec.Raw()
    inputs: msgspec.Raw = msgspec.Raw()
    params: dict[str, Any] = {}


_decode = msgspec.json.Decoder(Invocation).decode


def invoke(serving: Serving, exchange: Exchange, params: Params) -> None:
    """Answer {"predictions": …}."""

    def go(call: Call) -> None:
        submit(serving, exchange, call, lambda result: reply_predictions(exchange, result), refuse)

    read_then(exchange, lambda: read_call(serving, exchange), go, refuse)


def refuse(exchange: Exchange, refused: Refused) -> None:
    """The protocol's own form of an error."""
    code = _CODES.get(refused.status, "BAD_REQUEST" if refused.status < 500 else "INTERNAL_ERROR")
    headers = ((b"retry-after", b"%d" % max(1, round(refused.retry_after_s))),) if refused.retry_after_s else ()
    exchange.reply(refused.status, msgspec.json.encode({"error_code": code, "message": to_text(refused)}), JSON, headers)


def read_call(serving: Serving, exchange: Exchange) -> Call:
    """The checked call. Raises Refused 400, 413, 415, 422."""
    kind = content_type(exchange)
    body = read_body(serving, exchange)
    if kind in ("text/csv", "application/csv"):
        return serving.checker.read_csv(body)
    if not is_json(kind):
        raise Refused(415, "FW-UNSUPPORTED", f"the content type is {shorten(kind)!r}, expected application/json or text/csv")
    request = decode_body(_decode, body, raw=SPELLINGS)
    came = [name for name in SPELLINGS if len(getattr(request, name))]
    if len(came) != 1:
        raise Refused(400, "FW-REQUEST", f"the body is to have one of {', '.join(SPELLINGS)}: came {' and '.join(came) or 'none of them'}")
    found = getattr(request, came[0])
    call = serving.checker.read_json(bytes(found) if came[0].startswith("dataframe") else b'{"%b":%b}' % (came[0].encode(), found))
    if request.params:
        call.params = {**call.params, **request.params}
    return call


def ping(serving: Serving, exchange: Exchange, params: Params) -> None:
    """200 when the model can be asked, 503 before."""
    exchange.reply(200 if serving.ready else 503, b"\n", TEXT)


def version(serving: Serving, exchange: Exchange, params: Params) -> None:
    from fairway import __version__

    exchange.reply(200, f"fairway {__version__}".encode(), TEXT)
