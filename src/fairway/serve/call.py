"""What passes between protocols, batcher and model processes: a checked request, and its result. Bytes, no library's objects."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any


class Tensor:
    """A named array. `datatype` is of the Open Inference Protocol ("FP32", "INT64", "BYTES", …); `data`: little-endian, C order (BYTES:
    each element with its length before it, 4 bytes)."""

    __slots__ = ("data", "datatype", "name", "shape")

    def __init__(self, name: str, datatype: str, shape: tuple[int, ...], data: bytes | memoryview) -> None:
        self.name, self.datatype, self.shape, self.data = name, datatype, shape, data


class Call:
    """One request that was checked.

    `form` says what `payload` is:
    - "matrix": `rows` x len(`names`) numbers of `dtype` ("<f8", "<f4", "<i8"), C order, columns in the schema's order.
    - "rows": MessagePack of a list of rows, each a list of values in the order of `names` (None: missing).
    - "tensors": nothing; `tensors` has them.
    - "table": an Arrow IPC stream or a Parquet file, as `content_type` says; the model process reads and checks it.
    - "json": one JSON value for models that take whatever comes (bytes of valid JSON, already checked against the schema).
    - "raw": the body as it came, with its `content_type`.
    `rows`: what it adds to a batch; 0: it is never joined with others. `method`: "" or the model's method that was asked for
    ("predict_proba"). `wanted`: outputs that were asked for. `params`: of MLflow and of the Open Inference Protocol.
    `deadline`: time.monotonic() at which nobody waits any more. `streams`: the caller takes a stream.
    """

    __slots__ = (
        "content_type",
        "deadline",
        "dtype",
        "form",
        "id",
        "method",
        "names",
        "params",
        "payload",
        "rows",
        "streams",
        "tensors",
        "wanted",
    )

    def __init__(
        self,
        form: str,
        payload: bytes | memoryview = b"",
        *,
        rows: int = 0,
        names: tuple[str, ...] = (),
        dtype: str = "<f8",
        tensors: tuple[Tensor, ...] = (),
        content_type: str = "",
    ) -> None:
        self.form, self.payload, self.rows, self.names, self.dtype = form, payload, rows, names, dtype
        self.tensors, self.content_type = tensors, content_type
        self.id, self.method, self.wanted, self.params = "", "", tuple[str, ...](), dict[str, Any]()
        self.deadline, self.streams = 0.0, False


class Result:
    """What became of a call.

    `form` says what there is:
    - "array": numbers of `dtype` (numpy's spelling, "<f8", "<f4", "<i8", "<i4", "|b1", …) and `shape` (first axis: the rows of the call).
    - "tensors": `tensors`.
    - "json": `payload` is JSON, whatever the script returned (a table comes as a list of objects).
    - "bytes": `payload` with its `content_type` and `status`, as the script returned it.
    - "stream": `chunks` yields results of the form "json" or "bytes", one for each that the script yields.
    - "error": `status`, `code` ("FW-…"), `message`; the traceback is in the log, not here.
    `names`: of the columns of an array, or of its one output; `took_s`: in the model process.
    """

    __slots__ = ("chunks", "code", "content_type", "dtype", "form", "message", "names", "payload", "shape", "status", "tensors", "took_s")

    def __init__(self, form: str, payload: bytes | memoryview = b"", *, status: int = 200) -> None:
        self.form, self.payload, self.status = form, payload, status
        self.dtype, self.shape, self.names = "", tuple[int, ...](), tuple[str, ...]()
        self.tensors = tuple[Tensor, ...]()
        self.content_type = self.code = self.message = ""
        self.chunks: AsyncIterator[Result] | None = None
        self.took_s = 0.0


Done = Callable[[Result], None]


def failed(status: int, code: str, message: str) -> Result:
    """The result of a call that came to nothing."""
    result = Result("error", status=status)
    result.code, result.message = code, message
    return result
