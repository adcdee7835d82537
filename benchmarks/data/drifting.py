"""Run as a program, `python drifting.py WHAT …`: what drift costs on one core. Prints JSON.

`report A B`: statistics of A alone, then statistics of both and their drift report, in seconds of CPU: what one core takes.
`save FOLDER`: what the next needs: baseline.json, schema.json, rows.ndjson.
`stream FOLDER WINDOW`: what `fairway data watch` does with those rows in windows of so many, microseconds a row with and without reading
them, and its peak memory.
"""

from __future__ import annotations

import json
import sys
import time

from benchmarks.data.measured import peak_mb

ROWS = 100_000


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


def stream(folder: str, window: str) -> dict[str, float]:
    """Twenty columns, followed to the end of a file, held to an inferred schema and a baseline."""
    from fairway.data.drift import Monitor, load_baseline
    from fairway.data.schema.files import load_schema_file
    from fairway.data.streams import follow
    from fairway.data.watch import Watch, kinds_of

    schema = load_schema_file(f"{folder}/schema.json")
    watch = Watch(schema, Monitor(load_baseline(f"{folder}/baseline.json"), schema))
    own = 0.0
    begun = time.process_time()
    with follow(f"{folder}/rows.ndjson", window=f"{window} rows", start="oldest", fields=kinds_of(schema), once=True) as windows:
        for one in windows:
            decoded = time.process_time()
            watch.add(one)
            own += time.process_time() - decoded
            one.commit()
    used = time.process_time() - begun
    return {
        "own_us": own / watch.rows * 1e6,
        "all_us": used / watch.rows * 1e6,
        "rows": watch.rows,
        "alarms": watch.raised,
        "mb": peak_mb(),
    }


def save(folder: str) -> dict[str, float]:
    from pathlib import Path

    from fairway.data.drift import Baseline
    from fairway.data.schema.infer import infer
    from fairway.data.statistics import measure

    before, rows = _batch(50_000), _batch(ROWS)
    Baseline.make(before).save(f"{folder}/baseline.json")
    Path(folder, "schema.json").write_text(json.dumps(infer(measure([before]))), encoding="utf-8")
    columns = {name: one.values(range(ROWS)) for name, one in rows.columns.items()}
    with Path(folder, "rows.ndjson").open("w", encoding="utf-8") as file:
        file.writelines(json.dumps(dict(zip(columns, row, strict=True))) + "\n" for row in zip(*columns.values(), strict=True))
    return {"rows": ROWS}


def _batch(rows: int):
    import numpy as np

    from fairway.data.batch import Batch

    rng = np.random.default_rng(rows)
    columns = {f"f{n}": rng.normal(size=rows) for n in range(10)} | {f"i{n}": rng.integers(0, 10 ** (n + 1), rows) for n in range(5)}
    columns |= {f"c{n}": [f"cat_{one}" for one in rng.integers(0, size, rows)] for n, size in enumerate((4, 20, 1000))}
    columns |= {"ts": np.datetime64("2024-01-01", "us") + np.arange(rows) * np.timedelta64(5, "s")}
    columns |= {"s": [f"user-{n}" for n in rng.integers(0, 10**9, rows)]}
    return Batch.of(columns)


if __name__ == "__main__":
    what, *words = sys.argv[1:]
    print(json.dumps({"report": report, "stream": stream, "save": save}[what](*words)))
