"""What a row of the runs' table shows: its duration beside the usual one, the parameters that tell it apart. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from fairway.spec.query import PipelineStats
from fairway.spec.record import Record, record
from fairway.spec.summary import RunSummary
from fairway.web.pages.words import spell_number

SLOW_SHARE = 1.5
SLOW_S = 0.5
"""So much longer than usual is slow: a share of the usual's upper quartile, and a time below which it is noise."""
_SHORTEST_S = 1e-9
CHIPS = 3
_VALUE_LIMIT = 32
_DIGEST = re.compile(r" \([0-9a-f]{12}\)$")
"""What a file's name is followed by in a summary."""


@record
class Gauge(Record):
    """A duration on a scale of 0 to 100 on which the usual one stands near the middle: where it ends (`at`), the quartiles `low` and `high`
    and the median `usual` of its pipeline. `slow`: far longer than usual."""

    at: float
    low: float
    usual: float
    high: float
    slow: bool


def gauge(duration_s: float, stats: PipelineStats | None) -> Gauge | None:
    """The duration beside what is usual; None if nothing is."""
    if stats is None or not stats.usual_s > 0:
        return None
    high_s = max(stats.usual_high_s, stats.usual_s)
    scale = 100 / max(2 * stats.usual_s, 1.2 * high_s, _SHORTEST_S)
    slow = duration_s > max(SLOW_SHARE * high_s, high_s + SLOW_S)
    return Gauge(
        min(100.0, max(duration_s, 0.0) * scale), min(stats.usual_low_s, stats.usual_s) * scale, stats.usual_s * scale, high_s * scale, slow
    )


@record
class Chip(Record):
    """One parameter: `text` fits a chip, `whole` is all of it. `apart`: its value is not that of its pipeline's run before."""

    name: str
    text: str
    whole: str
    apart: bool = False


@record
class Chips(Record):
    """The parameters of one run: those worth seeing, and how many are left out."""

    shown: tuple[Chip, ...] = ()
    more: int = 0
    whole: str = ""


def tell_apart(rows: Sequence[RunSummary]) -> dict[str, Chips]:
    """run -> its chips, of rows from the newest to the oldest. First come parameters that are not as in the pipeline's run before: so a new
    run changes nothing in the rows of older ones."""
    by_pipeline: dict[str, list[RunSummary]] = {}
    for row in rows:
        by_pipeline.setdefault(row.pipeline, []).append(row)
    found: dict[str, Chips] = {}
    for group in by_pipeline.values():
        for row, before in zip(group, [*group[1:], group[-1]], strict=True):
            found[row.run] = _chips(row.params, before.params)
    return found


def _chips(params: Mapping[str, Any], before: Mapping[str, Any]) -> Chips:
    shown = [
        Chip(name, clip_value(value), spell_value(value), _text(value) != _text(before.get(name, ...))) for name, value in params.items()
    ]
    shown.sort(key=lambda chip: not chip.apart)
    whole = "\n".join(f"{name} = {spell_value(value)}" for name, value in params.items())
    return Chips(tuple(shown[:CHIPS]), len(params) - min(CHIPS, len(shown)), whole)


def _text(value: Any) -> str:
    return "" if value is ... else json.dumps(value, sort_keys=True, default=str)


def spell_value(value: Any) -> str:
    """A parameter's value as it would be typed."""
    if isinstance(value, str):
        return value
    if isinstance(value, int | float) and not isinstance(value, bool):
        return spell_number(value)
    return json.dumps(value, ensure_ascii=False, default=str)


def clip_value(value: Any) -> str:
    """As `spell_value`, short enough for a chip."""
    text = _DIGEST.sub("", " ".join(spell_value(value).split()))
    return text if len(text) <= _VALUE_LIMIT else text[: _VALUE_LIMIT - 1] + "…"
