"""100,000 points of a metric, logged from a tight loop."""

from __future__ import annotations

import re

from benchmarks.figures import OURS, Bar
from benchmarks.process import CommandError, run
from benchmarks.session import Benchmark, Session

EACH = Bar("log-point", "fw.log in a tight loop of 100,000, each", 5, "µs")


def measure(session: Session) -> None:
    command = session.ours(session.project("points"), "run", "points.py", "--no-cache", expect=r"result +[\d.]+")
    values: list[float | None] = []
    for number in range(min(session.runs, 5)):
        session.talk(f"points {number + 1}")
        try:
            _, output = run(command)
        except CommandError as error:
            session.record(EACH.name, OURS, "µs", [], str(error))
            return
        values.append(float(re.search(r"result +([\d.]+)", output)[1]))
    session.record(EACH.name, OURS, "µs", values)


BENCHMARK = Benchmark("points", "metrics from a tight loop", (EACH,), measure)
