"""A drift report of two halves of ten million rows, on one core: how much longer it takes than the statistics of one half."""

from __future__ import annotations

import sys

from benchmarks.data import drifting, tables
from benchmarks.data import rows as table
from benchmarks.data.contenders import run_json
from benchmarks.figures import OURS, Bar
from benchmarks.session import Benchmark, Session

RATIO = Bar("data-drift", "a drift report of two halves, of the statistics of one", 2.2, "×")
PROGRAM = [sys.executable, "-m", drifting.__name__]


def measure(session: Session) -> None:
    half = table.FULL // 2
    halves = [str(tables.part(session, first, half)) for first in (0, half)]
    found = list[dict[str, float]]()
    for number in range(session.long_runs):
        session.talk(f"report {number + 1}")
        found.append(run_json([*PROGRAM, "report", *halves], core=True))
    session.record("statistics of one half", OURS, "s", [one["alone_s"] for one in found])
    session.record("the report alone", OURS, "s", [one["report_s"] for one in found])
    session.record(RATIO.name, OURS, "×", [one["ratio"] for one in found])


BENCHMARK = Benchmark("data-drift", "a drift report of two halves of ten million rows", (RATIO,), measure)
