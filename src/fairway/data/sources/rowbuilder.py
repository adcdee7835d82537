"""Rows of Python values as Arrow chunks: types found on the first rows and then held; a row with a value that does not fit is rejected."""

from __future__ import annotations

import datetime as dt
import json
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from itertools import islice
from typing import Any

from fairway.data.sources import arrowchunks
from fairway.data.sources.arrowstream import ChunkStream
from fairway.data.sources.engine import Field
from fairway.data.sources.rejects import Rejects
from fairway.data.sources.texttypes import READERS, type_of_texts
from fairway.data.sources.utf8texts import Utf8Texts

Columns = dict[str, list[Any]]
SAMPLE_ROWS = 1_000
_NUMBERS = (int, float, Decimal)


@dataclass(slots=True)
class Chunk:
    """Some rows as columns of Python values, None where null; all lists are `rows` long.

    `lines`: the line, record or row that each row began on, for who is rejected; None: they are counted.
    """

    rows: int
    columns: Mapping[str, Sequence[Any]]
    lines: Sequence[int] | None = None
    unknown: Mapping[str, Sequence[int]] | None = None
    """Rows that have a column which is not among the fields, by its name: they are rejected, for it would be lost."""


@dataclass
class RowSource:
    """A source whose rows are made by Python, chunk by chunk. `read(columns)` starts at the first row, with these columns at least."""

    fields: tuple[Field, ...]
    read: Callable[[Sequence[str] | None], Iterator[Chunk]]
    rejects: Rejects
    notes: tuple[str, ...] = ()
    format: str = ""
    texts: bool = False
    """Whether values come as texts, to be read as the fields' types."""
    rejects_rows: bool = True

    def __post_init__(self) -> None:
        """DuckDB takes names that differ in the case of letters for one: the second gets a number."""
        self._inner: dict[str, str] = {}
        seen: set[str] = set()
        made: list[Field] = []
        for one in self.fields:
            name, number = one.name, 2
            while name.lower() in seen:
                name, number = f"{one.name}_{number}", number + 1
            seen.add(name.lower())
            self._inner[name] = one.name
            made.append(replace(one, name=name))
        self.fields = tuple(made)

    def relation(self, connection: Any, columns: Sequence[str] | None) -> Any:
        """A relation that reads anew each time it is run."""
        wanted = self.fields if columns is None else tuple(one for one in self.fields if one.name in set(columns))
        return connection.from_arrow(self.stream(wanted or self.fields[:1]))

    def stream(self, fields: Sequence[Field]) -> ChunkStream:
        """These columns as an Arrow C stream."""
        return ChunkStream(arrowchunks.schema_of(fields), lambda: self._chunks(fields))

    def finish(self, connection: Any) -> None:
        """The file of rejects is complete."""
        self.rejects.close()

    def _chunks(self, fields: Sequence[Field]) -> Iterator[Any]:
        self.rejects.begin()
        schema = arrowchunks.schema_of(fields)
        inner = [replace(one, name=self._inner[one.name]) for one in fields]
        done = 0
        for chunk in self.read([one.name for one in inner]):
            yield build_chunk(schema, inner, chunk, done, self.rejects, texts=self.texts)
            done += chunk.rows


def build_chunk(schema: Any, fields: Sequence[Field], chunk: Chunk, done: int, rejects: Rejects, *, texts: bool = False) -> Any:
    """The rows of `chunk` that fit, as a nanoarrow struct array; the others go to `rejects`."""
    missing: list[Any] = [None] * chunk.rows
    columns: list[Sequence[Any]] = [chunk.columns.get(one.name, missing) for one in fields]
    bad: dict[int, tuple[str, Any, str]] = {}
    for name, rows in (chunk.unknown or {}).items():
        for row in rows:
            bad.setdefault(
                row,
                (name, "", f"there is no column {name!r} in the rows that were looked at first; add it with types={{{name!r}: 'string'}}"),
            )
    for place, one in enumerate(fields):
        converted, wrong = fitted(columns[place], one.arrow, texts=texts)
        columns[place] = converted
        for row, reason in wrong:
            bad.setdefault(row, (one.name, chunk.columns[one.name][row], reason))
    if bad:
        for row in sorted(bad):
            name, value, reason = bad[row]
            rejects.add(chunk.lines[row] if chunk.lines is not None else done + row + 1, name, str(value), reason)
        kept = [row for row in range(chunk.rows) if row not in bad]
        columns = [[column[row] for row in kept] for column in columns]
    rows = chunk.rows - len(bad)
    arrays = [arrowchunks.array_of(one.arrow, column) for one, column in zip(fields, columns, strict=True)]
    return arrowchunks.struct_of(schema, rows, arrays)


def fitted(values: Sequence[Any], arrow: str, *, texts: bool) -> tuple[Any, list[tuple[int, str]]]:
    """The values as Python values of one Arrow type, and which rows do not fit, with the reason. Those are None in the result."""
    if isinstance(values, Utf8Texts):
        if arrow == "string" and texts:
            return values, []
        read = values.values(arrow) if texts else None
        if read is not None:
            return read, []
        values = values.strings()
    kinds = set(map(type, values))
    kinds.discard(type(None))
    if not kinds:
        return values, []
    if texts and (quick := _QUICK.get(arrow)) is not None and kinds == {str} and None not in values:
        try:
            made = list(map(quick, values))
            if arrow not in ("int64", "double") or ("_" not in "".join(values) and (arrow == "double" or _are_small(made))):
                return made, []
        except ValueError:
            pass  # blank, padded or wrong ones are told apart below
    convert, ready = _text_converter(arrow) if texts else _converter(arrow)
    if kinds <= ready or (arrow == "int64" and kinds == {int} and _are_small(values)):
        return values, []
    try:
        if type(None) not in set(map(type, values)):
            return list(map(convert, values)), []
        return [None if one is None else convert(one) for one in values], []
    except (ValueError, TypeError, OverflowError, ArithmeticError):
        return _one_by_one(values, convert, arrow)


_QUICK: dict[str, Callable[[str], Any]] = {"int64": int, "double": float, "date32[day]": dt.date.fromisoformat}


def _are_small(values: Sequence[Any]) -> bool:
    numbers = values if None not in values else [one for one in values if one is not None]
    return min(numbers) >= -(1 << 63) and max(numbers) < 1 << 63


def _one_by_one(values: Sequence[Any], convert: Callable[[Any], Any], arrow: str) -> tuple[list[Any], list[tuple[int, str]]]:
    made: list[Any] = []
    wrong: list[tuple[int, str]] = []
    for row, one in enumerate(values):
        try:
            made.append(None if one is None else convert(one))
        except (ValueError, TypeError, OverflowError, ArithmeticError):
            made.append(None)
            wrong.append((row, f"{'text' if isinstance(one, str) else type(one).__name__} is no {arrow}, which the column has held so far"))
    return made, wrong


def infer(columns: Mapping[str, Sequence[Any]], *, texts: bool = False, types: Mapping[str, str] | None = None) -> tuple[Field, ...]:
    """The fields of some rows; a column without a single value is of texts. `types` pins some, by Arrow's names."""
    made: list[Field] = []
    for name, values in columns.items():
        said = (types or {}).get(name)
        arrow = said or (type_of_text_values(values) if texts else type_of_values(values))
        arrow = "string" if arrow == "null" else arrow
        made.append(Field(name, arrow, arrowchunks.kind_of(arrow)))
    return tuple(made)


def type_of_text_values(values: Iterable[Any]) -> str:
    """Arrow's type of texts; lists of texts are lists of their elements' type."""
    filled = [one for one in values if one is not None]
    if any(isinstance(one, list) for one in filled):
        return (
            f"list<{_or_string(type_of_texts([x for one in filled for x in (one if isinstance(one, list) else [one]) if x is not None]))}>"
        )
    return type_of_texts(filled)


def _or_string(arrow: str) -> str:
    return "string" if arrow == "null" else arrow


def type_of_values(values: Iterable[Any]) -> str:
    """Arrow's type that holds all the values: "string" where only text does, "null" where there is none."""
    filled = [one for one in values if one is not None]
    kinds = set(map(type, filled))
    if not kinds:
        return "null"
    if kinds == {int}:
        return _type_of_integers(filled)
    if kinds <= {int, float} or (kinds <= {int, float, Decimal} and float in kinds):
        return "double"
    if kinds <= {int, Decimal}:
        return _type_of_decimals([Decimal(one) for one in filled])
    if kinds == {dt.datetime}:
        aware = {one.tzinfo is not None for one in filled}
        return "string" if len(aware) > 1 else "timestamp[us, UTC]" if aware == {True} else "timestamp[us]"
    if kinds == {dt.datetime, dt.date}:
        return "timestamp[us]" if not any(isinstance(one, dt.datetime) and one.tzinfo for one in filled) else "string"
    if kinds <= {list, tuple}:
        inner = [x for one in filled for x in one]
        simple = not any(isinstance(x, list | tuple | dict) for x in inner)
        return f"list<{_or_string(type_of_values(inner))}>" if simple else "string"
    if kinds <= {bytes, bytearray, memoryview}:
        return "binary"
    return _SIMPLE.get(next(iter(kinds)), "string") if len(kinds) == 1 else "string"


_SIMPLE = {bool: "bool", dt.date: "date32[day]", dt.time: "time[us]", dt.timedelta: "duration[us]"}


def _type_of_integers(values: Sequence[int]) -> str:
    low, high = min(values), max(values)
    if low >= -(1 << 63) and high < 1 << 63:
        return "int64"
    return "decimal128(38, 0)" if max(-low, high) < 10**38 else "string"


def _type_of_decimals(values: Sequence[Decimal]) -> str:
    if not all(one.is_finite() for one in values):
        return "double"
    scale = max(max(-int(one.as_tuple().exponent), 0) for one in values)
    whole = max(max(one.adjusted() + 1, 1) for one in values)
    return f"decimal128(38, {scale})" if scale + whole <= 38 else "double"


def _text_converter(arrow: str) -> tuple[Callable[[Any], Any], set[type]]:
    if arrow.startswith("list<"):
        read = READERS.get(arrow[5:-1], str)
        return lambda value: [
            None if x is None or (read is not str and not x.strip()) else read(x) for x in ([value] if isinstance(value, str) else value)
        ], set()
    read = READERS.get(arrow)
    if read is None:
        return _one_text, {str}
    fast = {"int64": _blank_or_integer, "double": _blank_or_float}.get(arrow)
    return fast or (lambda text: read(_one_text(text)) if text.strip() else None), set()


def _one_text(value: Any) -> str:
    if isinstance(value, list):
        raise ValueError(f"{len(value)} values, where the column has held one")
    return value


def _blank_or_integer(text: str) -> int | None:
    return READERS["int64"](text) if text else None


def _blank_or_float(text: str) -> float | None:
    return READERS["double"](text) if text else None


def _converter(arrow: str) -> tuple[Callable[[Any], Any], set[type]]:
    """What turns a Python value into one that the type holds, and the types of values that need no turning."""
    if arrow.startswith("list<"):
        inner, ready = _converter(arrow[5:-1])
        return lambda value: [None if x is None else x if type(x) in ready else inner(x) for x in _a_list(value)], set()
    if arrow.startswith("decimal128("):
        scale = int(arrow[11:-1].split(",")[1])
        return lambda value: _decimal(value, scale), set()
    return _CONVERTERS.get(arrow, (_as_text, {str}))


def _a_list(value: Any) -> Sequence[Any]:
    if not isinstance(value, list | tuple):
        raise TypeError("no list")
    return value


def _integer(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, _NUMBERS) or value != int(value) or not -(1 << 63) <= value < 1 << 63:
        raise ValueError(f"{value} is no whole number of 64 bits")
    return int(value)


def _float(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, _NUMBERS):
        raise TypeError("no number")
    return arrowchunks.nearest(value)


def _parsed(arrow: str, check: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Databases without types for time hand it over as text."""
    read = READERS[arrow]
    return lambda value: read(value) if isinstance(value, str) else check(value)


def _boolean(value: Any) -> bool:
    if value not in (True, False) or not isinstance(value, bool | int):
        raise TypeError("neither true nor false")
    return bool(value)


def _decimal(value: Any, scale: int) -> Decimal:
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal | str):
        raise TypeError("no number")
    exact = value if isinstance(value, Decimal) else Decimal(str(value))
    if not exact.is_finite() or -int(exact.normalize().as_tuple().exponent) > scale or exact.adjusted() + 1 + scale > 38:
        raise ValueError(f"{exact} does not fit")
    return exact


def _as_text(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, dict | list | tuple):
        return json.dumps(value, default=str, ensure_ascii=False)
    if isinstance(value, dt.datetime | dt.date | dt.time):
        return value.isoformat()
    if isinstance(value, bytes | bytearray | memoryview):
        return bytes(value).decode("utf-8", "backslashreplace")
    return "true" if value is True else "false" if value is False else str(value)


def _as_bytes(value: Any) -> bytes:
    if isinstance(value, uuid.UUID):
        return value.bytes
    if not isinstance(value, bytes | bytearray | memoryview):
        raise TypeError("no bytes")
    return bytes(value)


def _moment(value: Any, *, zoned: bool) -> dt.datetime:
    if type(value) is dt.date and not zoned:
        return dt.datetime(value.year, value.month, value.day)  # noqa: DTZ001 - a wall clock, as the column's others
    if not isinstance(value, dt.datetime) or (value.tzinfo is not None) is not zoned:
        raise TypeError("no such moment")
    return value


def _exactly(kind: type) -> Callable[[Any], Any]:
    def check(value: Any) -> Any:
        if type(value) is not kind:
            raise TypeError(f"no {kind.__name__}")
        return value

    return check


_CONVERTERS: dict[str, tuple[Callable[[Any], Any], set[type]]] = {
    "int64": (_integer, set()),
    "double": (_float, {float, int}),
    "bool": (_boolean, {bool}),
    "date32[day]": (_parsed("date32[day]", _exactly(dt.date)), {dt.date}),
    "timestamp[us]": (_parsed("timestamp[us]", lambda value: _moment(value, zoned=False)), set()),
    "timestamp[us, UTC]": (_parsed("timestamp[us, UTC]", lambda value: _moment(value, zoned=True)), set()),
    "time[us]": (_exactly(dt.time), {dt.time}),
    "duration[us]": (_exactly(dt.timedelta), {dt.timedelta}),
    "binary": (_as_bytes, {bytes}),
}


def flat(record: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """A record's nested records as dotted names."""
    made: dict[str, Any] = {}
    for name, value in record.items():
        if isinstance(value, Mapping):
            made |= flat(value, f"{prefix}{name}.")
        else:
            made[prefix + str(name)] = value
    return made


def gathered(records: Iterable[Mapping[str, Any]]) -> Columns:
    """Flat records as columns, in the order in which names appear; None where a record has none."""
    made: Columns = {}
    for before, record in enumerate(records):
        for name, value in record.items():
            column = made.get(name)
            if column is None:
                column = made[name] = [None] * before
            column.append(value)
        rows = before + 1
        if len(record) != len(made):
            for column in made.values():
                if len(column) < rows:
                    column.append(None)
    return made


def in_chunks(records: Iterable[Mapping[str, Any]], rows: int = 8_192) -> Iterator[list[Mapping[str, Any]]]:
    """The records, `rows` at a time."""
    walked = iter(records)
    while some := list(islice(walked, rows)):
        yield some
