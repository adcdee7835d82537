"""A sampled request and its answer, as the spool keeps them."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fairway.serve.feedback.spool import Spool
    from fairway.serve.gateway.job import Job
    from fairway.serve.httpclient import Answer


def capture(spool: Spool, job: Job, status: int, took_s: float, answer: Answer | None) -> None:
    """Hand it to the spool, which takes out what must not be kept. `answer`: None for one that was passed on bit by bit, or never came."""
    exchange, replica = job.exchange, job.replica
    record: dict[str, Any] = {
        "id": exchange.id, "at": time.time(), "revision": replica.revision if replica is not None else 0,
        "replica": replica.id if replica is not None else "", "status": status, "latency_ms": round(took_s * 1000, 3), "caller": job.caller,
        "path": job.way.target.decode("latin-1"), "request": exchange.body,
        "request_type": exchange.headers.get(b"content-type", b"").decode("latin-1"), "answer": None,
    }  # fmt: skip
    if answer is not None:
        record["answer"] = answer.body
        record["answer_type"] = answer.find_header(b"content-type").decode("latin-1")
    else:
        record["answer_withheld"] = "it was streamed" if status < 500 else "there was none"
    spool.write(job.service.name, record)
