"""One step, 200 mapped tasks, one step that sums."""

from __future__ import annotations

from benchmarks.figures import Bar
from benchmarks.session import Benchmark, Session

COUNT = 200
TIME = Bar("map-200", "1 → 200 → 1 trivial mapped tasks, one process each", 0.6, "s")


def measure(session: Session) -> None:
    folder = session.project("fan")
    command = session.ours(folder, "run", "fan.py:fan", "--count", str(COUNT), "--no-cache", expect=r"result +20100\b")
    session.time(TIME.name, session.beside(command, "fan", COUNT))


BENCHMARK = Benchmark("map", "1 → 200 → 1", (TIME,), measure)
