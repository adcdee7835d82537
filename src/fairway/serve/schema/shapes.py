"""The shapes in which rows may come, as rows: objects or lists, whatever was around them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from fairway.data.schema.modelschema import ModelSchema
from fairway.data.schema.pointers import pointer
from fairway.serve.schema import careful
from fairway.serve.schema.careful import Doubled
from fairway.serve.schema.faults import refuse_oddities, wrong
from fairway.serve.schema.values import say

AROUND = ("inputs", "data", "instances")
"""What rows may be the value of."""
BESIDE = ("id", "params", "parameters", "index")
"""What may stand beside them."""
_ROWS = '{"inputs": [rows]}, each row an object of fields or a list of values'


@dataclass(slots=True)
class Found:
    """`is_positional`: rows were made of columns, or of lists: null stands for what a row lacks."""

    rows: list[Any]
    id: str = ""
    params: dict[str, Any] = field(default_factory=dict[str, Any])
    is_positional: bool = False


class RowShapes:
    """Finds the rows of one schema."""

    def __init__(self, schema: ModelSchema) -> None:
        self._names = schema.names
        self._lists = frozenset(column.name for column in schema.columns if column.type in ("array", "any"))

    def find(self, value: Any) -> Found:
        """Of a decoded body; Refused (422) where it is of no shape that rows have."""
        _refuse_doubled(value)
        if isinstance(value, list):
            return Found(self._list(value))
        if not isinstance(value, dict):
            raise wrong(say(value), _ROWS)
        around = [key for key in AROUND if key in value and key not in self._names]
        if isinstance(value.get("columns"), list) and isinstance(value.get("data"), list) and "columns" not in self._names:
            rest, found = ("columns", "data"), self.of_split(value["columns"], value["data"])
        elif around:
            inner = value[around[0]]
            _refuse_doubled(inner)
            if not isinstance(inner, list | dict):
                raise wrong(say(inner), "a list of rows", field=around[0])
            rest, found = (around[0],), Found(self._list(inner)) if isinstance(inner, list) else self._object(inner)
        else:
            return self._object(value)
        for key in value:
            if key not in rest and key not in BESIDE:
                raise wrong(f"{say(value[key])} beside {rest[-1]!r}", f"{_ROWS}; beside them only {_beside()}", field=key[:80])
        found.id, found.params = parameters_of(value)
        return found

    def _list(self, value: list[Any]) -> list[Any]:
        """A list of rows; or one row as a list of its values."""
        width = len(self._names)
        if len(value) > 1 and width > 1 and not any(isinstance(one, list | dict) for one in value):
            if len(value) != width:
                raise wrong(f"{len(value)} values", f"{width} values", row=0)
            return [value]
        return value

    def _object(self, value: dict[str, Any]) -> Found:
        """One row, or columns of values."""
        known = [key for key in value if key in self._names]
        if not known or not any(isinstance(value[key], list) and key not in self._lists for key in known):
            return Found([value])
        return self.of_columns(value)

    def of_columns(self, columns: dict[str, Any]) -> Found:
        lengths = {key: len(one) for key, one in columns.items() if isinstance(one, list)}
        most = max(lengths.values(), default=0)
        for key, one in columns.items():
            if not isinstance(one, list):
                raise wrong(say(one), f"a list of {most} values, one for each row", field=key[:80])
            if len(one) != most:
                longest = max(lengths, key=lambda name: lengths[name])
                raise wrong(f"{len(one)} values", f"{most}, as {longest!r} has", field=key[:80])
        names = list(columns)
        return Found([dict(zip(names, row, strict=True)) for row in zip(*columns.values(), strict=True)], is_positional=True)

    def of_split(self, names: Sequence[Any], data: Sequence[Any]) -> Found:
        """{"columns": names, "data": rows}, as pandas' "split" has it."""
        seen: set[str] = set()
        for number, name in enumerate(names):
            if not isinstance(name, str):
                raise wrong(say(name), "a column's name", field=pointer("columns", number))
            if name in seen:
                raise wrong("the column twice", "it once", field=name[:80])
            seen.add(name)
        for number, row in enumerate(data):
            if not isinstance(row, list | tuple) or len(row) != len(names):
                came = f"{len(row)} values" if isinstance(row, list | tuple) else say(row)
                raise wrong(came, f"a list of {len(names)} values, as there are columns", row=number)
        return Found([dict(zip(names, row, strict=True)) for row in data], is_positional=True)


def _beside() -> str:
    return ", ".join(f'"{key}"' for key in BESIDE)


def _refuse_doubled(value: Any) -> None:
    if isinstance(value, Doubled):
        raise wrong("the field twice", "it once", field=value.key[:80])


def parameters_of(value: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """`id` and `params` that stand beside the inputs."""
    id, params = value.get("id", ""), dict[str, Any]()
    if not isinstance(id, str) or careful.has_surrogate(id):
        raise wrong(say(id), "text", field="id")
    for key in ("params", "parameters"):
        if key in value:
            if not isinstance(value[key], dict):
                raise wrong(say(value[key]), "an object", field=key)
            refuse_oddities(value[key], (key,))
            params = value[key]
    return id, params
