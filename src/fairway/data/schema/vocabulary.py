"""The words of `x-fairway`: what JSON Schema cannot say of a column, and of rows together. One table, from which they are checked and the
guide's table is held."""

from __future__ import annotations

import difflib
import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from fairway.data.schema.pointers import pointer
from fairway.errors import DefinitionError


class Word(NamedTuple):
    """`kind` names what its value is, as people read it; `check` tells whether a value is one."""

    kind: str
    check: Callable[[Any], bool]
    meaning: str
    example: str


def _is_number(value: Any) -> bool:
    if isinstance(value, int):
        return not isinstance(value, bool) and abs(value) < 1 << 1023  # a float can hold it
    return isinstance(value, float) and math.isfinite(value)


def _is_share(value: Any) -> bool:
    return _is_number(value) and 0 <= value <= 1


def _is_seconds(value: Any) -> bool:
    return _is_number(value) and value >= 0


def _is_flag(value: Any) -> bool:
    return isinstance(value, bool)


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_name(value: Any) -> bool:
    return isinstance(value, str) and value != ""


def _is_names(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(map(_is_name, value))


def _is_list(value: Any) -> bool:
    return isinstance(value, list)


def _is_keys(value: Any) -> bool:
    return isinstance(value, list) and all(_is_name(one) or _is_names(one) for one in value)


def _is_bounds(value: Any) -> bool:
    return isinstance(value, dict) and set(value) <= {"minimum", "maximum"} and all(map(_is_number, value.values()))


def _is_numbers(value: Any) -> bool:
    return isinstance(value, list) and all(map(_is_number, value))


def _is_quantiles(value: Any) -> bool:
    return _is_numbers(value) and len(value) == 5 and value == sorted(value)


def _is_hours(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 24 and all(map(_is_share, value))


def _is_order(value: Any) -> bool:
    return value in ("ascending", "descending")


def _is_severity(value: Any) -> bool:
    return isinstance(value, dict) and all(_is_name(key) and one in ("error", "warning", "ignore") for key, one in value.items())


def _is_drift(value: Any) -> bool:
    return value is False or (isinstance(value, dict) and _is_text(value.get("measure", "")) and _is_number(value.get("threshold", 0)))


def _is_object(value: Any) -> bool:
    return isinstance(value, dict)


def _is_shape(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(size, int) and not isinstance(size, bool) and size >= -1 for size in value)


def _is_list_of_objects(value: Any) -> bool:
    return isinstance(value, list) and all(map(_is_object, value))


_SHARE, _SECONDS, _NAMES = ("a share, 0 to 1", _is_share), ("seconds", _is_seconds), ("names", _is_names)
_FLAG, _NAME, _COLUMN = ("true or false", _is_flag), ("a name", _is_name), ("a column", _is_name)
_OBJECT, _KEYS = ("an object", _is_object), ("lists of columns", _is_keys)
_BOUNDS = ('{"minimum", "maximum"}', _is_bounds)
_ORDER = ('"ascending" or "descending"', _is_order)
_SEVERITY = ('"error", "warning" or "ignore" by kind', _is_severity)

COLUMN: Mapping[str, Word] = {
    "presence": Word(*_SHARE, "The least share of rows with a value, where null is allowed", "0.98"),
    "mass": Word(
        *_SHARE, "The least share of a table's values within enum, range, length and pattern; a served row is always held to them", "0.999"
    ),
    "known": Word(
        "a list of values", _is_list, "What the values are, but for a share: like enum, and a served row may have others", '["a", "b"]'
    ),
    "unique": Word(*_FLAG, "No value comes twice", "true"),
    "distinct": Word(*_BOUNDS, "How many different values there are", '{"minimum": 2}'),
    "sorted": Word(*_ORDER, "The order of the rows", '"ascending"'),
    "mean": Word(*_BOUNDS, "The mean of the column", '{"minimum": 0.4, "maximum": 0.6}'),
    "std": Word(*_BOUNDS, "The standard deviation of the column", '{"minimum": 0.1}'),
    "zeros": Word(*_SHARE, "The largest share of values that are 0", "0.1"),
    "unit": Word("text", _is_text, "What the numbers are measured in, for people", '"kg"'),
    "quantiles": Word(
        "five numbers",
        _is_quantiles,
        "The values at 5, 25, 50, 75 and 95 % of the rows it was inferred from: a changed unit shows",
        "[1, 2, 3, 4, 9]",
    ),
    "damaged": Word(*_SHARE, "The largest share of texts with damaged characters; 0 if not said", "0.001"),
    "nan": Word(*_FLAG, "NaN is a value", "true"),
    "environments": Word(*_NAMES, "Where the column is; everywhere if not said", '["training"]'),
    "drift": Word(
        'false, or {"measure", "threshold"}',
        _is_drift,
        "How the distribution is watched, or that it is not",
        '{"measure": "psi", "threshold": 0.2}',
    ),
    "severity": Word(*_SEVERITY, "How grave an anomaly of this column is", '{"too-large": "warning"}'),
    "datatype": Word("a name", _is_text, "The datatype in the Open Inference Protocol, where JSON's types are too wide", '"FP32"'),
    "shape": Word("whole numbers", _is_shape, "The shape of an array; -1: any length", "[-1, 28, 28]"),
    "name": Word("a name", _is_text, "What a model's only output is called", '"scores"'),
}
"""Of a column."""

ROWS: Mapping[str, Word] = {
    "label": Word(*_COLUMN, "What a model is to predict; it is in training only, unless it says otherwise", '"churned"'),
    "keys": Word(*_KEYS, "Columns whose values together come once", '[["site", "at"]]'),
    "cadence": Word("a list, see below", _is_list_of_objects, "How times follow each other", '[{"column": "at", "period_s": 5}]'),
    "freshness_s": Word(*_SECONDS, "How old the newest time may be", "86400"),
    "rows": Word(*_BOUNDS, "How many rows there are", '{"minimum": 1000}'),
    "duplicates": Word(*_SHARE, "The largest share of rows that repeat another", "0.01"),
    "mass": Word(*_SHARE, "The same of every column that does not say its own", "0.9998"),
    "lengths": Word(*_KEYS, "Columns of lists that are equally long in each row", '[["tokens", "weights"]]'),
    "slices": Word(
        'a list of {"by"} or {"name", "where"}',
        _is_list_of_objects,
        "Parts of the rows that are looked at by themselves",
        '[{"by": "country"}]',
    ),
    "environments": Word(*_NAMES, "The environments there are; training and serving if not said", '["training", "serving", "audit"]'),
    "drift": Word(*_OBJECT, "Thresholds of drift for all columns", '{"psi": 0.2}'),
    "severity": Word(*_SEVERITY, "How grave an anomaly is", '{"column-added": "ignore"}'),
    "baseline": Word("a file", _is_name, "Statistics of what the schema was inferred from, beside it", '"baseline.json"'),
    "frozen": Word(*_OBJECT, "Which version this is; written by `fairway data schema freeze`", '{"version": 2}'),
    "body": Word(*_FLAG, "`inputs` is the whole body of a request", "true"),
}
"""Of a row, which is of all rows together."""

CADENCE: Mapping[str, Word] = {
    "column": Word(*_COLUMN, "The times", '"at"'),
    "by": Word(*_NAMES, "Each of their values is a series by itself", '["sensor"]'),
    "period_s": Word(*_SECONDS, "From one time to the next", "5"),
    "tolerance": Word("a share of the period", _is_seconds, "How far from the period a step may be; 0.1 if not said", "0.1"),
    "regular": Word(*_SHARE, "The least share of steps that are within it; 0.5 if not said", "0.95"),
    "jitter_s": Word(*_SECONDS, "The largest median deviation from the median step", "0.4"),
    "max_gap_s": Word(*_SECONDS, "The longest step", "30"),
    "duplicates": Word(*_SHARE, "The largest share of times that come twice", "0"),
    "order": Word(*_ORDER, "The order of the rows", '"ascending"'),
    "zone": Word("a time zone", _is_name, 'Of the times; "local" where they name none', '"UTC"'),
    "phase_s": Word(*_SECONDS, "Where within the period the ticks are", "2.5"),
    "hours": Word("24 shares", _is_hours, "How the rows are spread over the hours of a day", "[0, 0, 0.1, …]"),
}
"""Of a cadence."""

SLICE: Mapping[str, Word] = {
    "name": Word(*_NAME, "What it is called", '"abroad"'),
    "by": Word(*_COLUMN, "One slice for each of its values", '"country"'),
    "where": Word("SQL", _is_name, "The rows of the slice", "\"country <> 'NO'\""),
}
"""Of a slice."""


def _check_words(said: Any, words: Mapping[str, Word], at: str, where: str) -> None:
    """DefinitionError for a word that is none, with the nearest, and for a value that is not of the word's kind."""
    if not isinstance(said, dict):
        raise DefinitionError(f"{at} is {said!r}", where=where, hint='It is an object, like {"unique": true}.')
    for key, value in said.items():
        word = words.get(key)
        if word is None:
            near = difflib.get_close_matches(key, words, 1, 0.6)
            other = "of rows, not of a column" if key in ROWS else "of a column, not of rows" if key in COLUMN else ""
            raise DefinitionError(
                f"{at}{pointer(key)} is no word" + (f" here: it is one {other}" if other and words not in (CADENCE, SLICE) else ""),
                where=where,
                hint=f"Did you mean {near[0]!r}?" if near else f"The words are {', '.join(words)}.",
            )
        if not word.check(value):
            raise DefinitionError(f"{at}{pointer(key)} is {value!r}", where=where, hint=f"It is {word.kind}: {word.example}.")
    for key, inner in (("cadence", CADENCE), ("slices", SLICE)):
        if words is ROWS:
            for number, one in enumerate(said.get(key, ())):
                _check_words(one, inner, f"{at}{pointer(key, number)}", where)


_NO_SCHEMAS = ("enum", "const", "default", "examples", "example", "required", "x-fairway")


def check_ours(schema: Any, where: str, at: str = "") -> None:
    """Every `x-fairway` of a document."""
    if isinstance(schema, list):
        for number, one in enumerate(schema):
            check_ours(one, where, f"{at}/{number}")
    if not isinstance(schema, dict):
        return
    if "x-fairway" in schema:
        _check_words(schema["x-fairway"], ROWS if "properties" in schema else COLUMN, f"{at}/x-fairway", where)
    for key, one in schema.items():
        if key in ("properties", "patternProperties", "$defs", "definitions", "dependentSchemas") and isinstance(one, dict):
            for name, inner in one.items():
                check_ours(inner, where, at + pointer(key, name))
        elif key not in _NO_SCHEMAS:
            check_ours(one, where, at + pointer(key))
