"""Anomalies of columns that only all their values together tell: constants, counts of values, means, units."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from fairway.data.anomalies.making import Maker, Wrong
from fairway.data.anomalies.units import Conversion, find_conversion
from fairway.data.schema.model import QUANTILES, Bounds, ColumnRule
from fairway.data.spelling import spell, spell_count, spell_share

if TYPE_CHECKING:
    from fairway.data.statistics import ColumnStatistics, TableStatistics

_FEWEST = 100
_ENOUGH = 200
_FEWEST_FRACTIONS = 3
_SURE = 5.5
"""Standard errors, of the schema's quantiles and of the table's together, by which a quantile must be off."""
_EXPLAINED = ("too-small", "too-large", "statistic-out-of-range", "drift", "not-a-multiple")


def find_in_distributions(maker: Maker, statistics: TableStatistics) -> None:
    """What the statistics of each column tell against its rule."""
    for name, rule in maker.schema.columns.items():
        column = statistics.columns.get(name)
        if column is None or not _present(column):
            continue
        _distinct(maker, rule, column)
        if column.kind in ("integer", "float", "decimal"):
            _means(maker, rule, column)
            _whole(maker, rule, column)
            _unit(maker, rule, column)


def _present(column: ColumnStatistics) -> int:
    return column.rows - column.nulls


def _distinct(maker: Maker, rule: ColumnRule, column: ColumnStatistics) -> None:
    distinct, bounds, rows = column.distinct + (column.nans > 0), rule.distinct, _present(column)
    varied = len(rule.quantiles) > 1 and rule.quantiles[0] != rule.quantiles[-1] and rows >= _ENOUGH and column.kind != "string"
    least = bounds.minimum if bounds is not None and bounds.minimum is not None else 2 if varied else None
    if least is not None and least >= 2 and distinct <= 1 and rows > 1:
        value = column.minimum
        message = f"`{rule.name}` has one value only, {spell(value)}, in {spell_count(rows, 'row')}; it varied"
        edit = maker.column_edit(rule, {("x-fairway", "distinct"): _bounds(bounds, minimum=1)})
        maker.add("became-constant", rule.name, message, expected="varying values", found=spell(value), wrong=Wrong(rows, rows), edit=edit)
        return
    if bounds is None:
        return
    slack = 4 * column.distinct_error * distinct
    if bounds.minimum is not None and distinct + slack < bounds.minimum:
        message = f"`{rule.name}` has {spell_count(round(distinct), 'distinct value')}; the schema says at least {bounds.minimum:,.0f}"
        edit = maker.column_edit(rule, {("x-fairway", "distinct"): _bounds(bounds, minimum=math.floor(distinct + slack))})
        maker.add("distinct-low", rule.name, message, expected=f"at least {bounds.minimum:,.0f}", found=f"{distinct:,.0f}", edit=edit)
    if bounds.maximum is not None and distinct - slack > bounds.maximum:
        message = f"`{rule.name}` has {spell_count(round(distinct), 'distinct value')}; the schema says at most {bounds.maximum:,.0f}"
        edit = maker.column_edit(rule, {("x-fairway", "distinct"): _bounds(bounds, maximum=math.ceil(distinct))})
        maker.add("distinct-high", rule.name, message, expected=f"at most {bounds.maximum:,.0f}", found=f"{distinct:,.0f}", edit=edit)


def _bounds(bounds: Bounds | None, **changes: float) -> dict[str, float]:
    said = {"minimum": bounds.minimum, "maximum": bounds.maximum} if bounds is not None else {}
    return {**{key: value for key, value in said.items() if value is not None}, **changes}


def _means(maker: Maker, rule: ColumnRule, column: ColumnStatistics) -> None:
    for word, bounds, value in (("mean", rule.mean, column.mean), ("std", rule.std, column.std)):
        if bounds is None or not math.isfinite(value) or bounds.holds(value):
            continue
        low, high = bounds.minimum, bounds.maximum
        expected = f"{spell(low) if low is not None else '…'} to {spell(high) if high is not None else '…'}"
        message = f"The {_WORDS[word]} of `{rule.name}` is {spell(value)}; the schema says {expected}"
        changes = {"minimum": value} if low is not None and value < low else {"maximum": value}
        edit = maker.column_edit(rule, {("x-fairway", word): _bounds(bounds, **changes)})
        maker.add("statistic-out-of-range", rule.name, message, expected=expected, found=spell(value), edit=edit)
    zeros = column.zeros / _present(column)
    if zeros > rule.zeros:
        message = f"`{rule.name}` is 0 in {spell_share(zeros)} of the rows; the schema says at most {spell_share(rule.zeros)}"
        edit = maker.column_edit(rule, {("x-fairway", "zeros"): min(1.0, math.ceil(zeros * 10_000) / 10_000)})
        expected = f"at most {spell_share(rule.zeros)} zeros"
        wrong = Wrong(column.zeros, _present(column))
        maker.add("statistic-out-of-range", rule.name, message, expected=expected, found=spell_share(zeros), wrong=wrong, edit=edit)


_WORDS = {"mean": "mean", "std": "standard deviation"}


def _whole(maker: Maker, rule: ColumnRule, column: ColumnStatistics) -> None:
    fractions = sum(not float(one).is_integer() for one in rule.quantiles)
    if "number" not in rule.types or not column.whole or _present(column) < _FEWEST or fractions < _FEWEST_FRACTIONS:
        return
    message = f"`{rule.name}` holds whole numbers only now; it had fractions"
    edit = maker.column_edit(rule, {("x-fairway", "quantiles"): _quantiles(column)})
    maker.add("float-became-integer", rule.name, message, expected="numbers with fractions", found="whole numbers", edit=edit)


def _quantiles(column: ColumnStatistics) -> list[float]:
    return [float(one) for one in column.quantile(list(QUANTILES))]


def _unit(maker: Maker, rule: ColumnRule, column: ColumnStatistics) -> None:
    if len(rule.quantiles) != len(QUANTILES) or _present(column) < _FEWEST or not column.has_ranks or column.distinct <= 1:
        return
    now = _quantiles(column)
    conversion = find_conversion(rule.quantiles, now)
    if conversion is None or _is_chance(rule, column):
        return
    away = maker.withdraw(_EXPLAINED, rule.name)
    examples = next((one.examples for one in away if one.examples), ())
    unit = f" {rule.unit}" if rule.unit else ""
    was = spell(rule.quantiles[2])
    message = f"`{rule.name}` is in another unit now: {conversion.text}; its median is {spell(now[2])}, that of the schema {was}{unit}"
    wrong = Wrong(_present(column), _present(column), examples)
    edit = maker.column_edit(rule, _converted(rule, column, conversion, now))
    expected = f"a median near {spell(rule.quantiles[2])}{unit}"
    maker.add("unit-changed", rule.name, message, expected=expected, found=f"{spell(now[2])} ({conversion.text})", wrong=wrong, edit=edit)


def _is_chance(rule: ColumnRule, column: ColumnStatistics) -> bool:
    """Whether each quantile that the schema tells may be the column's own, as few rows as it has: those of heavy tails lie far apart."""
    levels = np.array(QUANTILES)
    slack = _SURE * np.sqrt(2 * levels * (1 - levels) / _present(column)) + column.rank_error
    low = np.asarray(column.quantile(np.maximum(levels - slack, 0.0)), float)
    high = np.asarray(column.quantile(np.minimum(levels + slack, 1.0)), float)
    told = np.array(rule.quantiles)
    return bool(((low <= told) & (told <= high)).all())


def _converted(rule: ColumnRule, column: ColumnStatistics, conversion: Conversion, now: list[float]) -> dict[tuple[str, ...], Any]:
    """What the schema says of a column's numbers, in the other unit, and wide enough for what was found."""
    changes: dict[tuple[str, ...], Any] = {("x-fairway", "quantiles"): now}
    whole = "integer" in rule.types
    ends = {word: rule.schema[word] for word in ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum") if word in rule.schema}
    for said, value in ends.items():
        word = said if conversion.factor > 0 else _TURNED[said]
        made = conversion(float(value))
        if word == "minimum":
            made = min(made, float(column.minimum))
        elif word == "maximum":
            made = max(made, float(column.maximum))
        changes[word,] = (math.floor(made) if "inimum" in word else math.ceil(made)) if whole else made
    for word, bounds in (("mean", rule.mean), ("std", rule.std)):
        if bounds is not None:
            keep = word == "std" or conversion.factor > 0
            changes["x-fairway", word] = {
                key if keep else _TURNED[key]: abs(conversion.factor) * one if word == "std" else conversion(one)
                for key, one in _bounds(bounds).items()
            }
    return changes


_TURNED = {
    "minimum": "maximum", "maximum": "minimum", "exclusiveMinimum": "exclusiveMaximum", "exclusiveMaximum": "exclusiveMinimum",
}  # fmt: skip


__all__ = ["find_in_distributions"]
