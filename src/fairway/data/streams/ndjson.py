"""One JSON object a record → batches. Records of a shape that is known are decoded into structs by msgspec, a window at a time."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from operator import attrgetter
from typing import Any

import msgspec
import numpy as np

from fairway.data.batch import Batch, Kind, Values
from fairway.data.streams.columns import column_of, finished, floats, texts
from fairway.data.streams.rejects import StreamRejects

_TYPES: dict[str, Any] = {
    "float": float | None,
    "integer": int | None,
    "boolean": bool | None,
    "string": str | None,
    "timestamp": str | None,
    "date": str | None,
    "list": list[Any] | None,
}
_ANY = msgspec.json.Decoder()
_DEEPEST = 64
_MOST_FIELDS = 2_000
_UNNAMEABLE = re.compile(r'[\\"\x00-\x1f\ud800-\udfff]')
_NOT_JSON = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


@dataclass(frozen=True)
class _Shape:
    """The struct of records whose fields are known. `columns`: name, how the struct says it, kind (None: any), bytes that name it."""

    decoder: msgspec.json.Decoder[Any]
    columns: tuple[tuple[str, Any, Kind | None, tuple[bytes, ...]], ...]


class NdjsonDecoder:
    """Makes batches of records; `kinds` pins the kinds of columns (a float may come as a whole number). Columns that are not pinned are
    what the first window says; a later window in which values do not fit is taken as it comes, so that the change is seen."""

    def __init__(self, rejects: StreamRejects, kinds: Mapping[str, Kind] | None = None) -> None:
        self.rejects = rejects
        self.pinned: dict[str, Kind] = dict(kinds or {})
        self._kinds: dict[str, Kind | None] = dict(self.pinned)
        self._shape = _make_shape(self._kinds) if self._kinds else None

    def decode(self, payloads: list[bytes], first: int) -> Batch:
        """A batch of the records that are JSON objects; `first` is the number of the first record in its stream."""
        if self._shape is not None and payloads:
            made = self._decode_known(self._shape, b"\n".join(payloads), len(payloads))
            if made is not None:
                return Batch(first, len(payloads), made)
        return self._decode_any(payloads, first)

    def _decode_known(self, shape: _Shape, data: bytes, count: int) -> dict[str, Values] | None:
        try:
            rows = shape.decoder.decode_lines(data)
            columns = [_column(rows, get, kind) for _, get, kind, _ in shape.columns]
        except _NOT_JSON:
            return None
        if len(rows) != count:  # a record that holds two objects, or none
            return None
        made: dict[str, Values] = {}
        for (name, _, _, spellings), column in zip(shape.columns, columns, strict=True):
            if column.valid is not None and column.nulls == count and not any(one in data for one in spellings):
                continue  # no record has the field
            made[name] = column
        if any(kind == "null" for _, _, kind, _ in shape.columns):
            self._learn(made)
        return made

    def _decode_any(self, payloads: list[bytes], first: int) -> Batch:
        rows: list[dict[str, Any]] = []
        for place, payload in enumerate(payloads):
            try:
                rows.append(_parse_row(payload))
            except ValueError as error:
                self.rejects.add(first + place, payload, str(error))
        names: dict[str, None] = {name: None for name in self._kinds if any(name in row for row in rows)}
        for row in rows:
            names.update(dict.fromkeys(row))
        columns = {name: column_of([row.get(name) for row in rows], self._wanted(name)) for name in names}
        self._learn(columns)
        return Batch(first, len(rows), columns)

    def _wanted(self, name: str) -> Kind | None:
        return self.pinned[name] if name in self.pinned else self._kinds.get(name)

    def _learn(self, columns: dict[str, Values]) -> None:
        """A column whose kind is not what it was is decoded as it comes from now on: whichever comes is what the batch says."""
        changed = self._shape is None and bool(columns)
        for name, column in columns.items():
            known = self._kinds.get(name, "null")
            if name in self._kinds and (known is None or column.kind in (known, "null")):
                continue
            self._kinds[name] = column.kind if known == "null" else None
            changed = True
        if changed:
            self._shape = _make_shape(self._kinds)


def _make_shape(kinds: Mapping[str, Kind | None]) -> _Shape | None:
    """Fields `outer.inner` are looked for in objects. Structs keep no reference cycles, so that the collector need not look at them.
    None where there are too many fields for a struct, or a name that none can have."""
    if len(kinds) > _MOST_FIELDS or any(_UNNAMEABLE.search(name) for name in kinds):
        return None
    tree: dict[str, Any] = {}
    for name in kinds:
        place = tree
        *outer, inner = name.split(".")
        for part in outer:
            place = place.setdefault(part, {})
            if not isinstance(place, dict):
                break
        else:
            place.setdefault(inner, kinds[name])
    columns: list[tuple[str, Any, Kind | None, tuple[bytes, ...]]] = []
    struct = _make_struct(tree, "", "", columns)
    return _Shape(msgspec.json.Decoder(struct), tuple(columns))


def _make_struct(tree: dict[str, Any], prefix: str, path: str, columns: list[tuple[str, Any, Kind | None, tuple[bytes, ...]]]) -> type:
    fields: list[Any] = []
    rename: dict[str, str] = {}
    for number, (name, kind) in enumerate(tree.items()):
        attribute = f"c{number}"
        rename[attribute] = name
        if isinstance(kind, dict):
            inner = _make_struct(kind, f"{prefix}{name}.", f"{path}{attribute}.", columns)
            fields.append((attribute, inner, msgspec.field(default_factory=inner)))
            continue
        fields.append((attribute, _TYPES.get(kind or "", Any), None))
        quoted = {json.dumps(name).encode(), json.dumps(name, ensure_ascii=False).encode("utf-8", "surrogatepass")}
        spellings = tuple(one + colon for one in quoted for colon in (b":", b" :"))
        columns.append((prefix + name, attrgetter(path + attribute), kind, spellings))
    return msgspec.defstruct("Record", fields, rename=rename, gc=False, forbid_unknown_fields=True)


def _column(rows: list[Any], get: Any, kind: Kind | None) -> Values:
    count = len(rows)
    if kind == "float":
        return floats(np.fromiter(map(get, rows), np.float64, count))
    if kind == "integer":
        try:
            return Values("integer", "int64", np.fromiter(map(get, rows), np.int64, count))
        except (TypeError, OverflowError):
            return column_of(list(map(get, rows)), kind)
    if kind in ("string", "timestamp", "date"):
        column = texts(list(map(get, rows)))
        return column if kind == "string" else finished(column, kind)
    return column_of(list(map(get, rows)), None if kind == "null" else kind)


def _parse_row(payload: bytes) -> dict[str, Any]:
    """One record. Raises ValueError, which says why it is none."""
    try:
        row = _ANY.decode(payload)
    except RecursionError:
        raise ValueError("JSON that is nested too deep") from None
    except _NOT_JSON as error:
        raise ValueError(f"no JSON: {error}") from None
    if not isinstance(row, dict):
        raise ValueError(f"not an object but {_name_of(row)}")
    if _depth(row) > _DEEPEST:
        raise ValueError(f"JSON that is nested deeper than {_DEEPEST}")
    return _flat(row)


def _depth(value: Any) -> int:
    depth, level = 0, [value]
    while level and depth <= _DEEPEST:
        inner = [list(one.values()) if isinstance(one, dict) else one for one in level if isinstance(one, dict | list)]
        level = [part for one in inner for part in one]
        depth += 1
    return depth


def _flat(row: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    if not prefix and not any(isinstance(one, dict) for one in row.values()):
        return row
    made: dict[str, Any] = {}
    for name, value in row.items():
        if isinstance(value, dict):
            made.update(_flat(value, f"{prefix}{name}."))
        else:
            made[prefix + name] = value
    return made


def _name_of(value: Any) -> str:
    return {list: "a list", str: "text", bool: "a boolean", type(None): "null"}.get(type(value), "a number")
