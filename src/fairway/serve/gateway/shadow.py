"""A revision that gets a copy of every request after its answer is on its way; what it says is compared and never returned."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from fairway.serve.feedback.privacy import Privacy, Withheld
from fairway.serve.gateway.compare import find_difference
from fairway.serve.httpclient import Answer

if TYPE_CHECKING:
    from fairway.serve.gateway.job import Job
    from fairway.serve.gateway.service import Replica, Service

_MOST = 64  # copies on their way at once: more of them are left out, no caller waits for them
_MOST_BYTES = 4 << 20
_EXAMPLES, _SAID, _CUT = 20, 5, 2_000
_DEADLINE_S = 30.0


class Shadow:
    """The comparison of one revision with those that answered. Counts since the last report; the last differing examples."""

    def __init__(self, revision: int, privacy: Privacy) -> None:
        self.revision, self.privacy = revision, privacy
        self.since = time.time()
        self.totals = dict.fromkeys(("equal", "differing", "errors", "dropped", "uncompared"), 0)
        self.examples: deque[dict[str, Any]] = deque(maxlen=_EXAMPLES)
        self._said = dict(self.totals)
        self._fresh: list[dict[str, Any]] = []
        self._in_flight = 0

    def copy(self, service: Service, job: Job, answer: Answer, want: Callable[[Service, int], None]) -> None:
        """Ask it what `job` was answered."""
        now = time.monotonic()
        replica = service.choose_replica(self.revision, now)
        if replica is None:
            want(service, self.revision)
        if replica is None or self._in_flight >= _MOST or len(job.exchange.body) > _MOST_BYTES or len(answer.body) > _MOST_BYTES:
            self.totals["dropped"] += 1
            return
        self._in_flight += 1
        replica.in_flight += 1
        meter = service.meter(self.revision)
        meter.begin(now)

        def take(other: Answer) -> None:
            self._in_flight -= 1
            replica.let_go()
            then = time.monotonic()
            meter.leave(then)
            if other.status == 0 and other.problem == "connect":
                replica.fail(then)
            meter.count(other.status or 502, then - now, replica.id)
            self._judge(job, answer, other, replica)

        limit = service.row.limits.deadline_s or _DEADLINE_S
        head = job.render_head(limit, ((b"fairway-shadow", b"1"),))
        replica.upstream.send(head, job.exchange.body, take, limit)

    def _judge(self, job: Job, answer: Answer, other: Answer, replica: Replica) -> None:
        if other.chunks is not None:  # too long to be compared
            other.chunks.close()
            self.totals["uncompared"] += 1
            return
        if other.status == 0 or (other.status >= 500 and answer.status < 500):
            self.totals["errors"] += 1
            self._keep(job, answer, other, "status" if other.status else other.why)
            return
        where: str | None = "status"
        if other.status == answer.status:
            where = find_difference(answer.body, other.body, answer.find_header(b"content-type"), other.find_header(b"content-type"))
        if where is None:
            self.totals["uncompared"] += 1
        elif where:
            self.totals["differing"] += 1
            self._keep(job, answer, other, where)
        else:
            self.totals["equal"] += 1

    def _keep(self, job: Job, answer: Answer, other: Answer, where: str) -> None:
        example = {
            "at": time.time(), "id": job.exchange.id, "where": where, "status": answer.status, "shadow_status": other.status,
            "request": self._show(job.exchange.body, job.exchange.headers.get(b"content-type", b""), is_request=True),
            "answer": self._show(answer.body, answer.find_header(b"content-type"), is_request=False),
            "shadow": self._show(other.body, other.find_header(b"content-type"), is_request=False),
        }  # fmt: skip
        self.examples.append(example)
        if len(self._fresh) < _SAID:
            self._fresh.append(example)

    def _show(self, body: bytes, kind: bytes, *, is_request: bool) -> str:
        """What of a body people may see."""
        if len(body) > 64 << 10:
            return f"({len(body):,} bytes)"
        try:
            return self.privacy.cover_body(body, kind.decode("latin-1"), is_request=is_request)[:_CUT]
        except Withheld as why:
            return f"(not shown: {why})"

    def report(self, endpoint: str) -> dict[str, Any] | None:
        """What came about since the last report; None for nothing."""
        news = {name: count - self._said[name] for name, count in self.totals.items()}
        if not any(news.values()):
            return None
        self._said = dict(self.totals)
        examples, self._fresh = self._fresh, []
        return {"endpoint": endpoint, "revision": self.revision, **news, "examples": examples}
