"""The keeper's side of the gateway: it sets the table and hears the news. On an address of its own, never on the callers'."""

from __future__ import annotations

import hmac
import os
import time
from typing import TYPE_CHECKING, Any

import msgspec

from fairway.errors import ConfigError
from fairway.serve.exchange import Exchange
from fairway.serve.gateway.access import read_token
from fairway.serve.gateway.table import parse_table
from fairway.serve.http import HttpServer
from fairway.serve.refusal import Refused

if TYPE_CHECKING:
    from fairway.serve.gateway.gateway import Gateway
    from fairway.serve.gateway.tablefile import TableFile

_TABLE_BYTES = 64 << 20


class Admin:
    """`PUT /table`, `GET /news?since=AT`, `GET /state`, `GET /health`. With a `token` (not for a Unix socket, whose owner alone may
    connect), all but /health needs it."""

    def __init__(self, gateway: Gateway, table: TableFile, *, token: str = "") -> None:
        self._gateway, self._table, self._token = gateway, table, token
        self.server = HttpServer(self.handle, admit=self.admit, body_bytes=_TABLE_BYTES)

    def admit(self, exchange: Exchange) -> None:
        if exchange.path == "/health" or not self._token:
            return
        if not hmac.compare_digest(read_token(exchange.headers).encode(), self._token.encode()):
            exchange.refuse(Refused(401, "FW-KEY", "the gateway's own address needs its token"))

    def handle(self, exchange: Exchange) -> None:
        found = {
            ("GET", "/health"): self._health, ("GET", "/state"): self._state, ("GET", "/news"): self._news, ("PUT", "/table"): self._put,
        }.get((exchange.method, exchange.path))  # fmt: skip
        if found is None:
            exchange.refuse(Refused(404, "FW-NOT-FOUND", f"there is no {exchange.method} {exchange.path} here"))
            return
        found(exchange)

    def _health(self, exchange: Exchange) -> None:
        exchange.reply(200, b'{"live":true}')

    def _state(self, exchange: Exchange) -> None:
        plain: dict[str, Any] = {"pid": os.getpid(), "holder": os.getppid(), **self._gateway.plain()}
        exchange.reply(200, msgspec.json.encode(plain))

    def _news(self, exchange: Exchange) -> None:
        try:
            since = float(exchange.query.partition("since=")[2].partition("&")[0] or time.time())
        except ValueError:
            exchange.refuse(Refused(400, "FW-REQUEST", "since is a time: seconds since 1970"))
            return
        stream = exchange.stream(200, b"application/x-ndjson")
        first = {"table": self._gateway.version, "pid": os.getpid(), "started_at": self._gateway.started_at, "at": time.time()}
        self._gateway.news.listen(stream, since, first)
        for service in self._gateway.services.values():  # who waits, waits still
            for revision, meter in service.meters.items():
                if meter.waiting:
                    self._gateway.news.tell(stream, {"wanted": service.name, "revision": revision, "waiting": meter.waiting})

    def _put(self, exchange: Exchange) -> None:
        try:
            table = parse_table(exchange.body)
        except ConfigError as error:
            exchange.refuse(Refused(400, "FW-REQUEST", error.message, hint=error.hint))
            return
        self._gateway.apply_table(table)
        self._table.save(exchange.body)
        exchange.reply(200, msgspec.json.encode({"version": table.version}))
