"""A row that is surely right, out of many that are looked at with care because one is wrong: a large request holds up nobody for long."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import msgspec
from msgspec.structs import astuple

from fairway.data.schema.modelschema import ModelSchema
from fairway.serve.schema.msgtypes import RowTypes

_INF = float("inf")


class QuickRows:
    """Looks at decoded rows of a schema that has no rules beyond its columns'."""

    def __init__(self, schema: ModelSchema, fits: Sequence[Callable[[Any], bool]]) -> None:
        is_loose = schema.is_matrix
        types = RowTypes(schema.columns, is_matrix=schema.is_matrix, is_closed=not schema.allows_more, is_loose=is_loose)
        self._object, self._array, self._whole = types.object, types.array, types.whole
        self._defaults = [column.default for column in schema.columns]
        self._checked = tuple((n, fit) for n, fit in enumerate(fits) if schema.columns[n].format)
        self._texts = tuple(n for n, column in enumerate(schema.columns) if not column.is_numeric)
        self._can = types.exact and all(column.is_numeric or column.type == "string" for column in schema.columns)
        self._is_optional = not all(column.required for column in schema.columns)

    def read(self, row: Any) -> list[Any] | None:
        """Its values in the order of the columns; None if it has to be looked at with care."""
        kind = self._object if type(row) is dict else self._array if type(row) is list else None
        if kind is None or not self._can:
            return None
        try:
            values = list(astuple(msgspec.convert(row, kind)))
        except (msgspec.MsgspecError, UnicodeError, RecursionError):
            return None
        if self._is_optional:
            if kind is self._array and None in values:
                return None
            values = [default if value is msgspec.UNSET else value for value, default in zip(values, self._defaults, strict=True)]
        if _INF in values or -_INF in values or any(value != value for value in values):
            return None
        if any(values[n] is not None and not values[n].isascii() for n in self._texts):  # half a character may be in it
            return None
        if any(type(values[n]) is float and not values[n].is_integer() for n in self._whole):
            return None
        return values if all(fit(values[n]) for n, fit in self._checked) else None
