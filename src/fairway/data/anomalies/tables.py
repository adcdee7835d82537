"""Anomalies of a table as a whole: its columns, its rows, its keys, its age."""

from __future__ import annotations

import datetime as dt
import difflib
import math
from typing import TYPE_CHECKING, Any

from fairway.data.anomalies.columnchecks import Tally
from fairway.data.anomalies.columns import described
from fairway.data.anomalies.edits import find_at, tokens_of
from fairway.data.anomalies.making import Maker, Wrong
from fairway.data.anomalies.model import Example
from fairway.data.anomalies.rowchecks import RowChecks
from fairway.data.spelling import spell_count, spell_seconds, spell_share, spell_some

if TYPE_CHECKING:
    from fairway.data.sources.rejects import Rejects
    from fairway.data.statistics import TableStatistics

_SHOWN = 5
_TIMES = ("timestamp", "date")
_FIRST_S, _LAST_S = -62_135_596_800, 253_402_300_799  # the years that Python has: 1 to 9999


def find_in_columns_there(maker: Maker, checks: RowChecks) -> None:
    """Columns that are missing, and columns that the schema does not know."""
    schema = maker.schema
    missing = [name for name, rule in schema.columns.items() if name not in checks.found and rule.required]
    added = [] if schema.allows_more else [name for name in checks.found if not _is_known(maker, name)]
    for name in missing:
        near = difflib.get_close_matches(name, added, 1, 0.7) or [one for one in added if one.casefold() == name.casefold()]
        like = f"; `{near[0]}` is new and has a similar name" if near else ""
        edit = _optional(maker, name)
        found = f"`{near[0]}`" if near else "no such column"
        wrong = Wrong(checks.rows, checks.rows)
        message, expected = f"`{name}` is missing{like}", f"a column `{name}`"
        maker.add("column-missing", name, message, expected=expected, found=found, wrong=wrong, edit=edit)
    for name in added:
        edit = maker.table_edit({("properties", name): _described(checks, name)})
        wrong = Wrong(checks.rows, checks.rows)
        what = checks.found[name]
        maker.add(
            "column-added", name, f"`{name}` ({what}) is not in the schema", expected="no such column", found=what, wrong=wrong, edit=edit
        )


def _is_known(maker: Maker, name: str) -> bool:
    """A column of another environment is known, and may come."""
    return find_at(maker.schema.document, [*tokens_of(maker.schema.at), "properties", name]) is not None


def _optional(maker: Maker, name: str) -> list[dict[str, Any]]:
    required = find_at(maker.schema.document, [*tokens_of(maker.schema.at), "required"]) or []
    return maker.table_edit({("required",): [one for one in required if one != name]})


def _described(checks: RowChecks, name: str) -> dict[str, Any]:
    made = described(checks.kinds[name])
    return {**made, "type": [made["type"], "null"]} if "type" in made else {}


def find_in_rows(maker: Maker, checks: RowChecks, statistics: TableStatistics) -> None:
    """Too few, too many, repeated rows; keys that come twice; partners that are missing."""
    rows, bounds = checks.rows, maker.schema.rows
    if not rows:
        edit = maker.table_edit({("x-fairway", "severity"): {**(maker.said_of_rows("severity") or {}), "no-rows": "ignore"}})
        maker.add("no-rows", "", "The table has no rows", expected="rows", found="none", edit=edit)
    if bounds.minimum is not None and rows < bounds.minimum:
        edit = maker.table_edit({("x-fairway", "rows"): {**(maker.said_of_rows("rows") or {}), "minimum": rows}})
        expected = f"at least {bounds.minimum:,.0f}"
        message = f"The table has {spell_count(rows, 'row')}; the schema says {expected}"
        maker.add("rows-too-few", "", message, expected=expected, found=f"{rows:,}", edit=edit)
    if bounds.maximum is not None and rows > bounds.maximum:
        edit = maker.table_edit({("x-fairway", "rows"): {**(maker.said_of_rows("rows") or {}), "maximum": rows}})
        expected = f"at most {bounds.maximum:,.0f}"
        message = f"The table has {spell_count(rows, 'row')}; the schema says {expected}"
        maker.add("rows-too-many", "", message, expected=expected, found=f"{rows:,}", edit=edit)
    if rows:
        _repeated(maker, statistics)
    find_keys(maker, checks)
    find_partners(maker, checks)


def find_partners(maker: Maker, checks: RowChecks) -> None:
    """Columns that belong together, and do not in some rows."""
    for (one, other), tally in checks.partners.items():
        _partner(maker, one, other, tally, checks.rows)


def _repeated(maker: Maker, statistics: TableStatistics) -> None:
    allowed, estimate = maker.schema.duplicates, statistics.duplicate_rows
    if allowed is None or not math.isfinite(estimate.value) or estimate.low / statistics.rows <= allowed:
        return
    about = "" if estimate.is_exact else "about "
    share = estimate.value / statistics.rows
    message = f"{about}{spell_count(round(estimate.value), 'row')} ({spell_share(share)}) repeat another row"
    expected = f"at most {spell_share(allowed)} of the rows" if allowed else "no row twice"
    edit = maker.table_edit({("x-fairway", "duplicates"): min(1.0, math.ceil(estimate.high / statistics.rows * 10_000) / 10_000)})
    wrong = Wrong(round(estimate.value), statistics.rows)
    maker.add("rows-repeated", "", message[0].upper() + message[1:], expected=expected, found=spell_share(share), wrong=wrong, edit=edit)


def find_keys(maker: Maker, checks: RowChecks) -> None:
    """Values of unique columns, and of keys, that come twice."""
    for key in checks.repeats.keys:
        name = ", ".join(f"`{one}`" for one in key)
        if key in checks.repeats.left_out:
            maker.notes.append(f"whether {name} is unique was not looked at: the rows are too many for the memory set aside")
            continue
        count, looked, rows = checks.repeats.found(key)
        if not count:
            continue
        wrong = Wrong(count, looked, tuple(Example(row, None) for row in rows[:_SHOWN]))
        message = f"{name} {'is' if len(key) == 1 else 'are together'} unique in the schema; {spell_count(count, 'row')} repeat a value"
        keys = [one for one in maker.said_of_rows("keys") or [] if (one if isinstance(one, list) else [one]) != list(key)]
        is_column = len(key) == 1 and maker.schema.columns[key[0]].unique
        changes: dict[Any, Any] = {("x-fairway", "keys"): keys} if maker.said_of_rows("keys") is not None else {}
        edit = maker.column_edit(maker.schema.columns[key[0]], {("x-fairway", "unique"): False}) if is_column else []
        edit = [*edit, *(maker.table_edit(changes) if changes and tuple(key) in maker.schema.keys else [])]
        kind, column = ("not-unique", key[0]) if is_column else ("key-repeated", key[0] if len(key) == 1 else "")
        maker.add(kind, column, message, expected="every value once", found=f"{count:,} repeated", wrong=wrong, edit=edit)


def _partner(maker: Maker, one: str, other: str, tally: Tally, rows: int) -> None:
    wrong = Wrong.tallied(tally, rows)
    if other.startswith("="):
        other = other[1:]
        groups = [group for group in maker.said_of_rows("lengths") or [] if not (one in group and other in group)]
        edit = maker.table_edit({("x-fairway", "lengths"): groups})
        message = f"`{one}` and `{other}` are not equally long in {spell_count(tally.count, 'row')}"
        maker.add("lengths-differ", one, message, expected="equally long lists", found=f"{tally.count:,} unlike", wrong=wrong, edit=edit)
        return
    message = f"`{one}` has a value but `{other}` has none in {spell_count(tally.count, 'row')}"
    edit = maker.table_edit({("dependentRequired", one): []})
    expected = f"a value of `{other}` wherever `{one}` has one"
    maker.add("partner-missing", one, message, expected=expected, found=f"{tally.count:,} without", wrong=wrong, edit=edit)


def find_rejects(maker: Maker, rejects: Rejects | None) -> None:
    """Rows that could not be read."""
    if rejects is None or not rejects.count:
        return
    examples = tuple(Example(-1, one.text, one.line) for one in rejects.rows[:_SHOWN])
    lines = [one.line for one in rejects.rows[:3] if one.line is not None]
    where = f" (line {', '.join(f'{one:,}' for one in lines)}{', …' if rejects.count > len(lines) else ''})" if lines else ""
    message = f"{spell_count(rejects.count, 'row')} could not be read{where}: {rejects.rows[0].reason}"
    reasons = spell_some(list(dict.fromkeys(one.reason for one in rejects.rows)), 3)
    edit = maker.table_edit({("x-fairway", "severity"): {**(maker.said_of_rows("severity") or {}), "rows-rejected": "ignore"}})
    maker.add("rows-rejected", "", message, expected="readable rows", found=reasons, wrong=Wrong(rejects.count, 0, examples), edit=edit)


def find_age(maker: Maker, statistics: TableStatistics, now: dt.datetime) -> None:
    """Is the newest time older than the schema allows, or in the future?"""
    limit = maker.schema.freshness_s
    if limit is None:
        return
    names = [one.column for one in maker.schema.cadences][:1] or [name for name, one in statistics.columns.items() if one.kind in _TIMES]
    newest = max((found for name in names if (found := _newest(statistics, name)) is not None), default=None)
    if newest is None:
        return
    age = (now - newest).total_seconds()
    if age > limit:
        message = f"The newest row is {spell_seconds(age)} old ({newest:%Y-%m-%d %H:%M}); the schema says at most {spell_seconds(limit)}"
        edit = maker.table_edit({("x-fairway", "freshness_s"): math.ceil(age * 1.1)})
        expected = f"at most {spell_seconds(limit)} old"
        maker.add("stale", names[0] if len(names) == 1 else "", message, expected=expected, found=spell_seconds(age), edit=edit)


def _newest(statistics: TableStatistics, name: str) -> dt.datetime | None:
    column = statistics.columns.get(name)
    if column is None or column.high is None or column.kind not in _TIMES:
        return None
    seconds = column.high * 86_400 if column.kind == "date" else column.high / 1e6
    return dt.datetime.fromtimestamp(min(max(seconds, _FIRST_S), _LAST_S), dt.UTC)


def find_against_baseline(maker: Maker, statistics: TableStatistics, baseline: TableStatistics) -> None:
    """Columns that the baseline does not have, and a number of rows far from its (`drift.rows`: shares of it)."""
    for name, rule in maker.schema.columns.items():
        if name in statistics.columns and name not in baseline.columns and not (rule.drift is not None and rule.drift.is_off):
            edit = maker.column_edit(rule, {("x-fairway", "drift"): False})
            message = f"`{name}` is not in the baseline, so that nothing can be said of its drift"
            maker.add("baseline-missing", name, message, expected="a column of the baseline", found="none", edit=edit)
    bounds = maker.schema.drift.get("rows")
    if not isinstance(bounds, dict) or not baseline.rows:
        return
    share = statistics.rows / baseline.rows
    for kind, word, is_off in (
        ("rows-too-few", "minimum", share < bounds.get("minimum", 0)),
        ("rows-too-many", "maximum", share > bounds.get("maximum", math.inf)),
    ):
        if is_off and not maker.has(kind, ""):
            message = f"The table has {spell_count(statistics.rows, 'row')}, {spell_share(share)} of the baseline's {baseline.rows:,}"
            said = {**maker.schema.drift, "rows": {**bounds, word: share}}
            expected = f"at {'least' if word == 'minimum' else 'most'} {spell_share(bounds[word])} of the baseline's rows"
            edit = maker.table_edit({("x-fairway", "drift"): said})
            maker.add(kind, "", message, expected=expected, found=f"{statistics.rows:,}", edit=edit)
