"""Answers /openapi.json, /docs and the page's files."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from fairway.serve.refusal import Refused
from fairway.serve.schema.docs import HEADERS, find_static, render_docs
from fairway.serve.schema.openapi import render_openapi

if TYPE_CHECKING:
    from fairway.serve.exchange import Exchange


def openapi(serving: Any, exchange: Exchange, params: dict[str, str]) -> None:
    """The OpenAPI document of this model."""
    exchange.reply(200, msgspec.json.encode(render_openapi(serving.schema, serving.name, serving.version, methods=_methods(serving))))


def docs(serving: Any, exchange: Exchange, params: dict[str, str]) -> None:
    """The page on which the model can be tried."""
    page = render_docs(serving.schema, serving.name, serving.version, methods=_methods(serving))
    exchange.reply(200, page.encode(), b"text/html; charset=utf-8", HEADERS)


def static(serving: Any, exchange: Exchange, params: dict[str, str]) -> None:
    """A file of that page."""
    found = find_static(params.get("file", ""))
    if found is None:
        exchange.refuse(Refused(404, "FW-NOT-FOUND", f"the page /docs has no file {params.get('file', '')[:80]!r}"))
        return
    exchange.reply(200, found[0], found[1], HEADERS)


def _methods(serving: Any) -> tuple[str, ...]:
    return tuple(getattr(serving, "info", {}).get("methods", ()))
