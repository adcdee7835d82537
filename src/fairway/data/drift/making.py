"""`fw.baseline`: what the data of a model looked like, to be kept with it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fairway.data.drift.baseline import Baseline


def baseline(data: Any, *, schema: Any = None, columns: Sequence[str] | None = None, window_rows: int = 1_000) -> Baseline:
    """How `data` (a table of `fw.read`, a frame, a file's name) is distributed, and what chance does to `window_rows` rows of it:
    `fw.Model(est, baseline=fw.baseline(train))` lets the model's endpoint tell when its traffic drifts. `schema`: a schema whose
    `x-fairway.drift` says how columns are watched (a file's name, a document). A column `prediction` is held to what the model answers.
    """
    if schema is not None and not hasattr(schema, "columns"):
        from fairway.data.anomalies.validating import schema_of

        schema = schema_of(schema)
    return Baseline.make(data, schema=schema, columns=columns, window_rows=window_rows)
