"""Tables: a page of rows, filtered and sorted, and what each column holds. Runs in a process of its own.

Arrow, Parquet and CSV files are read by pyarrow, in pieces, and only the columns that are needed. Small tables of ours and lines of JSON
are read by Python alone; so is CSV where pyarrow is not installed.
"""

from __future__ import annotations

import importlib.util
import time
from typing import Any, Protocol

from fairway.spec.record import Record, record, to_plain
from fairway.web.previews.sights import CannotSee
from fairway.web.previews.source import Source
from fairway.web.previews.tablequery import COLUMNS_SHOWN, BadQuery, Column, TableQuery, parse_query

LOOK_ROWS = 20_000_000
LOOK_S = 6.0
PLAIN_LIMIT_BYTES = 32 << 20


class Budget:
    """How much may be looked at: rows, and seconds."""

    def __init__(self, rows: int = LOOK_ROWS, seconds: float = LOOK_S) -> None:
        self.rows, self._until = rows, time.monotonic() + seconds
        self.late = False

    def spend(self, rows: int) -> bool:
        """Take note of `rows` that were looked at; False if that is enough."""
        self.rows -= rows
        self.late = time.monotonic() > self._until
        return self.rows > 0 and not self.late


@record
class Page(Record):
    """Some rows of a table. `numbers`: where each stands in the whole. `matched`: how many of those `looked` at are meant. `complete`: all
    were looked at. `total`: rows of the table, -1 if that is not known."""

    numbers: list[int]
    rows: list[list[Any]]
    matched: int
    looked: int
    complete: bool
    total: int


class Table(Protocol):
    """A table that can be looked into."""

    columns: tuple[Column, ...]
    title: str

    def page(self, query: TableQuery, budget: Budget) -> Page: ...
    def statistics(self, budget: Budget) -> tuple[list[dict[str, Any]], int, int]:
        """(by column, rows that were looked at, rows of the table or -1)."""
        ...


def see_rows(source: Source, args: dict[str, Any]) -> dict[str, Any]:
    """{"columns", "rows", "numbers", "matched", "looked", "complete", "total", "title"}."""
    table = open_table(source, str(args["form"]))
    try:
        query = parse_query(args, table.columns)
    except BadQuery as error:
        raise CannotSee(str(error), "a filter is a text to find, or > 5, 1..3, = yes, null, !null") from None
    budget = Budget()
    page = table.page(query, budget)
    return {
        "columns": [to_plain(column) for column in table.columns[:COLUMNS_SHOWN]],
        "more_columns": max(0, len(table.columns) - COLUMNS_SHOWN),
        "title": table.title,
        **{name: getattr(page, name) for name in ("rows", "numbers", "matched", "looked", "complete", "total")},
        **({"passing": True} if budget.late else {}),
    }


def see_columns(source: Source, args: dict[str, Any]) -> dict[str, Any]:
    """{"columns": [{"nulls", "distinct", "min", "max", "mean", "bins", "top"}], "looked", "total"}."""
    table = open_table(source, str(args["form"]))
    budget = Budget(rows=200_000, seconds=4.0)
    columns, looked, total = table.statistics(budget)
    return {"columns": columns, "looked": looked, "total": total, **({"passing": True} if budget.late else {})}


def open_table(source: Source, form: str) -> Table:
    """The table in the source. Raises ImportError where a library is missing, CannotSee for what is too large."""
    if form in ("table", "lines"):
        from fairway.web.previews.plaintable import read_lines, read_table

        if form == "table" and source.size_bytes > PLAIN_LIMIT_BYTES:
            raise CannotSee("this table is too large to be shown", "return a data frame: those are read in parts")
        return read_table(source) if form == "table" else read_lines(source)
    if form in ("csv", "tsv") and importlib.util.find_spec("pyarrow") is None:
        from fairway.web.previews.plaintable import read_csv

        return read_csv(source, "\t" if form == "tsv" else ",")
    from fairway.web.previews.arrowfiles import open_file
    from fairway.web.previews.arrowtable import ArrowTable

    return ArrowTable(open_file(source, form))
