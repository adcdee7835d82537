"""Requests of any one JSON value, checked against its schema, or only for being JSON."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from fairway.data.schema.modelschema import ModelSchema
from fairway.data.schema.pointers import expanded
from fairway.serve.call import Call, Tensor
from fairway.serve.refusal import Fault, Refused
from fairway.serve.schema import careful
from fairway.serve.schema import tensors as packed
from fairway.serve.schema.csvrows import parse_csv
from fairway.serve.schema.elements import nest
from fairway.serve.schema.fast import FAILS
from fairway.serve.schema.faults import refusal, refuse_oddities
from fairway.serve.schema.fromtensors import check_names
from fairway.serve.schema.msgtypes import type_of_value
from fairway.serve.schema.rules import faults_of, validator_of
from fairway.serve.schema.shapes import BESIDE, parameters_of

_encode = msgspec.json.Encoder().encode


class ValueChecker:
    """Of any one JSON value. Nothing is around it, or {"inputs": …} where the schema does not say that this is the body itself."""

    def __init__(self, schema: ModelSchema) -> None:
        self.schema = schema
        self._rules: Any = None
        self._look: Callable[[bytes], Any] | None = None
        if schema.is_known:
            self._rules = validator_of(schema).evolve(schema=schema.inputs)
        said = schema.inputs.get("properties") if isinstance(schema.inputs, dict) else None
        self._unwraps = schema.is_known and not schema.takes_body and not (isinstance(said, dict) and "inputs" in said)
        if schema.is_known and not self._unwraps:
            kind = type_of_value(expanded(schema.inputs, schema.document, ""))
            self._look = None if kind is None or kind is Any else msgspec.json.Decoder(kind).decode

    def read_json(self, body: bytes) -> Call:
        if self._look is not None:
            try:
                self._look(body)
            except FAILS:
                pass
            else:
                return Call("json", body)
        try:
            value = msgspec.json.decode(body)
        except FAILS:
            value = careful.decode(body)
            refuse_oddities(value)
        if self._rules is None:
            return Call("json", body)
        if self._unwraps and isinstance(value, dict) and "inputs" in value and all(key == "inputs" or key in BESIDE for key in value):
            id, params = parameters_of(value)
            self.check_value(value["inputs"])
            call = Call("json", self._encoded(value["inputs"]))
            call.id, call.params = id, params
            return call
        self.check_value(value)
        return Call("json", body)

    def check_value(self, value: Any) -> None:
        """Refused (422) unless it keeps to the schema."""
        if self._rules is None:
            return
        try:
            faults = faults_of(self._rules.iter_errors(value))
        except RecursionError:
            faults = [Fault(row=-1, field="", came="a value nested too deeply", expected="at most some hundred levels")]
        if faults:
            raise refusal(faults)

    def read_rows(self, rows: list[Any]) -> Call:
        return self._of_value(rows)

    def read_columns(self, columns: dict[str, list[Any]]) -> Call:
        return self._of_value(columns)

    def read_split(self, names: list[str], data: list[Any]) -> Call:
        return self._of_value({"columns": names, "data": data})

    def read_csv(self, body: bytes) -> Call:
        """Rows as objects; refused where the schema says that no table is taken."""
        columns = parse_csv(body, self.schema)
        return self._of_value([dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)])

    def read_tensors(self, tensors: Sequence[Tensor]) -> Call:
        """As they are where nothing is known; else their values by name keep to the schema."""
        check_names(tensors)
        for tensor in tensors:
            packed.check_size(tensor)
        if self._rules is not None:
            self.check_value({tensor.name: nest(packed.unpack(tensor), tensor.shape) for tensor in tensors})
        sizes = {tensor.shape[0] if tensor.shape else 0 for tensor in tensors}
        rows = sizes.pop() if len(sizes) == 1 else 0
        return Call("tensors", rows=rows, names=tuple(tensor.name for tensor in tensors), tensors=tuple(tensors))

    def _of_value(self, value: Any) -> Call:
        refuse_oddities(value)
        self.check_value(value)
        return Call("json", self._encoded(value))

    def _encoded(self, value: Any) -> bytes:
        try:
            return _encode(value)
        except (TypeError, RecursionError, OverflowError, UnicodeEncodeError) as error:
            raise Refused(422, "FW-INPUT", f"the value is no JSON: {str(error)[:120]}") from None
