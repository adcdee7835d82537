"""Rows of twenty columns, checked against a schema and folded into a drift monitor by one core: how fast, and in how much memory."""

from __future__ import annotations

import json
import sys

from benchmarks.figures import OURS, Bar
from benchmarks.session import Benchmark, Session
from benchmarks.suite.data_drift import one_core

COST = Bar("data-stream", "a row checked and monitored, for 200,000 a second", 5, "µs")
MEMORY = Bar("data-stream-memory", "peak memory of a process that monitors", 50, "MB")


def measure(session: Session) -> None:
    file = str(session.work / "baseline.json")
    program = [sys.executable, "-m", "benchmarks.data.drifting"]
    one_core([*program, "save", file])
    found = [json.loads(one_core([*program, "stream", file])) for _ in range(session.long_runs)]
    session.record(COST.name, OURS, "µs", [1e6 / one["rows_a_second"] for one in found])
    session.record("of it the monitor", OURS, "µs", [one["monitor_us"] for one in found])
    used = [json.loads(one_core([*program, "memory", file])) for _ in range(session.long_runs)]
    session.record(MEMORY.name, OURS, "MB", [max(one["mb"] for one in used)])


BENCHMARK = Benchmark("data-stream", "a stream checked and monitored", (COST, MEMORY), measure)
