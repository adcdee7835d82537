"""Avro: types, codecs, and files that lie."""

from __future__ import annotations

import datetime as dt
import io
import json
import os
import uuid
import zlib
from decimal import Decimal
from pathlib import Path
from typing import Any

import fastavro
import pytest

import fairway as fw
from fairway.data.sources import avro
from fairway.errors import ConfigError, UnsupportedError

SCHEMA: dict[str, Any] = {
    "type": "record", "name": "R", "fields": [
        {"name": "id", "type": "long"}, {"name": "x", "type": ["null", "double"]}, {"name": "s", "type": ["null", "string"]},
        {"name": "day", "type": {"type": "int", "logicalType": "date"}},
        {"name": "at", "type": ["null", {"type": "long", "logicalType": "timestamp-micros"}]},
        {"name": "wall", "type": {"type": "long", "logicalType": "local-timestamp-millis"}},
        {"name": "t", "type": {"type": "long", "logicalType": "time-micros"}},
        {"name": "dec", "type": {"type": "bytes", "logicalType": "decimal", "precision": 10, "scale": 2}},
        {"name": "tags", "type": {"type": "array", "items": "string"}}, {"name": "m", "type": {"type": "map", "values": "int"}},
        {"name": "in",
        "type": {"type": "record", "name": "I", "fields": [{"name": "a", "type": "int"}, {"name": "b", "type": ["null", "string"]}]}},
        {"name": "e", "type": {"type": "enum", "name": "E", "symbols": ["A", "B"]}}, {"name": "u", "type": ["int", "string"]},
        {"name": "key", "type": {"type": "string", "logicalType": "uuid"}}, {"name": "again", "type": ["null", "I"]},
        {"name": "raw", "type": {"type": "fixed", "name": "F", "size": 2}},
    ],
}  # fmt: skip


def rows(count: int) -> list[dict[str, Any]]:
    return [
        {
            "id": i, "x": i / 2 if i % 3 else None, "s": f"é{i}" if i % 2 else None, "day": dt.date(2024, 1, 2), "e": "A",
            "u": i if i % 2 else "t",
            "at": dt.datetime(2024, 1, 2, 3, tzinfo=dt.UTC) if i else None, "wall": dt.datetime(2024, 1, 2, 3), "t": dt.time(1, 2, 3),
            "dec": Decimal("-1.25"), "tags": ["a"] * (i % 3), "m": {"k": i}, "in": {"a": i, "b": None}, "key": uuid.UUID(int=i),
            "again": {"a": 1, "b": "x"} if i % 2 else None, "raw": b"ab",
        }
        for i in range(count)
    ]  # fmt: skip


def written(count: int = 3, codec: str = "null") -> bytes:
    made = io.BytesIO()
    fastavro.writer(made, SCHEMA, rows(count), codec=codec, sync_interval=2_000)
    return made.getvalue()


def container(schema: Any, blocks: list[tuple[int, bytes]], codec: str = "null") -> bytes:
    """A file made by hand: (records, packed bytes) of each block, whatever they say."""
    marker = b"m" * 16
    head = b"Obj\x01" + avro._write_metadata({b"avro.schema": json.dumps(schema).encode(), b"avro.codec": codec.encode()}) + marker
    return head + b"".join(avro._write_long(count) + avro._write_long(len(data)) + data + marker for count, data in blocks)


def write(tmp_path: Path, data: bytes) -> str:
    (tmp_path / "x.avro").write_bytes(data)
    return str(tmp_path / "x.avro")


def test_types_are_kept(tmp_path: Path) -> None:
    table = fw.read(write(tmp_path, written()))
    assert {one.name: one.arrow for one in table.fields} == {
        "id": "int64", "x": "double", "s": "string", "day": "date32[day]", "at": "timestamp[us, UTC]", "wall": "timestamp[us]",
        "t": "time[us]",
        "dec": "decimal128(10, 2)", "tags": "list<string>", "m": "string", "in.a": "int64", "in.b": "string", "e": "string", "u": "string",
        "key": "string", "again.a": "int64", "again.b": "string", "raw": "binary",
    }  # fmt: skip
    assert {one.name for one in table.fields if one.nullable} == {"x", "s", "at", "in.b", "again.a", "again.b"}
    assert table.rows()[1] == {
        "id": 1, "x": 0.5, "s": "é1", "day": "2024-01-02", "at": "2024-01-02T03:00:00.000000Z", "wall": "2024-01-02T03:00:00.000000",
        "t": "01:02:03.000000", "dec": -1.25, "tags": ["a"], "m": '{"k": 1}', "in.a": 1, "in.b": None, "e": "A", "u": "1",
        "key": str(uuid.UUID(int=1)), "again.a": 1, "again.b": "x", "raw": b"ab",
    }  # fmt: skip


@pytest.mark.parametrize("codec", ["null", "deflate", "bzip2", "xz"])
def test_packed(tmp_path: Path, codec: str) -> None:
    table = fw.read(write(tmp_path, written(2_000, codec)))
    assert [value for batch in table.batches(["id"]) for value in batch.columns["id"].data.tolist()] == list(range(2_000))


def test_zstandard(tmp_path: Path) -> None:
    import zstandard

    data = container(
        {"type": "record", "name": "R", "fields": [{"name": "a", "type": "long"}]}, [(2, zstandard.compress(b"\x02\x04"))], "zstandard"
    )
    assert fw.read(write(tmp_path, data)).rows() == [{"a": 1}, {"a": 2}]


def test_an_unknown_codec_is_named(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedError, match="packed with 'brotli'"):
        fw.read(write(tmp_path, container(SCHEMA, [], "brotli")))


_ONE = {"type": "record", "name": "R", "fields": [{"name": "a", "type": "string"}]}
_NOTHING = {"type": "record", "name": "R", "fields": [{"name": "a", "type": {"type": "array", "items": "null"}}]}
_HOLLOW = {"type": "record", "name": "R", "fields": [{"name": "a", "type": "null"}]}
_DEEP: Any = "string"
for _ in range(300):
    _DEEP = {"type": "array", "items": _DEEP}


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (written(2_000)[:20_000], "is damaged"),
        (written(2_000)[:100], "damaged Avro header"),
        (b"Obj\x01" + os.urandom(400), "damaged Avro header|no schema|a schema that is none"),
        (written(2_000).replace("é1".encode(), b"\xff\xff\xff", 1), "cannot be decoded"),
        (container(_ONE, [(1 << 60, b"\x02a")]), "says that it holds"),
        (container(_ONE, [(-5, b"\x02a")]), "it is damaged"),
        (container(_ONE, [(1, b"\xfe\xff\xff\xff\xff\xff\xff\xff\x7f")]), "cannot be decoded"),
        (container(_NOTHING, [(1, b"\xfe\xff\xff\xff\xff\x1f\0")]), "takes no bytes"),
        (container(_HOLLOW, [(1 << 50, b"")]), "says that it holds"),
        (container({"type": "record", "name": "R", "fields": [{"name": "a", "type": _DEEP}]}, []), "a schema that is none"),
        (container({"type": "bogus"}, []), "a schema that is none"),
        (
            container({"type": "record", "name": "R", "fields": [{"name": "a", "type": {"type": "record", "name": "S"}}]}, []),
            "schema that is none",
        ),
        (container("long", [(1, b"\x02")]), "no records with fields"),
        (container(_ONE, [(1, zlib.compress(bytes(300_000_000))[2:-4])], "deflate"), "looks like a bomb"),
        (container(_ONE, [(1, b"not packed")], "deflate"), "is damaged"),
    ],
)
def test_what_is_cut_or_lies_is_refused(tmp_path: Path, data: bytes, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        fw.read(write(tmp_path, data), format="avro").rows()


def test_what_comes_before_the_damage_can_be_read(tmp_path: Path) -> None:
    data = written(20_000)
    table = fw.read(write(tmp_path, data[: len(data) - 100]))
    assert len(table.head(100).rows()) == 100
