"""One column's statistics as a property of a schema."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from typing import Any

import numpy as np

from fairway.data.batch import Values
from fairway.data.schema.margins import SOLID, outward, share_above, spread_digits, tolerance, upper_bound
from fairway.data.schema.model import QUANTILES
from fairway.data.schema.patterns import format_of, pattern_of
from fairway.data.statistics.column import ColumnStatistics

_TYPES: dict[str, dict[str, Any]] = {
    "float": {"type": "number"}, "decimal": {"type": "number"}, "integer": {"type": "integer"}, "boolean": {"type": "boolean"},
    "string": {"type": "string"}, "timestamp": {"type": "string", "format": "date-time"}, "date": {"type": "string", "format": "date"},
    "time": {"type": "string", "format": "time"}, "duration": {"type": "integer"}, "list": {"type": "array"},
    "binary": {"type": "string", "contentEncoding": "base64"},
}  # fmt: skip
_NUMBERS = frozenset({"float", "decimal", "integer"})
_MOST_CATEGORIES, _MOST_NUMBERS, _ROWS_EACH, _FEWEST_EACH = 100, 20, 20, 5
_FEW_STEPS = 30
_NATURAL = (0.0, 1.0, 100.0)
_UNSEEN = 0.01
"""The share of unseen values that is let through where not all categories were seen."""
_TEXT_BYTES = 200
"""Texts as long as that may be cut in the statistics."""


def property_of(column: ColumnStatistics, sample: Values | None, *, is_unique: bool = False, is_bare: bool = False) -> dict[str, Any]:
    """`sample`: some of the rows, where there are any. `is_unique`: it identifies rows. `is_bare`: too few rows to say more than the type.
    {} where nothing is known."""
    if column.kind not in _TYPES or column.unlike or not column.present:
        return {}
    made, about = dict(_TYPES[column.kind]), dict[str, Any]()
    if is_unique:
        about["unique"] = True
    if column.kind == "list":
        _lists(made, column, is_bare)
    damaged = _damaged(column) if column.kind == "string" else 0.0
    if damaged:
        about["damaged"] = damaged
    if not is_bare:
        if column.kind in _NUMBERS:
            _numbers(made, about, column, sample, is_unique)
        elif column.kind == "string":
            _texts(made, about, column)
        elif column.kind == "boolean" and _may_vary(column):
            about["distinct"] = {"minimum": 2}
    if column.nans or column.infinities:
        about["nan"] = True
    if column.nulls:
        made["type"] = [made["type"], "null"]
        if "const" in made:
            made["enum"] = [made.pop("const")]
        if "enum" in made:
            made["enum"] = [*made["enum"], None]
        presence = _presence(column)
        if presence and not is_bare:
            about["presence"] = presence
    return {**made, "x-fairway": about} if about else made


def _presence(column: ColumnStatistics) -> float:
    return max(0.0, round(1 - share_above(column.nulls / column.rows, column.rows), 4))


def _numbers(made: dict[str, Any], about: dict[str, Any], column: ColumnStatistics, sample: Values | None, is_unique: bool) -> None:
    low, high = column.minimum, column.maximum
    if low is None:
        return
    if low == high:
        made["const"] = low
        return
    choices = _choices(column)
    if choices and column.kind == "integer" and len(choices) <= _MOST_NUMBERS and high - low + 1 > len(choices) and is_complete(column):
        made["enum"] = sorted(choices)
        about["mass"] = _mass_of(column)
        _vary(about, column)
        return
    if is_unique:
        if low >= 0:
            made["minimum"] = min(1, low)
        return
    if not column.infinities:
        made["minimum"], made["maximum"] = _range(column, sample)
    if column.distinct > 10:
        found = np.asarray(column.quantile(list(QUANTILES)), np.float64).tolist()
        if found[0] < found[-1]:
            about["quantiles"] = [_plain(one, column) for one in sorted(spread_digits(found))]
    else:
        _vary(about, column)


def _range(column: ColumnStatistics, sample: Values | None) -> tuple[float, float]:
    low, high = float(column.minimum), float(column.maximum)
    values = _sorted(column, sample)
    ends = {float(one.value): one.count for one in column.most_frequent(10_000)} if column.top_is_complete else {}
    is_whole, rows = column.kind == "integer", column.present
    top = high if ends.get(high, 0) >= SOLID else outward(upper_bound(values, rows, low, high, is_whole=is_whole), high)
    bottom = low if ends.get(low, 0) >= SOLID else outward(-upper_bound(-values[::-1], rows, -high, -low, is_whole=is_whole), low)
    if column.distinct <= _FEW_STEPS:  # so few steps are no tail
        top, bottom = min(top, 2 * high - low), max(bottom, 2 * low - high)
    middle = float(np.median(values)) if len(values) else 0.0
    if bottom < 0 <= low and (is_whole or -bottom <= 0.1 * middle):  # it comes so near to 0 that 0 is what it ends at
        bottom = 0.0
    return min(_within(bottom, column, math.floor), column.minimum), max(_within(top, column, math.ceil), column.maximum)


def widened(made: dict[str, Any], column: ColumnStatistics) -> None:
    """Wider by a quarter of what was seen, at each end that is no 0, 1 or 100: rows that follow each other in time are alike, so that
    their number does not tell how far they wander."""
    if column.kind not in _NUMBERS or column.distinct <= _FEW_STEPS or column.minimum is None:
        return
    low, high = float(column.minimum), float(column.maximum)
    for word, seen, bound in (("minimum", low, low - (high - low) / 4), ("maximum", high, high + (high - low) / 4)):
        if word in made and seen not in _NATURAL:
            further = (min if word == "minimum" else max)(float(made[word]), outward(bound, seen))
            made[word] = _within(further, column, math.floor if word == "minimum" else math.ceil)
    if low >= 0 > made.get("minimum", 0):
        made["minimum"] = 0


def _within(value: float, column: ColumnStatistics, rounded: Callable[[float], int]) -> float:
    """What a float can hold, and whole where the column is."""
    value = min(max(value, -sys.float_info.max), sys.float_info.max)
    return _plain(rounded(value) if column.kind == "integer" else value, column)


def _plain(value: float, column: ColumnStatistics) -> float:
    return int(value) if float(value).is_integer() and (column.kind == "integer" or abs(value) < 1e15) else value


def _sorted(column: ColumnStatistics, sample: Values | None) -> np.ndarray:
    if sample is not None and sample.kind in _NUMBERS:
        data = sample.present().astype(np.float64)
        data = np.sort(data[np.isfinite(data)])
        if len(data):
            return data
    points = int(min(2000, column.present))
    return np.asarray(column.quantile(((np.arange(points) + 0.5) / points).tolist()), np.float64)


def _choices(column: ColumnStatistics) -> list[Any]:
    """The categories, where a column has few and many rows of each; [] otherwise."""
    if not column.top_is_complete or not 1 < column.distinct <= _MOST_CATEGORIES or column.present < _ROWS_EACH * column.distinct:
        return []
    top = column.most_frequent(_MOST_CATEGORIES + 1)
    return [] if any(one.is_cut for one in top) else [one.value for one in top]


def is_complete(column: ColumnStatistics) -> bool:
    """Every category is there: the rarest came often enough. Good and Turing put the share of unseen values at that of those seen once."""
    return min(one.count for one in column.most_frequent(_MOST_CATEGORIES + 1)) >= _FEWEST_EACH


def _mass_of(column: ColumnStatistics) -> float:
    """Of categories: what did not come in these rows may come as often as chance alone would have it in as many."""
    return math.floor((1 - max(0.001, tolerance(column.present))) * 1000) / 1000


def _vary(about: dict[str, Any], column: ColumnStatistics) -> None:
    if _may_vary(column):
        about["distinct"] = {"minimum": 2}


def _may_vary(column: ColumnStatistics) -> bool:
    """A hundred rows have two values at least, nearly for sure."""
    top = column.most_frequent(1)
    return bool(top) and column.distinct >= 2 and top[0].count <= 0.9 * column.present


def _texts(made: dict[str, Any], about: dict[str, Any], column: ColumnStatistics) -> None:
    only = column.most_frequent(1)
    if column.distinct == 1 and column.top_is_complete and only and not only[0].is_cut and column.present >= _ROWS_EACH:
        made["const"] = only[0].value
        return
    _vary(about, column)
    choices = _choices(column)
    if choices:
        made["enum"] = sorted(choices)
        if not is_complete(column):
            about["known"] = made.pop("enum")
            once = sum(one.count == 1 for one in column.most_frequent(_MOST_CATEGORIES + 1)) / column.present
            about["mass"] = math.floor((1 - max(_UNSEEN, tolerance(column.present), share_above(once, column.present))) * 1000) / 1000
        else:
            about["mass"] = _mass_of(column)
        return
    if _named(made, about, column):
        return
    _lengths(made, column)


def _damaged(column: ColumnStatistics) -> float:
    """The share of texts with damaged characters that there may be; 0 where there were none."""
    from fairway.data.anomalies.encoding import is_sound

    weighed = column.weighed_texts()
    every = sum(weight for _, weight in weighed) or 1.0
    seen = sum(weight for text, weight in weighed if not is_sound(text)) / every
    share = max(seen, column.encoding.damaged / column.present)
    return share_above(share, column.present) if share else 0.0


def _named(made: dict[str, Any], about: dict[str, Any], column: ColumnStatistics) -> bool:
    """A format or a pattern, where all texts have it."""
    texts = [text for text, _ in column.weighed_texts()]
    if any(len(text.encode()) >= _TEXT_BYTES for text in texts):
        return False
    kind = format_of(texts)
    pattern = "" if kind else pattern_of(texts)
    if not kind and not pattern:
        return False
    made["format" if kind else "pattern"] = kind or pattern
    if not column.distinct_is_exact:
        about["mass"] = 1 - _UNSEEN
    return True


def _lengths(made: dict[str, Any], column: ColumnStatistics) -> None:
    lengths = column.lengths
    if lengths is None or lengths.minimum is None:
        return
    if lengths.minimum >= 1:
        made["minLength"] = 1
    values = _sorted(lengths, None)
    low, high = float(lengths.minimum), float(lengths.maximum)
    bound = 2 * high if low == high else upper_bound(values, lengths.present, low, high, is_whole=True)
    made["maxLength"] = math.ceil(outward(min(max(bound, 2 * high), 1e9), high))


def _lists(made: dict[str, Any], column: ColumnStatistics, is_bare: bool) -> None:
    lengths, elements = column.lengths, column.elements
    if elements is not None:
        made["items"] = property_of(elements, None, is_bare=is_bare)
        about = {key: value for key, value in made["items"].get("x-fairway", {}).items() if key in ("nan", "damaged", "mass")}
        made["items"].pop("x-fairway", None)
        if about:
            made["items"]["x-fairway"] = about
    if not is_bare and lengths is not None and lengths.minimum is not None and lengths.minimum == lengths.maximum and lengths.minimum > 1:
        made["minItems"] = made["maxItems"] = int(lengths.minimum)
