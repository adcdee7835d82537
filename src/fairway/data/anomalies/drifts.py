"""Columns whose distribution moved away from the baseline's, where nothing graver explains it."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from fairway.data.anomalies.making import Maker
from fairway.data.spelling import spell

if TYPE_CHECKING:
    from fairway.data.statistics import TableStatistics

_GRAVER = frozenset({
    "unit-changed", "encoding-damaged", "became-constant", "unknown-category", "integer-became-float", "became-text", "text-became-number",
    "type-changed", "nesting-changed", "column-empty", "zone-shifted", "cadence-changed",
})  # fmt: skip


def find_drift(maker: Maker, statistics: TableStatistics, baseline: TableStatistics) -> None:
    """Compares the statistics of both, as `fw.drift` does, whose chance of a false alarm holds for all columns together."""
    from fairway.data.drift import compare

    if not statistics.rows or not baseline.rows:
        return
    report = compare(baseline, statistics, schema=maker.schema, multivariate=False)
    explained = {one.column for one in maker.made if one.kind in _GRAVER}
    told: set[str] = set()
    for one in report.columns:
        rule = maker.schema.columns.get(one.column)
        if not one.drifted or rule is None or one.column in explained | told:
            continue
        told.add(one.column)
        above = math.ceil(one.value * 1.05 * 1000) / 1000
        edit = maker.column_edit(rule, {("x-fairway", "drift"): {"measure": one.deciding, "threshold": above}})
        expected = f"{one.deciding} below {spell(one.threshold)}"
        message = f"`{one.column}` moved away from the baseline: {one.sentence}"
        maker.add("drift", one.column, message, expected=expected, found=f"{one.deciding} {spell(one.value)}", edit=edit)
