"""A schema found out from statistics: what new rows of the same kind keep to, wide enough that chance alone does not break it."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Any

from fairway.data.schema.columns import property_of, widened
from fairway.data.schema.margins import share_above, tolerance
from fairway.data.schema.model import TRAINING
from fairway.data.schema.modelschema import DIALECT
from fairway.data.schema.rhythm import cadence_of
from fairway.data.schema.uniqueness import pairs_of, unique_columns
from fairway.data.spelling import spell_seconds
from fairway.data.statistics.cadence import Cadence
from fairway.data.statistics.table import TableStatistics
from fairway.errors import NotFoundError

FEW_ROWS = 20
"""Below that, types and missing values are all that is said."""
_WHOLE_DAYS = 2
_LABELS = re.compile(r"(?:^|[^a-z])(target|label|labels|class|outcome|response|default|churn|churned|survived|y)(?:$|[^a-z])")


@dataclass(frozen=True, slots=True)
class Inferred:
    """The schema's document, and what was decided on the way, a sentence each."""

    document: dict[str, Any]
    notes: tuple[str, ...]


def infer(statistics: TableStatistics, *, label: str = "", time: str = "") -> dict[str, Any]:
    """A `schema.json` of a table's rows; `infer_noted` says what it decided."""
    return infer_noted(statistics, label=label, time=time).document


def infer_noted(statistics: TableStatistics, *, label: str = "", time: str = "") -> Inferred:
    """`label`: the column to be predicted (none named: the last, if it is called like one); `time`: the only column whose cadence is
    looked at (none named: every column of times). NotFoundError if there is no such column."""
    for name, word in ((label, "label"), (time, "time")):
        if name and name not in statistics.columns:
            raise _missing(name, word, statistics)
    notes: list[str] = []
    label = label or _guessed_label(statistics, notes)
    properties = _properties(statistics, label, notes)
    about = _of_rows(statistics, label, time, properties, notes)
    document: dict[str, Any] = {"$schema": DIALECT, "type": "object", "properties": properties, "required": list(properties)}
    if about:
        document["x-fairway"] = about
    _note_short_series(statistics, notes)
    if statistics.rows < FEW_ROWS:
        notes.append(f"{statistics.rows} rows are too few to say more than types; infer again with {FEW_ROWS} or more")
    return Inferred(document, tuple(notes))


def _properties(statistics: TableStatistics, label: str, notes: list[str]) -> dict[str, Any]:
    sample = statistics.sample
    unique = unique_columns(statistics) if statistics.rows >= FEW_ROWS else set[str]()
    is_series = bool(_series(statistics))
    properties: dict[str, Any] = {}
    for name, column in statistics.columns.items():
        values = sample.columns.get(name) if sample.rows >= min(statistics.rows, 500) else None
        made = property_of(column, values, is_unique=name in unique, is_bare=statistics.rows < FEW_ROWS)
        if is_series and statistics.rows >= FEW_ROWS:
            widened(made, column)
        if name == label:
            made["x-fairway"] = {**made.get("x-fairway", {}), "environments": [TRAINING]}
        if not made:
            notes.append(f"{name!r} has no value anywhere: what it may hold is left open")
        elif column.unlike:
            notes.append(f"{name!r} holds values of several types: what it may hold is left open")
        properties[name] = made
    return properties


def _series(statistics: TableStatistics) -> list[Cadence]:
    """The columns of times at regular steps."""
    return [one for one in statistics.cadences.values() if one.rows >= FEW_ROWS and one.period_share >= 0.5]


def _note_short_series(statistics: TableStatistics, notes: list[str]) -> None:
    """A part of a day does not tell what the rest of it is like."""
    spans = [(one.high - one.low) / 1e6 for one in _series(statistics) if one.low is not None and one.high is not None]
    if spans and max(spans) < _WHOLE_DAYS * 86_400:
        notes.append(
            f"the times span {spell_seconds(max(spans))}: what follows the hour of the day was not seen at every hour, so that its range "
            f"is too narrow; infer again from {_WHOLE_DAYS} whole days or more, or write that range by hand"
        )


def _of_rows(
    statistics: TableStatistics, label: str, time: str, properties: dict[str, Any], notes: list[str]
) -> dict[str, Any]:  # fmt: skip
    about: dict[str, Any] = {}
    if label:
        about["label"] = label
    if statistics.rows < FEW_ROWS:
        return about
    has_unique = any(one.get("x-fairway", {}).get("unique") for one in properties.values())
    pairs = [] if has_unique else pairs_of(statistics)
    if pairs:
        about["keys"] = [list(pair) for pair in pairs]
        notes.append(f"the key {' + '.join(map(repr, pairs[0]))} was found: its values come once together")
    rhythms = [cadence_of(one) for name, one in statistics.cadences.items() if not time or name == time]
    rhythms = [one for one in rhythms if one]
    if rhythms:
        about["cadence"] = rhythms
    if any({"minimum", "maximum", "maxLength", "pattern"} & set(one) for one in properties.values()):
        about["mass"] = round(1 - tolerance(statistics.rows), 9)
    duplicates = _duplicates(statistics)
    if duplicates is not None and not has_unique and not pairs:
        about["duplicates"] = duplicates
    return about


def _duplicates(statistics: TableStatistics) -> float | None:
    """The largest share of rows that may repeat another; None where chance makes rows repeat often, or nothing is known."""
    found = statistics.duplicate_rows
    if not statistics.rows or not math.isfinite(found.value) or (found.value == 0 and statistics.rows < 100):
        return None
    share = share_above(found.value / statistics.rows, statistics.rows)
    return share if share <= 0.5 else None


def _guessed_label(statistics: TableStatistics, notes: list[str]) -> str:
    last = next(reversed(statistics.columns), "")
    words = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", last).lower()
    if len(statistics.columns) > 1 and _LABELS.search(words):
        notes.append(f"{last!r} is taken for the label, by its name and its place: it is in training only. --label NAME names another")
        return last
    return ""


def _missing(name: str, word: str, statistics: TableStatistics) -> NotFoundError:
    import difflib

    near = difflib.get_close_matches(name, list(statistics.columns), 1)
    known = ", ".join(list(statistics.columns)[:20])
    return NotFoundError(
        f"there is no column {name!r} to be the {word}", hint=f"Did you mean {near[0]!r}?" if near else f"There are {known}."
    )
