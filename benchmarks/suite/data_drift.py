"""A drift report of two halves of ten million rows, on one core, of the statistics of one half; how often unchanged data alarm."""

from __future__ import annotations

import sys

from benchmarks.data import drifting, falsealarms, tables
from benchmarks.data import rows as table
from benchmarks.data.contenders import run_json
from benchmarks.figures import OURS, Bar
from benchmarks.session import Benchmark, Session

RATIO = Bar("data-drift", "a drift report of two halves, of the statistics of one", 2.2, "×")
FALSE = Bar("data-drift-false", "checks of unchanged data that alarm", 1, "of 100 checks")
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
    session.talk("checks of unchanged data")
    checks = 8 if session.quick else 170
    program = [sys.executable, "-m", falsealarms.__name__]
    clean = [run_json([*program, what, str(checks)], core=True) for what in ("credit", "mixed")]
    share = sum(one["alarmed"] for one in clean) / max(sum(one["checks"] for one in clean), 1)
    session.record(FALSE.name, OURS, "of 100 checks", [share * 100], f"of {2 * checks} checks of columns, rows and slices")


BENCHMARK = Benchmark("data-drift", "a drift report of two halves of ten million rows", (RATIO, FALSE), measure)
