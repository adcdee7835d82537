"""What a model takes and gives: a parsed `schema.json`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

Kind = Literal["columns", "tensors", "value"]
"""What `inputs` are: rows of a table, named arrays, or any one JSON value."""


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a table. `type` is JSON Schema's ("any": not one of them alone); `schema` says all, with references resolved."""

    name: str
    type: str
    datatype: str = ""
    nullable: bool = False
    allows_nan: bool = False
    required: bool = True
    minimum: float | None = None
    maximum: float | None = None
    choices: tuple[Any, ...] = ()
    format: str = ""
    description: str = ""
    default: Any = None
    schema: dict[str, Any] = field(default_factory=dict[str, Any])

    @property
    def is_numeric(self) -> bool:
        return self.type in ("number", "integer", "boolean")


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """One named array. `datatype` is of the Open Inference Protocol (`is_loose`: it was not said, any number of its kind will do);
    -1 in `shape`: any length."""

    name: str
    datatype: str
    shape: tuple[int, ...]
    description: str = ""
    allows_nan: bool = False
    required: bool = True
    is_loose: bool = False
    schema: dict[str, Any] = field(default_factory=dict[str, Any])


@dataclass(frozen=True, slots=True)
class ModelSchema:
    """`document` is JSON Schema 2020-12 of {"inputs": …, "outputs": …}.

    `takes_body`: the request's body itself is what `inputs` describes, without a field "inputs" around it (Azure's scripts).
    """

    document: dict[str, Any]
    kind: Kind
    columns: tuple[Column, ...] = ()
    tensors: tuple[TensorSpec, ...] = ()
    outputs: tuple[Column | TensorSpec, ...] = ()
    examples: tuple[Any, ...] = ()
    takes_body: bool = False
    least_rows: int = 1
    most_rows: int = 0
    allows_more: bool = False

    @property
    def inputs(self) -> dict[str, Any] | bool:
        return self.document["properties"]["inputs"]

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(column.name for column in self.columns)

    @property
    def is_matrix(self) -> bool:
        """Every column is a number, a whole number or a boolean: rows travel as a matrix of <f8."""
        return self.kind == "columns" and bool(self.columns) and all(column.is_numeric for column in self.columns)

    @property
    def is_known(self) -> bool:
        """False: nothing is known of what the model takes."""
        return self.kind != "value" or self.inputs not in ({}, True)


def no_schema() -> ModelSchema:
    """Nothing is known: JSON goes through as it is."""
    return ModelSchema({"$schema": DIALECT, "type": "object", "properties": {"inputs": {}, "outputs": {}}}, "value")


DIALECT = "https://json-schema.org/draft/2020-12/schema"
