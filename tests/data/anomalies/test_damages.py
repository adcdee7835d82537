"""The thirteen damages are found with the schema inferred by default, resamples raise no alarm; combinations; edits that accept.

`benchmarks` measures the same with 100 resamples and 100 combinations (suite `data_damages`).
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fairway.data.anomalies import Validation, validate
from fairway.data.anomalies.edits import patched
from fairway.data.schema.infer import infer
from fairway.data.statistics import measure
from tests.data.damages import CREDIT, MASKS, SENSOR, Columns, Damage, batches, credit, damages_of, sensor

TABLES: dict[str, tuple[Callable[[int, int], Columns], dict[str, Damage]]] = {
    "credit": (credit, damages_of(CREDIT, 60)),
    "sensor": (sensor, damages_of(SENSOR, 5)),
}
EVERY = [(table, damage) for table, (_, damages) in TABLES.items() for damage in damages]
ROWS = {"credit": 12_000, "sensor": 18_000}


@functools.cache
def schema_of(table: str) -> dict[str, Any]:
    make, _ = TABLES[table]
    return infer(measure(batches(make(0, ROWS[table]))))


def checked(table: str, columns: Columns) -> Validation:
    return validate(batches(columns), schema_of(table))


def is_found(damage: Damage, validation: Validation) -> bool:
    return any(one.kind in damage.kinds and damage.column in ("*", one.column) for one in validation.errors)


def test_there_are_thirteen() -> None:
    assert all(len(damages) == 13 for _, damages in TABLES.values())


@pytest.mark.parametrize(("table", "name"), EVERY, ids=lambda one: one)
def test_a_damage_is_found(table: str, name: str) -> None:
    make, damages = TABLES[table]
    validation = checked(table, damages[name].do(make(71, ROWS[table]), np.random.default_rng(7)))
    assert is_found(damages[name], validation), validation.summary()


@pytest.mark.parametrize("table", TABLES)
def test_what_is_not_damaged_raises_no_alarm(table: str) -> None:
    make, _ = TABLES[table]
    for seed in range(1, 6):
        assert checked(table, make(seed, ROWS[table])).anomalies == ()


@pytest.mark.parametrize("seed", range(4))
def test_every_damage_of_a_combination_is_found(seed: int) -> None:
    random = np.random.default_rng(seed)
    damages = TABLES["credit"][1]
    names = [str(name) for name in random.choice(list(damages), 4, replace=False)]
    hidden = {one for mask, one in MASKS["credit"] if mask in names}
    columns = credit(seed + 200, ROWS["credit"])
    for name in sorted(names, key=list(damages).index):
        columns = damages[name].do(columns, random)
    validation = checked("credit", columns)
    assert [name for name in names if name not in hidden and not is_found(damages[name], validation)] == []


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(names=st.lists(st.sampled_from(EVERY), min_size=1, max_size=3, unique=True), seed=st.integers(0, 1000))
def test_the_edit_of_an_anomaly_makes_it_go_away(names: list[tuple[str, str]], seed: int) -> None:
    table = names[0][0]
    make, damages = TABLES[table]
    columns, random = make(seed, 2_500), np.random.default_rng(seed)
    for name in sorted({name for _, name in names}, key=list(damages).index):
        columns = damages[name].do(columns, random)
    for one in checked(table, columns).anomalies:
        assert one.edit, one.message
        after = validate(batches(columns), patched(schema_of(table), one.edit))
        assert not after.has(one.kind, one.column), (one.message, one.edit)


def test_examples_are_rows_that_are_wrong() -> None:
    columns = TABLES["credit"][1]["categories"].do(credit(5, 3_000), np.random.default_rng(1))
    found = next(one for one in checked("credit", columns).anomalies if one.kind == "unknown-category")
    assert found.count == sum(one in ("widowed", "engaged") for one in columns["MARRIAGE"])
    assert found.examples
    for example in found.examples:
        assert columns["MARRIAGE"][example.row] == example.value
        assert example.value in ("widowed", "engaged")
    assert found.examples[0].row == next(row for row, one in enumerate(columns["MARRIAGE"]) if one in ("widowed", "engaged"))
