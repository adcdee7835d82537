"""A few hundred rows are not enough for a change of unit or of clock to be alleged; real changes are found all the same."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from fairway.data.anomalies import validate
from fairway.data.schema.infer import infer
from fairway.data.schema.parse import parse_schema
from fairway.data.statistics import measure
from tests.data.damages import batches, credit

ALLEGED = {"unit-changed", "time-gap", "zone-shifted", "clock-shifted", "cadence-changed"}


def heavy(seed: int, count: int) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    made = {"lognormal": rng.lognormal(3, 1.5, count), "pareto": rng.pareto(1.1, count) + 1, "cauchy": rng.standard_cauchy(count)}
    return {
        **made,
        "gamma": rng.gamma(0.3, 10, count),
        "celsius": rng.normal(12, 9, count),
        "price": np.round(rng.lognormal(2, 2, count), 2),
    }


@pytest.mark.parametrize("make", [credit, heavy], ids=["credit", "heavy"])
@pytest.mark.parametrize(("rows", "tables"), [(200, 50), (1_000, 20), (15_000, 3)])
def test_undamaged_tables_of_any_size_are_not_accused(make: Any, rows: int, tables: int) -> None:
    found: list[str] = []
    for number in range(tables):
        schema = parse_schema(infer(measure(batches(make(2 * number, rows)), threads=1)))
        told = validate(batches(make(2 * number + 1, rows)), schema).anomalies
        found += [f"{one.kind} {one.column} in table {number}" for one in told if one.kind in ALLEGED]
    assert len(found) <= (tables >= 50), found


@pytest.mark.parametrize(("rows", "column", "factor", "offset"), [
    (15_000, "gamma", 1.609344, 0.0), (2_000, "celsius", 1.8, 32.0), (15_000, "celsius", 1.8, 32.0), (1_000, "lognormal", 1_000.0, 0.0),
    (200, "price", 0.01, 0.0), (1_000, "gamma", 60.0, 0.0),
])  # fmt: skip
def test_a_unit_that_changed_is_found(rows: int, column: str, factor: float, offset: float) -> None:
    schema = parse_schema(infer(measure(batches(heavy(1, rows)), threads=1)))
    now = heavy(2, rows)
    now[column] = now[column] * factor + offset
    told = {(one.kind, one.column) for one in validate(batches(now), schema).anomalies}
    assert ("unit-changed", column) in told
    assert {one for one in told if one[0] in ALLEGED} == {("unit-changed", column)}
