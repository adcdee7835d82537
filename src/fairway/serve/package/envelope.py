"""JSON for which there is no schema: the rows that are in it, whichever of the common shapes they have."""

from __future__ import annotations

from typing import Any

from fairway.serve.package.misfit import misfit

_KEYS = ("inputs", "data", "instances", "dataframe_records", "dataframe_split", "rows")
_WANTED = 'send {"inputs": [[1, 2, 3], …]} or {"inputs": [{"column": 1, …}, …]}'


def rows_of(value: Any) -> tuple[tuple[str, ...], list[list[Any]]]:
    """(names, rows) of a JSON value; names are () where rows are lists. Raises Refused (422)."""
    found = value
    if isinstance(value, dict):
        if isinstance(value.get("columns"), list) and isinstance(value.get("data"), list):
            return tuple(map(str, value["columns"])), _lists(value["data"])
        key = next((key for key in _KEYS if key in value), None)
        found = value[key] if key is not None else value
        if isinstance(found, dict):
            return _of_object(found)
    if not isinstance(found, list) or not found:
        raise misfit(f"there are no rows: came {shown(found)}", hint=_WANTED)
    if isinstance(found[0], dict):
        return _of_objects(found)
    if isinstance(found[0], list):
        return (), _lists(found)
    return (), _lists([found])  # one row


def shown(value: Any) -> str:
    """A value for people: what kind it is, and the start of it."""
    kind = {dict: "an object", list: "an array", str: "the text", bool: "", int: "the number", float: "the number", type(None): "null"}
    if value is None or isinstance(value, dict):
        return kind[type(value)]
    if isinstance(value, list):
        return f"an array of {len(value)}"
    text = repr(value).lower() if isinstance(value, bool) else repr(value)
    return f"{kind.get(type(value), 'a value')} {text[:60]}".strip()


def _of_object(found: dict[str, Any]) -> tuple[tuple[str, ...], list[list[Any]]]:
    """Columns as lists of one length, {"columns": …, "data": …}, or one row."""
    if isinstance(found.get("columns"), list) and isinstance(found.get("data"), list):
        return tuple(map(str, found["columns"])), _lists(found["data"])
    columns = list(found.values())
    if columns and all(isinstance(column, list) for column in columns):
        lengths = {len(column) for column in columns}
        if len(lengths) > 1:
            told = ", ".join(f"{name!r} {len(column)}" for name, column in list(found.items())[:5])
            raise misfit(f"columns have different lengths: {told}", hint="give each column one value for each row")
        return tuple(found), [list(row) for row in zip(*columns, strict=True)]
    return tuple(found), [columns]


def _of_objects(rows: list[Any]) -> tuple[tuple[str, ...], list[list[Any]]]:
    names = tuple(rows[0])
    made: list[list[Any]] = []
    for at, row in enumerate(rows):
        if not isinstance(row, dict):
            raise misfit(f"row {at} is {shown(row)}, and the first row is an object", hint=_WANTED)
        if row.keys() - set(names):
            names = tuple(dict.fromkeys((*names, *row)))
    for row in rows:
        made.append([row.get(name) for name in names])
    return names, made


def _lists(rows: list[Any]) -> list[list[Any]]:
    for at, row in enumerate(rows):
        if not isinstance(row, list):
            raise misfit(f"row {at} is {shown(row)}, and it should be an array", hint=_WANTED)
    return rows
