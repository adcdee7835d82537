"""All statistics of ten million rows of twenty columns, against DuckDB with a query written by hand, in turns; and of a hundred million.

The hand's query computes less: no correlations, no cadence, no duplicate rows, no sample, no text shapes, and nothing that can be merged.
Polars by hand has no sketches: its quantiles, distincts and top values are exact, of all values in memory.
"""

from __future__ import annotations

import sys
from pathlib import Path

from benchmarks.data import measured, tables
from benchmarks.data.contenders import POLARS_FOLDER, label, run_json, run_lines
from benchmarks.figures import OURS, Bar, ratio_of_pairs
from benchmarks.process import CommandError
from benchmarks.session import Benchmark, Session

CSV = Bar("data-statistics-csv", "all statistics of 10,000,000 rows from CSV: time, of DuckDB's by hand", 1.15, "of by hand")
PARQUET = Bar("data-statistics-parquet", "all statistics of 10,000,000 rows from Parquet: time, of DuckDB's by hand", 1.15, "of by hand")
MEMORY = Bar("data-statistics-memory", "peak memory of it (the larger of the two)", 600, "MB")
FLAT = Bar("data-statistics-flat", "peak memory for 100,000,000 rows, of that for 10,000,000", 1.15, "×")
RATE = Bar("data-statistics-stream", "a row folded into a monitor's statistics by one core, for 200,000 a second", 5, "µs")
PROGRAM = Path(measured.__file__)
_STREAM = """
import time, numpy as np
from benchmarks.data.measured import peak_mb
from fairway.data.batch import Batch
from fairway.data.statistics import Accumulator, Budget
rng = np.random.default_rng(1)
rows = 8192
columns = {f"f{n}": rng.normal(size=rows) for n in range(10)} | {f"i{n}": rng.integers(0, 10 ** (n + 1), rows) for n in range(5)}
columns |= {f"c{n}": [f"cat_{one}" for one in rng.integers(0, size, rows)] for n, size in enumerate((4, 20, 1000))}
columns |= {"ts": np.datetime64("2024-01-01", "us") + np.arange(rows) * np.timedelta64(5, "s"), "s": [f"user-{n}" for n in range(rows)]}
whole, made = Batch.of(columns), Accumulator(time="ts", budget=Budget.small())
begun = time.process_time()
for _ in range(20):
    for start in range(0, rows, 4096):
        piece = whole.slice(start, start + 4096)
        made.add(piece)
print((time.process_time() - begun) / rows / 20 * 1e6, peak_mb())
"""


def measure(session: Session) -> None:
    folder = tables.whole(session)
    once = [measure_file(session, bar, folder / name) for bar, name in ((CSV, "rows.csv"), (PARQUET, "rows.parquet"))]
    session.record(MEMORY.name, OURS, "MB", [max(once)])
    measure_flatness(session, folder / "rows.parquet")
    said = [run_lines([sys.executable, "-c", _STREAM], core=True)[-1].split() for _ in range(session.runs)]
    session.record(RATE.name, OURS, "µs", [float(one[0]) for one in said])
    session.record("a monitor's statistics: memory", OURS, "MB", [max(float(one[1]) for one in said)])


def contenders(session: Session) -> dict[str, tuple[str, ...]]:
    """What is run, by name. One thread, and Polars, which takes minutes, are left out of a quick run."""
    found = {OURS: (sys.executable, "fairway"), label("duckdb", Path(sys.executable), "duckdb") + " by hand": (sys.executable, "duckdb")}
    if session.quick:
        return found
    found["fairway, one thread"] = (sys.executable, "fairway-1")
    python = session.peers.environments / POLARS_FOLDER / "bin/python"
    if python.exists() and (session.peers.wanted is None or "polars" in session.peers.wanted):
        found[label("polars", python, "polars") + " by hand"] = (str(python), "polars")
    return found


def measure_file(session: Session, bar: Bar, file: Path) -> float:
    """In turns; returns the most memory that ours took."""
    found: dict[str, list[dict[str, float]]] = {}
    failed: dict[str, str] = {}
    for _ in range(session.long_runs):
        for name, (python, who) in contenders(session).items():
            session.talk(f"{name} {file.name}")
            try:
                found.setdefault(name, []).append(run_json([python, str(PROGRAM), who, str(file)]))
            except CommandError as error:
                if name == OURS:
                    raise
                failed[name] = str(error)
    for name, each in found.items():
        row = session.record(f"all statistics of {file.name}", name, "s", [one["wall_s"] for one in each], failed.get(name, ""))
        row.cpu_s = [one["cpu_s"] for one in each]
        session.record(f"memory of {file.name}", name, "MB", [max(one["mb"] for one in each)] if each else [])
    by_hand = next(each for name, each in found.items() if name.startswith("duckdb"))
    ratio = ratio_of_pairs([one["wall_s"] for one in found[OURS]], [one["wall_s"] for one in by_hand])
    session.record(bar.name, OURS, "of by hand", [ratio])
    return max(one["mb"] for one in found[OURS])


def measure_flatness(session: Session, file: Path) -> None:
    """Ten times the rows: the same file under ten names, read as ten shards."""
    shards = [session.work / f"shard-{number}.parquet" for number in range(10)]
    for shard in shards:
        shard.symlink_to(file)
    sizes: dict[int, float] = {}
    for count in (1, 10):
        session.talk(f"{count} shards")
        said = run_json([sys.executable, str(PROGRAM), "fairway", *map(str, shards[:count])])
        sizes[count] = said["mb"]
        session.record(f"all statistics of {said['rows']:,} rows from Parquet", OURS, "s", [said["wall_s"]])
        session.record(f"memory of {said['rows']:,} rows from Parquet", OURS, "MB", [said["mb"]])
    session.record(FLAT.name, OURS, "×", [sizes[10] / sizes[1]])


BENCHMARK = Benchmark("data-statistics", "all statistics of ten million rows", (CSV, PARQUET, MEMORY, FLAT, RATE), measure)
