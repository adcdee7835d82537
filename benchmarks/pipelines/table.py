"""A table of 5,000,000 × 5 floats goes from one step to the next. `counted` makes the same table and passes its length only."""

import hashlib
import os

import numpy as np
import pandas as pd

import fairway as fw

ROWS, COLUMNS = 5_000_000, list("abcde")


def draw() -> pd.DataFrame:
    """Each column lies in one piece, as in what pandas reads from files. Without a copy of pandas' own, so that only passing takes more."""
    return pd.DataFrame(np.random.default_rng(0).random((len(COLUMNS), ROWS)).T, columns=COLUMNS, copy=False)


@fw.step
def make() -> pd.DataFrame:
    return draw()


@fw.step
def make_by_rows() -> pd.DataFrame:
    """The same, but each row lies in one piece."""
    return pd.DataFrame(np.random.default_rng(0).random((ROWS, len(COLUMNS))), columns=COLUMNS, copy=False)


@fw.step
def rows_of(table: pd.DataFrame) -> int:
    return len(table)


@fw.step
def count() -> int:
    return len(draw())


@fw.step
def same(rows: int) -> int:
    return rows


@fw.step
def look(table: pd.DataFrame) -> dict:
    """How the reader holds the table: the size of the largest stored file that is mapped into its memory, and what it sees in it."""
    sizes = [0]
    with open("/proc/self/maps") as maps:
        for line in maps:
            span, path = line.split()[0], line.split(None, 5)[5:]
            if path and ".fairway" in path[0]:
                start, end = (int(each, 16) for each in span.split("-"))
                sizes.append(end - start)
    seen = hashlib.sha256(np.ascontiguousarray(table["a"].to_numpy()[:1000]).tobytes()).hexdigest()
    return {"mapped_bytes": max(sizes), "rows": len(table), "seen": seen, "pid": os.getpid()}


@fw.pipeline
def passed():
    return rows_of(make())


@fw.pipeline
def passed_by_rows():
    return rows_of(make_by_rows())


@fw.pipeline
def counted():
    return same(count())


@fw.pipeline
def looked_at():
    return look(make())
