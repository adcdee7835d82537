"""Is it alive, is it ready: for probes and people."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from fairway.serve.protocols.serving import Params, Serving

if TYPE_CHECKING:
    from fairway.serve.exchange import Exchange


def health(serving: Serving, exchange: Exchange, params: Params) -> None:
    """200 when requests are answered, with what the start took; 503 before the model is loaded and while the server drains."""
    said: dict[str, Any] = {"live": True, "ready": serving.ready, "model": serving.name, "version": serving.version}
    if serving.ready:
        said["phases"] = serving.phases
    exchange.reply(200 if serving.ready else 503, msgspec.json.encode(said))


def live(serving: Serving, exchange: Exchange, params: Params) -> None:
    """200 as long as the front runs."""
    exchange.reply(200, b'{"live":true}')
