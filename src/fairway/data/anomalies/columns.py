"""Anomalies of single columns that their values tell by themselves."""

from __future__ import annotations

import math
from typing import Any

from fairway.data.anomalies.columnchecks import MOST_CATEGORIES, ColumnChecks, Tally
from fairway.data.anomalies.encoding import is_sound, mended
from fairway.data.anomalies.making import DROP, Maker, Wrong
from fairway.data.anomalies.rowchecks import RowChecks
from fairway.data.schema.model import ColumnRule
from fairway.data.spelling import spell, spell_count, spell_share, spell_some

_TYPE_WORDS = {
    "integer": "whole numbers", "number": "numbers", "boolean": "truth values", "string": "text", "array": "lists", "object": "objects",
}  # fmt: skip
_KIND_WORDS = {
    "integer": "whole numbers", "float": "numbers", "decimal": "decimals", "boolean": "truth values", "string": "text", "list": "lists",
    "timestamp": "times", "date": "dates", "time": "times of day", "duration": "durations", "binary": "bytes", "null": "nothing",
}  # fmt: skip
_DESCRIBED: dict[str, dict[str, Any]] = {
    "integer": {"type": "integer"}, "float": {"type": "number"}, "decimal": {"type": "number"}, "boolean": {"type": "boolean"},
    "string": {"type": "string"}, "binary": {"type": "string"}, "list": {"type": "array"}, "null": {},
    "timestamp": {"type": "string", "format": "date-time"}, "date": {"type": "string", "format": "date"},
    "time": {"type": "string", "format": "time"}, "duration": {"type": "string", "format": "duration"},
}  # fmt: skip
_TIME_WORDS = {"date-time": "times", "date": "dates", "time": "times of day", "duration": "durations"}
_RANGE = {"too-small": ("minimum", "exclusiveMinimum"), "too-large": ("maximum", "exclusiveMaximum")}
_LENGTHS = {
    "text-too-short": ("minLength", "characters"), "text-too-long": ("maxLength", "characters"),
    "list-too-short": ("minItems", "elements"), "list-too-long": ("maxItems", "elements"),
}  # fmt: skip
_FAR = 4
"""Values further beyond a range than it is wide are let through a quarter as often as those beside it."""
_SIGNIFICANT = 5.0
"""Standard errors by which a part of a table must miss a share before that counts."""


def described(kind: str) -> dict[str, Any]:
    """The JSON Schema that a kind of column has at least."""
    return dict(_DESCRIBED.get(kind, {}))


def find_in_columns(maker: Maker, checks: RowChecks, *, is_part: bool = False) -> None:
    """What the row checks found in each column. `is_part`: the rows are a part only; shares are judged with a margin for chance."""
    for name, column in checks.columns.items():
        if name in checks.found:
            find_in_column(maker, column, is_part=is_part)


def find_in_column(maker: Maker, column: ColumnChecks, *, is_part: bool = False) -> None:
    """What the row checks found in one column."""
    _find_types(maker, column)
    _find_missing(maker, column, is_part=is_part)
    values = column.rows - column.nulls
    encoding = None
    for kind, tally in column.tallies.items():
        wrong = Wrong.tallied(tally, values)
        if kind in _RANGE:
            _range(maker, column.rule, kind, tally, wrong)
        elif kind == "unknown-category":
            _categories(maker, column.rule, tally, wrong)
        elif kind in _LENGTHS:
            _length(maker, column.rule, kind, tally, wrong)
        elif kind == "encoding-damaged":
            encoding = wrong
        elif kind in _OTHERS:
            _other(maker, column.rule, kind, wrong)
    if encoding is not None:
        _encoding(maker, column.rule, encoding, column.tallies.get("unknown-category"))
    if "unsorted" in column.tallies or column.out_of_order():
        _order(maker, column)
    if column.items is not None:
        find_in_column(maker, column.items, is_part=is_part)


def _find_types(maker: Maker, column: ColumnChecks) -> None:
    rule = column.rule
    if not column.misfit:
        return
    kind = max(column.kinds, key=lambda one: column.kinds[one])
    values = column.rows - column.nulls
    expected = _TIME_WORDS.get(rule.format, "") or " or ".join(_TYPE_WORDS.get(one, one) for one in rule.types)
    found, name = _KIND_WORDS[kind], f"`{rule.name}`"
    if column.misfit == "fraction":
        wrong = Wrong.tallied(column.tallies.get("integer-became-float", Tally()), values)
        if not wrong.count and column.nulls:
            return  # a data frame has no other way to store whole numbers some of which are missing
        how = f"{wrong.count:,} of {values:,} have a fraction" if wrong.count else "all of them still whole, but stored as floats"
        message = f"{name} holds floats now ({how}); the schema says whole numbers"
        types: list[str] = ["number" if one == "integer" else one for one in rule.types]
        edit = maker.column_edit(rule, {("type",): _types(rule, types)})
        maker.add("integer-became-float", rule.name, message, expected="whole numbers", found=f"floats ({how})", wrong=wrong, edit=edit)
        return
    edit = maker.retyped(rule, described(kind))
    if column.misfit == "text":
        tally = column.tallies.get("became-text", Tally())
        shown = spell_some(list(dict.fromkeys(value for _, value in tally.first)), 3)
        how = f"{tally.count:,} of {values:,} are none, such as {shown}" if tally.count else "all of them can be read as such"
        message = f"{name} is text now ({how}); the schema says {expected}"
        maker.add(
            "became-text", rule.name, message, expected=expected, found=f"text ({how})", wrong=Wrong.tallied(tally, values), edit=edit
        )
        return
    kinds = {"nesting": "nesting-changed", "number": "text-became-number"}
    named = kinds.get(column.misfit, "type-changed")
    wrong = Wrong.tallied(column.tallies.get(named, Tally()), values)
    maker.add(
        named, rule.name, f"{name} holds {found} now; the schema says {expected}", expected=expected, found=found, wrong=wrong, edit=edit
    )


def _types(rule: ColumnRule, types: list[str]) -> Any:
    made = list(dict.fromkeys([*types, "null"] if rule.nullable else types))
    return made[0] if len(made) == 1 else made


def _find_missing(maker: Maker, column: ColumnChecks, *, is_part: bool) -> None:
    rule, rows, nulls = column.rule, column.rows, column.nulls
    if not rows:
        return
    tally = column.tallies.get("nulls", Tally())
    have = (rows - nulls) / rows
    if nulls == rows and (not rule.nullable or rule.presence > 0) and not is_part:
        wrong = Wrong(nulls, rows)
        edit = _nullable(maker, rule, 0.0)
        maker.add(
            "column-empty", rule.name, f"`{rule.name}` has no value in any row", expected="values", found="nothing", wrong=wrong, edit=edit
        )
        return
    if nulls and not rule.nullable:
        message = (
            f"`{rule.name}` has no value in {nulls:,} of {rows:,} rows ({spell_share(nulls / rows)}); the schema says it always has one"
        )
        edit = _nullable(maker, rule, _floor(have))
        wrong = Wrong.tallied(tally, rows)
        maker.add("nulls", rule.name, message, expected="a value in every row", found=f"{nulls:,} nulls", wrong=wrong, edit=edit)
        return
    margin = _SIGNIFICANT * math.sqrt(rule.presence * (1 - rule.presence) / rows) + 1 / rows if is_part else 0.0
    if rule.nullable and have < rule.presence - margin:
        expected = f"a value in at least {spell_share(rule.presence)} of the rows"
        message = f"`{rule.name}` has a value in {spell_share(have)} of the rows; the schema asks for {spell_share(rule.presence)}"
        edit = maker.column_edit(rule, {("x-fairway", "presence"): _floor(have)})
        wrong = Wrong(nulls, rows, Wrong.tallied(tally, rows).examples)
        maker.add("presence-low", rule.name, message, expected=expected, found=spell_share(have), wrong=wrong, edit=edit)


def _nullable(maker: Maker, rule: ColumnRule, presence: float) -> list[dict[str, Any]]:
    changes: dict[tuple[str, ...], Any] = {("x-fairway", "presence"): presence}
    if rule.types and not rule.nullable:
        changes["type",] = [*rule.types, "null"]
    if "const" in rule.schema:
        changes |= {("const",): DROP, ("enum",): [rule.schema["const"], None]}
    elif "enum" in rule.schema and None not in rule.schema["enum"]:
        changes["enum",] = [*rule.schema["enum"], None]
    return maker.column_edit(rule, changes)


def _floor(share: float) -> float:
    return math.floor(share * 10_000) / 10_000


def _range(maker: Maker, rule: ColumnRule, kind: str, tally: Tally, wrong: Wrong) -> None:
    if rule.tolerates(wrong.count or 0, wrong.of) and (tally.far <= 2 or rule.tolerates(_FAR * tally.far, wrong.of)):
        return
    word, exclusive = _RANGE[kind]
    is_low = kind == "too-small"
    limits = [
        one for one in ((rule.minimum, rule.exclusive_minimum) if is_low else (rule.maximum, rule.exclusive_maximum)) if one is not None
    ]
    limit = max(limits) if is_low else min(limits)
    reached = tally.low if is_low else tally.high
    assert reached is not None
    few = "" if rule.mass == 1 else f" for all but {spell_share(1 - rule.mass)}"
    expected = f"{'at least' if is_low else 'at most'} {spell(limit)}{few}"
    message = (
        f"`{rule.name}` goes {'down' if is_low else 'up'} to {spell(reached)}; the schema says {expected} "
        f"({spell_count(wrong.count or 0, 'value')}, {spell_share(wrong.share)})"
    )
    if tally.far:
        message += f"; {tally.far:,} of them further away than the range is wide"
    as_read = int(reached) if float(reached).is_integer() else reached
    changes: dict[tuple[str, ...], Any] = {(exclusive,): DROP}
    changes[word,] = as_read if math.isfinite(reached) else DROP
    maker.add(kind, rule.name, message, expected=expected, found=spell(reached), wrong=wrong, edit=maker.column_edit(rule, changes))


def _categories(maker: Maker, rule: ColumnRule, tally: Tally, wrong: Wrong) -> None:
    if rule.tolerates(wrong.count or 0, wrong.of):
        return
    known = [one for one in rule.choices if one is not None]
    seen = sorted(tally.seen or {}, key=lambda one: (-(tally.seen or {})[one], str(one)))
    if seen:
        many = spell_count(len(seen), "value") if len(seen) > 1 else "a value"
        found = f"{many} that the schema does not know: {spell_some(seen)}"
    else:
        found = f"more than {MOST_CATEGORIES:,} values that the schema does not know"
    if "known" in rule.schema.get("x-fairway", {}):
        changes: dict[tuple[str, ...], Any] = {("x-fairway", "known"): [*known, *seen] if seen else DROP}
    else:
        changes = {("const",): DROP, ("enum",): [*known, *seen, *([None] if rule.nullable else [])] if seen else DROP}
    message = f"`{rule.name}` has {found} ({spell_count(wrong.count or 0, 'row')}, {spell_share(wrong.share)})"
    kind = "constant-changed" if len(known) == 1 else "unknown-category"
    maker.add(
        kind, rule.name, message, expected=f"one of {spell_some(known)}", found=found, wrong=wrong, edit=maker.column_edit(rule, changes)
    )


def _length(maker: Maker, rule: ColumnRule, kind: str, tally: Tally, wrong: Wrong) -> None:
    if rule.tolerates(wrong.count or 0, wrong.of):
        return
    word, unit = _LENGTHS[kind]
    is_low = kind.endswith("short")
    limit, reached = (rule.min_length, tally.low) if is_low else (rule.max_length, tally.high)
    assert reached is not None
    expected = f"at {'least' if is_low else 'most'} {limit:,} {unit}"
    message = f"`{rule.name}` has {int(reached):,} {unit} in a value; the schema says {expected} ({spell_count(wrong.count or 0, 'value')})"
    edit = maker.column_edit(rule, {(word,): int(reached)})
    maker.add(kind, rule.name, message, expected=expected, found=f"{int(reached):,} {unit}", wrong=wrong, edit=edit)


def _encoding(maker: Maker, rule: ColumnRule, wrong: Wrong, tally: Tally | None) -> None:
    if wrong.share <= rule.damaged:
        return
    first = next((one.value for one in wrong.examples if one.value), "")
    was = mended(first)
    such = f"{spell(first)}, which was {spell(was)}" if was else spell(first)
    message = f"`{rule.name}` went through a wrong encoding: {spell_count(wrong.count or 0, 'text')} such as {such}"
    if tally is not None and tally.seen and not any(map(is_sound, map(str, tally.seen))):
        maker.withdraw(("unknown-category", "constant-changed"), rule.name)
    edit = maker.column_edit(rule, {("x-fairway", "damaged"): min(1.0, math.ceil(wrong.share * 10_000) / 10_000)})
    maker.add("encoding-damaged", rule.name, message, expected="sound text", found=f"damaged text such as {such}", wrong=wrong, edit=edit)


_OTHERS: dict[str, tuple[str, tuple[tuple[str, ...], ...]]] = {
    "nan": ("is NaN", ()),
    "infinity": ("is infinite", ()),
    "not-a-multiple": ("is no multiple of {multipleOf}", (("multipleOf",),)),
    "pattern-mismatch": ("does not have the pattern {pattern}", (("pattern",),)),
    "format-mismatch": ("is no {format}", (("format",),)),
    "shape-mismatch": ("does not have the shape {shape}", (("x-fairway", "shape"),)),
    "elements-too-few": ("has too few of the elements it must contain", (("contains",), ("minContains",), ("maxContains",))),
    "elements-too-many": ("has too many of the elements it may contain", (("maxContains",),)),
    "not-an-image": ("is no image", (("contentMediaType",),)),
}


def _other(maker: Maker, rule: ColumnRule, kind: str, wrong: Wrong) -> None:
    if kind not in ("nan", "infinity") and rule.tolerates(wrong.count or 0, wrong.of):
        return
    text, away = _OTHERS[kind]
    said = {**rule.schema, **rule.schema.get("x-fairway", {})}
    what = text.format_map({key: said.get(key, "") for key in ("multipleOf", "pattern", "format", "shape")})
    changes: dict[tuple[str, ...], Any] = dict.fromkeys(away, DROP) or {("x-fairway", "nan"): True}
    first = next((one.value for one in wrong.examples), None)
    shown = "" if kind in ("nan", "infinity", "not-an-image") else f", such as {spell(first)}"
    message = f"`{rule.name}` {what} in {spell_count(wrong.count or 0, 'row')} of {wrong.of:,} ({spell_share(wrong.share)}){shown}"
    expected = (
        what.replace("is no ", "a ").replace("does not have", "has").replace("is NaN", "no NaN").replace("is infinite", "finite numbers")
    )
    maker.add(kind, rule.name, message, expected=expected, found=spell(first), wrong=wrong, edit=maker.column_edit(rule, changes))


def _order(maker: Maker, column: ColumnChecks) -> None:
    rule = column.rule
    tally = column.tallies.get("unsorted", Tally())
    count = tally.count + column.out_of_order()
    wrong = Wrong(count, column.rows - column.nulls, Wrong.tallied(tally, column.rows).examples)
    edit = maker.column_edit(rule, {("x-fairway", "sorted"): DROP})
    message = f"`{rule.name}` is out of order: {spell_count(count, 'time')} a value {'falls' if rule.sorted == 'ascending' else 'rises'}"
    maker.add(
        "unsorted", rule.name, message, expected=f"{rule.sorted} values", found=f"{count:,} steps the other way", wrong=wrong, edit=edit
    )
