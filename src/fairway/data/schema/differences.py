"""What changed between two schemas, and whether what was let in still is."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import Any, Literal

from fairway.data.schema.model import Bounds, CadenceRule, ColumnRule, TableSchema
from fairway.data.schema.parse import parse_schema
from fairway.data.schema.pointers import pointer

Kind = Literal["wider", "narrower", "other"]


@dataclass(frozen=True, slots=True)
class Change:
    """`path`: JSON pointer of what changed, in the document that has it. "narrower": data that was right may be wrong now; "wider": data
    that was wrong may be right; "other": neither, or both. `column` "" is the rows."""

    path: str
    kind: Kind
    text: str
    column: str = ""


_LEAST = (
    ("minimum", "the smallest value"), ("exclusive_minimum", "the value that all are above"), ("min_length", "the shortest length"),
    ("presence", "the share of rows with a value"), ("mass", "the share of values within"),
)  # fmt: skip
_MOST = (
    ("maximum", "the largest value"), ("exclusive_maximum", "the value that all are below"), ("max_length", "the longest length"),
    ("zeros", "the share of zeros"), ("damaged", "the share of damaged texts"),
)  # fmt: skip
_BOUNDS = (("distinct", "the number of different values"), ("mean", "the mean"), ("std", "the standard deviation"))
_DEMANDS = (("pattern", "the pattern"), ("format", "the format"), ("sorted", "the order"), ("unique", "that each value comes once"))
_OTHERS = (
    ("unit", "the unit"), ("quantiles", "where the values lie"), ("environments", "where the column is"), ("drift", "how drift is watched"),
    ("severity", "how grave anomalies are"), ("description", "the description"),
)  # fmt: skip
_READ = frozenset((
    "type", "enum", "const", "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "minLength", "maxLength", "minItems", "maxItems",
    "pattern", "format", "items", "description", "x-fairway",
))  # fmt: skip
_WORDS = {
    "min_length": "minLength", "max_length": "maxLength", "exclusive_minimum": "exclusiveMinimum", "exclusive_maximum": "exclusiveMaximum",
}  # fmt: skip
_OURS = frozenset((
    "presence", "mass", "zeros", "damaged", "distinct", "mean", "std", "sorted", "unique", "unit", "quantiles", "environments", "drift",
    "severity",
))  # fmt: skip


def difference(old: dict[str, Any], new: dict[str, Any]) -> list[Change]:
    """What `new` says that `old` does not, of the rows first, then in the order of the columns."""
    before, after = parse_schema(old, "the old schema"), parse_schema(new, "the new schema")
    made = list(_of_rows(before, after))
    for name, rule in after.columns.items():
        was = before.columns.get(name)
        if was is None:
            kind: Kind = "narrower" if rule.required else "wider"
            made.append(Change(rule.at, kind, f"is new: {spell_rule(rule)}{'' if rule.required else ', may be left out'}", name))
        else:
            made += _of_column(was, rule, name)
    made += [Change(rule.at, "other", f"is gone; it was {spell_rule(rule)}", name)
             for name, rule in before.columns.items() if name not in after.columns]  # fmt: skip
    both = [name for name in before.columns if name in after.columns]
    if both != [name for name in after.columns if name in before.columns]:
        made.append(Change(f"{after.at}/properties", "other", "the columns are in another order"))
    return made


def spell_rule(rule: ColumnRule) -> str:
    """A column's type and values in a few words."""
    if rule.choices:
        shown = ", ".join(map(_say, rule.choices[:5])) + (f" … ({len(rule.choices)})" if len(rule.choices) > 5 else "")
        return ("one of " if len(rule.choices) > 1 else "always ") + shown
    names = {"integer": "whole numbers", "number": "numbers", "boolean": "true or false", "array": "lists", "object": "objects"}
    formats = {"date-time": "times", "date": "dates", "time": "times of day"}
    kind = formats.get(rule.format) or " or ".join(names.get(one, "text") for one in rule.types) or "anything"
    low = rule.minimum if rule.minimum is not None else rule.exclusive_minimum
    high = rule.maximum if rule.maximum is not None else rule.exclusive_maximum
    if low is not None and high is not None:
        return f"{kind} from {_say(low)} to {_say(high)}"
    if low is not None or high is not None:
        return f"{kind} from {_say(low)}" if high is None else f"{kind} up to {_say(high)}"
    return f"{kind} like {rule.pattern}" if rule.pattern else kind


def _say(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int | float):
        return f"{value:,}" if isinstance(value, int) else f"{value:,.10g}"
    if isinstance(value, Bounds):
        return f"{_say(value.minimum) if value.minimum is not None else '…'} to {_say(value.maximum) if value.maximum is not None else '…'}"
    if isinstance(value, tuple | list):
        return ", ".join(map(_say, value))
    return "nothing" if value is None or value in ("", {}) else repr(value) if isinstance(value, str) else str(value)


def _of_column(old: ColumnRule, new: ColumnRule, name: str) -> Iterator[Change]:
    def at(word: str) -> str:
        return new.at + pointer(*(["x-fairway"] if word in _OURS else []), _WORDS.get(word, word))

    if old.types != new.types:
        yield Change(at("type"), _types(set(old.types), set(new.types)), f"the type: {_types_of(old)} → {_types_of(new)}", name)
    if old.nullable != new.nullable:
        said = "a value may be missing now" if new.nullable else "no value may be missing any more"
        yield Change(at("type"), "wider" if new.nullable else "narrower", said, name)
    if old.required != new.required:
        said = "it must be there now" if new.required else "it may be left out now"
        yield Change(at("required"), "narrower" if new.required else "wider", said, name)
    if set(old.choices) != set(new.choices):
        yield _choices(old, new, name)
    yield from _limits(old, new, name, at)
    for word, said in _OTHERS:
        was, now = getattr(old, word), getattr(new, word)
        if was != now:
            yield Change(at(word), "other", f"{said}: {_say(was)} → {_say(now)}", name)
    rest = sorted(key for key in {*old.schema, *new.schema} - _READ if old.schema.get(key) != new.schema.get(key))
    for key in rest:
        yield Change(new.at + pointer(key), "other", f"{key}: {_say(old.schema.get(key))} → {_say(new.schema.get(key))}", name)
    if old.items is not None and new.items is not None:
        yield from _of_column(old.items, new.items, f"{name}[]")
    elif old.items != new.items:
        yield Change(at("items"), "narrower" if old.items is None else "wider", "what the lists hold", name)


def _limits(old: ColumnRule, new: ColumnRule, name: str, at: Any) -> Iterator[Change]:
    for words, sign in ((_LEAST, 1), (_MOST, -1)):
        for word, said in words:
            was, now = getattr(old, word), getattr(new, word)
            if word == "presence" and (old.nullable, old.required) != (new.nullable, new.required):
                continue
            if was != now:
                narrower = was is None or (now is not None and sign * now > sign * was)
                yield Change(at(word), "narrower" if narrower else "wider", f"{said}: {_say(was)} → {_say(now)}", name)
    for word, said in _BOUNDS:
        was, now = getattr(old, word), getattr(new, word)
        if was != now:
            yield Change(at(word), _bounds(was or Bounds(), now or Bounds()), f"{said}: {_say(was)} → {_say(now)}", name)
    for word, said in _DEMANDS:
        was, now = getattr(old, word), getattr(new, word)
        if was != now:
            kind: Kind = "narrower" if not was else "wider" if not now else "other"
            yield Change(at(word), kind, f"{said}: {_say(was)} → {_say(now)}", name)
    if old.nan != new.nan:
        yield Change(at("x-fairway/nan"), "wider" if new.nan else "narrower", f"NaN is {'a' if new.nan else 'no'} value now", name)


def _types(old: set[str], new: set[str]) -> Kind:
    wide = [set(one) | ({"integer"} if "number" in one else set()) for one in (old, new)]
    if not new or (old and wide[0] < wide[1]):
        return "wider"
    return "narrower" if not old or wide[1] < wide[0] else "other"


def _types_of(rule: ColumnRule) -> str:
    return " or ".join(rule.types) or "any"


def _choices(old: ColumnRule, new: ColumnRule, name: str) -> Change:
    word = "const" if "const" in new.schema else "enum" if "enum" in new.schema else "x-fairway/known"
    more = [one for one in new.choices if one not in old.choices]
    less = [one for one in old.choices if one not in new.choices]
    kind: Kind = "narrower" if not old.choices else "wider" if not new.choices or not less else "other" if more else "narrower"
    if not new.choices or not old.choices:
        text = f"any value may come now, not only {_say(less[:8])}" if old.choices else f"only these values now: {_say(more[:8])}"
        return Change(f"{new.at}/{word}", kind, text, name)
    parts = [f"{_say(some[:8])}{' …' if len(some) > 8 else ''} {verb}" for some, verb in ((more, "came in"), (less, "went out")) if some]
    return Change(f"{new.at}/{word}", kind, f"the values: {', '.join(parts)}", name)


def _bounds(old: Bounds, new: Bounds) -> Kind:
    low = (new.minimum if new.minimum is not None else float("-inf")) - 0, (old.minimum if old.minimum is not None else float("-inf"))
    high = (new.maximum if new.maximum is not None else float("inf")), (old.maximum if old.maximum is not None else float("inf"))
    if low[0] <= low[1] and high[0] >= high[1]:
        return "wider"
    return "narrower" if low[0] >= low[1] and high[0] <= high[1] else "other"


def _of_rows(old: TableSchema, new: TableSchema) -> Iterator[Change]:
    at = f"{new.at}/x-fairway/"
    for key in new.keys:
        if key not in old.keys:
            yield Change(at + "keys", "narrower", f"{' + '.join(key)} is a key now")
    for key in old.keys:
        if key not in new.keys:
            yield Change(at + "keys", "wider", f"{' + '.join(key)} is no key any more")
    if old.allows_more != new.allows_more:
        said = "columns that are not named may come now" if new.allows_more else "no other columns may come any more"
        yield Change(f"{new.at}/additionalProperties", "wider" if new.allows_more else "narrower", said)
    for word, said in (("freshness_s", "how old the newest time may be, in seconds"), ("duplicates", "the share of repeated rows")):
        was, now = getattr(old, word), getattr(new, word)
        if was != now:
            yield Change(at + word, _most(was, now), f"{said}: {_say(was)} → {_say(now)}")
    if old.rows != new.rows:
        yield Change(at + "rows", _bounds(old.rows, new.rows), f"the number of rows: {_say(old.rows)} → {_say(new.rows)}")
    for word in ("label", "slices", "environments", "drift", "severity", "baseline"):
        was, now = getattr(old, word), getattr(new, word)
        if was != now:
            shown = [tuple(one.name for one in side) if word == "slices" else side for side in (was, now)]
            yield Change(at + word, "other", f"{'the ' if word != 'severity' else ''}{word}: {_say(shown[0])} → {_say(shown[1])}")
    yield from _cadences(old, new, at + "cadence")


def _most(old: float | None, new: float | None) -> Kind:
    return "wider" if new is None or (old is not None and new > old) else "narrower"


def _cadences(old: TableSchema, new: TableSchema, at: str) -> Iterator[Change]:
    before = {(one.column, one.by): one for one in old.cadences}
    after = {(one.column, one.by): one for one in new.cadences}
    for key, rule in after.items():
        was = before.get(key)
        if was is None:
            yield Change(at, "narrower", f"{rule.column} has a cadence now", rule.column)
            continue
        for one in fields(CadenceRule):
            old_value, new_value = getattr(was, one.name), getattr(rule, one.name)
            if old_value != new_value:
                kind: Kind = "other"
                if one.name in ("tolerance", "jitter_s", "max_gap_s", "duplicates"):
                    kind = _most(old_value, new_value)
                elif one.name == "regular":
                    kind = "narrower" if new_value > old_value else "wider"
                elif one.name == "order":
                    kind = "narrower" if not old_value else "wider" if not new_value else "other"
                yield Change(f"{at}/{list(after).index(key)}/{one.name}", kind,
                             f"the cadence's {one.name}: {_say(old_value)} → {_say(new_value)}", rule.column)  # fmt: skip
    for key in before:
        if key not in after:
            yield Change(at, "wider", f"{key[0]} has no cadence any more", key[0])
