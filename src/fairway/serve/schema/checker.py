"""A schema compiled to check requests: one decode into generated types where they can say it, a careful reading for the rest."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from fairway.data.schema.modelschema import ModelSchema
from fairway.serve.call import Call, Tensor
from fairway.serve.schema import careful
from fairway.serve.schema.anyvalue import ValueChecker
from fairway.serve.schema.arrays import TensorsChecker
from fairway.serve.schema.csvrows import parse_csv
from fairway.serve.schema.fast import FastRows
from fairway.serve.schema.fromtensors import TensorRows
from fairway.serve.schema.packing import Packer
from fairway.serve.schema.rows import RowReader


class Checker(Protocol):
    """Each method gives a checked call, or raises Refused: 400 (no JSON, no CSV, tensors that lie), 415 (not this kind of input), 422 (not
    what the schema says), with its faults; never anything else."""

    schema: ModelSchema

    def read_json(self, body: bytes) -> Call:
        """A request's body, whatever shape the rows come in. `id` and `params` beside them stand in the call."""
        ...

    def read_rows(self, rows: list[Any]) -> Call:
        """Rows that are decoded already, objects or lists."""
        ...

    def read_columns(self, columns: dict[str, list[Any]]) -> Call: ...

    def read_split(self, names: list[str], data: list[Any]) -> Call:
        """Rows as lists whose values come in the order of `names`."""
        ...

    def read_csv(self, body: bytes) -> Call: ...

    def read_tensors(self, tensors: Sequence[Tensor]) -> Call:
        """Arrays of the Open Inference Protocol. One of two dimensions for a matrix is taken over without a copy."""
        ...

    def check_value(self, value: Any) -> None:
        """A decoded body."""
        ...


class ColumnsChecker:
    """Of a table's rows."""

    def __init__(self, schema: ModelSchema) -> None:
        self.schema = schema
        self._careful, self._packer = RowReader(schema), Packer(schema)
        self._tensors = TensorRows(schema, self._careful)
        self._fast: FastRows | None = None
        self._loose: FastRows | None = None
        if not self._careful.has_rules and not self._careful.has_table_rules:
            self._fast = FastRows(schema, self._careful, self._packer, is_loose=False)
            if schema.is_matrix and any(column.type == "integer" for column in schema.columns):
                self._loose = FastRows(schema, self._careful, self._packer, is_loose=True)

    def read_json(self, body: bytes) -> Call:
        if self._fast is not None:
            call = self._fast.read_json(body)
            if call is not None:
                return call
        if self._loose is not None:
            call = self._loose.read_json(body)
            if call is not None:
                return call
        return self._read(careful.decode(body))

    def _read(self, value: Any) -> Call:
        found = self._careful.read(value)
        call = self._packer.pack(found.rows)
        call.id, call.params = found.id, found.params
        return call

    def read_rows(self, rows: list[Any]) -> Call:
        call = self._fast.read_rows(rows) if self._fast is not None and rows else None
        return call if call is not None else self._packer.pack(self._careful.check(rows))

    def read_columns(self, columns: dict[str, list[Any]]) -> Call:
        call = self._fast.read_columns(columns) if self._fast is not None and columns else None
        return call if call is not None else self._packer.pack(self._careful.check_columns(columns))

    def read_split(self, names: list[str], data: list[Any]) -> Call:
        call = self._fast.read_split(names, data) if self._fast is not None and all(type(name) is str for name in names) else None
        return call if call is not None else self._packer.pack(self._careful.check_split(names, data))

    def read_csv(self, body: bytes) -> Call:
        return self.read_columns(parse_csv(body, self.schema))

    def read_tensors(self, tensors: Sequence[Tensor]) -> Call:
        found = self._tensors.read(tensors)
        return found if isinstance(found, Call) else self.read_columns(found)

    def check_value(self, value: Any) -> None:
        self._careful.read(value)


def compile_checker(schema: ModelSchema) -> Checker:
    """The checker of a schema."""
    if schema.kind == "columns":
        return ColumnsChecker(schema)
    return TensorsChecker(schema) if schema.kind == "tensors" else ValueChecker(schema)
