"""Tables by Python alone: small ones of ours, lines of JSON, CSV where no library is installed. Runs in a process of its own."""

from __future__ import annotations

import csv
import io
import json
import math
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Any

from fairway.web.previews.cells import show_cell
from fairway.web.previews.source import Source
from fairway.web.previews.tablequery import Column, TableQuery, Test
from fairway.web.previews.tables import PLAIN_LIMIT_BYTES, Budget, Page

BINS = 24
TOP = 5
READ_LIMIT_BYTES = 64 << 20
READ_ROWS = 200_000


class PlainTable:
    """Rows in memory. `whole`: there are no more than these."""

    def __init__(self, names: Sequence[str], rows: list[list[Any]], *, title: str = "", whole: bool = True) -> None:
        width = len(names)
        self._rows = [row if len(row) == width else [*row[:width], *[None] * (width - len(row))] for row in rows]
        self.columns = tuple(Column(str(name), *_type_of(row[n] for row in self._rows)) for n, name in enumerate(names))
        self.title, self._whole = title, whole

    def page(self, query: TableQuery, budget: Budget) -> Page:
        found = list(range(len(self._rows)))
        for test in query.tests:
            meant = _matcher(test, self.columns[test.column])
            found = [n for n in found if meant(self._rows[n][test.column])]
        if query.sort >= 0:
            found = _sort(found, [row[query.sort] for row in self._rows], self.columns[query.sort], descending=query.descending)
        chosen = found[query.offset : query.offset + query.limit]
        cells = [[show_cell(cell) for cell in self._rows[n]] for n in chosen]
        total = len(self._rows) if self._whole else -1
        return Page(chosen, cells, len(found), len(self._rows), self._whole, total)

    def statistics(self, budget: Budget) -> tuple[list[dict[str, Any]], int, int]:
        found = [_describe([row[n] for row in self._rows], column) for n, column in enumerate(self.columns)]
        return found, len(self._rows), len(self._rows) if self._whole else -1


def read_table(source: Source) -> PlainTable:
    """A `fw.Table`."""
    data = json.loads(source.head(PLAIN_LIMIT_BYTES))
    return PlainTable([str(name) for name in data["columns"]], [list(row) for row in data["rows"]], title=str(data.get("title", "")))


def read_lines(source: Source) -> PlainTable:
    """A JSON object a line."""
    lines, whole = _lines(source)
    records = [json.loads(line) for line in lines if line.strip()]
    records = [record if isinstance(record, dict) else {"value": record} for record in records]
    names = list(dict.fromkeys(name for record in records for name in record))
    return PlainTable(names, [[record.get(name) for name in names] for record in records], whole=whole)


def read_csv(source: Source, separator: str) -> PlainTable:
    """CSV with a head; numbers where all cells of a column are numbers."""
    lines, whole = _lines(source)
    rows = list(csv.reader(lines, delimiter=separator))
    names, body = (rows[0], rows[1:]) if rows else ([], [])
    columns = [_numbers([row[n] if n < len(row) else "" for row in body]) for n in range(len(names))]
    return PlainTable(names, [list(row) for row in zip(*columns, strict=True)] if columns else [], whole=whole)


def _lines(source: Source) -> tuple[list[str], bool]:
    with source.open() as file:
        text = io.TextIOWrapper(file, "utf-8", "replace", newline="")
        lines: list[str] = []
        size = 0
        for line in islice(text, READ_ROWS):
            size += len(line)
            lines.append(line)
            if size > READ_LIMIT_BYTES:
                break
        return lines, not text.read(1)


def _numbers(cells: list[str]) -> list[Any]:
    try:
        return [None if not cell else float(cell) if any(c in cell for c in ".eEnN") else int(cell) for cell in cells]
    except ValueError:
        return [cell or None for cell in cells]


def _type_of(cells: Iterable[Any]) -> tuple[str, str]:
    kinds = {type(cell) for cell in cells if cell is not None}
    if kinds == {bool}:
        return "bool", "bool"
    if kinds and kinds <= {int, float}:
        return ("float" if float in kinds else "int"), "number"
    if kinds == {str} or not kinds:
        return ("str" if kinds else "null"), "text"
    return ("mixed" if len(kinds) > 1 else next(iter(kinds)).__name__), "other"


def _matcher(test: Test, column: Column) -> Any:
    value, high, op = test.value, test.high, test.op
    if op == "null":
        return lambda cell: cell is None
    if op == "notnull":
        return lambda cell: cell is not None
    if op == "~":
        wanted = str(value).casefold()
        return lambda cell: cell is not None and wanted in _text(cell).casefold()
    if op == "range":
        return lambda cell: cell is not None and value <= cell <= high
    compare = {
        "=": lambda cell: cell == value,
        "!=": lambda cell: cell != value,
        ">": lambda cell: cell > value,
        ">=": lambda cell: cell >= value,
        "<": lambda cell: cell < value,
        "<=": lambda cell: cell <= value,
    }[op]
    if column.kind == "other":
        return lambda cell: cell is not None and compare(_text(cell))
    return lambda cell: cell is not None and compare(cell)


def _text(cell: Any) -> str:
    return cell if isinstance(cell, str) else json.dumps(cell, ensure_ascii=False)


def _sort(found: list[int], cells: list[Any], column: Column, *, descending: bool) -> list[int]:
    """What is missing, and NaN, comes last either way; equals keep their order."""
    blank = [n for n in found if cells[n] is None or cells[n] != cells[n]]
    rest = [n for n in found if not (cells[n] is None or cells[n] != cells[n])]
    return [*sorted(rest, key=lambda n: cells[n], reverse=descending), *blank]


def _describe(cells: list[Any], column: Column) -> dict[str, Any]:
    there = [cell for cell in cells if cell is not None]
    about: dict[str, Any] = {"nulls": len(cells) - len(there)}
    if column.kind == "number":
        return {**about, **_numbers_of([float(cell) for cell in there if math.isfinite(cell)]), "distinct": len(set(there))}
    words = Counter(_text(cell) for cell in there)
    return {**about, "distinct": len(words), "top": [[show_cell(word, 60), n] for word, n in words.most_common(TOP)]}


def _numbers_of(values: list[float]) -> dict[str, Any]:
    if not values:
        return {}
    low, high = min(values), max(values)
    mean = math.fsum(values) / len(values)
    deviation = math.sqrt(math.fsum((value - mean) ** 2 for value in values) / len(values))
    return {"min": low, "max": high, "mean": mean, "deviation": deviation, "bins": list(_bins(values, low, high))}


def _bins(values: Sequence[float], low: float, high: float) -> Iterator[int]:
    if not high > low:
        yield len(values)
        return
    scale = BINS / (high - low)
    counts = Counter(min(BINS - 1, int((value - low) * scale)) for value in values)
    yield from (counts.get(n, 0) for n in range(BINS))
