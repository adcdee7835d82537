"""From whatever a model returned to one result for each call.

A number that JSON cannot say (NaN, an infinity) becomes null, unless the schema's outputs say that null is not allowed there: then the
call fails with an error that names the row, because a caller who relies on the schema must not meet a null.
"""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

import msgspec

from fairway.serve.call import Result, failed
from fairway.serve.package import plain, tensors

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Sequence

    from fairway.serve.call import Call, Tensor

CODE = "FW-ANSWER"
_LEAST_STATUS, _MOST_STATUS = 200, 599
_encode = msgspec.json.Encoder(enc_hook=plain.to_plain).encode


def to_results(
    value: Any, calls: Sequence[Call], schema: Any = None, names: tuple[str, ...] = (), called: str = "the model"
) -> list[Result]:
    """One result for each call, in order; never raises: what cannot be sent or has the wrong number of rows is a result "error".

    `names` are of the columns of an array that has two axes. Of several calls the value's rows are dealt out in order.
    """
    try:
        value = _unwrapped(value)
        if len(calls) == 1:
            whole = _to_result(value, names)
            return [_check_rows(whole, calls[0], called) or _checked(whole, schema, called)]
        parts = _dealt(value, [call.rows for call in calls])
        if parts is None:
            wrong = f"{called} gave {_counted(value)} for {sum(call.rows for call in calls)} rows"
            return [failed(500, CODE, wrong) for _ in calls]
        return [_checked(_to_result(part, names), schema, called) for part in parts]
    except Exception as problem:  # noqa: BLE001 - a returned value may have any code behind its attributes
        return [failed(500, CODE, f"{called} returned what cannot be sent: {type(problem).__name__}: {problem}"[:500]) for _ in calls]


class Chunks:
    """What a generator yields, as results: to be iterated the way the generator is (`is_async`)."""

    def __init__(self, generator: Any) -> None:
        self._generator = generator
        self.is_async = hasattr(generator, "__anext__")

    def __iter__(self) -> Iterator[Result]:
        """Raises what the generator raises."""
        return (_to_result(_unwrapped(piece), (), piecewise=True) for piece in self._generator)

    async def __aiter__(self) -> AsyncIterator[Result]:
        if self.is_async:
            async for piece in self._generator:
                yield _to_result(_unwrapped(piece), (), piecewise=True)
        else:
            for result in self:
                yield result

    def close(self) -> None:
        """The caller has left: let the generator clean up."""
        if not self.is_async:
            self._generator.close()


def _unwrapped(value: Any) -> Any:
    """Tensors of torch and TensorFlow, series and sparse matrices as numpy arrays."""
    kind = type(value)
    module = kind.__module__.partition(".")[0]
    if module == "torch" and hasattr(value, "detach"):
        made = value.detach().cpu()
        return (made.float() if str(made.dtype) == "torch.bfloat16" else made).numpy()
    if module in ("tensorflow", "jaxlib", "jax", "cupy") and hasattr(value, "__array__"):
        import numpy as np

        return np.asarray(value)
    if module == "scipy" and hasattr(value, "toarray"):
        return value.toarray()
    if module == "pandas" and hasattr(value, "to_numpy") and not hasattr(value, "columns"):
        return value.to_numpy()
    if module == "polars" and hasattr(value, "to_dicts"):
        return value.to_dicts()
    if module == "pyarrow" and hasattr(value, "to_pylist"):
        return value.to_pylist()
    if kind is dict:
        return {name: _unwrapped(one) for name, one in value.items()}
    return value


def _dealt(value: Any, rows: list[int]) -> list[Any] | None:
    """`value` cut into pieces of so many rows each; None if it has another number of them."""
    total = sum(rows)
    if isinstance(value, dict):
        columns = {name: _dealt(one, rows) for name, one in value.items()}
        if not columns or any(pieces is None for pieces in columns.values()):
            return None
        return [{name: pieces[at] for name, pieces in columns.items() if pieces is not None} for at in range(len(rows))]
    if _count(value) != total:
        return None
    found = getattr(value, "iloc", value)
    made: list[Any] = []
    at = 0
    for count in rows:
        made.append(found[at : at + count])
        at += count
    return made


def _count(value: Any) -> int:
    """Rows of an array, a table or a list; -1 for what has none."""
    shape = getattr(value, "shape", None)
    if shape is not None:
        return int(shape[0]) if len(shape) else -1
    return len(value) if isinstance(value, list) else -1


def _counted(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name!r}: {_counted(one)}" for name, one in list(value.items())[:5])
    count = _count(value)
    return f"{count} answers" if count >= 0 else f"one {type(value).__name__}"


def _to_result(value: Any, names: tuple[str, ...], *, piecewise: bool = False) -> Result:
    """One value as a result. Raises TypeError for what cannot be sent."""
    if isinstance(value, Result):
        return value
    if not piecewise and (inspect.isgenerator(value) or inspect.isasyncgen(value)):
        made = Result("stream")
        made.chunks = Chunks(value)  # type: ignore[assignment] - it can be iterated both ways
        return made
    if isinstance(value, bytes | bytearray | memoryview):
        return _bytes(bytes(value), "application/octet-stream", 200)
    if isinstance(value, tuple):
        response = _of_tuple(value, names)
        if response is not None:
            return response
    if hasattr(value, "status_code") and (hasattr(value, "get_data") or hasattr(value, "body") or hasattr(value, "content")):
        return _of_response(value)
    dtype = getattr(value, "dtype", None)
    if dtype is not None and hasattr(value, "tobytes") and getattr(value, "ndim", 0):
        return _of_array(value, names)
    if isinstance(value, dict) and value and all(_is_numeric(one) for one in value.values()):
        made = Result("tensors")
        made.tensors = _named_tensors(value)
        return made
    return _json(value)


def _is_numeric(value: Any) -> bool:
    return hasattr(value, "tobytes") and hasattr(value, "dtype") and getattr(value, "ndim", 0) > 0


def _named_tensors(value: dict[str, Any]) -> tuple[Tensor, ...]:
    return tuple(tensors.of_array(str(name), one) for name, one in value.items())


def _of_array(array: Any, names: tuple[str, ...]) -> Result:
    """Numbers travel as they lie in memory; text, dates and objects as JSON."""
    import numpy as np

    if array.dtype.kind not in "biuf" or array.dtype.itemsize > 8:
        made = _json(array)
        made.names = names
        return made
    dtype = array.dtype.newbyteorder("<")
    made = Result("array", np.ascontiguousarray(array, dtype).tobytes())
    made.dtype, made.shape = dtype.str, tuple(array.shape)
    width = array.shape[1] if array.ndim > 1 else 1
    made.names = names if len(names) in (1, width) else ()
    return made


def _of_tuple(value: tuple[Any, ...], names: tuple[str, ...]) -> Result | None:
    """(bytes or text, content type), (value, status), (value, status, content type), as web frameworks have it; None for other tuples."""
    status, content_type = 200, ""
    if not 2 <= len(value) <= 3 or not isinstance(value[0], str | bytes | bytearray | dict | list):
        return None
    for part in value[1:]:
        if type(part) is int and _LEAST_STATUS <= part <= _MOST_STATUS and status == 200:
            status = part
        elif isinstance(part, str) and "/" in part and not content_type:
            content_type = part
        else:
            return None
    body = value[0]
    if isinstance(body, bytes | bytearray):
        return _bytes(bytes(body), content_type or "application/octet-stream", status)
    if content_type and isinstance(body, str):
        return _bytes(body.encode(), content_type, status)
    made = _to_result(body, names)
    if status != 200 or content_type:
        return _bytes(bytes(made.payload), content_type or "application/json", status)
    return made


def _of_response(value: Any) -> Result:
    """A response of azureml, Flask, Starlette or Django."""
    found = value.get_data() if hasattr(value, "get_data") else getattr(value, "body", None)
    body = found if found is not None else value.content
    headers: Any = getattr(value, "headers", {})
    content_type = str(
        headers.get("content-type") or headers.get("Content-Type") or getattr(value, "content_type", "") or "application/json"
    )
    return _bytes(body.encode() if isinstance(body, str) else bytes(body), content_type, int(value.status_code))


def _bytes(body: bytes, content_type: str, status: int) -> Result:
    made = Result("bytes", body, status=status)
    made.content_type = content_type
    return made


def _json(value: Any) -> Result:
    return Result("json", _encode(value))


def _check_rows(result: Result, call: Call, called: str) -> Result | None:
    """An error if a model that was given rows gave another number of answers."""
    if result.form == "array" and call.rows and result.shape[0] != call.rows:
        return failed(500, CODE, f"{called} gave {result.shape[0]} answers for {call.rows} rows")
    return None


def _checked(result: Result, schema: Any, called: str) -> Result:
    """An error where a number is not finite though the schema's outputs allow no null."""
    outputs = getattr(schema, "outputs", ())
    if not outputs or result.form not in ("array", "tensors"):
        return result
    import numpy as np

    strict = {one.name for one in outputs if not getattr(one, "nullable", False) and not getattr(one, "allows_nan", False)}
    if result.form == "array":
        found = [(result.names[0] if len(result.names) == 1 else outputs[0].name, result.dtype, result.payload, result.shape)]
    else:
        found = [(one.name, tensors.DTYPES.get(one.datatype, ""), one.data, one.shape) for one in result.tensors]
    for name, dtype, payload, shape in found:
        if "f" not in dtype or (name not in strict and len(strict) < len(outputs)):
            continue
        finite = np.isfinite(np.frombuffer(payload, dtype))
        if not finite.all():
            row = int(np.flatnonzero(~finite)[0]) // max(1, int(np.prod(shape[1:])))
            return failed(
                500,
                CODE,
                f"{called} gave a number that is not finite in row {row} of {name!r}; let its schema's outputs allow null if that is meant",
            )
    return result
