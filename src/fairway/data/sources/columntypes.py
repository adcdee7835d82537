"""What type the texts of a column have, and the SQL that reads them strictly: what is none of the type is a reject, never rounded."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fairway.data.sources.datetexts import find_formats
from fairway.data.sources.engine import text
from fairway.errors import ConfigError

NULL_WORDS = ("NA", "N/A", "n/a", "#N/A", "null", "NULL", "Null", "None", "<NA>", "-", "--", "?", "\\N")
_INTEGER = re.compile(r"[+-]?(0|[1-9][0-9]*)")
_DIGITS = re.compile(r"[+-]?[0-9]+")
_FLOAT = re.compile(
    r"[+-]?((0|[1-9][0-9]*)(\.[0-9]*)?|0[0-9]+|\.[0-9]+)([eE][+-]?[0-9]+)?|[+-]?(nan|NaN|NAN|inf|Inf|INF|Infinity|infinity)"
)
_ISO_DATE = re.compile(r"[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])")
_CLOCK = r"[T ]([01][0-9]|2[0-3]):[0-5][0-9](:[0-5][0-9]([.,][0-9]{1,9})?)?"
_ZONE = r" ?(Z|UTC|[+-][0-9]{2}(:?[0-9]{2})?)"
_ISO_TIME = re.compile(_ISO_DATE.pattern + _CLOCK)
_ISO_ZONED = re.compile(_ISO_DATE.pattern + _CLOCK + _ZONE)
_COMMA_DECIMAL = re.compile(r"[+-]?([0-9]+|[0-9]{1,3}(\.[0-9]{3})+|[0-9]{1,3}([ '\u00a0\u202f][0-9]{3})+),[0-9]+")
_POINT_GROUPED = re.compile(r"[+-]?[0-9]{1,3}([,'\u00a0\u202f ][0-9]{3})+(\.[0-9]+)?")
_DOT_GROUPED = re.compile(r"[+-]?[0-9]{1,3}(\.[0-9]{3})+")
_SPELLINGS = {
    "string": "string", "text": "string", "str": "string", "varchar": "string", "object": "string", "category": "string",
    "int": "int64", "integer": "int64", "long": "int64", "bigint": "int64", "float": "double", "number": "double",
    "float64": "double", "float32": "float",
    "double": "double", "bool": "bool", "boolean": "bool", "date": "date", "date32": "date", "date32[day]": "date", "datetime": "timestamp",
    "timestamp": "timestamp", "timestamp[us]": "timestamp", "timestamptz": "timestamptz", "timestamp[us, utc]": "timestamptz",
    "time": "time",
    **{name: name for name in ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64")},
}  # fmt: skip
_SQL = {
    "string": "VARCHAR", "double": "DOUBLE", "float": "FLOAT", "bool": "BOOLEAN", "date": "DATE", "timestamp": "TIMESTAMP",
    "timestamptz": "TIMESTAMPTZ", "time": "TIME", "int8": "TINYINT", "int16": "SMALLINT", "int32": "INTEGER", "int64": "BIGINT",
    "uint8": "UTINYINT", "uint16": "USMALLINT", "uint32": "UINTEGER", "uint64": "UBIGINT",
}  # fmt: skip
_REASONS = {
    "double": "is not a number", "float": "is not a number", "bool": "is neither true nor false", "date": "is not a date",
    "time": "is not a time",
    "timestamp": "is not a time without a zone", "timestamptz": "is not a time with a zone",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class ColumnType:
    """How a column is read. `name`: "int64", "string", …; `layout`: strptime's, where dates are not ISO 8601; the marks of numbers."""

    name: str
    pinned: bool = False
    layout: str = ""
    decimal: str = "."
    thousands: str = ""
    nulls: tuple[str, ...] = ()

    def reason(self, value: str) -> str:
        """Why a text is no value."""
        if "int" in self.name:
            if _INTEGER.fullmatch(value.strip()):
                return f"is beyond what {self.name} holds"
            return "has leading zeros" if _DIGITS.fullmatch(value.strip()) else "is not a whole number"
        if self.layout:
            return f"is not a {self.name} like {self.layout}"
        return _REASONS.get(self.name, f"is not a {self.name}")

    @property
    def sql(self) -> str:
        """DuckDB's name of the type."""
        return _SQL.get(self.name, self.name.upper())

    @property
    def native(self) -> bool:
        """The scan itself reads it without taking anything for what it is not."""
        plain = self.decimal == "." and not self.thousands and not self.nulls
        return self.name == "string" or (self.name in ("double", "float") and plain)

    def value(self, column: str) -> str:
        """SQL: the value of a text, null where it is none."""
        if self.nulls:
            column = f"CASE WHEN {column} IN ({', '.join(map(text, self.nulls))}) THEN NULL ELSE {column} END"
        if self.layout:
            return f"try_strptime({column}, {text(self.layout)})::{self.sql}"
        if self.name == "bool" and not self.pinned:
            return f"CASE lower(trim({column})) WHEN 'true' THEN true WHEN 'false' THEN false END"
        if self.name in ("double", "float") or (self.thousands and "int" in self.name):
            for mark in self.thousands:
                column = f"replace({column}, {text(mark)}, '')"
            column = f"replace({column}, ',', '.')" if self.decimal == "," else column
        return f"try_cast({column} AS {self.sql})"

    def fits(self, column: str, value: str) -> str:
        """SQL: whether a text that is there is a value of the type; never null."""
        quick, slow = f"{value} IS NOT NULL", ""
        if "int" in self.name and not self.thousands:
            quick = f"{value}::VARCHAR = {column}"
            slow = f"{value} IS NOT NULL AND regexp_full_match(trim({column}), {text('[+-]?[0-9]+' if self.pinned else _INTEGER.pattern)})"
        elif (self.thousands or self.decimal != ".") and not self.layout:
            slow = f"{value} IS NOT NULL AND regexp_full_match(trim({column}), {text(self._marked())})"
            quick = "false"
        elif self.name in ("date", "timestamp", "timestamptz") and not self.layout:
            pattern = {"date": _ISO_DATE, "timestamp": _ISO_TIME, "timestamptz": _ISO_ZONED}[self.name].pattern
            quick = {
                "date": f"{value} IS NOT NULL AND length({column}) = 10 AND {column}[8:8] = '-'",
                "timestamp": f"{value} IS NOT NULL AND length({column}) = 19 AND {column}[17:17] = ':'",
                "timestamptz": f"{value} IS NOT NULL AND length({column}) >= 20 AND ({column}[-1:] = 'Z' OR {column}[-6:-6] IN ('+', '-'))",
            }[self.name]
            allowed = f"({pattern})|{_ISO_DATE.pattern}" if self.pinned and self.name == "timestamp" else pattern
            slow = f"{value} IS NOT NULL AND regexp_full_match(trim({column}), {text(allowed)})"
        null = f"WHEN {column} IN ({', '.join(map(text, self.nulls))}) THEN true " if self.nulls else ""
        return f"WHEN {column} IS NULL THEN true {null}WHEN {quick} THEN true {f'WHEN {slow} THEN true ' if slow else ''}"

    def _marked(self) -> str:
        mark, point = re.escape(self.thousands), re.escape(self.decimal)
        whole = rf"([0-9]+|[0-9]{{1,3}}([{mark}][0-9]{{3}})+)" if mark else "[0-9]+"
        return rf"[+-]?{whole}" if "int" in self.name else rf"[+-]?({whole}({point}[0-9]*)?|{point}[0-9]+)([eE][+-]?[0-9]+)?"


def named_type(said: Any, column: str) -> str:
    """The type that a user's word means. Raises ConfigError."""
    word = str(getattr(said, "__name__", said)).strip().lower()
    if re.fullmatch(r"decimal(128)?\(\s*\d+\s*,\s*\d+\s*\)", word):
        return word.replace("128", "")
    if word not in _SPELLINGS:
        raise ConfigError(f"types={{{column!r}: {said!r}}}: no such type", hint="types: " + ", ".join([*_SQL, "decimal(18, 2)"]))
    return _SPELLINGS[word]


@dataclass
class Guessing:
    """What the types of a table's columns are guessed from, and what is said about it."""

    texts: Mapping[str, Sequence[str]]
    options: Mapping[str, Any]
    notes: list[str]
    decimal: str = "."
    thousands: str = ""
    nulls: tuple[str, ...] = ()

    def guess(self) -> dict[str, ColumnType]:
        """The type of each column. Raises ConfigError for a pinned column that is not there."""
        pins = dict(self.options.get("types") or {})
        unknown = [name for name in pins if name not in self.texts]
        if unknown:
            raise ConfigError(
                f"types= names the column {unknown[0]!r}, which is not there", hint="columns: " + ", ".join(list(self.texts)[:20])
            )
        pinned_nulls = self.options.get("nulls")
        self.nulls = tuple([pinned_nulls] if isinstance(pinned_nulls, str) else pinned_nulls or ())
        seen = {name: _distinct(values, self.nulls) for name, values in self.texts.items()}
        found_nulls = {} if pinned_nulls is not None else {name: [w for w in NULL_WORDS if w in values] for name, values in seen.items()}
        cleared = {name: values - set(found_nulls.get(name, ())) for name, values in seen.items()}
        self._marks(
            [_numbers_of(values) if named_type(pins[name], name) != "string" else set() for name, values in cleared.items() if name in pins]
        )
        if self.decimal == "." and not self.thousands:
            self._marks([values for name, values in cleared.items() if name not in pins])
        formats = find_formats(cleared, self.options.get("dates"), self.notes)
        made: dict[str, ColumnType] = {}
        words = sorted({word for found in found_nulls.values() for word in found}, key=NULL_WORDS.index)
        for name, values in cleared.items():
            pinned = name in pins
            kind = ColumnType(named_type(pins[name], name), True) if pinned else self._one(name, values, formats.get(name, ""))
            marks = (self.decimal, self.thousands) if kind.name in ("double", "float") or "int" in kind.name else (".", "")
            layout = formats.get(name, "") if kind.name in ("date", "timestamp") else ""
            nulls = () if kind.name == "string" else tuple(words)
            plain = not pinned and kind.decimal == "." and not kind.thousands
            decimal, thousands = (".", "") if plain else marks
            made[name] = ColumnType(kind.name, pinned, layout, decimal, thousands, nulls)
        self._say_nulls(found_nulls, made)
        return made

    def _one(self, name: str, values: set[str], layout: str) -> ColumnType:
        stripped = {value.strip() for value in values} - {""}
        if not stripped:
            return ColumnType("string")
        if layout:
            return ColumnType("timestamp" if "%H" in layout or "%I" in layout else "date", layout=layout)
        if all(value.lower() in ("true", "false") for value in stripped):
            return ColumnType("bool")
        if all(map(_DIGITS.fullmatch, stripped)):
            return self._whole(name, stripped)
        if all(map(_FLOAT.fullmatch, stripped)) and not (self.decimal == "," and all(map(_DOT_GROUPED.fullmatch, stripped))):
            return ColumnType("double")
        for kind, pattern in (("date", _ISO_DATE), ("timestamp", _ISO_TIME), ("timestamptz", _ISO_ZONED)):
            if all(map(pattern.fullmatch, stripped)):
                return ColumnType(kind)
        if self.decimal != "." or self.thousands:
            for kind in ("int64", "double"):
                marked = ColumnType(kind, decimal=self.decimal, thousands=self.thousands)
                pattern = re.compile(marked._marked())
                if all(map(pattern.fullmatch, stripped)):
                    return marked
        return ColumnType("string")

    def _whole(self, name: str, values: set[str]) -> ColumnType:
        if not all(map(_INTEGER.fullmatch, values)):
            self.notes.append(f"column {name!r} has leading zeros: read as text; pin it with types={{{name!r}: 'int64'}}")
            return ColumnType("string")
        if any(len(value) > 18 and not -(1 << 63) <= int(value[:40]) < 1 << 63 for value in values):
            self.notes.append(
                f"column {name!r} has whole numbers too large for int64: read as text; pin it with types={{{name!r}: 'decimal(38, 0)'}}"
            )
            return ColumnType("string")
        return ColumnType("int64")

    def _marks(self, columns: Iterable[set[str]]) -> None:
        decimal, thousands = self.options.get("decimal"), self.options.get("thousands")
        for name, mark in (("decimal", decimal), ("thousands", thousands)):
            if mark is not None and (
                not isinstance(mark, str) or len(mark) > 1 or mark.isdigit() or (name == "decimal" and mark not in (".", ","))
            ):
                raise ConfigError(f"{name}={mark!r} is no mark within numbers", hint='decimal="," thousands="."')
        if decimal is not None or thousands is not None:
            self.decimal, self.thousands = decimal or ".", thousands or ""
            if self.decimal == self.thousands:
                raise ConfigError(f"decimal and thousands are both {self.decimal!r}")
            return
        for values in columns:
            stripped = {value.strip() for value in values} - {""}
            number = [value for value in stripped if not _FLOAT.fullmatch(value)]
            if not number or not stripped:
                continue
            commas, points = (all(p.fullmatch(v) or _DOT_GROUPED.fullmatch(v) for v in number) for p in (_COMMA_DECIMAL, _POINT_GROUPED))
            if commas and not all(map(_POINT_GROUPED.fullmatch, number)):
                self._choose(",", "".join({mark for v in stripped for mark in v if mark in ".' \u00a0\u202f"}), "")
                return
            if points and all(_FLOAT.fullmatch(v) or _POINT_GROUPED.fullmatch(v) for v in stripped):
                sure = any("." in value or len(re.findall(r"[,' \u00a0\u202f]", value)) > 1 for value in number)
                doubt = "" if sure or not any("," in value for value in number) else " (1,234 may mean one and a fraction)"
                self._choose(".", "".join({mark for v in number for mark in v if mark in ",' \u00a0\u202f"}), doubt)
                return

    def _choose(self, decimal: str, thousands: str, doubt: str) -> None:
        self.decimal, self.thousands = decimal, thousands[:1]
        said = [f"decimal={decimal!r}"] if decimal != "." or doubt else []
        said += [f"thousands={self.thousands!r}"] if self.thousands else []
        what = " and ".join(
            ([f"decimal mark {decimal!r}"] if decimal != "." else []) + ([f"thousands mark {self.thousands!r}"] if self.thousands else [])
        )
        self.notes.append(f"numbers with {what}, guessed{doubt}; pin it with {', '.join(said)}")

    def _say_nulls(self, found: Mapping[str, list[str]], types: Mapping[str, ColumnType]) -> None:
        read = sorted({word for name, words in found.items() for word in words if types[name].name != "string"})
        if read:
            self.notes.append(f"{', '.join(map(repr, read))} read as null in columns that are no texts; pin it with nulls={read!r}")
        for name, words in found.items():
            if words and types[name].name == "string" and words != ["-"]:
                self.notes.append(f"column {name!r} holds the text {words[0]!r}, which is not read as null; nulls=[{words[0]!r}] does")


def _numbers_of(values: set[str]) -> set[str]:
    """Those that may be numbers: a pinned column may hold others, too."""
    patterns = (_FLOAT, _COMMA_DECIMAL, _POINT_GROUPED, _DOT_GROUPED)
    return {value for value in values if any(pattern.fullmatch(value.strip()) for pattern in patterns)}


def _distinct(values: Sequence[str], nulls: tuple[str, ...]) -> set[str]:
    return {value for value in values if value and value not in nulls}
