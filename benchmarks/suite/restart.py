"""The server is killed with 200 tasks running: how long after its restart until all of them go on, and whether any is run twice."""

from __future__ import annotations

import time

from benchmarks.figures import OURS, Bar
from benchmarks.session import Benchmark, Session
from tests.kube.restartrig import Waiting

RUNS, ITEMS = 10, 20
BACK = Bar("restart-goes-on", "from the start of a killed server to the last of 200 running tasks (10 runs) that it knows again", 5, "s")
TWICE = Bar("restart-twice", "tasks that were tried again because of it", 0, "tasks")


def measure(session: Session) -> None:
    times: list[float | None] = []
    twice: list[float | None] = []
    for number in range(session.long_runs):
        session.talk(f"restart {number + 1}")
        waiting = Waiting(session.work / f"restart-{number}")
        try:
            runs = waiting.start(RUNS, ITEMS)
            attempts = waiting.running()
            waiting.server.kill()
            began = time.perf_counter()
            waiting.server.start()
            waiting.await_known(attempts)
            times.append(time.perf_counter() - began)
            waiting.finish(attempts)
            for run in runs:
                waiting.server.follow(run, "RunEnded")
            twice.append(float(sum(len(waiting.planned(run)) for run in runs) - len(attempts)))
        finally:
            waiting.close()
    note = "an emulated cluster whose pods only wait; the server's own start is counted"
    session.record(BACK.name, OURS, "s", times, note)
    session.record(TWICE.name, OURS, "tasks", twice)


BENCHMARK = Benchmark("restart", "a server killed with 200 tasks running", (BACK, TWICE), measure)
