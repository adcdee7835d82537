"""Checked rows as bytes: a matrix of <f8, or MessagePack."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from itertools import chain
from typing import Any

import msgspec

from fairway.data.schema.modelschema import ModelSchema
from fairway.serve.call import Call
from fairway.serve.schema.faults import wrong
from fairway.serve.schema.msgtypes import EXACT_WHOLE

_NAN = float("nan")
_encode = msgspec.msgpack.Encoder().encode


class Packer:
    """Rows of one schema, packed."""

    def __init__(self, schema: ModelSchema) -> None:
        self.names, self.is_matrix = schema.names, schema.is_matrix
        self._whole = tuple(number for number, column in enumerate(schema.columns) if column.type == "integer")

    def pack(self, rows: Sequence[Sequence[Any]]) -> Call:
        """Rows of values, None where one is missing. A whole number that <f8 has not goes as MessagePack."""
        if self.is_matrix:
            flat = list(chain.from_iterable(rows))
            if not any(type(value) is int and not -EXACT_WHOLE <= value <= EXACT_WHOLE for value in flat):
                return self.matrix(array("d", [_NAN if value is None else value for value in flat]).tobytes(), len(rows))
            width = len(self.names)
            whole = set(self._whole)  # in the other columns numbers are <f8 as in every other call
            rows = [
                [v if v is None else int(v) if n in whole else float(v) for n, v in enumerate(flat[at : at + width])]
                for at in range(0, len(flat), width)
            ]
        return self.encoded(rows, len(rows))

    def matrix(self, payload: bytes, rows: int) -> Call:
        return Call("matrix", payload, rows=rows, names=self.names)

    def encoded(self, rows: Any, count: int) -> Call:

        try:
            payload = _encode(rows)
        except (OverflowError, UnicodeEncodeError, RecursionError) as error:
            expected = (
                "nesting of at most some hundred levels"
                if isinstance(error, RecursionError)
                else "whole numbers of at most 64 bits, and text"
            )
            raise wrong(str(error)[:80], expected) from None
        return Call("rows", payload, rows=count, names=self.names)
