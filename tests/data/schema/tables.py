"""Tables for tests: independent rows of twenty columns with a time every five seconds, of which every block is as good as any other."""

from __future__ import annotations

import numpy as np

from fairway.data.batch import Batch, Values, values_of

CITIES = (
    "Berlin", "Zürich", "München", "São Paulo", "Paris", "Rome", "Oslo", "Wien", "Prague", "Lima", "Lagos", "Delhi", "Tokyo", "Seoul",
    "Osaka", "Austin", "Boston", "Quito", "Cairo", "Perth",
)  # fmt: skip
BEGIN_US = 1_704_067_200_000_000
_NAMES = np.array([f"user-{i:06d}" for i in range(200_000)], object)
_KEYS = np.array([f"k{i:03d}" for i in range(500)], object)


def block(number: int, rows: int) -> Batch:
    """Rows `number * rows` and following."""
    random = np.random.default_rng([7, number])
    start = number * rows
    at = BEGIN_US + (start + np.arange(rows, dtype=np.int64)) * 5_000_000
    columns = {
        "f0": random.normal(0, 1, rows),
        "f1": random.normal(50, 10, rows),
        "f2": random.uniform(0, 1, rows),
        "f3": random.exponential(3, rows),
        "f4": random.lognormal(0, 1, rows),
        "f5": random.beta(2, 5, rows),
        "f6": random.gamma(2, 2, rows),
        "f7": np.where(random.random(rows) < 0.5, random.normal(-3, 1, rows), random.normal(3, 1, rows)),
        "f8": random.standard_t(5, rows),
        "f9": random.normal(1e4, 2e3, rows),
        "i0": random.integers(0, 10, rows),
        "i1": random.poisson(4, rows),
        "i2": random.integers(0, 100_000, rows),
        "i3": random.binomial(1, 0.3, rows),
        "i4": random.geometric(0.05, rows),
        "c0": np.array(["red", "green", "blue", "black"], object)[random.choice(4, rows, p=[0.4, 0.3, 0.2, 0.1])],
        "c1": np.array(CITIES, object)[random.integers(0, 20, rows)],
        "c2": _KEYS[np.minimum(random.geometric(0.02, rows) - 1, 499)],
        "s0": _NAMES[random.integers(0, 200_000, rows)],
    }
    made = {name: values_of(np.round(one, 6) if one.dtype.kind == "f" else list(one) if one.dtype == object else one)
            for name, one in columns.items()}  # fmt: skip
    return Batch(start, rows, {"ts": Values("timestamp", "timestamp[us]", at), **made})
