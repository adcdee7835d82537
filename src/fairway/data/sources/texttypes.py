"""What texts mean: the type that all texts of a sample have, and texts turned into numbers and times in bulk."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable, Sequence
from typing import Any

_INTEGER = re.compile(r"[+-]?(0|[1-9][0-9]{0,17})")
_FLOAT = re.compile(r"[+-]?(([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?|NaN|nan|INF|inf|Infinity)")
_ZEROS_FIRST = re.compile(r"[+-]?0[0-9]")
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_TIMESTAMP = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}(:[0-9]{2}([.,][0-9]{1,9})?)?")
_ZONED = re.compile(_TIMESTAMP.pattern + r" ?(Z|[+-][0-9]{2}:?[0-9]{2})")
_TRUE, _FALSE = frozenset({"true", "True", "TRUE"}), frozenset({"false", "False", "FALSE"})


def type_of_texts(texts: Sequence[str]) -> str:
    """The Arrow type that every text which is not blank reads as; "string" where they do not agree, "null" where all are blank."""
    filled = [text for one in texts if (text := one.strip())]
    if not filled:
        return "null"
    for name, fits in _TESTS:
        if all(map(fits, filled)):
            return name
    return "string"


def _fits_float(text: str) -> bool:
    return _FLOAT.fullmatch(text) is not None and _ZEROS_FIRST.match(text) is None


def _tried(pattern: re.Pattern[str], convert: Callable[[str], Any]) -> Callable[[str], bool]:
    def fits(text: str) -> bool:
        if pattern.fullmatch(text) is None:
            return False
        try:
            convert(text)
        except ValueError:
            return False
        return True

    return fits


def read_boolean(text: str) -> bool:
    """true or false, in three spellings; 1 and 0 where a column has been held to be of truth values."""
    plain = text.strip()
    if plain in _TRUE or plain == "1":
        return True
    if plain in _FALSE or plain == "0":
        return False
    raise ValueError(text)


def read_integer(text: str) -> int:
    """A whole number of 64 bits, without the underscores that Python allows."""
    if "_" in text or not -(1 << 63) <= (number := int(text)) < 1 << 63:
        raise ValueError(text)
    return number


def read_float(text: str) -> float:
    """A number, without the underscores that Python allows."""
    if "_" in text:
        raise ValueError(text)
    return float(text)


def read_date(text: str) -> dt.date:
    """ISO 8601; a zone behind it, as XML Schema allows, is left out."""
    plain = text.strip()
    return dt.date.fromisoformat(plain[:10]) if _DATE.match(plain) and plain[10:] in ("", "Z") else _refused(text)


def read_timestamp(text: str) -> dt.datetime:
    """ISO 8601 without a zone."""
    made = dt.datetime.fromisoformat(text.strip())
    return made if made.tzinfo is None else _refused(text)


def read_zoned(text: str) -> dt.datetime:
    """ISO 8601 with a zone."""
    made = dt.datetime.fromisoformat(text.strip())
    return made if made.tzinfo is not None else _refused(text)


def _refused(text: str) -> Any:
    raise ValueError(text)


_TESTS: tuple[tuple[str, Callable[[str], bool]], ...] = (
    ("int64", lambda text: _INTEGER.fullmatch(text) is not None),
    ("double", _fits_float),
    ("bool", lambda text: text in _TRUE or text in _FALSE),
    ("date32[day]", _tried(_DATE, read_date)),
    ("timestamp[us]", _tried(_TIMESTAMP, read_timestamp)),
    ("timestamp[us, UTC]", _tried(_ZONED, read_zoned)),
)

READERS: dict[str, Callable[[str], Any]] = {
    "int64": read_integer,
    "double": read_float,
    "bool": read_boolean,
    "date32[day]": read_date,
    "timestamp[us]": read_timestamp,
    "timestamp[us, UTC]": read_zoned,
}
"""By Arrow type: one text as a Python value; ValueError where it is none."""
