"""Rows of twenty columns as `fairway data watch` takes them, on one core: read, checked against a schema, folded into a drift monitor."""

from __future__ import annotations

import sys

from benchmarks.data import drifting
from benchmarks.data.contenders import run_json
from benchmarks.figures import OURS, Bar
from benchmarks.session import Benchmark, Session

COST = Bar("data-stream", "a row checked and monitored in windows of 2,000, for 200,000 a second", 5, "µs")
SHORT = Bar("data-stream-short", "in windows of 1,000", 5, "µs")
LONG = Bar("data-stream-long", "in windows of 5,000", 5, "µs")
MEMORY = Bar("data-stream-memory", "peak memory of a process that watches windows of up to 2,000", 50, "MB")
PROGRAM = [sys.executable, "-m", drifting.__name__]


def measure(session: Session) -> None:
    folder = session.work / "data-stream"
    folder.mkdir(exist_ok=True)
    session.talk("making a stream")
    run_json([*PROGRAM, "save", str(folder)], core=True)
    used: list[float] = []
    for bar, window in ((COST, "2000"), (SHORT, "1000"), (LONG, "5000")):
        session.talk(f"windows of {window}")
        found = [run_json([*PROGRAM, "stream", str(folder), window], core=True) for _ in range(session.long_runs)]
        session.record(bar.name, OURS, "µs", [one["own_us"] for one in found])
        session.record(f"{bar.name}: rows a second", OURS, "rows", [1e6 / one["own_us"] for one in found])
        session.record(f"{bar.name} with reading its NDJSON", OURS, "µs", [one["all_us"] for one in found])
        session.record(f"{bar.name} false alarms", OURS, "alarms", [one["alarms"] for one in found])
        session.record(f"{bar.name}: peak memory", OURS, "MB", [max(one["mb"] for one in found)])
        if bar is not LONG:
            used += [one["mb"] for one in found]
    session.record(MEMORY.name, OURS, "MB", [max(used)])


BENCHMARK = Benchmark("data-stream", "a stream checked and monitored", (COST, SHORT, LONG, MEMORY), measure)
