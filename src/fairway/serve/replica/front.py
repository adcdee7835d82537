"""The front of an inference server: takes requests, checks them, and hands calls to the batcher. It imports no numeric library."""

from __future__ import annotations

import asyncio
import hmac
import signal
import sys
import time
from collections.abc import Callable
from typing import Any

from fairway.errors import UserError
from fairway.serve import protocols
from fairway.serve.call import Call, Done, failed
from fairway.serve.exchange import Exchange
from fairway.serve.http import HttpServer
from fairway.serve.listening import listen_on, listen_on_path
from fairway.serve.package.package import Package
from fairway.serve.refusal import Refused
from fairway.serve.replica.batcher import Batcher
from fairway.serve.replica.meter import Meter
from fairway.serve.replica.options import ReplicaOptions
from fairway.serve.replica.pool import Pool
from fairway.serve.schema import Checker, ModelSchema, compile_checker, load_schema

_LOOK_S = 0.1
_WORDS_S = 2.0  # to say that there is no answer
_OPEN = frozenset({"/health", "/health/live", "/health/ready", "/v2/health/live", "/v2/health/ready", "/ping"})


class Front:
    """One replica as its protocols see it (`protocols.Serving`)."""

    def __init__(self, options: ReplicaOptions, package: Package, schema: ModelSchema, checker: Checker, pool: Pool) -> None:
        self.options, self.package, self.schema, self.checker = options, package, schema, checker
        self.name = options.name or package.name
        self.version = options.version
        self.limits = options.limits
        self.info: dict[str, Any] = {}
        self.meter = Meter()
        self.pool = pool
        self.began = time.monotonic()
        self.draining = False
        self._token = options.token.encode()
        self._batcher: Batcher | None = None
        self.http = HttpServer(self._handle, admit=self._admit, ended=self._ended, body_bytes=self.limits.body_bytes)
        self._timer: asyncio.TimerHandle | None = None

    @property
    def ready(self) -> bool:
        """Can it answer?"""
        return self._batcher is not None and self.pool.ready > 0 and not self.draining

    @property
    def phases(self) -> tuple[tuple[str, float], ...]:
        """See `protocols.Serving`."""
        return self.pool.phases

    def submit(self, call: Call, done: Done) -> None:
        """See `protocols.Serving`."""
        if self._batcher is None:
            raise Refused(503, "FW-STARTING", "the model is still being loaded", retry_after_s=1.0)
        if call.method and call.method not in self.info["methods"]:
            known = ", ".join(self.info["methods"]) or "none"
            raise Refused(400, "FW-REQUEST", f"the model has no method {call.method[:80]!r}", hint=f"it has: {known}")
        self._batcher.submit(call, done)

    async def start(self) -> None:
        """Wait until the model is loaded and warm. Raises ModelFailed."""
        loop = asyncio.get_running_loop()
        pool = self.pool
        pool.on_free = lambda: self._batcher.flush() if self._batcher is not None else None
        pool.on_frame = self._hear
        pool.on_lost = lambda worker, why: self._batcher.lose(worker, why) if self._batcher is not None else None
        await pool.start()
        self.info = pool.info
        if self.info.get("schema"):  # found out when the model was loaded
            self.schema = load_schema(self.info["schema"], self.package.name)
            self.checker = compile_checker(self.schema)
        pool.capacity = self.limits.concurrency or (64 if self.info["is_async"] else 1)
        wanted = self.package.options.get("batch")
        batches = bool(self.info["batches"] if wanted is None else wanted) and self.limits.batch_rows > 1
        self._batcher = Batcher(self.limits, soon=loop.call_soon, free=pool.find_free, batches=batches)
        self._look()

    def _hear(self, header: Any, payload: memoryview) -> None:
        if self._batcher is not None:
            self.http.hold()
            try:
                self._batcher.receive(header, payload)
            finally:
                self.http.release()

    def _look(self) -> None:
        assert self._batcher is not None
        self._batcher.look()
        self._timer = asyncio.get_running_loop().call_later(_LOOK_S, self._look)

    # requests

    def _admit(self, exchange: Exchange) -> None:
        if self._token and exchange.path not in _OPEN and not hmac.compare_digest(exchange.headers.get(b"fairway-token", b""), self._token):
            exchange.refuse(Refused(401, "FW-KEY", "this takes a token in the header fairway-token"))

    def _handle(self, exchange: Exchange) -> None:
        try:
            if exchange.path == "/metrics" and exchange.method in ("GET", "HEAD"):
                exchange.reply(200, self._metrics().encode(), b"text/plain; version=0.0.4; charset=utf-8")
            else:
                protocols.dispatch(self, exchange)
        except Refused as refused:
            exchange.refuse(refused)
        except Exception:  # noqa: BLE001 - a defect of ours in one request is no reason to leave the others without an answer
            import traceback

            traceback.print_exc()
            exchange.refuse(Refused(500, "FW-INTERNAL", "the server has a defect; its log has the details"))

    def _ended(self, exchange: Exchange) -> None:
        path = exchange.path
        route = path if path in _COUNTED else "/v2" if path.startswith("/v2/") else "/v1" if path.startswith("/v1/") else "other"
        seconds = time.monotonic() - exchange.started
        self.meter.count(route, exchange.status, seconds)
        if not self.options.quiet and path not in _OPEN:
            self.say(f"{exchange.method} {path} {exchange.status} {seconds * 1000:.1f} ms {exchange.id}")

    def _metrics(self) -> str:
        batcher = self._batcher
        gauges = {
            "fairway_serve_in_flight": ("gauge", "Requests being answered.", float(self.http.in_flight)),
            "fairway_serve_waiting": ("gauge", "Requests that wait for a model process.", float(batcher.waiting if batcher else 0)),
            "fairway_serve_workers": ("gauge", "Model processes that are ready.", float(self.pool.ready)),
            "fairway_serve_workers_replaced_total": ("counter", "Model processes that died and were replaced.", float(self.pool.replaced)),
            "fairway_serve_model_seconds_total": ("counter", "Time in the model.", batcher.busy_s if batcher else 0.0),
            "fairway_serve_memory_bytes": ("gauge", "Memory of all its processes, shared pages counted once.", float(self.memory_bytes)),
        }
        return self.meter.render(self.name, self.version, gauges, batcher.sizes if batcher else {})

    @property
    def memory_bytes(self) -> int:
        """Of all processes of this replica; what they share is counted once."""
        from fairway.serve.replica.memory import measure_memory

        return measure_memory([None, *self.pool.pids])

    def say(self, text: str) -> None:
        """One line to who watches."""
        sys.stderr.write(text + "\n")

    async def drain(self, grpc: Any = None) -> None:
        """Answer what is there, take nothing new, and end the model processes. Who is not answered by the model in `drain_s` is told so."""
        self.draining = True
        end_s = self.options.drain_s
        refusing = asyncio.get_running_loop().call_later(end_s, self._refuse_all)
        await asyncio.gather(self.http.drain(end_s + _WORDS_S), *([grpc.close(end_s + _WORDS_S)] if grpc is not None else []))
        refusing.cancel()
        if self._timer is not None:
            self._timer.cancel()
        self._refuse_all()
        self.pool.close()

    def _refuse_all(self) -> None:
        if self._batcher is not None:
            self._batcher.refuse_all(failed(503, "FW-BUSY", "the server is ending"))


_COUNTED = frozenset(
    {"/predict", "/score", "/invocations", "/health", "/health/live", "/health/ready", "/metrics", "/docs", "/openapi.json", "/ping"}
)


async def serve_front(front: Front, on_ready: Callable[[dict[str, Any]], None]) -> int:
    """Serve until SIGTERM or SIGINT; returns the exit status. `on_ready` is told where, once the model is warm. Raises ModelFailed,
    UserError for an address that cannot be had."""
    loop, options = asyncio.get_running_loop(), front.options
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, _stop, stopped, front if number == signal.SIGINT else None)
    listening = await _listen(front)
    starting = asyncio.ensure_future(front.start())
    stopping = asyncio.ensure_future(stopped.wait())
    grpc: Any = None
    try:
        await asyncio.wait((starting, stopping), return_when=asyncio.FIRST_COMPLETED)
        if starting.done():
            await starting
            if options.grpc_port >= 0:
                from fairway.serve.protocols.grpc import serve_grpc

                grpc = await serve_grpc(
                    front,
                    options.host,
                    options.grpc_port,
                    token=options.token,
                    certificate=options.certificate,
                    key=options.key,
                    ended=lambda name, status, seconds: front.meter.count(f"grpc/{name}", status, seconds),
                )
                listening["grpc"] = f"{options.host}:{grpc.port}"
            on_ready(listening)
            await stopping
        else:
            starting.cancel()
    finally:
        stopping.cancel()
        await front.drain(grpc)
    return 0


def _stop(stopped: asyncio.Event, front: Front | None) -> None:
    """`front`: who pressed Ctrl-C there is told what the end waits for."""
    if stopped.is_set():
        import os

        os._exit(130)  # asked twice: now
    stopped.set()
    waiting = front.http.in_flight if front is not None else 0
    if front is not None and waiting:
        front.say(f"answering {waiting} request{'s' if waiting > 1 else ''}; Ctrl-C again ends it now")


async def _listen(front: Front) -> dict[str, Any]:
    """Open the address. Raises UserError."""
    import socket

    options = front.options
    context = None
    if options.certificate:
        import ssl

        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        try:
            context.load_cert_chain(options.certificate, options.key or None)
        except (OSError, ssl.SSLError) as error:
            raise UserError(f"the certificate {options.certificate} cannot be used: {error}") from None
    try:
        if options.fd >= 0:
            sock = socket.socket(fileno=options.fd)
            url = ""
        elif options.uds:
            sock, url = listen_on_path(options.uds), f"unix:{options.uds}"
        else:
            sock = listen_on(options.host, options.port)
            port = sock.getsockname()[1]
            host = f"[{options.host}]" if ":" in options.host else options.host
            url = f"http{'s' if context else ''}://{host}:{port}"
    except OSError as error:
        where = options.uds or f"{options.host}:{options.port}"
        raise UserError(f"cannot listen on {where}: {error.strerror}", hint="choose another with --port (0: any that is free)") from None
    await front.http.listen(sock, ssl=context)
    return {"url": url}
