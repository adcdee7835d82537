"""Hive's types as Arrow's. Arrays, structs and maps arrive as JSON: arrays become lists, structs dotted columns, maps stay JSON."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

_SIMPLE = {
    "boolean": "bool", "tinyint": "int64", "smallint": "int64", "int": "int64", "integer": "int64", "bigint": "int64", "float": "double",
    "double": "double", "string": "string", "timestamp": "timestamp[us]", "timestamp_ntz": "timestamp[us]", "date": "date32[day]",
    "binary": "binary", "void": "string",
}  # fmt: skip
_NUMBERS = {
    0: "boolean", 1: "tinyint", 2: "smallint", 3: "int", 4: "bigint", 5: "float", 6: "double", 7: "string", 8: "timestamp", 9: "binary",
    10: "array", 11: "map", 12: "struct", 16: "void", 17: "date",
}  # fmt: skip
_DECIMAL = re.compile(r"decimal\((\d+),\s*(\d+)\)")


@dataclass(frozen=True)
class HiveColumn:
    """A column as the server has it. `arrow`: None where values have to be looked at; `inner`: a struct's fields, where it is known."""

    name: str
    shape: str  # "", "array", "struct"
    arrow: str | None = None
    inner: Mapping[str, HiveColumn] = field(default_factory=dict[str, Any])

    def leaves(self) -> dict[str, str]:
        """The types of the columns that this one becomes, as far as they are known."""
        if self.shape == "struct":
            return {f"{self.name}.{name}": arrow for one in self.inner.values() for name, arrow in one.leaves().items()}
        return {self.name: self.arrow} if self.arrow else {}


def of_number(name: str, number: int, qualifiers: Mapping[str, int]) -> HiveColumn:
    """From what comes with a result."""
    if number == 15:
        return HiveColumn(name, "", f"decimal128({qualifiers.get('precision', 38)}, {qualifiers.get('scale', 0)})")
    said = _NUMBERS.get(number, "string")
    return HiveColumn(
        name, said if said in ("array", "struct") else "", _SIMPLE.get(said, None if said in ("array", "struct") else "string")
    )


def declared(name: str, spelt: str) -> HiveColumn:
    """From a type as DESCRIBE writes it: array<int>, struct<a:int,b:string>, decimal(10,2). Pure."""
    plain = spelt.strip()
    lower = plain.lower()
    if lower.startswith("array<"):
        inner = declared("", plain[6:-1])
        return HiveColumn(name, "array", f"list<{inner.arrow}>" if not inner.shape and inner.arrow else "string")
    if lower.startswith("struct<"):
        fields = [part.partition(":") for part in _split(plain[7:-1])]
        return HiveColumn(name, "struct", None, {one[0].strip("` "): declared(one[0].strip("` "), one[2]) for one in fields})
    found = _DECIMAL.match(lower)
    return HiveColumn(name, "", f"decimal128({found[1]}, {found[2]})" if found else _SIMPLE.get(lower, "string"))


def _split(said: str) -> list[str]:
    """By the commas that are in no bracket."""
    made, depth, start = list[str](), 0, 0
    for place, letter in enumerate(said):
        depth += letter in "<("
        depth -= letter in ">)"
        if letter == "," and depth == 0:
            made.append(said[start:place])
            start = place + 1
    return [*made, said[start:]]


def unfolded(column: HiveColumn, values: Sequence[Any]) -> dict[str, list[Any]]:
    """The columns that one column becomes."""
    if not column.shape or column.arrow == "string":
        return {column.name: list(values)}
    parsed = [_json(one) if isinstance(one, str) else one for one in values]
    if column.shape == "array":
        return {column.name: [one if isinstance(one, list) or one is None else [one] for one in parsed]}
    return _struct(column, parsed)


def _struct(column: HiveColumn, values: Sequence[Any]) -> dict[str, list[Any]]:
    names = list(column.inner) or list(dict.fromkeys(name for one in values if isinstance(one, dict) for name in one))
    made: dict[str, list[Any]] = {}
    for name in names:
        inner = [one.get(name) if isinstance(one, dict) else None for one in values]
        known = column.inner.get(name)
        if known is not None and known.shape == "struct":
            made |= {f"{column.name}.{deep}": some for deep, some in _struct(known, inner).items()}
        else:
            made[f"{column.name}.{name}"] = inner
    return made


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text
