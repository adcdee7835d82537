"""Protocols: bytes of a request to a Call, a Result to bytes of an answer."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from fairway.serve.protocols import health, mlflow, predict, score, v1, v2
from fairway.serve.protocols.answers import JSON
from fairway.serve.protocols.serving import Params, Route, RouteTable, Serving
from fairway.serve.refusal import Refused
from fairway.serve.schema import pages

if TYPE_CHECKING:
    from fairway.serve.exchange import Exchange

__all__ = ["ROUTES", "TABLE", "Route", "RouteTable", "Serving", "dispatch"]


def welcome(serving: Serving, exchange: Exchange, params: Params) -> None:
    """Who opens the address in a browser wants to see what there is; KServe's clients ask here whether the server lives."""
    if b"text/html" in exchange.headers.get(b"accept", b""):
        exchange.reply(302, b"", b"text/plain", ((b"location", b"docs"),))
    else:
        exchange.reply(200, b'{"status":"alive"}')


ROUTES: tuple[Route, ...] = (
    Route("POST", "/predict", predict.predict),
    Route("POST", "/score", score.score),
    Route("GET", "/score", score.score),
    Route("POST", "/invocations", mlflow.invoke),
    Route("GET", "/ping", mlflow.ping),
    Route("GET", "/version", mlflow.version),
    Route("GET", "/health", health.health),
    Route("GET", "/health/live", health.live),
    Route("GET", "/health/ready", health.health),
    Route("GET", "/", welcome),
    Route("GET", "/swagger.json", pages.openapi),  # where Azure's callers look for it
    Route("GET", "/openapi.json", pages.openapi),
    Route("GET", "/docs", pages.docs),
    Route("GET", "/docs/{file}", pages.static),
    Route("GET", "/v1/models", v1.models),
    Route("POST", "/v1/models/{model}:predict", v1.predict),
    Route("POST", "/v1/models/{model}:explain", v1.explain),
    Route("GET", "/v1/models/{model}", v1.model),
    Route("GET", "/v2", v2.server_metadata),
    Route("GET", "/v2/health/live", v2.server_live),
    Route("GET", "/v2/health/ready", v2.server_ready),
    Route("POST", "/v2/models/{model}/infer", v2.infer),
    Route("GET", "/v2/models/{model}", v2.model_metadata),
    Route("GET", "/v2/models/{model}/ready", v2.model_ready),
    Route("POST", "/v2/models/{model}/versions/{version}/infer", v2.infer),
    Route("GET", "/v2/models/{model}/versions/{version}", v2.model_metadata),
    Route("GET", "/v2/models/{model}/versions/{version}/ready", v2.model_ready),
)
TABLE = RouteTable(ROUTES)


def dispatch(serving: Serving, exchange: Exchange) -> None:
    """Answer the exchange, now or later, by the route for its path; with a problem as JSON if there is none."""
    try:
        route, params = TABLE.find(exchange.method, exchange.path)
    except Refused as refused:
        allowed = TABLE.methods(exchange.path)
        if allowed:
            exchange.reply(
                refused.status, msgspec.json.encode(refused.plain(exchange.id)), JSON, ((b"allow", ", ".join(allowed).encode()),)
            )
        else:
            exchange.refuse(refused)
        return
    route.handle(serving, exchange, params)
