"""On which lines the values stand that are none of their column's type. Read once more, only when there are such values."""

from __future__ import annotations

import codecs
import csv
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from fairway.data.sources.columntypes import ColumnType
from fairway.data.sources.rejects import Reject
from fairway.data.sources.textinput import TextInput

_FIELD_LIMIT = 1 << 26


class LineCounter:
    """Lines of a file by where they begin, asked for in rising order: the file is read along, once."""

    def __init__(self, one: TextInput) -> None:
        self._pieces = one.utf8() if one.again else None
        self._end = b"\r" if one.newline == "\r" else b"\n"
        self._skipped = one.encoding.mark if one.direct else 0  # DuckDB counts the mark of a file it reads itself
        self._piece, self._start, self._line, self._counted = b"", 0, 1, 0

    def line_at(self, byte: int, row: int) -> int:
        """The line that begins at the byte (from 1); `row` where the file cannot be read again."""
        if self._pieces is None:
            return row
        target = byte - 1 - self._skipped
        while target > self._start + len(self._piece):
            self._line += self._piece.count(self._end, self._counted)
            self._start, self._counted = self._start + len(self._piece), 0
            self._piece = next(self._pieces, b"")
            if not self._piece:
                break
        place = max(self._counted, target - self._start)
        self._line += self._piece.count(self._end, self._counted, place)
        self._counted = place
        return self._line


def locate(
    parts: Sequence[Any], names: Sequence[str], types: Mapping[str, ColumnType], bad: Mapping[int, Mapping[str, int]], count: int
) -> Iterator[Reject]:
    """The `count` rows that hold a value in `bad` (by number of the column), with line and text; without where it cannot be read again."""
    left = count
    many = len(parts) > 1
    for part in parts:
        if not part.input.again:
            continue
        places = [(part.dialect.names.index(names[n]), names[n], values) for n, values in bad.items() if names[n] in part.dialect.names]
        for line, row in _rows(part.input, part.dialect):
            if len(row) != len(part.dialect.names):
                continue
            for place, name, values in places:
                if row[place] in values:
                    yield Reject(
                        line,
                        name,
                        part.dialect.separator.join(row),
                        f"{row[place][:60]!r} {types[name].reason(row[place])}",
                        part.input.path if many else "",
                    )
                    left -= 1
                    break
            if not left:
                return
    for n, values in bad.items():
        for value, times in values.items():
            for _ in range(min(times, left)):
                left -= 1
                yield Reject(None, names[n], value, f"{value[:60]!r} {types[names[n]].reason(value)}")


def _rows(one: TextInput, dialect: Any) -> Iterator[tuple[int, list[str]]]:
    options: dict[str, Any] = {"delimiter": dialect.separator[:1]}
    options |= {"quotechar": dialect.quote} if dialect.quote else {"quoting": csv.QUOTE_NONE, "quotechar": None}
    options |= {
        "doublequote": dialect.escape == dialect.quote,
        "escapechar": None if dialect.escape in (dialect.quote, "") else dialect.escape,
    }
    before = csv.field_size_limit(_FIELD_LIMIT)
    try:
        lines = _lines(one)
        for _ in range(dialect.skip):
            next(lines, None)
        reader = csv.reader(lines, **options)
        begun, header = dialect.skip + 1, dialect.header
        try:
            for row in reader:
                line, begun = begun, dialect.skip + reader.line_num + 1
                if not row or (dialect.comment and row[0].startswith(dialect.comment)):
                    continue
                if header:
                    header = False
                    continue
                yield line, row
        except csv.Error:
            return
    finally:
        csv.field_size_limit(before)


def _lines(one: TextInput) -> Iterator[str]:
    end = "\r" if one.newline == "\r" else "\n"
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    held: list[str] = []
    for piece in one.utf8():
        parts = decoder.decode(piece).replace("\0", "").split(end)
        held.append(parts[0])
        for part in parts[1:]:
            yield "".join(held) + "\n"
            held = [part]
    rest = "".join(held)
    if rest:
        yield rest
