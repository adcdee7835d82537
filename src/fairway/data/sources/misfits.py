"""Rows of wide tables that do not have as many values as there are columns, taken out before DuckDB sees them.

DuckDB makes an error of each value that a row lacks, with the whole row in it: a short row of 3,000 columns costs milliseconds.
"""

from __future__ import annotations

import mmap
import os
import re
from bisect import bisect_left
from collections.abc import Iterator
from pathlib import Path

from fairway.data.sources.dialect import Dialect

WIDE = 200
"""So many columns make a table a wide one."""
_LOOKED_BYTES = 4 << 30
_QUOTES = "a quote that is not closed, or stands within a value"


def has_misfit(path: str, end: bytes, dialect: Dialect) -> bool:
    """Whether a line of a file has other than its number of separators. Files too large to be read twice: False."""
    separator, wanted = dialect.separator.encode(), len(dialect.names) - 1
    size = os.stat(path).st_size  # noqa: PTH116
    if wanted < WIDE or not 0 < size <= _LOOKED_BYTES:
        return False
    with Path(path).open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as text:
        begin = 0
        while begin < size:
            stop = text.find(end, begin)
            line = text[begin : size if stop < 0 else stop]
            if line.count(separator) != wanted and line:
                return True
            begin = begin + len(line) + len(end)
    return False


class Misfits:
    """Pieces of a text that pass by. A row that does not fit becomes so many line ends, which DuckDB passes over: all bytes stay in place.

    `taken`: the line that each begins on, its text and what is wrong. A row of more than `longest` bytes is left to DuckDB.
    """

    def __init__(self, dialect: Dialect, longest: int) -> None:
        self._separator, self._columns, self._longest = dialect.separator.encode(), len(dialect.names), longest
        self._quote, self._comment = dialect.quote.encode(), dialect.comment.encode()
        self._spare = dialect.skip + dialect.header  # lines and rows at the top that are none of the table's
        quote, separator = re.escape(self._quote), re.escape(self._separator)
        escape = re.escape(dialect.escape.encode()) if dialect.escape and dialect.escape != dialect.quote else b""
        inner = b"(?:[^%s%s]|%s(?s:.))*" % (quote, escape, escape) if escape else b"(?:[^%s]|%s%s)*" % (quote, quote, quote)
        self._inside = re.compile(inner) if quote else None
        self._opening = re.compile(b" *%s" % quote) if quote else None
        self._behind = re.compile(b"[^%s]*" % separator if len(self._separator) == 1 else b"(?:(?!%s)(?s:.))*" % separator)
        self._row: list[bytes] = []  # the lines of a row that goes on
        self._held = self._values = 0
        self._line = 1
        self._added_at: list[int] = []
        self._added: list[int] = [0]
        self.taken: list[tuple[int, bytes, str]] = []

    def passing(self, pieces: Iterator[bytes], end: bytes) -> Iterator[bytes]:
        rest = b""
        for piece in pieces:
            lines = (rest + piece).split(end) if end in piece else [rest + piece]
            rest = lines.pop()
            made = b"".join(one for line in lines for one in self._judged(line + end, end))
            if len(rest) > self._longest:
                made, rest = made + b"".join(self._row) + rest, b""
                self._row, self._held = [], 0
            if made:
                yield made
        if rest:
            yield b"".join(self._judged(rest, end))
        if self._row:
            yield self._out(_QUOTES, end)

    def line_without(self, line: int) -> int:
        """The line of the text, of one that was counted behind this."""
        return line - self._added[bisect_left(self._added_at, line)]

    def _judged(self, line: bytes, end: bytes) -> Iterator[bytes]:
        """What is passed on of a line, now that it is here."""
        self._line += 1
        text = line.removesuffix(end).removesuffix(b"\r")
        begins = not self._row
        if begins and (self._spare or not text or (self._comment and text.startswith(self._comment))):
            self._spare -= self._spare > 0
            yield line
            return
        self._row.append(line)
        self._held += len(line)
        wrong = self._wrong(text, begins)
        if wrong is None and self._held <= self._longest:
            return
        if wrong:
            yield self._out(wrong, end)
        else:
            yield b"".join(self._row)
            self._row, self._held = [], 0

    def _wrong(self, text: bytes, begins: bool) -> str | None:
        """What is wrong with the row that ends here, "" for nothing; None if it goes on."""
        if begins:
            self._values = 1
        if self._inside is None or self._opening is None or (begins and self._quote not in text):
            self._values = text.count(self._separator) + 1
        else:
            place = 0
            while True:
                opened = self._opening.match(text, place) if begins else None
                if opened or not begins:
                    found = self._inside.match(text, opened.end() if opened else place)
                    place = found.end() if found else place
                    if place >= len(text):
                        return None
                    place, begins = place + len(self._quote), True
                    found = self._behind.match(text, place)
                    if found and found.group().strip():
                        return _QUOTES
                found = self._behind.match(text, place)
                place = (found.end() if found else place) + len(self._separator)
                if place > len(text):
                    break
                self._values += 1
        if self._values == self._columns:
            return ""
        if self._values > self._columns:
            ends = len(text) - len(text.rstrip(self._separator)) if len(self._separator) == 1 else 0
            if self._values - ends <= self._columns:
                return ""  # nothing stands behind the last column
        return f"{self._values:,} values, {self._columns} columns"

    def _out(self, wrong: str, end: bytes) -> bytes:
        row = b"".join(self._row)
        lines = len(self._row)
        self.taken.append((self._line - lines, row.removesuffix(end), wrong))
        made = end * (len(row) // len(end))
        self._added_at.append(self._line + self._added[-1])
        self._added.append(self._added[-1] + len(made) // len(end) - lines)
        self._row, self._held = [], 0
        return made
