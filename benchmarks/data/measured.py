"""Run as a program, `python measured.py WHO FILE…`: all statistics of the files by Fairway, or by hand with DuckDB or Polars.

Prints JSON: wall and CPU seconds, peak resident megabytes, rows. Imports count; so does everything that a user would wait for.
"""

from __future__ import annotations

import json
import resource
import sys
import time

BEGUN = time.perf_counter()


def by_fairway(files: list[str], threads: int | None = None) -> int:
    import fairway as fw

    return fw.measure(fw.read(files if len(files) > 1 else files[0]), time="ts", threads=threads).rows


def by_hand(files: list[str]) -> int:
    """What a careful person writes: one query for all columns; correlations, cadence, duplicates, samples, texts are not in it."""
    import duckdb

    connection = duckdb.connect()
    connection.execute("set preserve_insertion_order = false")
    source = "read_parquet" if files[0].endswith(".parquet") else "read_csv"
    table = f"{source}({files!r})"
    fields = connection.execute(f"describe select * from {table}").fetchall()
    words = ["count(*)"]
    for name, kind, *_ in fields:
        words += [f"count({name})", f"min({name})", f"max({name})", f"approx_count_distinct({name})", f"approx_top_k({name}, 10)"]
        if kind == "VARCHAR":
            words += [f"avg(length({name}))", f"min(length({name}))", f"max(length({name}))"]
            continue
        number = f"epoch({name})" if kind.startswith("TIMESTAMP") else name
        words += [f"{figure}({number})" for figure in ("avg", "stddev", "skewness", "kurtosis")]
        words += [f"approx_quantile({number}, [0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99])"]
    found = connection.execute(f"select {', '.join(words)} from {table}").fetchone()
    assert found is not None
    bins = list[str]()
    place = 1
    for name, kind, *_ in fields:  # a second pass, since the edges are known only now
        if kind in ("DOUBLE", "BIGINT"):
            low, high = found[place + 1], found[place + 2]
            edges = [low + (high - low) * n / 20 for n in range(1, 21)]
            bins.append(f"histogram({name}::DOUBLE, {edges}::DOUBLE[])")
        place += 8 if kind == "VARCHAR" else 10
    connection.execute(f"select {', '.join(bins)} from {table}").fetchone()
    return int(found[0])


def by_polars(files: list[str]) -> int:
    """The same figures, each of them exact: Polars has sketches for distincts alone."""
    import polars

    path = files[0]
    table = polars.scan_parquet(files) if path.endswith(".parquet") else polars.scan_csv(files, try_parse_dates=True)
    kinds = table.collect_schema()
    words = [polars.len().alias("rows")]
    for name, kind in kinds.items():
        one = polars.col(name)
        words += [getattr(one, figure)().alias(f"{name} {figure}") for figure in ("count", "min", "max", "approx_n_unique")]
        words.append(one.value_counts(sort=True).head(10).implode().alias(f"{name} top"))
        if kind == polars.String:
            lengths = one.str.len_chars()
            words += [getattr(lengths, figure)().alias(f"{name} length {figure}") for figure in ("mean", "min", "max")]
            continue
        number = one.cast(polars.Float64) if kind.is_numeric() else one.dt.epoch("s").cast(polars.Float64)
        words += [getattr(number, figure)().alias(f"{name} {figure}") for figure in ("mean", "std", "skew", "kurtosis")]
        words += [number.quantile(q).alias(f"{name} {q}") for q in (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99)]
        if kind.is_numeric():
            words.append(number.hist(bin_count=20).implode().alias(f"{name} histogram"))
    return int(table.select(words).collect(engine="streaming")["rows"][0])


def peak_mb() -> float:
    """Of this process alone; what `getrusage` says was begun by the parent."""
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("VmHWM:")) * 1024 / 1e6


if __name__ == "__main__":
    who, *paths = sys.argv[1:]
    by_others = {"duckdb": by_hand, "polars": by_polars}
    rows = by_others[who](paths) if who in by_others else by_fairway(paths, 1 if who == "fairway-1" else None)
    used = resource.getrusage(resource.RUSAGE_SELF)
    figures = {"wall_s": time.perf_counter() - BEGUN, "cpu_s": used.ru_utime + used.ru_stime, "mb": peak_mb(), "rows": rows}
    print(json.dumps(figures))
