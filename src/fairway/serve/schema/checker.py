"""A schema compiled to check requests: one decode into generated types where they can say it, a careful reading for the rest."""

from __future__ import annotations

import math
import re
from array import array
from collections.abc import Callable, Sequence
from itertools import chain
from typing import Any, Protocol

import msgspec
from msgspec.structs import astuple

from fairway.serve.call import Call, Tensor
from fairway.serve.refusal import Refused
from fairway.serve.schema import careful
from fairway.serve.schema.model import ModelSchema
from fairway.serve.schema.msgtypes import RowTypes, envelope
from fairway.serve.schema.packing import Packer
from fairway.serve.schema.rows import AROUND, RowReader

UNSET = msgspec.UNSET
_SHAPE = re.compile(rb'\s*(?:\{\s*"(inputs|data|instances)"\s*:\s*)?(\[\s*)?([\[{])?')
_FAILS = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)


class Checker(Protocol):
    """Each method gives a checked call, or raises Refused (400 no JSON, 422 not what the schema says) with its faults."""

    schema: ModelSchema

    def read_json(self, body: bytes) -> Call: ...
    def read_rows(self, rows: list[Any]) -> Call: ...
    def read_columns(self, columns: dict[str, list[Any]]) -> Call: ...
    def read_csv(self, body: bytes) -> Call: ...
    def read_tensors(self, tensors: Sequence[Tensor]) -> Call: ...
    def check_value(self, value: Any) -> None: ...


class ColumnsChecker:
    """Of a table's rows."""

    def __init__(self, schema: ModelSchema) -> None:
        self.schema = schema
        self.careful, self._packer = RowReader(schema), Packer(schema)
        self._types = RowTypes(schema.columns, schema.is_matrix, not schema.allows_more)
        self._is_plain = not self.careful.has_rules and not self.careful.has_table_rules
        self._checked = (
            ()
            if not self._is_plain
            else tuple(
                (number, check.fits) for number, check in enumerate(self.careful.checks) if not self._types.exact or check.column.format
            )
        )
        self._defaults = tuple(column.default for column in schema.columns)
        self._decoders = self._compile() if self._is_plain else {}

    def _compile(self) -> dict[tuple[bytes | None, bool, bytes | None], tuple[Callable[[bytes], Any], str, bool]]:
        """By the body's first characters: (key around, a list follows, what it begins with) → (decode, key, rows are objects)."""
        types, taken = self._types, set(self.schema.names)
        made: dict[tuple[bytes | None, bool, bytes | None], tuple[Callable[[bytes], Any], str, bool]] = {}
        keys = [key for key in AROUND if key not in taken]
        for inner, row, is_object in ((b"{", types.object, True), (b"[", types.array, False)):
            decode = msgspec.json.Decoder(envelope("Envelope", *((key, list[row]) for key in keys))).decode
            made.update({(key.encode(), True, inner): (decode, key, is_object) for key in keys})
            made[None, True, inner] = (msgspec.json.Decoder(list[row]).decode, "", is_object)
        made[None, False, b"{"] = (msgspec.json.Decoder(types.object).decode, "", True)
        return made

    def read_json(self, body: bytes) -> Call:
        match = _SHAPE.match(body)
        way = self._decoders.get((match[1], match[2] is not None, match[3])) if match is not None else None
        if way is not None:
            decode, key, is_object = way
            try:
                found = decode(body)
            except _FAILS:
                return self._read_carefully(body)
            keys, id = 0, ""
            if key:
                whole, found = found, getattr(found, key)
                keys = 1
                if whole.id is not UNSET:
                    keys, id = 2, whole.id
                if found is UNSET or whole.params is not UNSET or whole.parameters is not UNSET:
                    return self._read_carefully(body)
            rows = found if type(found) is list else [found]
            call = self._pack(rows, is_object, body.count(b'":') - keys)
            if call is not None:
                call.id = id
                return call
        return self._read_carefully(body)

    def _pack(self, rows: list[Any], is_object: bool, fields: int) -> Call | None:
        """The call of decoded rows; None if a careful reading must decide. `fields`: how many the body seems to have (-1: not known);
        one more than there are is one twice."""
        count, width = len(rows), len(self._defaults)
        schema = self.schema
        if count < schema.least_rows or (schema.most_rows and count > schema.most_rows):
            return None
        if not self._checked and self._packer.is_matrix:
            try:
                packed = array("d", chain.from_iterable(map(astuple, rows)))
            except TypeError:  # None or UNSET among them
                pass
            else:
                if is_object and 0 <= fields != count * width:
                    return None
                return self._packer.matrix(packed.tobytes(), count)
        values: list[Any] = [astuple(row) for row in rows]
        if is_object:
            lacking = sum(row.count(UNSET) for row in values)
            if lacking:
                values = [[d if v is UNSET else v for v, d in zip(row, self._defaults, strict=True)] for row in values]
            if 0 <= fields != count * width - lacking:
                return None
        elif self._is_optional:
            return None
        for number, fits in self._checked:
            for row in values:
                if not fits(row[number]):
                    return None
        return self._packer.pack(values) if self._packer.is_matrix else self._packer.encoded(values, count)

    @property
    def _is_optional(self) -> bool:
        return any(not column.required for column in self.schema.columns)

    def _read_carefully(self, body: bytes) -> Call:
        return self._careful(careful.decode(body))

    def _careful(self, value: Any) -> Call:
        rows = self.careful.read(value)
        call = self._packer.pack(rows.values)
        call.id, call.params = rows.id, rows.params
        return call

    def read_rows(self, rows: list[Any]) -> Call:
        """Rows that are decoded already, as objects or lists."""
        if rows and self._is_plain:
            is_object = isinstance(rows[0], dict)
            try:
                found = msgspec.convert(rows, list[self._types.object if is_object else self._types.array])
            except _FAILS:
                found = []
            call = self._pack(found, is_object, -1) if found else None
            if call is not None and not (call.form == "matrix" and not math.isfinite(sum(memoryview(call.payload).cast("d")))):
                return call
        return self._packer.pack(self.careful.check(rows))

    def read_columns(self, columns: dict[str, list[Any]]) -> Call:
        return self._careful({"inputs": columns})

    def read_csv(self, body: bytes) -> Call:
        raise Refused(415, "FW-UNSUPPORTED", "CSV is not read yet")

    def read_tensors(self, tensors: Sequence[Tensor]) -> Call:
        raise Refused(415, "FW-UNSUPPORTED", "tensors are not read yet")

    def check_value(self, value: Any) -> None:
        self.careful.read(value)


class ValueChecker:
    """Of any one JSON value."""

    def __init__(self, schema: ModelSchema) -> None:
        self.schema = schema

    def read_json(self, body: bytes) -> Call:
        try:
            msgspec.json.decode(body)
        except _FAILS:
            careful.decode(body)
        return Call("json", body)

    def read_rows(self, rows: list[Any]) -> Call:
        self.check_value(rows)
        return Call("json", msgspec.json.encode(rows))

    def read_columns(self, columns: dict[str, list[Any]]) -> Call:
        self.check_value(columns)
        return Call("json", msgspec.json.encode(columns))

    def read_csv(self, body: bytes) -> Call:
        raise Refused(415, "FW-UNSUPPORTED", "the model takes JSON, not a table")

    def read_tensors(self, tensors: Sequence[Tensor]) -> Call:
        return Call("tensors", tensors=tuple(tensors))

    def check_value(self, value: Any) -> None:
        return


def compile_checker(schema: ModelSchema) -> Checker:
    """The checker of a schema."""
    return ColumnsChecker(schema) if schema.kind == "columns" else ValueChecker(schema)
