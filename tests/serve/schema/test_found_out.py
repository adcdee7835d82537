"""Schemas found out: from hints, tables, signatures, examples."""

from __future__ import annotations

import datetime
import enum
from dataclasses import dataclass
from types import ModuleType
from typing import Annotated, Any, Literal, NewType, NotRequired, TypedDict

import msgspec
import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pytest

from fairway.serve.schema import compile_checker, load_schema
from fairway.serve.schema.infer import from_azure, from_example, from_hints, from_signature, from_table
from fairway.step.serializers import signatures


class Row(TypedDict):
    age: Annotated[int, msgspec.Meta(ge=0, le=120)]
    job: Literal["clerk", "cook"]
    income: float | None
    since: NotRequired[datetime.date]


@dataclass
class Wine:
    alcohol: float
    colour: str = "red"


class Size(enum.Enum):
    SMALL = "s"
    LARGE = "l"


Euro = NewType("Euro", float)


def test_rows_by_a_typed_dict() -> None:
    def run(rows: list[Row]) -> list[float]: ...

    schema = load_schema(from_hints(run))
    assert schema.kind == "columns"
    found = {column.name: (column.type, column.nullable, column.required) for column in schema.columns}
    assert found == {
        "age": ("integer", False, True),
        "job": ("string", False, True),
        "income": ("number", True, True),
        "since": ("string", False, False),
    }
    assert (schema.columns[0].maximum, schema.columns[1].choices, schema.columns[3].format) == (120, ("clerk", "cook"), "date")
    call = compile_checker(schema).read_json(b'{"inputs": [{"age": 3, "job": "cook", "income": null}]}')
    assert msgspec.msgpack.decode(call.payload) == [[3, "cook", None, None]]


def test_rows_by_a_dataclass_keep_defaults() -> None:
    def run(rows: list[Wine]) -> list[str]: ...

    schema = load_schema(from_hints(run))
    call = compile_checker(schema).read_json(b'{"inputs": [{"alcohol": 12}]}')
    assert msgspec.msgpack.decode(call.payload) == [[12.0, "red"]]


def test_several_parameters_are_a_row() -> None:
    def run(price: Euro, size: Size, tags: list[str], when: datetime.datetime | None = None, n: int = 3) -> dict[str, float]: ...

    schema = load_schema(from_hints(run))
    assert schema.names == ("price", "size", "tags", "when", "n")
    assert [column.required for column in schema.columns] == [True, True, True, False, False]
    assert schema.columns[1].choices == ("s", "l")
    assert schema.columns[3].nullable
    assert schema.columns[4].default == 3


def test_arrays_by_their_datatype_and_shape() -> None:
    def run(image: Annotated[npt.NDArray[np.float32], (None, 28, 28)]) -> Annotated[np.ndarray, "int64", (None,)]: ...

    schema = load_schema(from_hints(run))
    (spec,) = schema.tensors
    assert (spec.name, spec.datatype, spec.shape) == ("image", "FP32", (-1, 28, 28))
    (output,) = schema.outputs
    assert (output.datatype, getattr(output, "shape", ())) == ("INT64", (-1,))


def test_hints_that_say_nothing_of_a_request() -> None:
    def raw(data: str) -> str: ...
    def body(data: bytes): ...
    def frame(data: pd.DataFrame) -> list[float]: ...
    def bare(data): ...
    def array(data: np.ndarray) -> np.ndarray: ...

    assert [from_hints(one) for one in (raw, body, frame, bare, array)] == [None] * 5


def test_a_pandas_table() -> None:
    frame = pd.DataFrame(
        {
            "age": [1, 2],
            "x": [1.5, None],
            "small": np.array([1, 2], dtype="float32"),
            "job": pd.Categorical(["a", "b"]),
            "n": pd.array([1, None], dtype="Int64"),
            "when": pd.to_datetime(["2020-01-01", "2020-01-02"]),
            "name": ["x", "y"],
            "ok": [True, False],
        }
    )
    schema = load_schema(from_table(frame))
    found = {column.name: (column.type, column.datatype, column.nullable) for column in schema.columns}
    assert found == {
        "age": ("integer", "INT64", False),
        "x": ("number", "FP64", True),
        "small": ("number", "FP32", False),
        "job": ("string", "BYTES", False),
        "n": ("integer", "INT64", True),
        "when": ("string", "BYTES", False),
        "name": ("string", "BYTES", False),
        "ok": ("boolean", "BOOL", False),
    }
    assert schema.columns[3].choices == ("a", "b")
    rows = signatures.example_rows(frame)
    assert compile_checker(schema).read_rows(rows or []).rows == 2


def test_an_arrow_table() -> None:
    table = pa.table(
        {
            "a": [1, None],
            "b": pa.array(["x", "y"]).dictionary_encode(),
            "c": pa.array([1.0, 2.0], pa.float32()),
            "d": pa.array([datetime.date(2020, 1, 1)] * 2),
            "e": [[1], [2]],
        }
    )
    schema = load_schema(from_table(table))
    found = {column.name: (column.type, column.nullable, column.format) for column in schema.columns}
    assert found == {
        "a": ("integer", True, ""),
        "b": ("string", False, ""),
        "c": ("number", False, ""),
        "d": ("string", False, "date"),
        "e": ("any", True, ""),
    }
    rows = signatures.example_rows(table)
    assert compile_checker(schema).read_rows(rows or []).rows == 2


def test_an_array_is_columns_or_a_tensor() -> None:
    assert load_schema(from_table(np.zeros((3, 2)))).names == ("x0", "x1")
    (spec,) = load_schema(from_table(np.zeros((3, 4, 5), dtype="uint8"))).tensors
    assert (spec.name, spec.datatype, spec.shape) == ("x", "UINT8", (-1, 4, 5))


@pytest.mark.parametrize(
    ("example", "kind", "names"),
    [
        ([{"a": 1, "b": "x"}, {"a": 1.5, "b": None}], "columns", ("a", "b")),
        ({"inputs": [{"a": 1}, {"a": 2, "c": True}]}, "columns", ("a", "c")),
        ([[1, 2.5], [2, 3]], "columns", ("x0", "x1")),
        ({"a": 1, "b": "x"}, "columns", ("a", "b")),
        ({"image": [[0.5, 1.0]]}, "tensors", ()),
        ("some text", "value", ()),
        (None, "value", ()),
    ],
)
def test_an_example_keeps_to_what_is_found_in_it(example: Any, kind: str, names: tuple[str, ...]) -> None:
    schema = load_schema(from_example(example))
    assert (schema.kind, schema.names) == (kind, names)
    compile_checker(schema).read_json(msgspec.json.encode(example))


def test_rows_that_differ_in_an_example() -> None:
    a, b, c = load_schema(from_example([{"a": 1, "b": "x"}, {"a": 1.5, "b": None, "c": 2}])).columns
    assert (a.type, a.nullable, a.required) == ("number", False, True)
    assert (b.type, b.nullable, b.required) == ("string", True, True)
    assert (c.type, c.nullable, c.required) == ("integer", False, False)


def test_the_card_of_a_model_and_an_mlmodel_file() -> None:
    schema = load_schema(
        from_signature(
            {
                "signature": {
                    "inputs": {"a": {"type": "float64"}, "b": {"type": "category", "categories": ["x"]}},
                    "outputs": {"p": {"type": "int64"}},
                }
            }
        )
    )
    assert (schema.names, schema.outputs[0].name) == (("a", "b"), "p")
    mlflow = {
        "inputs": '[{"type": "double", "name": "a"}, {"type": "long", "name": "n", "required": false}]',
        "outputs": '[{"type": "tensor", "tensor-spec": {"dtype": "float64", "shape": [-1]}}]',
    }
    schema = load_schema(from_signature({"signature": mlflow}))
    assert [(column.name, column.type, column.required, column.nullable) for column in schema.columns] == [
        ("a", "number", True, False),
        ("n", "integer", False, True),
    ]
    tensors = {"inputs": '[{"type": "tensor", "tensor-spec": {"dtype": "float32", "shape": [-1, 3]}}]'}
    assert load_schema(from_signature({"signature": tensors})).tensors[0].shape == (-1, 3)
    assert from_signature({}) is None


def test_a_script_without_azures_decorators_says_nothing() -> None:
    module = ModuleType("score")
    module.run = lambda data: data  # type: ignore[attr-defined]
    assert from_azure(module) is None
