"""Named arrays of the Open Inference Protocol <-> numpy."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fairway.data.schema.datatypes import FROM_NUMPY
from fairway.serve.call import Tensor
from fairway.serve.package.misfit import misfit
from fairway.serve.schema.elements import join_strings, split_strings

if TYPE_CHECKING:
    from collections.abc import Sequence

DTYPES = {name: dtype for dtype, name in FROM_NUMPY.items()}


def to_array(tensor: Tensor) -> Any:
    """A numpy array over the tensor's own memory; BYTES become an array of objects: text where it is UTF-8, else bytes."""
    import numpy as np

    if tensor.datatype != "BYTES":
        if tensor.datatype not in DTYPES:
            raise misfit(f"tensor {tensor.name!r}: {tensor.datatype} is not supported", hint=f"one of {', '.join(DTYPES)}, BYTES")
        return np.frombuffer(tensor.data, DTYPES[tensor.datatype]).reshape(tensor.shape)
    pieces = _pieces(tensor.data)
    made = np.empty(len(pieces), object)
    made[:] = pieces
    return made.reshape(tensor.shape)


def of_array(name: str, array: Any) -> Tensor:
    """The tensor of a numpy array; text and objects become BYTES."""
    import numpy as np

    found = np.asarray(array)
    dtype = found.dtype.newbyteorder("<").str
    if dtype in FROM_NUMPY:
        return Tensor(name, FROM_NUMPY[dtype], found.shape, np.ascontiguousarray(found, dtype).tobytes())
    pieces = (value if isinstance(value, bytes) else str(value).encode() for value in found.ravel().tolist())
    return Tensor(name, "BYTES", found.shape, join_strings(pieces))


def as_matrix(given: Sequence[Tensor], names: tuple[str, ...]) -> Any:
    """One matrix of a 2-D tensor, or of one tensor for each column. Raises Refused."""
    import numpy as np

    arrays = [to_array(tensor) for tensor in given]
    for tensor, array in zip(given, arrays, strict=True):
        if array.dtype == object:
            raise misfit(f"tensor {tensor.name!r} holds text, and the model takes numbers", hint="send FP64, FP32 or INT64")
    if len(arrays) == 1 and (arrays[0].ndim >= 2 or len(names) != 1):
        array = arrays[0]
        return array.reshape(1, -1) if array.ndim == 1 else array.reshape(len(array), -1)
    found = {tensor.name: array.reshape(-1) for tensor, array in zip(given, arrays, strict=True)}
    order = [found[name] for name in names] if names and set(names) <= set(found) else list(found.values())
    if len({len(column) for column in order}) > 1:
        told = ", ".join(f"{name!r} {len(column)}" for name, column in list(found.items())[:5])
        raise misfit(f"tensors have different lengths: {told}", hint="give each column one value for each row")
    return np.stack(order, axis=1)


def as_rows(given: Sequence[Tensor]) -> tuple[tuple[str, ...], list[list[Any]]]:
    """Names and rows of tensors that are columns, or of one 2-D tensor (then without names)."""
    arrays = [to_array(tensor) for tensor in given]
    if len(arrays) == 1 and arrays[0].ndim >= 2:
        return (), arrays[0].tolist()
    columns = [array.reshape(-1).tolist() for array in arrays]
    return tuple(tensor.name for tensor in given), [list(row) for row in zip(*columns, strict=False)]


def _pieces(data: bytes | memoryview) -> list[Any]:
    made = list[Any]()
    for piece in split_strings(data):
        try:
            made.append(piece.decode())
        except UnicodeDecodeError:
            made.append(piece)
    return made
