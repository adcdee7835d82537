"""Tables and batches as streams in Arrow's C interface."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from fairway.data.batch import Batch, Values
from fairway.errors import UnsupportedError

if TYPE_CHECKING:
    from fairway.data.table import Table


class Chunks:
    """Batches in memory, as a stream that can be read any number of times."""

    def __init__(self, batches: Sequence[Batch]) -> None:
        self._batches = list(batches)

    def __arrow_c_stream__(self, requested_schema: Any = None) -> Any:
        from fairway.data.sources.arrowstream import ChunkStream

        schema = schema_of(self._batches[0])
        return ChunkStream(schema, lambda: (array_of(batch, schema) for batch in self._batches)).__arrow_c_stream__(requested_schema)


def capsule(table: Table, requested_schema: Any) -> Any:
    """The table's rows, read as they are asked for; what a consumer in C is told of a failure is its text."""
    import nanoarrow as na

    from fairway.data.sources.arrowstream import ChunkStream
    from fairway.data.sources.engine import connect
    from fairway.data.table import translated

    connection = connect()
    source = na.c_array_stream(table._relation(connection))

    def chunks() -> Iterator[Any]:
        table.rejects.begin()
        read = 0
        try:
            for chunk in source:
                read += chunk.length
                yield chunk
        except Exception as error:
            raise translated(error, table.uri) from error
        finally:
            table._source.finish(connection)
            connection.close()
        table.settle(read)

    return ChunkStream(source._get_cached_schema(), chunks).__arrow_c_stream__(requested_schema)


def schema_of(batch: Batch) -> Any:
    """The nanoarrow struct schema of a batch's columns."""
    import nanoarrow as na

    return na.c_schema(na.struct({name: _type_of(one) for name, one in batch.columns.items()}))


def _type_of(one: Values) -> Any:
    import nanoarrow as na

    if one.kind in ("integer", "float"):
        return _NUMBERS[one.data.dtype.str[1:]](na)
    if one.kind == "timestamp":
        return na.timestamp("us", timezone="UTC") if "," in one.arrow else na.timestamp("us")
    if one.kind == "list":
        assert one.child is not None
        return (
            na.list_(_type_of(one.child))
            if one.offsets is not None and one.offsets.dtype.itemsize == 4
            else na.large_list(_type_of(one.child))
        )
    wide = one.offsets is not None and one.offsets.dtype.itemsize == 8
    if one.kind == "string":
        return na.large_string() if wide else na.string()
    if one.kind == "binary":
        return na.large_binary() if wide else na.binary()
    made = {"boolean": na.bool_, "date": na.date32, "decimal": na.float64, "null": na.null}
    if one.kind in made:
        return made[one.kind]()
    if one.kind in ("time", "duration"):
        return na.time64("us") if one.kind == "time" else na.duration("us")
    raise UnsupportedError(f"a column of {one.kind}")


_NUMBERS: dict[str, Any] = {
    "f2": lambda na: na.float16(), "f4": lambda na: na.float32(), "f8": lambda na: na.float64(),
    "i1": lambda na: na.int8(), "i2": lambda na: na.int16(), "i4": lambda na: na.int32(), "i8": lambda na: na.int64(),
    "u1": lambda na: na.uint8(), "u2": lambda na: na.uint16(), "u4": lambda na: na.uint32(), "u8": lambda na: na.uint64(),
}  # fmt: skip


def array_of(batch: Batch, schema: Any) -> Any:
    """A batch as one nanoarrow struct array; numbers and texts are not copied."""
    import nanoarrow as na

    children = [_array(one) for one in batch.columns.values()]
    return na.c_array_from_buffers(schema, batch.rows, [None], null_count=0, children=children)


def _array(one: Values) -> Any:
    import nanoarrow as na

    rows, kind = len(one), _type_of(one)
    if one.kind == "null":
        return na.c_array_from_buffers(kind, rows, [], null_count=rows)
    valid = None if one.valid is None else np.packbits(one.valid, bitorder="little")
    nulls = one.nulls
    if one.kind == "list":
        assert one.offsets is not None and one.child is not None
        return na.c_array_from_buffers(kind, rows, [valid, one.offsets], null_count=nulls, children=[_array(one.child)])
    if one.offsets is not None:
        return na.c_array_from_buffers(kind, rows, [valid, one.offsets, one.data], null_count=nulls)
    data = np.packbits(one.data, bitorder="little") if one.kind == "boolean" else one.data
    data = data.astype(np.int32) if one.kind == "date" else data
    return na.c_array_from_buffers(kind, rows, [valid, np.ascontiguousarray(data)], null_count=nulls)
