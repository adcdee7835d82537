"""Rows that come as arrays of the Open Inference Protocol: one matrix for all columns, or one array a column."""

from __future__ import annotations

import math
from array import array
from collections.abc import Sequence
from typing import Any

from fairway.data.schema.datatypes import DATATYPES
from fairway.data.schema.modelschema import Column, ModelSchema
from fairway.serve.call import Call, Tensor
from fairway.serve.refusal import Fault
from fairway.serve.schema import tensors as packed
from fairway.serve.schema.faults import MOST_FAULTS, refusal, wrong
from fairway.serve.schema.rows import RowReader

_KEPT = {"FP64": "<f8", "FP32": "<f4", "INT64": "<i8"}
_BOUNDS = ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum")


class TensorRows:
    """Reads a table's rows from tensors."""

    def __init__(self, schema: ModelSchema, careful: RowReader) -> None:
        self._schema, self._checks = schema, careful.checks
        self._bounded = tuple((n, check) for n, check in enumerate(careful.checks) if _has_limits(check.column))
        self._whole = frozenset(n for n, check in enumerate(careful.checks) if check.column.type == "integer")
        self._may_lack = tuple(column.allows_nan or column.nullable or not column.required for column in schema.columns)
        self.has_rules = careful.has_rules or careful.has_table_rules

    def read(self, tensors: Sequence[Tensor]) -> Call | dict[str, list[Any]]:
        """The call, or the columns' values where only a careful check of them can tell."""
        schema = self._schema
        check_names(tensors)
        for tensor in tensors:
            packed.check_size(tensor)
        names = set(schema.names)
        if len(tensors) == 1 and len(tensors[0].shape) == 2 and (tensors[0].name not in names or len(names) == 1):
            only = tensors[0]
            self._check_width(only)
            if schema.is_matrix and DATATYPES[only.datatype].size and not self.has_rules:
                return self._matrix(only)
            flat = self._values(only, -1)
            return {name: flat[number :: len(schema.names)] for number, name in enumerate(schema.names)}
        if len(tensors) == 1 and tensors[0].name not in names:
            raise wrong(f"the shape {list(tensors[0].shape)}", f"[rows, {len(names)}]", field=tensors[0].name)
        return self._by_column(tensors)

    def _check_width(self, tensor: Tensor) -> None:
        rows, width = tensor.shape
        wanted = len(self._schema.columns)
        if width != wanted:
            raise wrong(f"the shape {[rows, width]}", f"[rows, {wanted}], as there are columns", field=tensor.name)
        self._check_rows(tensor, rows)

    def _check_rows(self, tensor: Tensor, rows: int) -> None:
        low, high = self._schema.least_rows, self._schema.most_rows
        if rows < low or (high and rows > high):
            raise wrong(f"{rows} rows" if rows else "no rows", f"at least {low}" + (f", at most {high}" if high else ""), field=tensor.name)

    def _matrix(self, tensor: Tensor) -> Call:
        is_finite = packed.is_finite(tensor)
        width = len(self._checks)
        if not is_finite:
            self._refuse_nan(packed.numbers(tensor), width)
        is_float = DATATYPES[tensor.datatype].type == "number"
        if self._bounded or (is_float and self._whole):
            self._check_columns(packed.numbers(tensor), width, is_float, is_finite)
        kept = _KEPT.get(tensor.datatype)
        if kept is not None:
            return self._call(tensor.data, kept, tensor.shape[0])
        if tensor.datatype in ("FP16", "BF16"):
            return self._call(array("f", packed.numbers(tensor)).tobytes(), "<f4", tensor.shape[0])
        if tensor.datatype in ("UINT64", "BOOL"):
            return self._call(array("d", packed.numbers(tensor)).tobytes(), "<f8", tensor.shape[0])
        return self._call(array("q", packed.numbers(tensor)).tobytes(), "<i8", tensor.shape[0])

    def _call(self, payload: bytes | memoryview, dtype: str, rows: int) -> Call:
        return Call("matrix", payload, rows=rows, names=self._schema.names, dtype=dtype)

    def _refuse_nan(self, values: Any, width: int) -> None:
        faults: list[Fault] = []
        for at, value in enumerate(values):
            if math.isfinite(value):
                continue
            row, number = divmod(at, width)
            column = self._schema.columns[number]
            if column.allows_nan or (value != value and self._may_lack[number]):
                continue
            faults.append(
                Fault(row=row, field=column.name, came="NaN" if value != value else "infinity", expected=self._checks[number].expected)
            )
            if len(faults) >= MOST_FAULTS:
                break
        if faults:
            raise refusal(faults)

    def _check_columns(self, values: Any, width: int, is_float: bool, is_finite: bool) -> None:
        faults: list[Fault] = []
        bounded = dict(self._bounded)
        for number in sorted({*bounded, *(self._whole if is_float else ())}):
            column = values[number::width]
            check = bounded.get(number)
            if check is not None and is_finite and _is_within(column, check.column) and not (is_float and number in self._whole):
                continue
            check = check or self._checks[number]
            for row, value in enumerate(column):
                if value != value:
                    continue
                if not check.fits(bool(value) if check.column.type == "boolean" and value in (0, 1) else value):
                    faults.append(Fault(row=row, field=check.column.name, came=f"the number {value!r}", expected=check.expected))
                    if len(faults) >= MOST_FAULTS:
                        raise refusal(faults)
        if faults:
            raise refusal(faults)

    def _values(self, tensor: Tensor, number: int) -> list[Any]:
        """As Python has them; NaN is what a tensor has for a missing number."""
        values = packed.unpack(tensor)
        if DATATYPES[tensor.datatype].type != "number" or packed.is_finite(tensor):
            return values
        width = len(self._may_lack)
        lack = [column.nullable or not column.required for column in self._schema.columns]
        return [None if value != value and lack[number if number >= 0 else at % width] else value for at, value in enumerate(values)]

    def _by_column(self, tensors: Sequence[Tensor]) -> dict[str, list[Any]]:
        places = {column.name: number for number, column in enumerate(self._schema.columns)}
        made: dict[str, list[Any]] = {}
        rows = tensors[0].shape[0] if tensors and tensors[0].shape else 0
        for tensor in tensors:
            shape = tensor.shape
            if len(shape) != 1 and not (len(shape) == 2 and shape[1] == 1):
                raise wrong(f"the shape {list(shape)}", "[rows] or [rows, 1]", field=tensor.name)
            if shape[0] != rows:
                raise wrong(f"{shape[0]} rows", f"{rows}, as {tensors[0].name!r} has", field=tensor.name)
            self._check_rows(tensor, rows)
            made[tensor.name] = self._values(tensor, places[tensor.name]) if tensor.name in places else packed.unpack(tensor)
        return made


def check_names(tensors: Sequence[Tensor]) -> None:
    """Refused where there is none, or two have one name."""
    seen: set[str] = set()
    for tensor in tensors:
        if tensor.name in seen:
            raise packed.bad_tensor(tensor.name, "the tensor twice", "it once")
        seen.add(tensor.name)
    if not tensors:
        raise packed.bad_tensor("", "no tensors", "at least one")


def _has_limits(column: Column) -> bool:
    return any(key in column.schema for key in (*_BOUNDS, "multipleOf", "enum", "const")) or column.type == "boolean"


def _is_within(values: Any, column: Column) -> bool:
    """Quickly, where bounds are all there is to keep to."""
    schema = column.schema
    if "multipleOf" in schema or "enum" in schema or "const" in schema:
        return False
    low, high = min(values), max(values)
    if column.type == "boolean":
        return low >= 0 and high <= 1 and set(values) <= {0, 1}
    return (
        low >= schema.get("minimum", low)
        and high <= schema.get("maximum", high)
        and not low <= schema.get("exclusiveMinimum", -math.inf)
        and not high >= schema.get("exclusiveMaximum", math.inf)
    )
