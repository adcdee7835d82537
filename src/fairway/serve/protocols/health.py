"""Is it alive, is it ready: for probes and people."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from fairway.serve.protocols.serving import Params, Serving

if TYPE_CHECKING:
    from fairway.serve.http import Exchange


def health(serving: Serving, exchange: Exchange, params: Params) -> None:
    """200 when requests are answered, 503 before the model is loaded and while the server drains."""
    exchange.reply(
        200 if serving.ready else 503,
        msgspec.json.encode({"live": True, "ready": serving.ready, "model": serving.name, "version": serving.version}),
    )


def live(serving: Serving, exchange: Exchange, params: Params) -> None:
    """200 as long as the front runs."""
    exchange.reply(200, b'{"live":true}')
