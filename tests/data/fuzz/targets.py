"""What is fuzzed: one row for each parser. Each takes any bytes and returns, or raises an error of ours; all else is a finding.

A new parser adds a function here, or a module of its own with `TARGETS`, named in `MODULES`.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from fairway.data.sources import open_source
from fairway.data.table import Table
from fairway.errors import FairwayError

MODULES: tuple[str, ...] = ("recordformats", "documents", "streamrecords")
"""Other modules of this folder with `TARGETS`."""


@dataclass(frozen=True)
class Target:
    """A parser, with some inputs that it reads, to begin from."""

    name: str
    run: Callable[[bytes], None]
    seeds: tuple[bytes, ...]


def reading(format_name: str, ending: str, **options: Any) -> Callable[[bytes], None]:
    """Bytes as a file of a format: opened, described, read to the end with rejects allowed."""

    def run(data: bytes) -> None:
        handle, path = tempfile.mkstemp(suffix="." + ending)
        table: Table | None = None
        try:
            os.write(handle, data)
            os.close(handle)
            with suppress(FairwayError):
                table = Table(open_source(path, format_name, {"max_rejects": "all", **options}), path)
                rows = 0
                for batch in table.batches():
                    rows += batch.rows
                    assert list(batch.columns) == table.columns
                    for one in batch.columns.values():
                        assert len(one) == batch.rows
                        one.value(0)
                        one.hashes()
                table.count()
                table.head(3).rows()
        finally:
            Path(path).unlink()
            if table is not None and table.rejects.file is not None:
                table.rejects.file.unlink(missing_ok=True)

    return run


def _packed(name: str) -> bytes:
    import bz2
    import gzip
    import lzma

    return {"gzip": gzip.compress, "bz2": bz2.compress, "xz": lzma.compress}[name](_CSV * 20)


def _written(ending: str) -> bytes:
    from fairway.data.table import read

    with tempfile.TemporaryDirectory() as folder:
        path = f"{folder}/t.{ending}"
        read({"a": [1, 2, None], "b": ["x", "é", ""], "c": [1.5, None, 2.0], "d": [True, False, None], "e": [[1], [], None]}).write(path)
        return Path(path).read_bytes()


_CSV = b'id,name,when,x\n1,"a,b",2024-01-02,1.5\n2,"q""r\nz",2024-02-03,\n3,\xc3\xa9,2024-03-04,-2e5\n'
_CSVS = (
    _CSV, b"a;b\r\n1,5;x\r\n2,5;y\r\n", b"a\tb\r1\tx\r2\ty\r", _CSV.decode().encode("utf-16"), b"# note\nx,y\n1,2\n", b"1 2 3\n4 5 6\n",
    b"d\n13/02/2024\n01/03/2024\n", b"a,a,\n007,1.234.567,yes\n",
)  # fmt: skip
_ROWS = b"".join(
    json.dumps(row).encode() + b"\n"
    for row in ({"a": 1, "b": {"c": "x"}}, {"a": None, "l": [1, 2]}, {"a": 2.5, "b": {"c": "y", "d": True}})
)

TARGETS: tuple[Target, ...] = (
    Target("csv", reading("csv", "csv"), _CSVS),
    Target("packed", reading("csv", "csv.gz"), tuple(map(_packed, ("gzip", "bz2", "xz")))),
    Target("ndjson", reading("ndjson", "ndjson"), (_ROWS, b'{"at":"2024-01-01T00:00:00Z","n":1}\n' * 3)),
    Target(
        "json",
        reading("json", "json"),
        (b"[" + _ROWS.strip().replace(b"\n", b",") + b"]", b'{"data":[{"a":1}],"n":1}', b'{"a":[1,2],"b":["x",null]}', _ROWS),
    ),
    Target("parquet", reading("parquet", "parquet"), (_written("parquet"),)),
    Target("arrow", reading("arrow", "arrow"), (_written("arrow"), _written("arrows"))),
)


def all_targets() -> tuple[Target, ...]:
    """Those here and those of the other modules."""
    return TARGETS + tuple(one for name in MODULES for one in import_module(f"tests.data.fuzz.{name}").TARGETS)
