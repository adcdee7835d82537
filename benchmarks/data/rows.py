"""The table of the data benchmarks: ten floats, five whole numbers, three categories, a time every five seconds, a text.

Run as a program: `python rows.py FOLDER ROWS` writes rows.parquet and rows.csv there.
"""

from __future__ import annotations

import sys
from pathlib import Path

FULL = 10_000_000
_FLOATS = ", ".join(f"(random() * {10 ** (n % 4)} + {n * 1000})::DOUBLE as f{n}" for n in range(10))
_WHOLE = ", ".join(f"(random() * {10 ** (n + 1)})::BIGINT as i{n}" for n in range(5))
_CATEGORIES = ", ".join(f"'cat_' || floor(random() * {size})::INT as c{n}" for n, size in enumerate((4, 20, 1000)))
_TIMES = "TIMESTAMP '2024-01-01' + INTERVAL (n * 5) SECOND as ts, 'user-' || hash(n)::VARCHAR as s"
_ROUNDED = ", ".join(f"round(f{n}, 4) as f{n}" for n in range(10))


def make(folder: Path, rows: int = FULL) -> None:
    """Write both files, always the same ones for a number of rows (1.1 GB and 1.8 GB for ten million)."""
    import duckdb

    connection = duckdb.connect()
    connection.execute("set threads = 1")
    connection.execute("select setseed(0.5)")
    table = f"select {_FLOATS}, {_WHOLE}, {_CATEGORIES}, {_TIMES} from range({rows}) r(n)"
    connection.execute(f"copy ({table}) to '{folder}/rows.parquet' (format parquet)")
    connection.execute(f"copy (select * replace ({_ROUNDED}) from '{folder}/rows.parquet') to '{folder}/rows.csv' (header)")


if __name__ == "__main__":
    make(Path(sys.argv[1]), int(sys.argv[2]))
