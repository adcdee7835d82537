"""Rows of a request in one decode: into generated types that let in nothing the schema doesn't. What they don't take is read with care."""

from __future__ import annotations

import math
import re
import struct
from array import array
from collections.abc import Callable, Sequence
from itertools import chain
from operator import itemgetter
from typing import Any, NamedTuple

import msgspec
from msgspec.structs import astuple

from fairway.data.schema.modelschema import ModelSchema
from fairway.serve.call import Call
from fairway.serve.schema.msgtypes import RowTypes, envelope
from fairway.serve.schema.packing import Packer
from fairway.serve.schema.rows import RowReader
from fairway.serve.schema.shapes import AROUND

UNSET = msgspec.UNSET
FAILS = (msgspec.MsgspecError, UnicodeError, RecursionError)
"""What a decode raises."""
_SHAPE = re.compile(rb'\s*(?:\{\s*"(inputs|data|instances|columns)"\s*:\s*)?(\[\s*)?([\[{])?')
_MANY_ORDERS = 8
_NAN = float("nan")
_Way = tuple[bytes | None, bool, bytes | None]


class _Decoder(NamedTuple):
    """`key`: what is around the rows; `form`: "objects", "arrays", "columns", "split"."""

    decode: Callable[[bytes], Any]
    key: str
    form: str


def _compile(kind: Any) -> Callable[[bytes], Any]:
    return msgspec.json.Decoder(kind).decode


class FastRows:
    """Reads rows of one schema that has no rules beyond its columns'. Each method gives None where it can't say yes."""

    def __init__(self, schema: ModelSchema, careful: RowReader, packer: Packer, *, is_loose: bool) -> None:
        self._schema, self._packer = schema, packer
        self._types = RowTypes(schema.columns, is_matrix=schema.is_matrix, is_closed=not schema.allows_more, is_loose=is_loose)
        self._checked = tuple(
            (number, check.fits) for number, check in enumerate(careful.checks) if not self._types.exact or check.column.format
        )
        self._is_matrix = packer.is_matrix
        self._width = len(schema.columns)
        self._pack = struct.Struct(f"<{self._width}d").pack
        self._defaults = tuple(column.default for column in schema.columns)
        self._is_optional = not all(column.required for column in schema.columns)
        self._orders: dict[tuple[str, ...], tuple[Any, Any]] = {}
        self._decoders = self._compile()

    def _compile(self) -> dict[_Way, _Decoder]:
        """By a body's first characters: the key around, whether a list follows, what that begins with."""
        types = self._types
        made: dict[_Way, _Decoder] = {}
        keys = [key for key in AROUND if key not in self._schema.names]
        for inner, row, form in ((b"{", types.object, "objects"), (b"[", types.array, "arrays")):
            for key in keys:
                made[key.encode(), True, inner] = _Decoder(_compile(envelope("Rows", (key, list[row]))), key, form)
            made[None, True, inner] = _Decoder(_compile(list[row]), "", form)
        made[None, False, b"{"] = _Decoder(_compile(types.object), "", "objects")
        for key in keys:
            made[key.encode(), False, b"{"] = _Decoder(_compile(envelope("Columns", (key, types.columns))), key, "columns")
        if "columns" not in self._schema.names:
            split = envelope("Split", ("columns", list[str]), ("data", msgspec.Raw), ("index", Any))
            made[b"columns", True, None] = _Decoder(_compile(split), "columns", "split")
        return made

    def read_json(self, body: bytes) -> Call | None:
        match = _SHAPE.match(body)
        if match is None:
            return None
        decoder = self._decoders.get((match[1], match[2] is not None, match[3]))
        if decoder is None:
            return None
        decode, key, form = decoder
        try:
            found = decode(body)
        except FAILS:
            return None
        if not key:
            rows = found if type(found) is list else [found]
            return self.pack_rows(rows, form == "objects", body.count(b'":'))
        rows = getattr(found, key)
        if rows is UNSET or found.params is not UNSET or found.parameters is not UNSET:
            return None
        id: Any = found.id
        keys = 1 if id is UNSET else 2
        if form == "split":
            is_whole = found.data is not UNSET and body.count(b'":') == keys + (1 if found.index is UNSET else 2)
            call = self.read_split(rows, found.data) if is_whole else None
        elif form == "columns":
            call = self.pack_columns(rows, body.count(b'":') - keys)
        else:
            call = self.pack_rows(rows, form == "objects", body.count(b'":') - keys)
        if call is not None and keys == 2:
            call.id = str(id)
        return call

    def read_rows(self, rows: list[Any]) -> Call | None:
        """Rows that are decoded already."""
        is_object = isinstance(rows[0], dict)
        try:
            found = msgspec.convert(rows, list[self._types.object if is_object else self._types.array])
        except FAILS:
            return None
        return self._finite(self.pack_rows(found, is_object, -1))

    def read_columns(self, columns: dict[str, Any]) -> Call | None:
        try:
            found = msgspec.convert(columns, self._types.columns)
        except FAILS:
            return None
        return self._finite(self.pack_columns(found, -1))

    def read_split(self, names: list[str], data: Any) -> Call | None:
        """Rows whose values come in the order of `names`; `data` is JSON (`msgspec.Raw`) or decoded."""
        order = self._order(tuple(names))
        if order is None:
            return None
        row, sort = order
        kind: Any = list[row]
        try:
            rows = msgspec.json.decode(data, type=kind) if isinstance(data, msgspec.Raw) else msgspec.convert(data, kind)
        except FAILS:
            return None
        call = self.pack_rows(rows, False, -1, sort)
        return call if isinstance(data, msgspec.Raw) else self._finite(call)

    def _order(self, names: tuple[str, ...]) -> tuple[Any, Any] | None:
        """The type of a row whose columns come as `names`, and what sorts its values; the last few are remembered."""
        found = self._orders.get(names)
        if found is None:
            places = {name: number for number, name in enumerate(names)}
            own = self._schema.names
            if len(names) != self._width or len(places) != self._width or any(name not in places for name in own):
                return None
            back = [places[name] for name in own]
            row = self._types.array_of([own.index(name) for name in names])
            found = row, None if names == own else itemgetter(*back)
            if len(self._orders) >= _MANY_ORDERS:
                self._orders.clear()
            self._orders[names] = found
        return found

    def _finite(self, call: Call | None) -> Call | None:
        """What was decoded elsewhere may hold NaN; that is looked at with care."""
        if call is None or call.form != "matrix":
            return call
        return call if math.isfinite(sum(memoryview(call.payload).cast("d"))) else None

    def _fits_count(self, count: int) -> bool:
        return count >= self._schema.least_rows and not (self._schema.most_rows and count > self._schema.most_rows)

    def pack_rows(self, rows: list[Any], is_object: bool, fields: int, sort: Any = None) -> Call | None:
        """The call of decoded rows. `fields`: how many names of fields the body seems to have (-1: not known); more than there are is
        one twice."""
        count = len(rows)
        if not self._fits_count(count):
            return None
        found = map(astuple, rows) if sort is None else map(sort, map(astuple, rows))
        if self._is_matrix and not self._checked:
            try:
                packed = b"".join([self._pack(*row) for row in found])  # four times as fast as an array of all values
            except struct.error:  # None or UNSET among them
                found = map(astuple, rows) if sort is None else map(sort, map(astuple, rows))
            else:
                if 0 <= fields != (count * self._width if is_object else 0) or not self._is_whole(memoryview(packed).cast("d")):
                    return None
                return self._packer.matrix(packed, count)
        values: list[Any] = list(found)
        if is_object:
            lacking = sum(row.count(UNSET) for row in values) if self._is_optional else 0
            if 0 <= fields != count * self._width - lacking:
                return None
            if lacking:
                values = [[d if v is UNSET else v for v, d in zip(row, self._defaults, strict=True)] for row in values]
        elif fields > 0 or (self._is_optional and any(None in row for row in values)):
            return None
        for number, fits in self._checked:
            if not all(fits(row[number]) for row in values):
                return None
        return self._packed(values, count)

    def pack_columns(self, columns: Any, fields: int) -> Call | None:
        lists: Sequence[list[Any]] = astuple(columns)
        count = len(lists[0])
        if not self._fits_count(count) or any(len(one) != count for one in lists) or 0 <= fields != self._width:
            return None
        for number, fits in self._checked:
            if not all(map(fits, lists[number])):
                return None
        if not self._is_matrix:
            return self._packed(list(zip(*lists, strict=True)), count)
        packed = array("d", bytes(8 * count * self._width))
        for number, one in enumerate(lists):
            try:
                packed[number :: self._width] = array("d", one)
            except TypeError:
                packed[number :: self._width] = array("d", [_NAN if value is None else value for value in one])
        return self._packer.matrix(packed.tobytes(), count) if self._is_whole(packed) else None

    def _packed(self, values: list[Any], count: int) -> Call | None:
        if not self._is_matrix:
            return self._packer.encoded(values, count)
        packed = array("d", [_NAN if value is None else value for value in chain.from_iterable(values)])
        return self._packer.matrix(packed.tobytes(), count) if self._is_whole(packed) else None

    def _is_whole(self, packed: array[float] | memoryview[float]) -> bool:
        return all(value.is_integer() or value != value for number in self._types.whole for value in packed[number :: self._width])
