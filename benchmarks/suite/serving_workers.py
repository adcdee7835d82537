"""Two model processes against one, both with both cores: boosted trees of twelve times the usual number, a hundred rows to a request.

The client runs on the same two cores. The model is heavy enough that what the client takes is a small part, and the CPU time of the server
for a request stands beside the throughput: with one worker it says how much of a core the client and the front could still take.
"""

from __future__ import annotations

import re
import urllib.request

from benchmarks.figures import OURS, Bar
from benchmarks.process import CommandError
from benchmarks.serving.bench import Server, contenders, models, rows, started
from benchmarks.session import Benchmark, Session

SCALING = Bar("serving-workers", "two workers: time for a request, of one worker's (1.8 times as many)", 1 / 1.8, "of one")
BATCHING = Bar("serving-workers-batches", "requests in a batch of one worker, by those in a batch of two workers", 2.0, "×")
FAILED = Bar("serving-workers-failed", "requests that were not answered with 200", 0, "errors")
ROWS, CALLERS = 100, 16
_SPEAK = (OURS, "fastapi")
_BATCHES = re.compile(r"^fairway_serve_batches_total\{.*?rows=\"(\d+)\".*?\} (\S+)$", re.MULTILINE)


def measure(session: Session) -> None:
    folder = models(session, "heavy")
    body = {contender.name: contender.body(rows(folder)[:ROWS]) for contender, _ in contenders(session)}
    seconds = 3.0 if session.quick else 8.0
    for contender, python in contenders(session):
        if contender.name not in _SPEAK:
            continue
        found: dict[tuple[str, int], list[float]] = {}
        try:
            for _ in range(1 if session.quick else 3):
                for workers in (1, 2):
                    session.talk(f"{contender.name} {workers}")
                    with started(session, contender, python, "heavy", workers=workers, core="0,1") as server:
                        server.load(body[contender.name], CALLERS, 1, core="0,1")
                        for figure, value in _figures(server, body[contender.name], seconds).items():
                            found.setdefault((figure, workers), []).append(value)
        except CommandError as error:
            session.record(SCALING.name, contender.name, "of one", [], str(error)[:200])
            continue
        _record(session, contender.name, found)


def _figures(server: Server, body: bytes, seconds: float) -> dict[str, float]:
    before = count_batches(server)
    load = server.load(body, CALLERS, seconds, core="0,1")
    made = {"per_s": load.per_s * ROWS, "cpu": load.cpu_us, "p99": load.p99_us, "failed": float(load.failed)}
    if server.contender.name == OURS:
        made["batch"] = load.per_s * load.seconds / max(1.0, count_batches(server) - before)
    return made


def _record(session: Session, name: str, found: dict[tuple[str, int], list[float]]) -> None:
    pairs = list(zip(found["per_s", 1], found["per_s", 2], strict=True))
    session.record(SCALING.name, name, "of one", [one / two for one, two in pairs])
    session.record(FAILED.name, name, "errors", [sum(found["failed", 1]) + sum(found["failed", 2])])
    for workers in (1, 2):
        for figure, unit in (("per_s", "rows/s"), ("cpu", "µs"), ("p99", "µs")):
            what = {"per_s": "rows", "cpu": "CPU for a request"}.get(figure, figure)
            title = f"many trees, {ROWS} rows, {CALLERS} callers, {workers} worker{'s' * (workers > 1)}: {what}"
            session.record(title, name, unit, list(found[figure, workers]))
    if name == OURS:
        session.record("requests in a batch, 1 worker", name, "", list(found["batch", 1]))
        session.record("requests in a batch, 2 workers", name, "", list(found["batch", 2]))
        session.record(BATCHING.name, name, "×", [one / two for one, two in zip(found["batch", 1], found["batch", 2], strict=True)])


def count_batches(server: Server) -> float:
    """How many there have been, by /metrics."""
    if server.contender.name != OURS:
        return 0.0
    with urllib.request.urlopen(f"http://127.0.0.1:{server.setting.port}/metrics", timeout=10) as answer:
        return sum(float(value) for _, value in _BATCHES.findall(answer.read().decode()))


BENCHMARK = Benchmark("serving-workers", "two workers", (SCALING, BATCHING, FAILED), measure)
