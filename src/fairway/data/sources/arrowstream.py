"""Arrow chunks made by a Python generator, as a C stream: DuckDB, pyarrow, polars and nanoarrow read it piece by piece."""

from __future__ import annotations

import ctypes
import itertools
import re
from collections.abc import Callable, Iterator
from typing import Any

from fairway.errors import FairwayError

_POINTER = ctypes.c_void_p
_SCHEMA_BYTES, _SCHEMA_RELEASE = 72, 56  # struct ArrowSchema, and where its release callback stands
_ARRAY_BYTES, _ARRAY_RELEASE = 80, 64  # struct ArrowArray
_FAILED = 5  # EIO


class _StreamStruct(ctypes.Structure):
    _fields_ = [(name, _POINTER) for name in ("get_schema", "get_next", "get_last_error", "release", "private_data")]


_NEXT = ctypes.CFUNCTYPE(ctypes.c_int, _POINTER, _POINTER)
_ERROR = ctypes.CFUNCTYPE(_POINTER, _POINTER)
_RELEASE = ctypes.CFUNCTYPE(None, _POINTER)

_live: dict[int, _Export] = {}
_failures: dict[str, BaseException] = {}
_KEPT = 64
_MARK = re.compile(r"\[failure \d+\]")
_numbers = itertools.count(1)


def find_failure(text: str) -> BaseException | None:
    """The error of a stream that the text of a consumer's own error speaks of: C code can pass on a text only."""
    found = _MARK.search(text)
    return _failures.get(found[0]) if found else None


class ChunkStream:
    """An object with `__arrow_c_stream__`; each call starts `chunks()` anew. `schema`: a nanoarrow struct schema that all chunks have.

    A consumer of C streams can only be told a text: `find_failure` finds the error itself by it.
    """

    def __init__(self, schema: Any, chunks: Callable[[], Iterator[Any]]) -> None:
        self._schema, self._chunks = schema, chunks

    def __arrow_c_stream__(self, requested_schema: Any = None) -> Any:
        from nanoarrow.c_array_stream import allocate_c_array_stream

        made = allocate_c_array_stream()
        _Export(self._schema, self._chunks).write_to(made._addr())
        return made.__arrow_c_stream__()


class _Export:
    """The four callbacks of one C stream, alive until its consumer releases it."""

    def __init__(self, schema: Any, chunks: Callable[[], Iterator[Any]]) -> None:
        self._schema, self._chunks = schema, chunks
        self._iterator: Iterator[Any] | None = None
        self._message: Any = None
        self._callbacks = (_NEXT(self._get_schema), _NEXT(self._get_next), _ERROR(self._get_last_error), _RELEASE(self._release))

    def write_to(self, address: int) -> None:
        self._number = next(_numbers)
        _live[self._number] = self
        stream = _StreamStruct.from_address(address)
        stream.get_schema, stream.get_next, stream.get_last_error, stream.release = (
            ctypes.cast(one, _POINTER).value for one in self._callbacks
        )
        stream.private_data = self._number

    def _get_schema(self, _stream: int, out: int) -> int:
        return self._guarded(lambda: _move(self._schema.__deepcopy__(), out, _SCHEMA_BYTES, _SCHEMA_RELEASE))

    def _get_next(self, _stream: int, out: int) -> int:
        return self._guarded(lambda: self._hand_over(out))

    def _hand_over(self, out: int) -> None:
        if self._iterator is None:
            self._iterator = self._chunks()
        chunk = next(self._iterator, None)
        if chunk is None:
            ctypes.memset(out, 0, _ARRAY_BYTES)  # an array without a release callback ends the stream
        else:
            _move(chunk, out, _ARRAY_BYTES, _ARRAY_RELEASE)

    def _guarded(self, act: Callable[[], None]) -> int:
        try:
            act()
        except BaseException as error:  # noqa: BLE001 - C code calls this: nothing can be raised through it
            text = str(error) if isinstance(error, FairwayError) else f"{type(error).__name__}: {error}"
            text = f"{text} {_remember(error)}"
            self._message = ctypes.create_string_buffer(text.encode("utf-8", "replace").replace(b"\0", b"?"))
            return _FAILED
        return 0

    def _get_last_error(self, _stream: int) -> int | None:
        return ctypes.addressof(self._message) if self._message is not None else None

    def _release(self, stream: int) -> None:
        _StreamStruct.from_address(stream).release = None
        close = getattr(self._iterator, "close", None)
        self._iterator = None
        if close is not None:
            self._guarded(close)
        _live.pop(self._number, None)


def _remember(error: BaseException) -> str:
    mark = f"[failure {next(_numbers)}]"
    _failures[mark] = error
    while len(_failures) > _KEPT:
        _failures.pop(next(iter(_failures)), None)
    return mark


def _move(owned: Any, out: int, size: int, release: int) -> None:
    """A C struct changes hands: the old one no longer releases what it points to."""
    address = owned._addr()
    ctypes.memmove(out, address, size)
    ctypes.memset(address + release, 0, ctypes.sizeof(_POINTER))
