"""CSV as columns of values: a first line of names, then rows; what is empty is missing."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from typing import Any

from fairway.data.schema.modelschema import Column, ModelSchema
from fairway.serve.refusal import Fault, Refused
from fairway.serve.schema.faults import MOST_FAULTS, refusal, wrong
from fairway.serve.schema.values import expectation, say

NOT_TABLE = "FW-NOT-TABLE"
_TRUE, _FALSE = ("true", "t", "1", "1.0", "yes"), ("false", "f", "0", "0.0", "no")


def parse_csv(body: bytes, schema: ModelSchema) -> dict[str, list[Any]]:
    """Values by column; Refused: 400 where it is no CSV, 422 where a value is none of its column's.

    Without a line of names it is read in the order of the schema, if all its columns are numbers.
    """
    try:
        text = bytes(body).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise Refused(400, NOT_TABLE, f"the body is not UTF-8: byte {error.start}", hint="CSV is read as UTF-8.") from None
    lines = _lines(text)
    if not lines:
        raise Refused(400, NOT_TABLE, "the body is empty, expected a line of column names, then rows")
    names = [name.strip() for name in lines[0]]
    known = {column.name: column for column in schema.columns}
    if schema.is_matrix and len(names) == len(known) and not any(name in known for name in names) and all(map(_is_number, names)):
        names = list(known)
    else:
        del lines[0]
    for name in names:
        if names.count(name) > 1:
            raise wrong("the column twice", "it once", field=name)
    faults: list[Fault] = []
    for number, row in enumerate(lines):
        if len(row) != len(names):
            faults.append(Fault(row=number, field="", came=f"{len(row)} values", expected=f"{len(names)}, as there are names"))
    if faults:
        raise refusal(faults)
    if not lines:
        raise wrong("no rows", "at least 1 row")
    made: dict[str, list[Any]] = {}
    for name, texts in zip(names, zip(*lines, strict=True), strict=True):
        column = known.get(name)
        made[name] = list(texts) if column is None else _values(column, texts, faults)
    if faults:
        raise refusal(sorted(faults, key=lambda fault: fault.row))
    return made


def _lines(text: str) -> list[list[str]]:
    try:
        return [row for row in csv.reader(io.StringIO(text, newline=""), strict=True) if row]
    except csv.Error as error:
        raise Refused(
            400, NOT_TABLE, f"the body is not CSV: {error}", hint="Quotes are doubled inside quotes, as RFC 4180 has it."
        ) from None


def _values(column: Column, texts: tuple[str, ...], faults: list[Fault]) -> list[Any]:
    parse = _PARSERS.get(column.type, _text)
    quick = {"number": _number, "integer": int}.get(column.type)
    if quick is not None and not any("_" in text for text in texts):
        try:
            return list(map(quick, texts))
        except ValueError:
            pass
    may_lack = column.nullable or not column.required
    made: list[Any] = []
    for number, text in enumerate(texts):
        if not text.strip() and (may_lack or column.type != "string"):
            if not may_lack:
                faults.append(Fault(row=number, field=column.name, came="nothing", expected=expectation(column)))
            made.append(None if column.nullable else column.default)
        else:
            try:
                made.append(parse(text))
            except ValueError:
                faults.append(Fault(row=number, field=column.name, came=say(text), expected=expectation(column)))
        if len(faults) >= MOST_FAULTS:
            break
    return made


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return text.lower() in (*_TRUE, *_FALSE, "")
    return True


def _number(text: str) -> float:
    if "_" in text:  # Python's own spelling, nobody else's
        raise ValueError(text)
    return float(text)


def _whole(text: str) -> int:
    value = _number(text)
    if not value.is_integer():
        raise ValueError(text)
    return int(text) if text.strip().lstrip("+-").isdecimal() else int(value)


def _truth(text: str) -> bool:
    plain = text.strip().lower()
    if plain in _TRUE:
        return True
    if plain in _FALSE:
        return False
    raise ValueError(text)


def _text(text: str) -> str:
    return text


def _any(text: str) -> Any:
    for parse in (int, float):
        try:
            return parse(text)
        except ValueError:
            continue
    return text


_PARSERS: dict[str, Callable[[str], Any]] = {"number": _number, "integer": _whole, "boolean": _truth, "string": _text, "any": _any}
