"""Whatever is changed or killed under an endpoint while 32 callers ask it: how many of their requests are not answered rightly."""

from __future__ import annotations

import asyncio
from pathlib import Path

from benchmarks.figures import OURS, Bar
from benchmarks.serving.changes import Result, play
from benchmarks.session import Benchmark, Session

CALLERS = 32
CHANGES = Bar("changes-failed", "requests not answered rightly while revisions, code, libraries, traffic and replicas change", 0, "")
BROKEN = Bar("changes-broken", "connections that broke meanwhile", 0, "")
KILLED = Bar("killed-failed", "the most requests that one kill cost, of 32 under way", CALLERS, "")
OTHERS = Bar("killed-others", "requests lost that were not under way on the killed part", 0, "")
BURST = Bar("burst-lost", "of 64 connections at once to no replica: requests that were not answered", 0, "")
FIRST = Bar("zero-first-ms", "from no replica to the first answer, libraries warm", 60, "ms")
FAILS = ("a canary that fails",)  # its own errors are what it is there for
FEEDBACK = Bar("feedback-lost", "acknowledged labels that a pipeline does not find", 0, "")


def measure(session: Session) -> None:
    results = asyncio.run(play(Path(session.work) / "changes", CALLERS, 2.0 if session.quick else 5.0, session.talk))
    for one in results:
        session.record(f"changes {one.name}", OURS, "", [float(one.tally.lost)], one.note)
    _judge(session, results)


def _judge(session: Session, results: list[Result]) -> None:
    calm = [one for one in results if not one.may_lose and one.kind == "load"]
    kills = [one for one in results if one.may_lose and one.name not in FAILS]
    session.record(CHANGES.name, OURS, "", [float(sum(one.tally.lost for one in calm))])
    session.record(BROKEN.name, OURS, "", [float(sum(one.tally.broken for one in calm))])
    session.record(KILLED.name, OURS, "", [float(max((one.tally.lost for one in kills), default=0))])
    session.record(OTHERS.name, OURS, "", [float(sum(max(0, one.tally.lost - one.may_lose) for one in kills))])
    for name, kind in ((BURST.name, "burst"), (FEEDBACK.name, "feedback")):
        session.record(name, OURS, "", [float(one.lost) for one in results if one.kind == kind])
    session.record(FIRST.name, OURS, "ms", [one.first_s * 1000 for one in results if one.kind == "first"])


BENCHMARK = Benchmark("serving-changes", "changes and kills under load", (CHANGES, BROKEN, KILLED, OTHERS, BURST, FIRST, FEEDBACK), measure)
