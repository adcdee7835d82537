"""A schema found out: from type hints, a table, a model's signature, an example, or Azure's decorators. Each gives a `schema.json`."""

from __future__ import annotations

import inspect
import json
import sys
from collections.abc import Callable, Sequence
from types import ModuleType
from typing import Any

from fairway.data.schema.datatypes import DATATYPES, nested_array
from fairway.data.schema.modelschema import DIALECT
from fairway.data.schema.pointers import ours, with_ours
from fairway.serve.schema.hints import Hints, Untold, hints_of, is_table
from fairway.step.serializers import signatures

Array = tuple[str, str, tuple[int, ...]]
"""Name, datatype ("" where there is no word for it), shape."""


def from_hints(function: Callable[..., Any]) -> dict[str, Any] | None:
    """What a function takes and gives, by its hints; None if they say nothing of it (no hints, `str`, `bytes`, a data frame).

    One parameter that is a list of TypedDicts, dataclasses or the like: rows; several parameters: one row of them.
    """
    hints, parameters = hints_of(function)
    inputs = _of_parameters(hints, parameters)
    if inputs is None:
        return None
    outputs = _of_one(hints["return"]) if "return" in hints else None
    return _document(inputs, outputs)


def _document(inputs: tuple[Any, dict[str, Any]] | None, outputs: tuple[Any, dict[str, Any]] | None) -> dict[str, Any]:
    made: dict[str, Any] = {"$schema": DIALECT, "type": "object", "properties": {}, "required": ["inputs"] if inputs else []}
    definitions: dict[str, Any] = {}
    for side, found in (("inputs", inputs), ("outputs", outputs)):
        if found is not None:
            made["properties"][side], more = found
            definitions.update(more)
    return {**made, "$defs": definitions} if definitions else made


def _of_parameters(hints: dict[str, Any], parameters: list[inspect.Parameter]) -> tuple[Any, dict[str, Any]] | None:
    told = [one for one in parameters if one.name in hints]
    if not told or len(told) < len([one for one in parameters if one.default is inspect.Parameter.empty]):
        return None
    if len(parameters) == 1:
        hint = hints[parameters[0].name]
        if hint in (str, bytes) or is_table(hint):
            return None
        found = _of_one(hint)
        if found is not None and "shape" in ours(found[0]):
            return {"type": "object", "properties": {parameters[0].name: found[0]}, "required": [parameters[0].name]}, found[1]
        return found
    reader = Hints()
    try:
        fields = [(one.name, hints[one.name], one.default is inspect.Parameter.empty, one.default) for one in told]
        return reader.object_of(fields), reader.definitions
    except Untold:
        return None


def _of_one(hint: Any) -> tuple[Any, dict[str, Any]] | None:
    reader = Hints()
    try:
        return reader.schema_of(hint), reader.definitions
    except Untold:
        return None


def from_table(frame: Any, *, outputs: Any = None) -> dict[str, Any]:
    """The columns of a pandas, Polars or Arrow table (or of an array): types, categories, which may be missing."""
    found: dict[str, Any] = {"inputs": signatures.columns_of(frame)}
    if outputs is not None:
        found["outputs"] = signatures.columns_of(outputs)
    return signatures.schema(found) or {"type": "object", "properties": {}}


def from_arrays(inputs: Sequence[Array], outputs: Sequence[Array]) -> dict[str, Any] | None:
    """What a model's file says of its arrays: (name, datatype, shape; -1: any size). Several inputs of one value a row are columns of a
    table. Outputs may hold NaN: nobody has said that they may not. None without inputs, or where the datatype of one is not known."""
    if not inputs or not all(datatype for _, datatype, _ in inputs):
        return None
    names = [name for name, _, _ in inputs]
    if len(inputs) > 1 and all(shape in ((-1,), (-1, 1)) for _, _, shape in inputs):
        cells = {name: {"type": DATATYPES[datatype].type, "x-fairway": {"datatype": datatype}} for name, datatype, _ in inputs}
        taken: dict[str, Any] = {"type": "array", "items": {"type": "object", "properties": cells, "required": names}}
    else:
        taken = {"type": "object", "properties": {name: _of_array(datatype, shape) for name, datatype, shape in inputs}, "required": names}
    given = {name: with_ours(_of_array(datatype, shape), {"nan": True}) for name, datatype, shape in outputs if datatype}
    answer: dict[str, Any] | None = None
    if outputs and len(given) == len(outputs):
        name = outputs[0][0]
        answer = with_ours(given[name], {"name": name}) if len(given) == 1 else {"type": "object", "properties": given}
    return _document((taken, {}), (answer, {}) if answer is not None else None)


def _of_array(datatype: str, shape: tuple[int, ...]) -> dict[str, Any]:
    return nested_array({"type": DATATYPES[datatype].type}, datatype, list(shape))


def from_signature(card: dict[str, Any]) -> dict[str, Any] | None:
    """Of the card of an `fw.Model`, or of an MLmodel file's content; None if it has no signature."""
    signature = card.get("signature")
    if not isinstance(signature, dict):
        return None
    sides = {side: json.loads(said) if isinstance(said, str) else said for side, said in signature.items() if side in ("inputs", "outputs")}
    sides = {side: _of_mlflow(said) if isinstance(said, list) else said for side, said in sides.items() if said}
    if "inputs" not in sides:
        return None
    return {"inputs": sides["inputs"], **({"outputs": sides["outputs"]} if "outputs" in sides else {})}


def _of_mlflow(columns: list[Any]) -> dict[str, Any]:
    """MLflow's lists of columns and tensors by name."""
    made: dict[str, Any] = {}
    for number, one in enumerate(columns):
        about = {key: value for key, value in one.items() if key not in ("name", "required", "type", "tensor-spec")}
        if one.get("type") == "tensor":
            spec = one["tensor-spec"]
            about.update(type=spec["dtype"], shape=list(spec["shape"]))
        else:
            about["type"] = one.get("type", "any")
            if one.get("required") is False:
                about.update(required=False, missing=True)
        if about["type"] in ("array", "object", "map"):
            about = {"type": "any"}
        name = one.get("name") or ("inputs" if one.get("type") == "tensor" and len(columns) == 1 else f"x{number}")
        made[name] = about
    return made


def from_example(value: Any) -> dict[str, Any]:
    """What a request looks like, as JSON or a table; types that differ between rows become what holds both."""
    if hasattr(value, "columns") or hasattr(value, "column_names") or hasattr(value, "dtype"):
        return from_table(value)
    if isinstance(value, dict) and set(value) == {"inputs"}:
        value = value["inputs"]
    if isinstance(value, list) and value and all(isinstance(row, list) for row in value) and _is_flat(value):
        rows = [{f"x{n}": one for n, one in enumerate(row)} for row in value]
        return _document((_schema_of(rows), {}), None)
    return _document((_schema_of(value), {}), None)


def _is_flat(rows: list[list[Any]]) -> bool:
    return len({len(row) for row in rows}) == 1 and not any(isinstance(one, list | dict) for row in rows for one in row)


def _schema_of(value: Any) -> dict[str, Any]:
    if isinstance(value, dict):
        return {
            "type": "object",
            "properties": {str(key): _schema_of(one) for key, one in value.items()},
            "required": list(map(str, value)),
        }
    if isinstance(value, list | tuple):
        made = {"type": "array"}
        items: dict[str, Any] | None = None
        for one in value:
            items = _schema_of(one) if items is None else _merged(items, _schema_of(one))
        return {**made, "items": items} if items else made
    if isinstance(value, bool):
        return {"type": "boolean"}
    if value is None:
        return {"type": "null"}
    return {"type": "integer" if isinstance(value, int) else "number" if isinstance(value, float) else "string"}


def _merged(one: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    """What holds both."""
    if one == other:
        return one
    kinds = list(dict.fromkeys([*_kinds(one), *_kinds(other)]))
    if "number" in kinds and "integer" in kinds:
        kinds.remove("integer")
    made: dict[str, Any] = {"type": kinds[0] if len(kinds) == 1 else kinds}
    if "properties" in one or "properties" in other:
        mine, yours = one.get("properties", {}), other.get("properties", {})
        names = list(dict.fromkeys([*mine, *yours]))
        made["properties"] = {
            name: _merged(mine[name], yours[name]) if name in mine and name in yours else mine.get(name) or yours[name] for name in names
        }
        made["required"] = [name for name in one.get("required", ()) if name in other.get("required", ())]
    if "items" in one and "items" in other:
        made["items"] = _merged(one["items"], other["items"])
    elif "items" in one or "items" in other:
        made["items"] = one.get("items", other.get("items"))
    return made


def _kinds(schema: dict[str, Any]) -> list[str]:
    return schema["type"] if isinstance(schema["type"], list) else [schema["type"]]


def from_azure(module: ModuleType) -> dict[str, Any] | None:
    """The swagger of a script whose `run` has the decorators of `inference-schema`; None if it has none."""
    util = sys.modules.get("inference_schema.schema_util")
    run = getattr(module, "run", None)
    if util is None or run is None or not util.is_schema_decorated(run):
        return None
    takes, gives = util.get_input_schema(run), util.get_output_schema(run)
    needed = [name for name, one in inspect.signature(run).parameters.items() if one.default is inspect.Parameter.empty]
    takes["required"] = [name for name in takes.get("properties", {}) if name in needed]
    return {"swagger": "2.0", "definitions": {"ServiceInput": takes, "ServiceOutput": gives}}
