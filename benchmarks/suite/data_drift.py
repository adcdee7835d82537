"""A drift report of two halves of ten million rows, on one core: how much longer it takes than the statistics of one half."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from benchmarks.data import drifting
from benchmarks.data import rows as table
from benchmarks.figures import OURS, Bar
from benchmarks.peers import ROOT
from benchmarks.process import CommandError
from benchmarks.session import Benchmark, Session

RATIO = Bar("data-drift", "a drift report of two halves, of the statistics of one", 2.2, "×")
_PROGRAM = Path(drifting.__file__)
_HALVES = """
import duckdb, sys
folder, rows = sys.argv[1], int(sys.argv[2])
for name, place in (("a", 0), ("b", rows // 2)):
    half = f"select * from '{folder}/rows.parquet' limit {rows // 2} offset {place}"
    duckdb.execute(f"copy ({half}) to '{folder}/{name}.parquet' (format parquet)")
"""


def measure(session: Session) -> None:
    folder = session.work / "data-drift"
    folder.mkdir()
    count = table.FULL // 10 if session.quick else table.FULL
    session.talk("making the rows")
    one_core([sys.executable, table.__file__, str(folder), str(count)])
    one_core([sys.executable, "-c", _HALVES, str(folder), str(count)])
    halves = [str(folder / name) for name in ("a.parquet", "b.parquet")]
    found = [json.loads(one_core([sys.executable, "-m", "benchmarks.data.drifting", "report", *halves])) for _ in range(session.long_runs)]
    session.record("statistics of one half", OURS, "s", [one["alone_s"] for one in found])
    session.record("the report alone", OURS, "s", [one["report_s"] for one in found])
    session.record(RATIO.name, OURS, "×", [one["ratio"] for one in found])


def one_core(words: list[str]) -> str:
    """What a program prints that has one core."""
    import subprocess

    done = subprocess.run(["taskset", "-c", "0", *words], capture_output=True, text=True, timeout=1800, check=False, cwd=ROOT)
    if done.returncode:
        raise CommandError(f"{words[-2:]}: {(done.stderr.strip().splitlines() or ['it failed'])[-1][:200]}")
    return done.stdout


BENCHMARK = Benchmark("data-drift", "a drift report of two halves of ten million rows", (RATIO,), measure)
