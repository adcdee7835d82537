"""Curves and comparisons."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from fairway.web.records import Word
from fairway.web.schema.words import DifferenceData, Query, Summary


class CurvesQuery(Query):
    """`task`: a step, an address or a glob. `metric`: only these. `by`: what the points lie on, seconds since the first or steps."""

    task: Word = ""
    metric: Annotated[tuple[Word, ...], Meta(max_length=100)] = ()
    points: Annotated[int, Meta(ge=6, le=1000)] = 500
    by: Literal["step", "time"] = "step"
    cursor: Word = ""
    limit: Annotated[int, Meta(ge=1, le=200)] = 50


class CurveItem(msgspec.Struct, kw_only=True):
    """`points` are [x, value]; `count` is how many were logged."""

    task: str
    attempt: str
    metric: str
    points: list[tuple[float, float]]
    count: int


class CurvesPage(msgspec.Struct, kw_only=True):
    """Curves of `limit` tasks, of the last attempt each. `next` is the cursor of the next tasks, "" after the last one."""

    items: list[CurveItem]
    next: str
    head: int


class CompareQuery(Query):
    """`run`: given two to twenty times."""

    run: Annotated[tuple[Word, ...], Meta(min_length=2, max_length=20)]


class SideBySide(msgspec.Struct, kw_only=True):
    """The value of each run, null where it has none."""

    name: str
    values: list[Any]


class Comparison(msgspec.Struct, kw_only=True):
    """`differences` only of two runs: code, pipeline, inputs, packages, environment, results, durations too."""

    runs: list[Summary]  # type: ignore[valid-type]
    parameters: list[SideBySide]
    metrics: list[SideBySide]
    differences: list[DifferenceData]  # type: ignore[valid-type]
