"""Rows of twenty columns, checked against a schema and folded into a drift monitor by one core: how fast, and in how much memory."""

from __future__ import annotations

import sys

from benchmarks.data import drifting
from benchmarks.data.contenders import run_json
from benchmarks.figures import OURS, Bar
from benchmarks.session import Benchmark, Session

COST = Bar("data-stream", "a row checked and monitored by one core, for 200,000 a second", 5, "µs")
MEMORY = Bar("data-stream-memory", "peak memory of a process that checks and monitors", 50, "MB")
PROGRAM = [sys.executable, "-m", drifting.__name__]


def measure(session: Session) -> None:
    file = str(session.work / "baseline.json")
    session.talk("baseline")
    run_json([*PROGRAM, "save", file], core=True)
    session.talk("stream")
    found = [run_json([*PROGRAM, "stream", file], core=True) for _ in range(session.runs)]
    session.record("rows checked and monitored in a second", OURS, "rows", [one["rows_a_second"] for one in found])
    session.record(COST.name, OURS, "µs", [1e6 / one["rows_a_second"] for one in found])
    session.record("of it the monitor", OURS, "µs", [one["monitor_us"] for one in found])
    used = [run_json([*PROGRAM, "memory", file], core=True) for _ in range(session.long_runs)]
    session.record(MEMORY.name, OURS, "MB", [max(one["mb"] for one in used)])


BENCHMARK = Benchmark("data-stream", "a stream checked and monitored", (COST, MEMORY), measure)
