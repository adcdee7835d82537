"""Avro: object container files. Blocks are unpacked here, within bounds; fastavro decodes the records in them."""

from __future__ import annotations

import io
import json
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, BinaryIO, cast

from fairway.data.sources import files, needs, new_rejects
from fairway.data.sources.arrowchunks import kind_of
from fairway.data.sources.engine import Field
from fairway.data.sources.rowbuilder import Chunk, RowSource, flat, gathered, in_chunks
from fairway.errors import ConfigError, UnsupportedError

MAX_BLOCK_BYTES = 256 << 20
_MAX_SCHEMA_BYTES = 16 << 20
_TOGETHER_BYTES = 1 << 20
_MAGIC = b"Obj\x01"
_PLAIN = {
    "boolean": "bool", "int": "int64", "long": "int64", "float": "double", "double": "double", "string": "string", "bytes": "binary",
    "fixed": "binary", "enum": "string", "null": "null",
}  # fmt: skip
_LOGICAL = {
    "date": "date32[day]", "time-millis": "time[us]", "time-micros": "time[us]", "timestamp-millis": "timestamp[us, UTC]", "uuid": "string",
    "timestamp-micros": "timestamp[us, UTC]", "local-timestamp-millis": "timestamp[us]", "local-timestamp-micros": "timestamp[us]",
}  # fmt: skip


def open(uri: str | Sequence[str], options: dict[str, Any]) -> RowSource:
    """Options: none of its own: Avro says itself what it holds. Raises ConfigError, UnsupportedError."""
    needs("fastavro", "'fairway[data]'", "reading Avro")
    paths = files.expand(uri, ("avro",))
    containers = [_Container.of(path) for path in paths]
    fields = _fields_of(containers[0].schema)
    for one in containers[1:]:
        if _fields_of(one.schema) != fields:
            raise ConfigError(f"{one.path} has other columns than {paths[0]}", hint="read them one by one")
    if not fields:
        raise ConfigError(f"{paths[0]} holds no records with fields", hint="its schema is " + json.dumps(containers[0].schema)[:200])
    names = {one.name for one in fields}

    def read(wanted: Sequence[str] | None) -> Iterator[Chunk]:
        del wanted
        for container in containers:
            for some in in_chunks(container.records()):
                rows = [_with_texts(flat(one), names) for one in some]
                yield Chunk(len(rows), gathered(rows))

    return RowSource(fields, read, new_rejects(uri if isinstance(uri, str) else uri[0], options), format="avro")


def _with_texts(row: dict[str, Any], names: set[str]) -> dict[str, Any]:
    """A map is a column of JSON, not of the names that are in it."""
    if row.keys() <= names:
        return row
    made: dict[str, Any] = {}
    for name, value in row.items():
        above = name
        while above not in names and "." in above:
            above = above.rpartition(".")[0]
        if above == name:
            made[name] = value
        elif above in names:
            made.setdefault(above, {})[name[len(above) + 1 :]] = value
    return made


@dataclass
class _Container:
    """One file: its schema as it stands in the header, and how its blocks are packed."""

    path: str
    schema: Any
    codec: str
    head: bytes  # a header that says the blocks are not packed
    marker: bytes
    begin: int

    @classmethod
    def of(cls, path: str) -> _Container:
        with files.reader(path) as file:
            if file.read(4) != _MAGIC:
                raise ConfigError(f"{path} is not an Avro file", hint="name what it is with format=")
            try:
                found = _read_metadata(file)
                marker = file.read(16)
                schema = json.loads(found[b"avro.schema"])
            except (EOFError, KeyError, ValueError, RecursionError) as error:
                raise ConfigError(
                    f"{path} has a damaged Avro header ({type(error).__name__}: {error})", hint="was it cut off? copy it again"
                ) from None
            codec = found.get(b"avro.codec", b"null").decode("ascii", "replace")
            if codec not in _UNPACKERS:
                raise UnsupportedError(f"{path} is packed with {codec!r}", hint=f"known are {', '.join(_UNPACKERS)}")
            _check_schema(schema, path)
            plain = _MAGIC + _write_metadata({b"avro.schema": found[b"avro.schema"], b"avro.codec": b"null"}) + marker
            return cls(path, schema, codec, plain, marker, file.tell())

    def records(self) -> Iterator[Mapping[str, Any]]:
        import fastavro

        first = 0
        for count, blocks in self._blocks():
            try:
                yield from cast("Iterator[Mapping[str, Any]]", fastavro.reader(io.BytesIO(self.head + blocks)))
            except (UnsupportedError, ConfigError):
                raise
            except Exception as error:  # noqa: BLE001 - whatever damaged bytes make a decoder raise
                raise ConfigError(
                    f"records {first + 1:,} to {first + count:,} of {self.path} cannot be decoded: {str(error)[:200] or 'damaged'}",
                    hint="the block is damaged; records before it can be read",
                ) from None
            first += count

    def _blocks(self) -> Iterator[tuple[int, bytes]]:
        """Some blocks together, unpacked, as the bytes of blocks that are not packed; and how many records they say to hold."""
        unpack = _UNPACKERS[self.codec]
        with files.reader(self.path) as file:
            _skip(file, self.begin)
            count, gathered_bytes, number = 0, bytearray(), 0
            while (first := file.read(1)) != b"":
                number += 1
                where = f"block {number} of {self.path}"
                try:
                    records, size = _read_long(file, first), _read_long(file)
                    if records < 0 or not 0 <= size <= MAX_BLOCK_BYTES:
                        raise ConfigError(
                            f"{where} says that it has {records:,} records in {size:,} bytes: it is damaged", hint="copy the file again"
                        )
                    packed = file.read(size)
                    if len(packed) != size or file.read(16) != self.marker:
                        raise EOFError("it ends before its end, or something else stands at its end")
                    data = unpack(packed)
                except ConfigError:
                    raise
                except UnsupportedError as error:
                    raise UnsupportedError(f"{self.path}: {error.message}", hint=error.hint) from None
                except Exception as error:  # noqa: BLE001 - a decompressor's own
                    raise ConfigError(
                        f"{where} is damaged: {str(error)[:200] or type(error).__name__}", hint="was it cut off? copy it again"
                    ) from None
                if len(data) > MAX_BLOCK_BYTES:
                    raise ConfigError(
                        f"{where} unpacks to more than {MAX_BLOCK_BYTES >> 20} MB",
                        hint="it looks like a bomb; write it with smaller blocks",
                    )
                if records > max(len(data), 1) * 8 + 1_000:
                    raise ConfigError(
                        f"{where} says that it holds {records:,} records in {len(data):,} bytes", hint="it is damaged: copy it again"
                    )
                gathered_bytes += _write_long(records) + _write_long(len(data)) + data + self.marker
                count += records
                if len(gathered_bytes) >= _TOGETHER_BYTES:
                    yield count, bytes(gathered_bytes)
                    count, gathered_bytes = 0, bytearray()
            if count:
                yield count, bytes(gathered_bytes)


def _skip(file: BinaryIO, size: int) -> None:
    while size > 0 and (piece := file.read(min(size, 1 << 20))):
        size -= len(piece)


def _read_metadata(file: BinaryIO) -> dict[bytes, bytes]:
    made: dict[bytes, bytes] = {}
    total = 0
    while (count := _read_long(file)) != 0:
        if count < 0:
            _read_long(file)
        if abs(count) > 10_000:
            raise ValueError(f"{count} entries")
        for _ in range(abs(count)):
            name, value = _read_bytes(file), _read_bytes(file)
            total += len(name) + len(value)
            if total > _MAX_SCHEMA_BYTES:
                raise ValueError("a schema of more than 16 MB")
            made[name] = value
    return made


def _write_metadata(said: Mapping[bytes, bytes]) -> bytes:
    entries = b"".join(_write_long(len(one)) + one for pair in said.items() for one in pair)
    return _write_long(len(said)) + entries + b"\0"


def _read_bytes(file: BinaryIO) -> bytes:
    size = _read_long(file)
    if not 0 <= size <= _MAX_SCHEMA_BYTES:
        raise ValueError(f"{size} bytes of metadata")
    made = file.read(size)
    if len(made) != size:
        raise EOFError("it ends in the header")
    return made


def _read_long(file: BinaryIO, first: bytes = b"") -> int:
    made = shift = 0
    byte = first or file.read(1)
    while True:
        if not byte:
            raise EOFError("it ends within a number")
        made |= (byte[0] & 0x7F) << shift
        if byte[0] < 0x80:
            return (made >> 1) ^ -(made & 1)
        shift += 7
        if shift > 63:
            raise ValueError("a number of more than 64 bits")
        byte = file.read(1)


def _write_long(number: int) -> bytes:
    rest = number << 1 if number >= 0 else (-number << 1) - 1
    made = bytearray()
    while rest > 0x7F:
        made.append(rest & 0x7F | 0x80)
        rest >>= 7
    return bytes([*made, rest])


def _deflate(packed: bytes) -> bytes:
    one = zlib.decompressobj(-15)
    made = one.decompress(packed, MAX_BLOCK_BYTES + 1)
    if not one.eof and len(made) <= MAX_BLOCK_BYTES:
        raise EOFError("its packed data ends before its end")
    return made


def _bzip2(packed: bytes) -> bytes:
    import bz2

    return bz2.BZ2Decompressor().decompress(packed, MAX_BLOCK_BYTES + 1)


def _xz(packed: bytes) -> bytes:
    import lzma

    return lzma.LZMADecompressor(memlimit=MAX_BLOCK_BYTES).decompress(packed, MAX_BLOCK_BYTES + 1)


def _zstandard(packed: bytes) -> bytes:
    library = needs("zstandard", "zstandard", "Avro packed with zstandard")
    with library.ZstdDecompressor(max_window_size=1 << 27).stream_reader(packed) as stream:
        return stream.read(MAX_BLOCK_BYTES + 1)


def _snappy(packed: bytes) -> bytes:
    library = needs("cramjam", "cramjam", "Avro packed with snappy")
    if _snappy_size(packed) > MAX_BLOCK_BYTES:
        return bytes(MAX_BLOCK_BYTES + 1)
    data = bytes(library.snappy.decompress_raw(packed[:-4]))  # the last four bytes are a checksum
    if zlib.crc32(data) != int.from_bytes(packed[-4:], "big"):
        raise ValueError("its checksum is wrong")
    return data


def _snappy_size(packed: bytes) -> int:
    made = 0
    for place, byte in enumerate(packed[:5]):
        made |= (byte & 0x7F) << (7 * place)
        if byte < 0x80:
            return made
    raise ValueError("it is not packed with snappy")


_UNPACKERS: dict[str, Any] = {"null": bytes, "deflate": _deflate, "snappy": _snappy, "zstandard": _zstandard, "bzip2": _bzip2, "xz": _xz}


def _check_schema(schema: Any, path: str) -> None:
    """Refuse what a few bytes could unfold without bound: arrays of things that take no bytes."""
    import fastavro

    try:
        fastavro.parse_schema(schema)
        _fields_of(schema)
        for one in _walk(schema, 0):
            if isinstance(one, Mapping) and one.get("type") == "array" and _is_empty(one.get("items")):
                raise ConfigError(
                    f"{path} has an array of {json.dumps(one['items'])[:80]}, which takes no bytes",
                    hint="its count could be anything: refused",
                )
    except ConfigError:
        raise
    except Exception as error:  # noqa: BLE001 - whatever a schema that is none makes the library raise
        raise ConfigError(
            f"{path} has a schema that is none: {type(error).__name__}: {str(error)[:200]}", hint="copy the file again"
        ) from None


def _walk(schema: Any, depth: int) -> Iterator[Any]:
    if depth > 200:
        raise ValueError("nested more than 200 deep")
    yield schema
    if isinstance(schema, list):
        for one in schema:
            yield from _walk(one, depth + 1)
    elif isinstance(schema, Mapping):
        for name in ("items", "values", "type"):
            if isinstance(schema.get(name), list | Mapping):
                yield from _walk(schema[name], depth + 1)
        for one in schema.get("fields", ()):
            yield from _walk(one["type"], depth + 1)


def _is_empty(schema: Any) -> bool:
    if isinstance(schema, Mapping):
        kind = schema.get("type")
        if kind in ("record", "error"):
            return all(_is_empty(one["type"]) for one in schema.get("fields", ()))
        return (kind == "fixed" and not schema.get("size")) or (kind not in ("array", "map", "fixed", "enum") and _is_empty(kind))
    return schema == "null"


def _fields_of(schema: Any) -> tuple[Field, ...]:
    named: dict[str, Any] = {}
    for one in _walk(schema, 0):
        if isinstance(one, Mapping) and "name" in one:
            named[one["name"]] = one
            if "namespace" in one:
                named[f"{one['namespace']}.{one['name']}"] = one
    if isinstance(schema, Mapping) and schema.get("type") == "record":
        return tuple(_record(schema, "", named, ()))
    return ()


def _record(schema: Mapping[str, Any], prefix: str, named: Mapping[str, Any], above: tuple[str, ...]) -> Iterator[Field]:
    for one in schema["fields"]:
        name = prefix + one["name"]
        kind, nullable = _without_null(one["type"])
        kind = named.get(kind, kind) if isinstance(kind, str) else kind
        if isinstance(kind, Mapping) and kind.get("type") == "record" and kind["name"] not in above and len(above) < 20:
            yield from (
                replace(field, nullable=field.nullable or nullable) for field in _record(kind, name + ".", named, (*above, kind["name"]))
            )
        else:
            arrow = _arrow(kind, named)
            arrow = "string" if arrow == "null" else arrow
            yield Field(name, arrow, kind_of(arrow), nullable)


def _without_null(schema: Any) -> tuple[Any, bool]:
    if isinstance(schema, list):
        kept = [one for one in schema if one != "null"]
        return (kept[0] if len(kept) == 1 else kept or "null"), len(kept) != len(schema)
    return schema, schema == "null"


def _arrow(schema: Any, named: Mapping[str, Any]) -> str:
    """Arrow's type; "string", of JSON, for what is no column of simple values."""
    if isinstance(schema, list):
        kinds = {_arrow(one, named) for one in schema}
        return kinds.pop() if len(kinds) == 1 else "double" if kinds <= {"int64", "double"} else "string"
    if isinstance(schema, str):
        return _PLAIN.get(schema) or (_arrow(named[schema], named) if isinstance(named.get(schema), Mapping) else "string")
    logical = schema.get("logicalType")
    if logical == "decimal" and int(schema.get("precision", 0)) <= 38:
        return f"decimal128({schema.get('precision', 38)}, {schema.get('scale', 0)})"
    if logical in _LOGICAL:
        return _LOGICAL[logical]
    kind = schema.get("type")
    if kind == "array":
        items = _arrow(_without_null(schema["items"])[0], {})
        return f"list<{items}>" if isinstance(_without_null(schema["items"])[0], str) or "logicalType" in str(schema["items"]) else "string"
    return _PLAIN.get(kind, "string") if isinstance(kind, str) else _arrow(kind, named)
