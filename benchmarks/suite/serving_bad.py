"""Nine kinds of bad request: how each server refuses them, what it names, how long it takes, and whether it goes on."""

from __future__ import annotations

import json
import statistics
from pathlib import Path

from benchmarks.figures import OURS, Bar
from benchmarks.process import CommandError
from benchmarks.serving.bad import BadRequest, bad_requests, find_named, is_clear, send
from benchmarks.serving.bench import Server, contenders, models, on_core, rows, started
from benchmarks.session import Benchmark, Session

CLEAR = Bar("serving-bad", "of nine kinds of bad request: not refused with a 4xx that names row, field and what is expected", 0, "errors")
TIME = Bar("serving-bad-time", "time to the refusal, median of the slowest kind", 5, "ms")
AFTER = Bar("serving-bad-after", "good requests that were not answered after a bad one", 0, "errors")


def measure(session: Session) -> None:
    folder = models(session)
    for contender, python in contenders(session):
        session.talk(contender.name)
        try:
            with started(session, contender, python, "hgb") as server, on_core(1):
                _ask_all(session, server, folder)
        except CommandError as error:
            session.record(CLEAR.name, contender.name, "errors", [], str(error)[:200])


def _ask_all(session: Session, server: Server, folder: Path) -> None:
    data, columns = rows(folder), json.loads((folder / "columns.json").read_text())
    name = server.contender.name
    good = server.contender.body(data[:10])
    unclear, slowest, unanswered = 0, 0.0, 0
    for request in bad_requests(server.contender, data, columns, names_columns=name == OURS):
        session.talk(f"{name}: {request.kind}")
        times, note, is_refused = _ask(session, server, request, columns)
        unclear += not is_refused
        slowest = max(slowest, statistics.median(times))
        after = send(server.setting.port, server.contender.path, good)
        unanswered += after.status != 200
        session.record(f"bad: {request.kind}", name, "ms", [value * 1000 for value in times], note)
    session.record(CLEAR.name, name, "errors", [float(unclear)])
    session.record(TIME.name, name, "ms", [slowest * 1000])
    session.record(AFTER.name, name, "errors", [float(unanswered)])


def _ask(session: Session, server: Server, request: BadRequest, columns: list[str]) -> tuple[list[float], str, bool]:
    """Its times, what came, and was it each time a clear refusal?"""
    count = (3 if session.quick else 5) if len(request.body) > 1_000_000 else (5 if session.quick else 25)
    answers = [send(server.setting.port, request.path, request.body) for _ in range(count)]
    last, column = answers[-1], columns[13]
    names = sorted(find_named(request.kind, last.text, column)) if 400 <= last.status < 500 else []
    note = f"{last.status or 'broken'}" + (f", names {', '.join(names)}" if names else f": {last.text[:80]!r}")
    return [answer.seconds for answer in answers], note, all(is_clear(request, answer, column) for answer in answers)


BENCHMARK = Benchmark("serving-bad", "bad requests", (CLEAR, TIME, AFTER), measure)
