"""Curves and comparisons."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from fairway.web.records import Word
from fairway.web.schema.words import DifferenceData, Query, Summary


class CurvesQuery(Query):
    """`task`: a step, an address or a glob. `metric`: only these. `by`: what the points lie on, seconds since the first or steps. `tries`:
    of the last attempt of each task only, or of all its attempts as one curve: each goes on where it has resumed."""

    task: Word = ""
    metric: Annotated[tuple[Word, ...], Meta(max_length=100)] = ()
    points: Annotated[int, Meta(ge=6, le=1000)] = 500
    by: Literal["step", "time"] = "step"
    tries: Literal["last", "all"] = "last"
    cursor: Word = ""
    limit: Annotated[int, Meta(ge=1, le=200)] = 50


class CurveItem(msgspec.Struct, kw_only=True):
    """`points` are [x, value], of a gang the mean over its ranks; `count` is how many were logged, by all ranks. `attempt` is the last one;
    `restarts` are the x at which those after the first begin (only with `tries=all`, which puts the newest twenty together)."""

    task: str
    attempt: str
    metric: str
    points: list[tuple[float, float]]
    count: int
    restarts: list[float]


class CurvesPage(msgspec.Struct, kw_only=True):
    """Curves of `limit` tasks. `next` is the cursor of the next tasks, "" after the last one."""

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
