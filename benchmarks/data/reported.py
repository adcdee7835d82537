"""Run as a program, `python -m benchmarks.data.reported FILE COLUMNS`: a report of so many columns, of which one in five has changed.

Everything that a report can show is in it: what was validated, drift, both tables' statistics. Prints JSON: seconds of making the page,
its bytes, addresses of other places in it.
"""

from __future__ import annotations

import json
import re
import sys
import time
from pathlib import Path
from typing import Any

ROWS = 4_000
_ELSEWHERE = re.compile(r"""(?:\b(?:src|href|action|srcset|poster)\s*=|url\(|@import\b)\s*["']?(?!#|data:|["'\s])[^\s>)]""", re.I)


def main(file: str, columns: int) -> dict[str, float]:
    from fairway.data.anomalies import validate
    from fairway.data.drift import compare
    from fairway.data.report import render
    from fairway.data.schema.infer import infer
    from fairway.data.statistics import measure

    before = measure([table(columns, 1)])
    now = table(columns, 2)
    validation = validate([now], infer(before))
    drift = compare(before, validation.statistics, multivariate=False)  # of 500 columns it takes minutes, and it is one line of the page
    begun = time.perf_counter()
    page = render(validation=validation, drift=drift, reference=before, title="500 columns")
    took = time.perf_counter() - begun
    Path(file).write_text(page, encoding="utf-8")
    return {"made_s": took, "bytes": len(page.encode()), "addresses": len(addresses(page)), "anomalies": len(validation.anomalies)}


def addresses(page: str) -> list[str]:
    """Where the page would have a browser look beside itself."""
    return _ELSEWHERE.findall(page)


def table(columns: int, seed: int) -> Any:
    """Half of them floats; whole numbers, categories, texts, times. Of the second table every tenth is far off, and of another tenth a
    part is missing."""
    import numpy as np

    from fairway.data.batch import Batch

    rng = np.random.default_rng(seed)
    made: dict[str, Any] = {}
    for number in range(columns):
        moved = seed == 2 and number % 10 == 3
        kind = number % 10
        if kind < 5:
            values = rng.normal(0.0, 1.0 + number % 7, ROWS) * (1000.0 if moved else 1.0)
            made[f"float_{number}"] = np.where(rng.random(ROWS) < 0.1 * (seed == 2 and kind == 4), np.nan, values)
        elif kind < 7:
            made[f"whole_{number}"] = rng.poisson(3 + number % 50, ROWS)
        elif kind == 7:
            made[f"category_{number}"] = [f"kind {one}" for one in rng.integers(0, 3 + number % 40, ROWS)]
        elif kind == 8:
            made[f"text_{number}"] = [f"id-{one:08x}" for one in rng.integers(0, 2**31, ROWS)]
        else:
            made[f"time_{number}"] = np.datetime64("2026-01-01", "us") + np.arange(ROWS) * np.timedelta64(5 + number % 3, "s")
    return Batch.of(made)


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1], int(sys.argv[2]))))
