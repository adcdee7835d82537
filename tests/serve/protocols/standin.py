"""A checker for one schema (two columns of numbers), for tests of protocols alone."""

from __future__ import annotations

import array
import csv
import io
import types
from typing import Any

import msgspec

from fairway.serve.call import Call
from fairway.serve.refusal import Fault, Refused


def load_schema(data: Any, where: str) -> Any:
    return types.SimpleNamespace(
        columns=tuple(types.SimpleNamespace(name=n, datatype="FP64") for n in ("age", "income")), tensors=(),
        outputs=(types.SimpleNamespace(name="predictions", datatype="FP64", shape=(-1,)),), is_matrix=True, kind="columns",
    )  # fmt: skip


def no_schema() -> Any:
    return types.SimpleNamespace(columns=(), tensors=(), outputs=(), is_matrix=False, kind="value")


class Checker:
    def __init__(self, schema: Any) -> None:
        self.schema, self.names = schema, tuple(c.name for c in schema.columns)

    def read_json(self, body: bytes) -> Call:
        try:
            value = msgspec.json.decode(body)
        except msgspec.DecodeError as error:
            raise Refused(400, "FW-REQUEST", f"the body is not JSON: {error}") from None
        if self.schema.kind == "value":
            return Call("json", body)
        if isinstance(value, dict):
            value = value.get("inputs", value.get("instances", value.get("data", [value])))
        return self.read_columns(value) if isinstance(value, dict) else self.read_rows(value)

    def read_rows(self, rows: Any) -> Call:
        flat: list[float] = []
        for at, row in enumerate(rows):
            for place, name in enumerate(self.names):
                value = row[name] if isinstance(row, dict) else row[place]
                if not isinstance(value, int | float):
                    raise Refused(422, "FW-INPUT", "the rows do not fit", faults=(Fault(at, name, f"the text {value!r}", "a number"),))
                flat.append(value)
        return Call("matrix", array.array("d", flat).tobytes(), rows=len(rows), names=self.names)

    def read_columns(self, columns: dict[str, Any]) -> Call:
        return self.read_rows(list(zip(*(columns[name] for name in self.names), strict=True)))

    def read_csv(self, body: bytes) -> Call:
        rows = list(csv.DictReader(io.StringIO(body.decode())))
        return self.read_rows([{name: float(value) for name, value in row.items()} for row in rows])

    def read_tensors(self, tensors: Any) -> Call:
        (only,) = tensors
        if self.schema.kind == "value" or only.datatype not in ("FP32", "FP64"):
            return Call("tensors", tensors=tuple(tensors))
        return Call("matrix", only.data, rows=only.shape[0], names=self.names, dtype="<f4" if only.datatype == "FP32" else "<f8")


compile_checker = Checker
