"""All statistics of ten million rows of twenty columns, against DuckDB with a query written by hand, in turns; and of a hundred million.

The hand's query computes less: no correlations, no cadence, no duplicate rows, no sample, no text shapes, and nothing that can be merged.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from benchmarks.data import rows as table
from benchmarks.figures import OURS, Bar, ratio_of_pairs
from benchmarks.peers import ROOT
from benchmarks.process import CommandError
from benchmarks.session import Benchmark, Session

CSV = Bar("data-statistics-csv", "from CSV: time, of DuckDB's by hand", 1.15, "of by hand")
PARQUET = Bar("data-statistics-parquet", "from Parquet: time, of DuckDB's by hand", 1.15, "of by hand")
MEMORY = Bar("data-statistics-memory", "peak memory", 600, "MB")
FLAT = Bar("data-statistics-flat", "memory for ten times the rows, of that for once", 1.15, "×")
RATE = Bar("data-statistics-stream", "a row folded into a monitor's statistics by one core, for 200,000 a second", 5, "µs")
_PROGRAM = Path(table.__file__).with_name("measured.py")
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
    folder = session.work / "data"
    folder.mkdir()
    session.talk("making the rows")
    count = table.FULL // 10 if session.quick else table.FULL
    _run([sys.executable, table.__file__, str(folder), str(count)])
    once = 0.0
    for bar, name in ((CSV, "rows.csv"), (PARQUET, "rows.parquet")):
        found: dict[str, list[dict[str, float]]] = {}
        for _ in range(session.long_runs):
            for who in ("fairway", "duckdb", "fairway-1"):
                session.talk(f"{who} {name}")
                found.setdefault(who, []).append(json.loads(_run([sys.executable, str(_PROGRAM), who, str(folder / name)])))
        walls = {who: [one["wall_s"] for one in each] for who, each in found.items()}
        for who, label in (("fairway", OURS), ("duckdb", "duckdb by hand"), ("fairway-1", "fairway, one thread")):
            row = session.record(f"all statistics of {name}", label, "s", list(walls[who]))
            row.cpu_s = [one["cpu_s"] for one in found[who]]
            session.record(f"memory of {name}", label, "MB", [max(one["mb"] for one in found[who])])
        ratio = ratio_of_pairs(walls["fairway"], walls["duckdb"])
        session.record(bar.name, OURS, "of by hand", [ratio])
        once = max(once, *(one["mb"] for one in found["fairway"]))
    session.record(MEMORY.name, OURS, "MB", [once])
    _measure_flatness(session, folder)
    said = [_run([sys.executable, "-c", _STREAM]).split() for _ in range(session.long_runs)]
    session.record(RATE.name, OURS, "µs", [float(one[0]) for one in said])
    session.record("a monitor's statistics: memory", OURS, "MB", [max(float(one[1]) for one in said)])


def _measure_flatness(session: Session, folder: Path) -> None:
    """Ten times the rows: the same file under ten names, read as ten shards."""
    shards = [folder / f"shard-{number}.parquet" for number in range(10)]
    for shard in shards:
        shard.symlink_to(folder / "rows.parquet")
    sizes: dict[int, float] = {}
    for count in (1, 10):
        session.talk(f"{count} shards")
        said = json.loads(_run([sys.executable, str(_PROGRAM), "fairway", *map(str, shards[:count])]))
        sizes[count] = said["mb"]
        session.record(f"all statistics of {count} Parquet files", OURS, "s", [said["wall_s"]])
    session.record(FLAT.name, OURS, "×", [sizes[10] / sizes[1]])


def _run(words: list[str]) -> str:
    done = subprocess.run(words, capture_output=True, text=True, timeout=1800, check=False, cwd=ROOT)
    if done.returncode:
        raise CommandError(f"{Path(words[1]).name}: {(done.stderr.strip().splitlines() or ['it failed'])[-1][:200]}")
    return done.stdout


BENCHMARK = Benchmark("data-statistics", "all statistics of ten million rows", (CSV, PARQUET, MEMORY, FLAT, RATE), measure)
