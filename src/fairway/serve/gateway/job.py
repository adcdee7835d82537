"""One request on its way through the gateway: to a replica, held while none runs, sent again where that is safe, answered once."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

from fairway.serve.exchange import Exchange
from fairway.serve.gateway.heads import Header, answer_headers, forwarded, render_request
from fairway.serve.gateway.route import Way
from fairway.serve.gateway.service import Replica, Service
from fairway.serve.httpclient import Answer, Ticket
from fairway.serve.refusal import Refused

if TYPE_CHECKING:
    from fairway.serve.gateway.gateway import Gateway

_RETRIES = 3  # of requests that nobody has read


class Job:
    """A request of an endpoint that was let in. `wants`: the revision it is meant for; `is_pinned`: and no other; `caller`: a key's name;
    `ends_at`: when its caller gives up (monotonic; 0: says nothing); `room`: bytes of memory
    that its body may take."""

    __slots__ = (
        "_gateway", "_retries", "_sent_at", "_task", "_ticket", "_timer", "caller", "ends_at", "exchange", "held_at", "hides_key",
        "hold_until", "is_over", "is_pinned", "replica", "room", "service", "wants", "way",
    )  # fmt: skip

    def __init__(self, gateway: Gateway, service: Service, exchange: Any, way: Way) -> None:
        self._gateway, self.service, self.exchange, self.way = gateway, service, exchange, way
        self.caller = ""
        self.hides_key = self.is_pinned = self.is_over = False
        self.wants = self.room = 0
        self.ends_at = self.hold_until = self.held_at = self._sent_at = 0.0
        self.replica: Replica | None = None
        self._retries = 0
        self._ticket: Ticket | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """The body is there."""
        self.dispatch(time.monotonic())

    def dispatch(self, now: float) -> None:
        """Send it to a replica, or hold it until there is one."""
        service = self.service
        replica = service.choose_replica(self.wants, now)
        if replica is None and not self.is_pinned:
            other = service.choose_revision(self.wants, now)
            if other:  # better an answer from another revision than a wait for this one to start
                self._gateway.want(service, self.wants)
                replica = service.choose_replica(other, now)
        if replica is None:
            self._hold(now)
        else:
            self._send(replica, now)

    # waiting

    def _hold(self, now: float) -> None:
        service = self.service
        if not self.held_at:
            self.held_at = now
            self.hold_until = now + service.row.hold_s
        size = len(self.exchange.body)
        if len(service.held) >= service.row.limits.queue or not self._gateway.can_hold(size):
            self._refuse(
                Refused(503, "FW-BUSY", f"{service.name!r} is starting, and too many requests wait for it already", retry_after_s=2.0)
            )
            return
        until = min(self.hold_until, self.ends_at or self.hold_until)
        if until <= now:
            self._give_up()
            return
        self._timer = asyncio.get_running_loop().call_later(until - now, self._give_up)
        service.held.append(self)
        self._gateway.held_bytes += size
        service.meter(self.wants).waiting += 1
        self._gateway.want(service, self.wants, is_waiting=True)

    def release(self, now: float) -> None:
        """A replica may be there: it was taken off the queue."""
        self._unhold()
        if self.is_stale:
            self.wants = self.service.spread.draw()
        self.dispatch(now)

    @property
    def is_stale(self) -> bool:
        """Does it wait for a revision that takes no traffic any more, while another does?"""
        revisions = self.service.spread.revisions
        return not self.is_pinned and bool(revisions) and self.wants not in revisions

    def _unhold(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._gateway.held_bytes -= len(self.exchange.body)
        self.service.meter(self.wants).waiting -= 1

    def withdraw(self, refused: Refused) -> None:
        """Nothing will come of waiting: it was taken off the queue."""
        self._unhold()
        self._refuse(refused)

    def _quit_queue(self) -> None:
        if self._timer is not None:
            self.service.held.remove(self)
            self._unhold()

    def _give_up(self) -> None:
        """Nothing has started in time."""
        self._quit_queue()
        if self.ends_at and self.ends_at <= self.hold_until:
            self._refuse(Refused(504, "FW-DEADLINE", f"no replica of {self.service.name!r} ran before the caller's time was over"))
            return
        revision = f" revision {self.wants} of" if self.is_pinned else ""
        self._refuse(
            Refused(
                503,
                "FW-NOT-RUNNING",
                f"no replica of{revision} {self.service.name!r} has started within {self.service.row.hold_s:g} s",
                hint=f"see why: fairway logs {self.service.name}",
                retry_after_s=5.0,
            )
        )

    # on its way

    def _send(self, replica: Replica, now: float) -> None:
        service, exchange = self.service, self.exchange
        if self.held_at and not self._sent_at:
            service.meter(replica.revision).count_wait(now - self.held_at)
        limit = service.row.limits.deadline_s
        if self.ends_at:
            left = self.ends_at - now
            limit = min(limit, left) if limit else left
            if left <= 0:
                self._refuse(Refused(504, "FW-DEADLINE", "the caller's time was over before a replica was asked"))
                return
        self.replica, self._sent_at = replica, now
        replica.in_flight += 1
        service.meter(replica.revision).begin(now)
        head = self.render_head(limit)
        upstream = replica.upstream if isinstance(exchange, Exchange) else exchange.upstream_of(replica)
        self._ticket = upstream.send(head, exchange.body, self._take, limit, is_fresh=self._retries > 0)

    def render_head(self, limit_s: float, more: tuple[Header, ...] = ()) -> bytes:
        """The head of the request as a replica gets it. `limit_s`: how long it may take; `more`: further headers."""
        exchange = self.exchange
        target = self.way.target + b"?" + exchange.query.encode("latin-1") if exchange.query else self.way.target
        host = self.replica.host if self.replica is not None else b"fairway"
        first = b"%b %b HTTP/1.1\r\nhost: %b\r\n" % (exchange.method.encode(), target, host)
        added = [
            *forwarded(exchange.headers, exchange.peer, is_encrypted=exchange.is_encrypted, prefix=self.way.prefix),
            (b"fairway-request-id", exchange.id.encode()),
            *more,
        ]
        if self.caller:
            added.append((b"fairway-caller", self.caller.encode("utf-8")))
        if limit_s:
            added.append((b"fairway-timeout-ms", b"%d" % max(1, int(limit_s * 1000))))
        size = len(exchange.body) if exchange.body or exchange.method in ("POST", "PUT", "PATCH") else -1
        return render_request(first, exchange.headers, added, size=size, hides_key=self.hides_key)

    def _take(self, answer: Answer) -> None:
        """What came back."""
        replica = self.replica
        if replica is None or self.is_over:
            return
        self._ticket = None
        now = time.monotonic()
        if answer.status:
            replica.recover()
            if answer.chunks is not None:
                self._task = asyncio.get_running_loop().create_task(self._pass_on(answer, replica))
                self._gateway.keep(self._task)
                return
            self._part(replica, now)
            kind, headers = answer_headers(answer.headers, self.way.prefix, self.exchange.path)
            headers += replica.tag
            body: bytes = answer.body
            if self.exchange.method == "HEAD":  # only its length is written
                body = bytes(min(int(answer.find_header(b"content-length") or 0), 1 << 30))
            self.is_over = True
            self.exchange.reply(answer.status, body, kind, tuple(headers))
            self._gateway.settled(self, answer.status, now - self._sent_at, answer)
            return
        self._part(replica, now)
        if answer.problem == "connect":
            if replica.fail(now):
                self._gateway.lost(self.service, replica, answer.why)
            self.dispatch(now)
        elif answer.problem == "closed" and not answer.sent and self._retries < _RETRIES:
            self._retries += 1
            self._gateway.retries += 1
            self.dispatch(now)
        elif answer.problem == "timeout":
            what = f"{self.service.name!r} has not answered within {now - self._sent_at:.3g} s"
            self._fail(Refused(504, "FW-DEADLINE", what, hint="the limit is the endpoint's deadline_s, or what the caller asked for"))
        else:
            self._fail(
                Refused(
                    502,
                    "FW-REPLICA-LOST",
                    f"replica {replica.id} of {self.service.name!r} (revision {replica.revision}): {answer.why}",
                    hint=f"it may have worked on the request, which is why nobody else was asked; fairway logs {self.service.name}",
                )
            )  # fmt: skip

    async def _pass_on(self, answer: Answer, replica: Replica) -> None:
        """A long answer, or one that comes bit by bit, as fast as its caller takes it."""
        chunks = answer.chunks
        assert chunks is not None
        kind, headers = answer_headers(answer.headers, self.way.prefix, self.exchange.path)
        stream = self.exchange.stream(answer.status, kind, (*headers, *replica.tag))
        status = answer.status
        pieces = chunks.__aiter__()
        try:
            while True:
                async with asyncio.timeout(self._patience_s()):
                    piece = await anext(pieces, None)
                if piece is None:
                    break
                stream.write(piece)
                await stream.drain()
            stream.end()
        except (ConnectionResetError, TimeoutError):
            if not self.exchange.gone:  # the replica broke off: nobody must take this for the whole answer
                status = 502
                stream.abort()
        finally:
            chunks.close()
            if not self.is_over:
                self.is_over = True
                now = time.monotonic()
                self._part(replica, now)
                self._gateway.settled(self, status, now - self._sent_at, None)

    def _patience_s(self) -> float | None:
        """How long the next piece may take."""
        limit = self.service.row.limits.deadline_s or None
        if not self.ends_at:
            return limit
        left = max(0.0, self.ends_at - time.monotonic())
        return left if limit is None else min(limit, left)

    # ends

    def give_room(self) -> None:
        """Its body is no longer in memory."""
        self._gateway.body_bytes -= self.room
        self.room = 0

    def _part(self, replica: Replica, now: float) -> None:
        replica.let_go()
        self.service.meter(replica.revision).leave(now)

    def leave(self) -> None:
        """The caller has gone: nobody need work on."""
        self.give_room()
        if self.is_over:
            return
        if self._task is not None:
            self._task.cancel()  # it counts what is to be counted
            return
        self.is_over = True
        now = time.monotonic()
        if self._timer is not None:
            self._quit_queue()
        elif self._ticket is not None and self.replica is not None:
            self._ticket.cancel()
            self._part(self.replica, now)
        self._gateway.abandoned += 1

    def _fail(self, refused: Refused) -> None:
        """It was sent, and nothing came of it."""
        self.is_over = True
        self.exchange.refuse(refused)
        replica = self.replica
        assert replica is not None
        self._gateway.settled(self, refused.status, time.monotonic() - self._sent_at, None, refused)

    def _refuse(self, refused: Refused) -> None:
        """It never got to a replica."""
        self.is_over = True
        self._gateway.refuse(self.exchange, refused, self.service, self.caller, self.wants)


def note_refusal(refused: Refused, exchange: Exchange, *, endpoint: str, revision: int, caller: str) -> dict[str, Any]:
    """What is told of a request that was not answered."""
    return {
        "at": time.time(), "endpoint": endpoint, "revision": revision, "status": refused.status, "code": refused.code,
        "message": refused.message, "id": exchange.id, "key": caller, "faults": [fault.text for fault in refused.faults],
    }  # fmt: skip
