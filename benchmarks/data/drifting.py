"""Run as a program, `python drifting.py WHAT …`: what drift costs on one core. Prints JSON.

`report A B`: statistics of A alone, then statistics of both and their drift report, in seconds of CPU: what one core takes.
`stream`: rows a second checked against a schema and folded into a monitor, microseconds a row of the monitor's own, and peak memory.
`memory BASELINE`: peak memory of a process that only monitors.
"""

from __future__ import annotations

import json
import sys
import time

from benchmarks.data.measured import peak_mb

ROWS = 8_192
TURNS = 24


def report(first: str, second: str) -> dict[str, float]:
    import fairway as fw
    from fairway.data.drift import compare

    begun = time.process_time()
    before = fw.measure(fw.read(first), threads=1)
    alone = time.process_time() - begun
    after = fw.measure(fw.read(second), threads=1)
    measured = time.process_time() - begun
    found = compare(before, after)
    whole = time.process_time() - begun
    return {"alone_s": alone, "both_s": measured, "report_s": whole - measured, "ratio": whole / alone, "columns": len(found.columns)}


def stream(baseline_file: str) -> dict[str, float]:
    """The rows of a stream of twenty columns, in batches, new ones each time."""
    from fairway.data.anomalies.rowchecks import RowChecks
    from fairway.data.drift import Monitor, load_baseline
    from fairway.data.schema.parse import parse_schema

    batch = _batch(ROWS * TURNS)
    monitor = Monitor(load_baseline(baseline_file))
    schema = parse_schema(_schema(batch))
    used, own = 0.0, 0.0
    for start in range(0, ROWS * TURNS, ROWS):
        piece = batch.slice(start, start + ROWS)
        begun = time.process_time()
        checks = RowChecks(schema)
        checks.add(piece)
        checked = time.process_time()
        monitor.add(piece)
        used += time.process_time() - begun
        own += time.process_time() - checked
    return {"rows_a_second": ROWS * TURNS / used, "monitor_us": own / ROWS / TURNS * 1e6, "alarms": len(monitor.active), "mb": peak_mb()}


def memory(baseline_file: str) -> dict[str, float]:
    """Of a process that monitors a hundred thousand rows in batches of a thousand."""
    from fairway.data.drift import Monitor, load_baseline

    monitor = Monitor(load_baseline(baseline_file))
    for _ in range(100):
        monitor.add(_batch(1_000))
    return {"mb": peak_mb(), "rows": monitor.rows}


def save(baseline_file: str) -> dict[str, float]:
    from fairway.data.drift import Baseline

    begun = time.perf_counter()
    Baseline.make(_batch(50_000)).save(baseline_file)
    return {"s": time.perf_counter() - begun}


def _batch(rows: int):
    import numpy as np

    from fairway.data.batch import Batch

    rng = np.random.default_rng(rows)
    columns = {f"f{n}": rng.normal(size=rows) for n in range(10)} | {f"i{n}": rng.integers(0, 10 ** (n + 1), rows) for n in range(5)}
    columns |= {f"c{n}": [f"cat_{one}" for one in rng.integers(0, size, rows)] for n, size in enumerate((4, 20, 1000))}
    columns |= {"ts": np.datetime64("2024-01-01", "us") + np.arange(rows) * np.timedelta64(5, "s")}
    columns |= {"s": [f"user-{n}" for n in rng.integers(0, 10**9, rows)]}
    return Batch.of(columns)


def _schema(batch: object) -> dict[str, object]:
    kinds = {"float": {"type": "number"}, "integer": {"type": "integer", "minimum": 0}, "string": {"type": "string", "maxLength": 40}}
    columns = batch.columns  # type: ignore[attr-defined]
    named = {name: kinds.get(one.kind, {"type": "string", "format": "date-time"}) for name, one in columns.items()}
    return {"type": "object", "properties": named, "required": list(named)}


if __name__ == "__main__":
    what, *words = sys.argv[1:]
    print(json.dumps({"report": report, "stream": stream, "memory": memory, "save": save}[what](*words)))
