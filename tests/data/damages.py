"""Two honest tables (credit risk with a time column, simulated sensors), undamaged resamples of them, and everything that happens to data.

damages_of(CREDIT, 60)["unit"].do(credit(seed=1), random)        # columns by name: numpy arrays, or lists where text or nulls
Which anomaly kinds tell of a damage is said beside it; which damages hide another, in MASKS.
"""

from __future__ import annotations

import csv
import datetime as dt
import functools
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from fairway.data.batch import Batch

Columns = dict[str, Any]
FILE = Path(os.environ.get("CREDIT_DEFAULT_CSV", Path(__file__).resolve().parents[3] / "shared" / "data" / "credit_default.csv"))
_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_SCHOOLS = {1: "Université", 2: "Gymnasium Zürich", 3: "Högskola", 4: "école primaire", 5: "other", 6: "none", 0: "unknown"}
_STATES = {0: "other", 1: "married", 2: "single", 3: "divorced"}
_OPEN_H, _SHUT_H, _PERIOD_S = 8, 20, 60


@functools.cache
def _file() -> Columns:
    if not FILE.exists():
        return _made_up()
    with FILE.open(encoding="utf-8", newline="") as lines:
        rows = csv.reader(lines)
        names = next(rows)
        table = np.array([[int(float(cell)) for cell in row] for row in rows])
    return {name: table[:, place] for place, name in enumerate(names)}


def _made_up(count: int = 30_000) -> Columns:
    """The same columns, where the file is not at hand."""
    random = np.random.default_rng(9)
    made: Columns = {"ID": np.arange(1, count + 1), "LIMIT_BAL": random.integers(1, 80, count) * 10_000}
    made |= {"SEX": random.integers(1, 3, count), "EDUCATION": random.integers(0, 7, count), "MARRIAGE": random.integers(0, 4, count)}
    made["AGE"] = random.integers(21, 79, count)
    made |= {f"PAY_{n}": random.integers(-2, 9, count) for n in (0, 2, 3, 4, 5, 6)}
    made |= {f"BILL_AMT{n}": random.gamma(0.6, 80_000, count).astype(np.int64) for n in range(1, 7)}
    made |= {f"PAY_AMT{n}": random.gamma(0.3, 18_000, count).astype(np.int64) for n in range(1, 7)}
    made["default.payment.next.month"] = (random.random(count) < 0.22).astype(np.int64)
    return made


def credit(seed: int, count: int = 15_000) -> Columns:
    """`count` customers drawn without replacement, in the file's order, one each minute of the opening hours (with jitter) from some day
    of 2026 on; schools and states as words."""
    random = np.random.default_rng(seed)
    whole = _file()
    drawn = np.sort(random.choice(len(whole["ID"]), count, replace=False))
    made = {name: column[drawn] for name, column in whole.items()}
    made["EDUCATION"] = [_SCHOOLS[one] for one in made["EDUCATION"].tolist()]
    made["MARRIAGE"] = [_STATES[one] for one in made["MARRIAGE"].tolist()]
    made["RATE"] = np.round(random.gamma(4.0, 0.8, count) + 0.5, 3)
    a_day = (_SHUT_H - _OPEN_H) * 3600 // _PERIOD_S
    place = np.arange(count) + int(random.integers(a_day))
    first = dt.datetime(2026, 1, 1, tzinfo=dt.UTC) + dt.timedelta(days=int(random.integers(200)))
    seconds = (place // a_day) * 86_400 + _OPEN_H * 3600 + (place % a_day) * _PERIOD_S + np.clip(random.normal(0, 1.5, count), -6, 6)
    made["at"] = (((first - _EPOCH).total_seconds() + seconds) * 1e6).astype("datetime64[us]")
    return made


def sensor(seed: int, count: int = 20_000) -> Columns:
    """Readings of one sensor every five seconds from some hour of 2026 on."""
    from tests.data.sensors import BEGIN_S, readings

    random = np.random.default_rng(seed)
    made = readings(count, seed=seed, begin_s=BEGIN_S + 3600.0 * int(random.integers(2_000)))
    columns = made.columns()
    sites = random.choice(["nörd", "süd", "öst"], count)
    return {**columns, "at": made.at_us.astype("datetime64[us]"), "site": sites.tolist(), "state": made.state.tolist(),
            "wind": np.round(random.gamma(3.0, 2.0, count), 2), "pressure": np.round(random.normal(1_013, 4, count), 1),
            "serial": np.arange(count) + seed * 1_000_000, "mode": random.integers(0, 2, count)}  # fmt: skip


def batches(columns: Columns, rows: int = 4_096) -> list[Batch]:
    """As a source yields them; `at` in UTC."""
    whole = Batch.of(columns)
    if "at" in whole.columns:
        whole.columns["at"].arrow = "timestamp[us, UTC]"
    return [whole.slice(start, min(start + rows, whole.rows)) for start in range(0, whole.rows, rows)] or [whole]


@dataclass(frozen=True)
class Damage:
    """What happens (to columns that no other damage touches), and the kinds of anomalies that tell of it, in which column ("*": any)."""

    do: Callable[[Columns, np.random.Generator], Columns]
    kinds: frozenset[str]
    column: str


@dataclass(frozen=True)
class Touched:
    """The columns of one of the two tables to which each damage is done."""

    integer: str
    category: str
    missing: str
    nulls: str
    range: str
    unit: str
    encoding: str
    constant: str


CREDIT = Touched("AGE", "MARRIAGE", "PAY_AMT2", "PAY_AMT3", "BILL_AMT1", "LIMIT_BAL", "EDUCATION", "SEX")
SENSOR = Touched("battery", "state", "mode", "humidity", "wind", "temperature", "site", "pressure")


def damages_of(on: Touched, period_s: float) -> dict[str, Damage]:
    """The thirteen, for one of the tables."""

    def named(do: Callable[[Columns, np.random.Generator], Columns], column: str, *kinds: str) -> Damage:
        return Damage(do, frozenset(kinds), column)

    return {
        "int-to-float": named(lambda c, r: c | {on.integer: _halves(c[on.integer], r)}, on.integer, "integer-became-float"),
        "categories": named(lambda c, r: c | {on.category: _categories(c[on.category], r)}, on.category, "unknown-category"),
        "missing": named(lambda c, r: {name: one for name, one in c.items() if name != on.missing}, on.missing, "column-missing"),
        "added": named(lambda c, r: c | {"score_v2": r.random(_rows(c))}, "score_v2", "column-added"),
        "nulls": named(lambda c, r: c | {on.nulls: _nulls(c[on.nulls], r)}, on.nulls, "nulls", "presence-low"),
        "range": named(lambda c, r: c | {on.range: _far(c[on.range], r)}, on.range, "too-large", "too-small"),
        "cadence": named(lambda c, r: c | {"at": _slower(c["at"])}, "at", "cadence-changed"),
        "unit": named(lambda c, r: c | {on.unit: c[on.unit] * 1000}, on.unit, "unit-changed"),
        "shuffled": named(lambda c, r: _taken(c, r.permutation(_rows(c))), "*", "time-unordered", "unsorted"),
        "repeated": named(
            lambda c, r: _taken(c, np.repeat(np.arange(_rows(c)), 1 + (r.random(_rows(c)) < 0.03))),
            "*", "rows-repeated", "time-repeated", "not-unique", "key-repeated",
        ),
        "zone": named(lambda c, r: c | {"at": _moved(c["at"], period_s)}, "at", "zone-shifted"),
        "encoding": named(lambda c, r: c | {on.encoding: _mojibake(c[on.encoding])}, on.encoding, "encoding-damaged"),
        "constant": named(lambda c, r: c | {on.constant: np.full(_rows(c), np.asarray(c[on.constant])[0])}, on.constant, "became-constant"),
    }  # fmt: skip


MASKS = {
    "credit": {("shuffled", "cadence"), ("cadence", "zone")},
    "sensor": {("shuffled", "cadence"), ("shuffled", "zone")},
}
"""(what hides, what is hidden): of times in no order, neither period nor jumps can be told; a day of twelve open hours that is twice as
long has no closed hours any more that would show a shift."""


def _rows(columns: Columns) -> int:
    return len(next(iter(columns.values())))


def _halves(values: np.ndarray, random: np.random.Generator) -> np.ndarray:
    return values + random.choice([0.0, 0.5], len(values))


def _categories(values: list[str], random: np.random.Generator) -> list[str]:
    drawn = random.random(len(values))
    return ["widowed" if one < 0.01 else "engaged" if one < 0.02 else value for value, one in zip(values, drawn.tolist(), strict=True)]


def _nulls(values: np.ndarray, random: np.random.Generator) -> list[Any]:
    gone = random.random(len(values)) < 0.05
    return [None if one else value for value, one in zip(values.tolist(), gone.tolist(), strict=True)]


def _far(values: Any, random: np.random.Generator) -> Any:
    """A tenth of a percent of the values are far away."""
    if isinstance(values, list):
        most = max(one for one in values if one is not None)
        return [one if one is None or chance > 0.001 else most * 20 for one, chance in zip(values, random.random(len(values)), strict=True)]
    far = random.random(len(values)) < 0.001
    far[len(values) // 2] = True
    return np.where(far, values.max() * 20, values)


def _slower(at: np.ndarray) -> np.ndarray:
    """Every step of up to an hour is twice as long."""
    steps = np.diff(at.astype(np.int64))
    return np.concatenate(
        [at[:1].astype(np.int64), at[:1].astype(np.int64) + np.cumsum(np.where(steps < 3_600_000_000, steps * 2, steps))]
    ).view("datetime64[us]")


def _moved(at: np.ndarray, period_s: float) -> np.ndarray:
    """Two hours later: all of it where the day has a rhythm, from the middle on where it has none."""
    moved = at.astype(np.int64).copy()
    moved[len(at) // 2 if period_s < 10 else 0 :] += 7_200_000_000
    return moved.view("datetime64[us]")


def _mojibake(values: list[str]) -> list[str]:
    return [value.encode().decode("cp1252", "replace") for value in values]


def _taken(columns: Columns, rows: np.ndarray) -> Columns:
    return {name: [one[row] for row in rows.tolist()] if isinstance(one, list) else one[rows] for name, one in columns.items()}
