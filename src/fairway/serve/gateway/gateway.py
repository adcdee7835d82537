"""The gateway: lets requests in, finds their endpoint, and answers for those that never get to a replica."""

from __future__ import annotations

import asyncio
import random
import time
from typing import TYPE_CHECKING, Any

import msgspec

from fairway.serve.exchange import Exchange
from fairway.serve.feedback.privacy import secret_of
from fairway.serve.gateway.access import read_token
from fairway.serve.gateway.capture import capture
from fairway.serve.gateway.deadline import read_timeout
from fairway.serve.gateway.feedback import take_feedback
from fairway.serve.gateway.job import Job, note_refusal
from fairway.serve.gateway.meter import Meter
from fairway.serve.gateway.metrics import render_metrics
from fairway.serve.gateway.news import News
from fairway.serve.gateway.route import find_way, parse_host
from fairway.serve.gateway.service import Replica, Service
from fairway.serve.gateway.spread import to_point
from fairway.serve.gateway.table import Table
from fairway.serve.http import HttpServer
from fairway.serve.httpclient import Answer
from fairway.serve.refusal import Refused, too_large

if TYPE_CHECKING:
    from fairway.serve.feedback.spool import Spool

LOCAL_HOSTS = frozenset({b"", b"localhost", b"127.0.0.1", b"::1"})
_OWN = frozenset({"/", "/health", "/health/live", "/health/ready", "/metrics", "/v2", "/v2/health/live", "/v2/health/ready"})
_SMALL_BYTES = 16 << 10  # bodies up to this size are not counted one by one
_UNTOLD_BYTES = 1 << 20
_HALF_CLOSED_S = 5.0  # a client that only closed its side waits for the answer; one that has left looks the same


class Gateway:
    """All endpoints. `is_local`: it can be reached from this machine alone, so that endpoints without keys are open. `key`: of the server
    for its gateways, from which secrets follow that a table leaves out."""

    def __init__(
        self, *, is_local: bool, spool: Spool | None = None, held_bytes: int = 256 << 20, body_bytes: int = 512 << 20, key: str = ""
    ) -> None:
        self.is_local, self.spool, self.most_held_bytes, self.most_body_bytes = is_local, spool, held_bytes, body_bytes
        self._key = key
        self.version = -1  # of the table: none yet
        self.services: dict[str, Service] = {}
        self.hosts: dict[bytes, str] = {}
        self.news = News()
        self.server = HttpServer(self.handle, admit=self.admit, ended=self.end)
        self.body_bytes = self.held_bytes = self.retries = self.abandoned = 0
        self.unknown = Meter(time.monotonic())  # requests that mean no endpoint
        self.started_at = time.time()
        self._tasks: set[asyncio.Task[Any]] = set()
        self._closed_since: dict[Exchange, float] = {}

    # the table

    def apply_table(self, table: Table) -> None:
        """From now on this is how it is; requests on their way are not touched."""
        for name in self.services.keys() - table.endpoints.keys():
            service = self.services.pop(name)
            service.close()
            self._refuse_held(service)
        for name, row in table.endpoints.items():
            if self._key and not row.secret:
                row.secret = secret_of(self._key, name)
            service = self.services.get(name)
            if service is None:
                service = self.services[name] = Service(row)
            else:
                service.change(row)
            if self.spool is not None:
                kept = row.capture
                self.spool.set_privacy(name, drop=kept.drop, hash=kept.hash, secret=bytes.fromhex(row.secret), columns=row.columns)
            self.release(service)
        self.hosts = {host.lower().encode("latin-1", "replace"): name for name, row in table.endpoints.items() for host in row.hosts}
        self.server.body_bytes = max((row.limits.body_bytes for row in table.endpoints.values()), default=32 << 20)
        self.version = table.version
        self.news.say({"table": table.version})

    def _refuse_held(self, service: Service) -> None:
        while service.held:
            service.held.popleft().withdraw(Refused(404, "FW-NOT-FOUND", f"the endpoint {service.name!r} was deleted"))

    def release(self, service: Service) -> None:
        """Send what waits, as far as there are replicas now."""
        if not service.held:
            return
        now = time.monotonic()
        if not service.running(now) and not any(job.is_stale for job in service.held):
            return
        self.news.started(service.name)
        for _ in range(len(service.held)):
            service.held.popleft().release(now)

    # requests

    def admit(self, exchange: Exchange) -> None:
        """Let it in, or answer it at once: nothing of its body is read yet."""
        if exchange.path in _OWN:
            self._answer_own(exchange)
            return
        service: Service | None = None
        job: Job | None = None
        try:
            host = parse_host(exchange.headers.get(b"host", b""))
            way = find_way(exchange.url.partition(b"?")[0], host, self.services.keys(), self.hosts)
            service = self.services.get(way.endpoint)
            if service is None:
                raise self._unknown(way.endpoint)
            job = Job(self, service, exchange, way)
            self._check_caller(job, host)
            self._check_request(job)
            job.wants = self._choose(job)
            exchange.state, exchange.on_gone = job, job.leave
        except Refused as refused:
            self.refuse(exchange, refused, service, job.caller if job is not None else "")

    def take(self, exchange: Any) -> None:
        """`admit` and `handle` for what came whole, another way: anything in the shape of an exchange."""
        self.admit(exchange)
        if not exchange.answered:
            self.handle(exchange)

    def handle(self, exchange: Exchange) -> None:
        """Its body is there."""
        job = exchange.state
        if not isinstance(job, Job):
            self._answer_own(exchange)
            return
        limit = job.service.row.limits.body_bytes
        if len(exchange.body) > limit:
            self.refuse(exchange, too_large(limit, len(exchange.body)), job.service, job.caller, job.wants)
            return
        job.service.used_at = time.time()
        if job.way.target == b"/feedback" and exchange.method == "POST":
            self.keep(asyncio.get_running_loop().create_task(take_feedback(self, job)))
            return
        job.start()

    def _unknown(self, name: str) -> Refused:
        if not self.is_local:  # what there is, is nobody's business
            return Refused(404, "FW-NOT-FOUND", f"there is no endpoint {name[:64]!r}")
        there = ", ".join(sorted(self.services)) or "none; make one: fairway deploy MODEL --name NAME"
        return Refused(404, "FW-NOT-FOUND", f"there is no endpoint {name[:64]!r}", hint=f"there are: {there}")

    def _check_caller(self, job: Job, host: bytes) -> None:
        """May it call, and not too often? Raises Refused."""
        service, exchange = job.service, job.exchange
        row = service.row
        token = read_token(exchange.headers)
        key = service.keyring.find(token) if token and service.keyring else None
        if key is not None:
            job.hides_key = True
            job.caller = key.name
            wait_s = service.take_turn(key, time.monotonic())
            if wait_s:
                raise Refused(
                    429,
                    "FW-RATE",
                    f"the key {key.name!r} is over its limit of {key.rate:g} requests a second",
                    retry_after_s=max(wait_s, 0.001),
                )
            return
        if row.is_open:
            return
        if not service.keyring and self.is_local:
            if host not in LOCAL_HOSTS and host not in self.hosts:  # a page of elsewhere that found a name for this machine
                raise Refused(
                    403, "FW-HOST", f"this gateway is not called {host.decode('latin-1')[:64]!r}", hint="use localhost or 127.0.0.1"
                )
            return
        if token:
            raise Refused(
                401, "FW-KEY", f"this key does not open {service.name!r}", hint="it is misspelled, revoked, or of another endpoint"
            )
        raise Refused(
            401,
            "FW-KEY",
            f"{service.name!r} needs a key",
            hint=f"send 'authorization: Bearer KEY'; make one: fairway endpoints key add {service.name} NAME",
        )

    def _check_request(self, job: Job) -> None:
        """What can be seen before the body. Raises Refused."""
        service, exchange = job.service, job.exchange
        row, headers = service.row, exchange.headers
        if row.paused:
            raise Refused(503, "FW-PAUSED", f"{service.name!r} is paused", retry_after_s=30.0)
        if headers.get(b"upgrade", b"").lower() == b"websocket":
            raise Refused(
                400, "FW-UNSUPPORTED", "connections are not upgraded here", hint="for answers bit by bit: accept: text/event-stream"
            )
        length = int(headers.get(b"content-length", b"0"))
        if length > row.limits.body_bytes:
            raise too_large(row.limits.body_bytes, length)
        room = length if b"transfer-encoding" not in headers else _UNTOLD_BYTES
        if room > _SMALL_BYTES:
            if self.body_bytes + room > self.most_body_bytes:
                raise Refused(503, "FW-BUSY", "too many large requests are on their way", retry_after_s=2.0)
            self.body_bytes += room
            job.room = room
        timeout_s = read_timeout(headers)
        if timeout_s:
            job.ends_at = exchange.started + timeout_s

    def _choose(self, job: Job) -> int:
        """The revision it is meant for. Raises Refused."""
        service, headers = job.service, job.exchange.headers
        asked = headers.get(b"fairway-revision")
        if asked is not None or job.way.revision:
            number = job.way.revision or (int(asked) if asked and asked.isdigit() and len(asked) < 10 else -1)
            if number not in service.row.replicas and number not in service.spread.revisions:
                there = ", ".join(str(n) for n in sorted({*service.row.replicas, *service.spread.revisions}))
                raise Refused(404, "FW-NOT-FOUND", f"{service.name!r} has no such revision here", hint=f"there are: {there or 'none'}")
            job.is_pinned = True
            return number
        if not service.spread.revisions:
            raise Refused(
                503, "FW-NO-TRAFFIC", f"no revision of {service.name!r} takes traffic", hint=f"fairway traffic {service.name} REVISION=100"
            )
        sticky = service.row.sticky
        if not sticky:
            return service.spread.draw()
        value = job.caller or job.exchange.peer if sticky == "key" else headers.get(sticky[7:].lower().encode(), b"").decode("latin-1")
        return service.spread.find(to_point(service.name, value)) if value else service.spread.draw()

    def end(self, exchange: Any) -> None:
        """It is answered."""
        job = exchange.state
        if isinstance(job, Job) and job.room:
            job.give_room()

    # what jobs tell

    def want(self, service: Service, revision: int, *, is_waiting: bool = False) -> None:
        """Somebody asks for a revision that does not run."""
        self.news.want(service.name, revision, service.meter(revision).waiting if is_waiting else 0)

    def can_hold(self, size: int) -> bool:
        return self.held_bytes + size <= self.most_held_bytes

    def lost(self, service: Service, replica: Replica, why: str) -> None:
        """It takes no connections."""
        self.news.say({"unreachable": service.name, "revision": replica.revision, "replica": replica.id, "why": why})
        asyncio.get_running_loop().call_later(max(0.01, replica.down_until - time.monotonic()), self.release, service)

    def settled(self, job: Job, status: int, took_s: float, answer: Answer | None, refused: Refused | None = None) -> None:
        """A replica answered, or failed to."""
        service, replica = job.service, job.replica
        assert replica is not None
        service.meter(replica.revision).count(status, took_s, replica.id)
        if refused is not None:
            self.news.note(note_refusal(refused, job.exchange, endpoint=service.name, revision=replica.revision, caller=job.caller))
        elif status >= 400 and answer is not None:
            self.news.note_answer(status, answer.body, job.exchange, endpoint=service.name, revision=replica.revision, caller=job.caller)
        if job.exchange.method == "POST":
            if self.spool is not None and random.random() < service.row.capture.share:
                capture(self.spool, job, status, took_s, answer)
            shadow = service.shadow
            if shadow is not None and shadow.revision != replica.revision and answer is not None and isinstance(job.exchange, Exchange):
                shadow.copy(service, job, answer, self.want)

    def refuse(self, exchange: Exchange, refused: Refused, service: Service | None, caller: str = "", revision: int = 0) -> None:
        """Answer for a request that never got to a replica."""
        exchange.refuse(refused)
        (self.unknown if service is None else service.meter(0)).count_refusal(refused.status)
        if service is not None:
            self.news.note(note_refusal(refused, exchange, endpoint=service.name, revision=revision, caller=caller))

    def keep(self, task: asyncio.Task[Any]) -> None:
        """Until it is done."""
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    # its own answers

    def _answer_own(self, exchange: Exchange) -> None:
        path = exchange.path
        if exchange.method not in ("GET", "HEAD"):
            exchange.refuse(Refused(405, "FW-UNSUPPORTED", f"{path} is only read"))
        elif path == "/metrics":
            exchange.reply(200, render_metrics(self), b"text/plain; version=0.0.4; charset=utf-8")
        elif path == "/" or path == "/v2":
            plain: dict[str, Any] = {"name": "fairway gateway", "extensions": ["binary_tensor_data"]}
            if self.is_local:
                plain["endpoints"] = sorted(self.services)
            exchange.reply(200, msgspec.json.encode(plain))
        elif path in ("/health", "/health/live", "/v2/health/live"):
            exchange.reply(200, b'{"live":true}')
        else:
            ready = self.version >= 0 and not self.server.draining
            exchange.reply(200 if ready else 503, b'{"ready":true}' if ready else b'{"ready":false}')

    def report(self) -> None:
        """Once a second."""
        shadows = [service.shadow.report(service.name) for service in self.services.values() if service.shadow is not None]
        self.news.report(self.services.values(), [item for item in shadows if item is not None])
        now = time.monotonic()
        closed = {exchange: self._closed_since.get(exchange, now) for exchange in self.server.half_closed()}
        self._closed_since = closed
        for exchange, since in closed.items():
            if now - since > _HALF_CLOSED_S:
                exchange.drop()

    def plain(self) -> dict[str, Any]:
        """Its state, for people."""
        return {
            "version": self.version, "started_at": self.started_at, "in_flight": self.server.in_flight,
            "connections": len(self.server.connections), "held_bytes": self.held_bytes, "retries": self.retries,
            "abandoned": self.abandoned,
            "endpoints": {name: _plain_service(service) for name, service in self.services.items()},
        }  # fmt: skip


def _plain_service(service: Service) -> dict[str, Any]:
    now = time.monotonic()
    return {
        "used_at": service.used_at, "traffic": service.row.traffic, "waiting": len(service.held),
        "replicas": [
            {"id": r.id, "revision": r.revision, "address": r.address, "in_flight": r.in_flight,
             "draining": r.is_draining, "down": r.down_until > now}
            for r in service.all_replicas()
        ],
    }  # fmt: skip
