"""Features of the tests: a module as a user would write one."""

from __future__ import annotations

import pandas as pd

import fairway as fw
from tests.step import featurehelpers as helpers

LIMIT = 100.0


def unrelated() -> None:
    import heavy_library  # noqa: F401


@fw.transform
def ratios(rows, fitted):
    middle = fitted("middle", rows["income"].median)
    return rows.assign(ratio=rows["age"] / (1 + rows["income"].fillna(middle).clip(0, LIMIT)))


def capped(rows, fitted):
    cap = fitted("cap", lambda: rows["ratio"].quantile(0.9))
    return rows.assign(ratio=helpers.clip(rows["ratio"], cap))


def of_rows(rows, fitted):
    mean = fitted("mean", lambda: sum(row["a"] for row in rows) / len(rows))
    return [[row["a"] - mean] for row in rows]


def three(rows, fitted, more):
    return rows


def asks_late(rows, fitted):
    if len(rows) < 10 and not fitted.is_open and "seen" in fitted.values:
        fitted("late", lambda: 1)
    fitted("seen", lambda: 1)
    return rows


def keeps_a_frame(rows, fitted):
    return fitted("all", lambda: pd.DataFrame({"a": [1]}))
