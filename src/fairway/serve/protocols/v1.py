"""TensorFlow Serving's and KServe's V1 protocol: instances in, predictions out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from fairway.serve.call import Call
from fairway.serve.protocols.answers import read_then, reply_predictions, submit
from fairway.serve.protocols.requests import decode_body, need_json, read_body
from fairway.serve.protocols.serving import Params, Serving, check_model
from fairway.serve.protocols.v2 import refuse
from fairway.serve.refusal import Refused

if TYPE_CHECKING:
    from fairway.serve.exchange import Exchange


class PredictRequest(msgspec.Struct, forbid_unknown_fields=True):
    """The protocol's body: rows in `instances`, or columns in `inputs`. There is one signature here, whatever its caller names it."""

    instances: msgspec.Raw = msgspec.Raw()
    inputs: msgspec.Raw = msgspec.Raw()
    parameters: dict[str, Any] = {}
    signature_name: str = ""


_decode = msgspec.json.Decoder(PredictRequest).decode


def predict(serving: Serving, exchange: Exchange, params: Params) -> None:
    """Answer {"predictions": …}."""

    def read() -> Call:
        check_model(serving, params)
        return read_call(serving, exchange)

    def go(call: Call) -> None:
        submit(serving, exchange, call, lambda result: reply_predictions(exchange, result), refuse)

    read_then(exchange, read, go, refuse)


def read_call(serving: Serving, exchange: Exchange) -> Call:
    """The checked call. Raises Refused 400, 413, 415, 422."""
    need_json(exchange)
    body = read_body(serving, exchange)
    request = decode_body(_decode, body, raw=("instances", "inputs"))
    if bool(len(request.instances)) == bool(len(request.inputs)):
        came = "both of them" if len(request.instances) else "neither"
        raise Refused(400, "FW-REQUEST", f'the body is to have "instances" (rows) or "inputs" (columns): came {came}')
    name, rows = (b"instances", request.instances) if len(request.instances) else (b"inputs", request.inputs)
    call = serving.checker.read_json(b'{"%b":%b}' % (name, rows))
    if request.parameters:
        call.params = request.parameters
    return call


def explain(serving: Serving, exchange: Exchange, params: Params) -> None:
    """Nothing here explains predictions."""
    refuse(exchange, Refused(501, "FW-UNSUPPORTED", "this server has no explainer", hint="ask for predictions with …:predict"))


def models(serving: Serving, exchange: Exchange, params: Params) -> None:
    exchange.reply(200, msgspec.json.encode({"models": [serving.name]}))


def model(serving: Serving, exchange: Exchange, params: Params) -> None:
    """200 when the model can be asked, 503 before."""
    try:
        check_model(serving, params)
        exchange.reply(200 if serving.ready else 503, msgspec.json.encode({"name": serving.name, "ready": serving.ready}))
    except Refused as refused:
        refuse(exchange, refused)
