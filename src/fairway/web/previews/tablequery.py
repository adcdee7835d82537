"""What part of a table is asked for: filters as people type them, one column to sort by, a page. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from fairway.spec.record import Record, record

PAGE_ROWS = 200
COLUMNS_SHOWN = 200
KINDS = ("number", "time", "text", "bool", "other")
_OPERATORS = (">=", "<=", "!=", "==", ">", "<", "=")
_NULLS = {"null": "null", "none": "null", "missing": "null", "!null": "notnull", "not null": "notnull", "!missing": "notnull"}


@record
class Column(Record):
    """`kind` is of KINDS: what it can be compared with. `type`: as its library calls it."""

    name: str
    type: str
    kind: str


@record
class Test(Record):
    """`op`: = != > >= < <= ~ (contains) range null notnull. `value` (and `high` of a range) as numbers for a column of numbers."""

    column: int
    op: str
    value: Any = None
    high: Any = None


@record
class TableQuery(Record):
    """`sort` is a column, -1 for the table's own order."""

    offset: int = 0
    limit: int = PAGE_ROWS
    sort: int = -1
    descending: bool = False
    tests: tuple[Test, ...] = ()

    @property
    def plain(self) -> bool:
        """The rows as they stand?"""
        return self.sort < 0 and not self.tests


class BadQuery(ValueError):
    """What a filter or a sort cannot be."""


def parse_query(args: dict[str, Any], columns: Sequence[Column]) -> TableQuery:
    """Of {"offset", "limit", "sort": "3" | "-3", "where": ["2:>5", …]}. Raises BadQuery."""
    sort = str(args.get("sort") or "")
    column = _column(sort.lstrip("-"), columns) if sort else -1
    if column >= 0 and columns[column].kind == "other":
        raise BadQuery(f"the column {columns[column].name!r} has no order")
    tests = tuple(test for text in args.get("where") or () if (test := _parse_where(text, columns)) is not None)
    limit = max(1, min(int(args.get("limit") or PAGE_ROWS), 1000))
    return TableQuery(max(0, int(args.get("offset") or 0)), limit, column, sort.startswith("-"), tests)


def _parse_where(text: str, columns: Sequence[Column]) -> Test | None:
    number, _, wanted = text.partition(":")
    column = _column(number, columns)
    if not wanted.strip():
        return None
    return parse_test(column, columns[column], wanted)


def _column(text: str, columns: Sequence[Column]) -> int:
    if not text.isascii() or not text.isdigit() or int(text[:9]) >= len(columns):
        raise BadQuery(f"there is no column number {text[:20]!r}")
    return int(text[:9])


def parse_test(number: int, column: Column, text: str) -> Test:
    """Of "> 5", "1..3", "abc" (contains), "= abc", "null", "!null". Raises BadQuery with what is wrong."""
    text = text.strip()
    word = _NULLS.get(text.lower())
    if word is not None:
        return Test(number, word)
    low, dots, high = text.partition("..")
    if dots and column.kind in ("number", "time") and low.strip() and high.strip():
        return Test(number, "range", _value(low, column), _value(high, column))
    for op in _OPERATORS:
        if text.startswith(op):
            rest = text[len(op) :].strip()
            if not rest:
                raise BadQuery(f"{text!r} needs a value, such as {op} 5")
            op = "=" if op == "==" else op
            if column.kind in ("bool", "other") and op not in ("=", "!="):
                raise BadQuery(f"{column.name!r} has no order: use = or !=")
            return Test(number, op, _value(rest, column))
    if column.kind in ("number", "bool"):
        return Test(number, "=", _value(text, column))
    return Test(number, "~", text)


def _value(text: str, column: Column) -> Any:
    text = text.strip()
    if column.kind == "number":
        if re.fullmatch(r"[+-]?\d{1,30}", text):
            return int(text)
        try:
            return float(text)
        except ValueError:
            raise BadQuery(f"{column.name!r} holds numbers, and {text[:40]!r} is none") from None
    if column.kind == "bool":
        word = text.lower()
        if word not in ("true", "false", "yes", "no", "1", "0"):
            raise BadQuery(f"{column.name!r} is true or false, not {text[:40]!r}")
        return word in ("true", "yes", "1")
    return text
