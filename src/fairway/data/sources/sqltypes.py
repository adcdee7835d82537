"""Types of databases as Arrow's: declared ones where a table is read, PostgreSQL's own numbers of types where a query is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

_OF_POSTGRES = {
    16: "bool", 17: "binary", 20: "int64", 21: "int64", 23: "int64", 26: "int64", 700: "double", 701: "double", 1082: "date32[day]",
    1083: "time[us]", 1114: "timestamp[us]", 1184: "timestamp[us, UTC]", 1186: "duration[us]", 18: "string", 19: "string", 25: "string",
    114: "string", 1042: "string", 1043: "string", 2950: "string", 3802: "string", 1005: "list<int64>", 1007: "list<int64>",
    1016: "list<int64>", 1021: "list<double>", 1022: "list<double>", 1009: "list<string>", 1015: "list<string>", 1000: "list<bool>",
}  # fmt: skip
_NUMERIC = 1700


def of_postgres(description: Sequence[Any]) -> dict[str, str]:
    """By column, from the description of a cursor of psycopg."""
    made: dict[str, str] = {}
    for one in description:
        arrow = _OF_POSTGRES.get(one.type_code)
        if one.type_code == _NUMERIC and one.precision is not None and one.precision <= 38 and 0 <= (one.scale or 0) <= one.precision:
            arrow = f"decimal128({one.precision}, {one.scale or 0})"
        if arrow:
            made[one.name] = arrow
    return made


def of_declared(kind: Any) -> str | None:
    """From a type that SQLAlchemy has reflected; None where values have to be looked at."""
    from sqlalchemy import types

    if isinstance(kind, types.ARRAY):
        inner = of_declared(kind.item_type)
        return f"list<{inner}>" if inner and not inner.startswith("list") else None
    for known, arrow in (
        (types.Boolean, "bool"), (types.Integer, "int64"), (types.Double, "double"), (types.Float, "double"), (types.Date, "date32[day]"),
        (types.Time, "time[us]"), (types.Interval, "duration[us]"), (types.LargeBinary, "binary"), (types.Uuid, "string"),
        (types.JSON, "string"), (types.String, "string"),
    ):  # fmt: skip
        if isinstance(kind, known):
            return arrow
    if isinstance(kind, types.DateTime):
        return "timestamp[us, UTC]" if kind.timezone else "timestamp[us]"
    if isinstance(kind, types.Numeric) and kind.precision is not None and kind.precision <= 38:
        return f"decimal128({kind.precision}, {kind.scale or 0})"
    return None
