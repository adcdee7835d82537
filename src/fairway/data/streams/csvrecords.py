"""Records of comma-separated values → batches. The first record is the header, unless the columns are given."""

from __future__ import annotations

import csv
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from fairway.data.batch import Batch, Kind, Values
from fairway.data.streams.columns import as_dates, as_times, nulls, texts
from fairway.data.streams.rejects import StreamRejects

_INTEGER_LIMIT = 1 << 63
_BOOLEANS = {"true": True, "false": False, "": False}


class CsvDecoder:
    """Makes batches of records; an empty value is null. `header` []: the next record is it; records equal to it are skipped (a rotated
    file begins with one)."""

    def __init__(
        self,
        rejects: StreamRejects,
        kinds: Mapping[str, Kind] | None = None,
        *,
        header: Sequence[str] = (),
        delimiter: str = ",",
    ) -> None:
        self.rejects = rejects
        self.header = list(header)
        self.delimiter = delimiter
        self._kinds: dict[str, Kind] = dict(kinds or {})

    def decode(self, payloads: list[bytes], first: int) -> Batch:
        rows = [row for row in (self._parse(payload, first + place) for place, payload in enumerate(payloads)) if row is not None]
        cells = zip(*rows, strict=True) if rows else ([] for _ in self.header)
        columns = {name: self._column(name, list(values)) for name, values in zip(self.header, cells, strict=True)}
        return Batch(first, len(rows), columns)

    def _parse(self, payload: bytes, number: int) -> list[str] | None:
        try:
            text = payload.decode("utf-8")
            row = next(
                csv.reader([text] if "\n" not in text else text.splitlines(keepends=True), delimiter=self.delimiter, strict=True), []
            )
        except (UnicodeDecodeError, csv.Error) as error:
            self.rejects.add(number, payload, f"no CSV: {error}")
            return None
        if not self.header:
            self.header = [name.removeprefix("\ufeff") for name in row]
            return None
        if row == self.header:
            return None
        if len(row) != len(self.header):
            self.rejects.add(number, payload, f"{len(row)} values where there are {len(self.header)} columns")
            return None
        return row

    def _column(self, name: str, values: list[str]) -> Values:
        known = self._kinds.get(name)
        kinds: tuple[Kind, ...] = ("integer", "float", "boolean", "timestamp", "date")
        for kind in (known, *(one for one in kinds if one != known)) if known else kinds:
            made = _READERS[kind](values) if kind in _READERS else None
            if made is not None:
                if made.kind != "null":
                    self._kinds.setdefault(name, made.kind)
                return made
            if kind == "string":
                break
        return texts([one or None for one in values])


def _floats(values: list[str]) -> Values | None:
    try:
        return Values("float", "double", np.fromiter(map(float, values), np.float64, len(values)))
    except ValueError:
        return _around_gaps(values, _floats)


def _integers(values: list[str]) -> Values | None:
    try:
        numbers = list(map(int, values))
    except ValueError:
        return _around_gaps(values, _integers)
    if any(not -_INTEGER_LIMIT <= one < _INTEGER_LIMIT for one in numbers):
        return None
    if any(one[:1] == "0" and len(one) > 1 for one in values):  # 007 is a name, not a number
        return None
    return Values("integer", "int64", np.array(numbers, np.int64))


def _around_gaps(values: list[str], read: Callable[[list[str]], Values | None]) -> Values | None:
    """What is no number may be no value at all: the others are read. None where that is not why."""
    present = [one for one in values if one]
    if not present:
        return nulls(len(values), "null")
    made = read(present) if len(present) < len(values) else None
    return None if made is None else _with_gaps(made, values)


def _with_gaps(made: Values, values: list[str]) -> Values:
    valid = np.fromiter(map(bool, values), bool, len(values))
    data = np.zeros(len(values), made.data.dtype)
    data[valid] = made.data
    return Values(made.kind, made.arrow, data, valid)


def _booleans(values: list[str]) -> Values | None:
    if not values or any(one.lower() not in _BOOLEANS for one in values):
        return None
    data = np.fromiter((_BOOLEANS[one.lower()] for one in values), bool, len(values))
    valid = np.fromiter(map(bool, values), bool, len(values))
    return Values("boolean", "bool", data, None if valid.all() else valid)


def _times(values: list[str]) -> Values | None:
    return as_times(texts([one or None for one in values]))


def _dates(values: list[str]) -> Values | None:
    return as_dates(texts([one or None for one in values]))


_READERS: dict[str, Callable[[list[str]], Values | None]] = {
    "integer": _integers,
    "float": _floats,
    "boolean": _booleans,
    "timestamp": _times,
    "date": _dates,
}
