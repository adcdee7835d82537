"""Results as named tensors, and what the Open Inference Protocol says of a model: shared by its REST and its gRPC form."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from fairway.data.schema.datatypes import DATATYPES, FROM_NUMPY
from fairway.serve.call import Result, Tensor
from fairway.serve.protocols.answers import to_json
from fairway.serve.protocols.serving import Serving
from fairway.serve.refusal import Refused
from fairway.serve.schema.elements import join_strings, to_bytes

EXTENSIONS = ("binary_tensor_data",)
SERVER_NAME = "fairway"


def to_tensors(serving: Serving, result: Result) -> list[Tensor]:
    """The result as the outputs that the metadata names. Raises ValueError for a stream."""
    if result.form == "tensors":
        return list(result.tensors)
    outputs = serving.schema.outputs
    if result.form == "array" and result.dtype in FROM_NUMPY:
        return _split_array(result, [output.name for output in outputs])
    if result.form == "bytes":
        return [Tensor(outputs[0].name if len(outputs) == 1 else "output", "BYTES", (1,), join_strings([bytes(result.payload)]))]
    return _from_json(msgspec.json.decode(to_json(result)), [output.name for output in outputs], result.names)


def _split_array(result: Result, named: list[str]) -> list[Tensor]:
    """One output, or one for each column where the schema names that many."""
    datatype, shape, data = FROM_NUMPY[result.dtype], result.shape or (1,), memoryview(result.payload).cast("B")
    if len(named) > 1 and len(shape) == 2 and shape[1] == len(named):
        size = DATATYPES[datatype].size
        width = size * len(named)
        return [Tensor(name, datatype, (shape[0],), take(data, at * size, size, width)) for at, name in enumerate(named)]
    name = named[0] if len(named) == 1 else result.names[0] if len(result.names) == 1 else "output"
    return [Tensor(name, datatype, shape, data)]


def take(data: memoryview, begins: int, size: int, width: int) -> bytes:
    """Every `width` bytes the `size` bytes from `begins` on."""
    taken = bytearray(len(data) // width * size)
    for at in range(size):
        taken[at::size] = data[begins + at :: width]
    return bytes(taken)


def _from_json(value: Any, named: list[str], names: Sequence[str]) -> list[Tensor]:
    """Lists of numbers, texts or booleans as a tensor, a table as one for each column, anything else as JSON in a BYTES tensor."""
    name = named[0] if len(named) == 1 else names[0] if len(names) == 1 else "output"
    if isinstance(value, list) and value and all(isinstance(row, dict) for row in value):
        columns = list(dict.fromkeys(column for row in value for column in row))
        return [_column(column, [row.get(column) for row in value]) for column in columns]
    if isinstance(value, dict) and value and all(isinstance(column, list) for column in value.values()):
        return [_column(str(column), values) for column, values in value.items()]
    if isinstance(value, dict) and value and len(named) > 1 and set(named) <= set(value):
        return [_column(column, [value[column]]) for column in named]
    return [_column(name, value if isinstance(value, list) else [value])]


def _column(name: str, values: list[Any]) -> Tensor:
    shape, flat = _measure(values)
    kinds = set(map(type, flat))
    if kinds == {bool}:
        return Tensor(name, "BOOL", shape, to_bytes("BOOL", flat))
    if kinds == {int} and all(-(1 << 63) <= value < 1 << 63 for value in flat):
        return Tensor(name, "INT64", shape, to_bytes("INT64", flat))
    if kinds - {type(None)} and kinds <= {int, float, type(None)}:
        return Tensor(name, "FP64", shape, to_bytes("FP64", [float("nan") if v is None else float(v) for v in flat]))
    texts = [value.encode() if isinstance(value, str) else msgspec.json.encode(value) for value in flat]
    return Tensor(name, "BYTES", shape, join_strings(texts))


def _measure(values: list[Any]) -> tuple[tuple[int, ...], list[Any]]:
    """Shape and elements of regular nested lists; of others only the outermost list counts."""
    shape, flat = (len(values),), values
    while flat and all(isinstance(inner, list) and inner and len(inner) == len(flat[0]) for inner in flat):
        shape = (*shape, len(flat[0]))
        flat = [element for inner in flat for element in inner]
    return shape, flat


def pick(tensors: list[Tensor], wanted: Sequence[str]) -> list[Tensor]:
    """Those that were asked for, all if none was. Raises Refused 400 for names that are none."""
    if not wanted:
        return tensors
    known = {tensor.name: tensor for tensor in tensors}
    unknown = [name for name in wanted if name not in known]
    if unknown:
        raise Refused(400, "FW-INPUT", f"there is no output {unknown[0][:80]!r}", hint=f"there is {', '.join(map(repr, known))}")
    return [known[name] for name in wanted]


def describe_inputs(serving: Serving) -> list[dict[str, Any]]:
    """Name, datatype and shape of what the model takes. Where every column is a number of one datatype, the columns are one tensor."""
    schema = serving.schema
    if schema.tensors:
        return [{"name": t.name, "datatype": t.datatype or "FP64", "shape": list(t.shape)} for t in schema.tensors]
    datatypes = {column.datatype for column in schema.columns}
    if schema.columns and len(datatypes) == 1 and schema.is_matrix:
        return [{"name": "inputs", "datatype": datatypes.pop(), "shape": [-1, len(schema.columns)]}]
    return [{"name": column.name, "datatype": column.datatype or "BYTES", "shape": [-1]} for column in schema.columns]


def describe_outputs(serving: Serving) -> list[dict[str, Any]]:
    """Name, datatype and shape of what the model answers."""
    return [
        {"name": output.name, "datatype": output.datatype or "BYTES", "shape": list(getattr(output, "shape", (-1,)))}
        for output in serving.schema.outputs
    ]


def describe_model(serving: Serving) -> dict[str, Any]:
    """The model's metadata as the protocol names it."""
    about: dict[str, Any] = {
        "name": serving.name,
        "versions": [serving.version],
        "platform": f"fairway_{serving.package.kind}",
        "inputs": describe_inputs(serving),
        "outputs": describe_outputs(serving),
    }
    if serving.schema.columns:
        about["properties"] = {"columns": msgspec.json.encode([column.name for column in serving.schema.columns]).decode()}
    return about
