"""ORC, through PyArrow."""

from __future__ import annotations

import os
from pathlib import Path

import pyarrow as pa
import pyarrow.orc
import pytest

import fairway as fw
from fairway.errors import ConfigError


def written(tmp_path: Path, count: int = 1_000) -> str:
    table = pa.table({"id": range(count), "s": ["é", None] * (count // 2), "in": [{"a": 1, "b": "x"}] * count, "l": [[1, 2]] * count})
    pa.orc.write_table(table, tmp_path / "x.orc")
    return str(tmp_path / "x.orc")


def test_types_and_rows(tmp_path: Path) -> None:
    table = fw.read(written(tmp_path))
    assert {one.name: one.arrow for one in table.fields} == {
        "id": "int64", "s": "string", "in.a": "int64", "in.b": "string", "l": "list<int64>",
    }  # fmt: skip
    assert table.rows()[1] == {"id": 1, "s": None, "in.a": 1, "in.b": "x", "l": [1, 2]}
    assert table.count() == 1_000
    assert table.select("in.b", "id").rows(1) == [{"in.b": "x", "id": 0}]


def test_damage_is_told(tmp_path: Path) -> None:
    good = Path(written(tmp_path)).read_bytes()
    for data in (b"", good[: len(good) // 2], b"ORC" + os.urandom(300)):
        (tmp_path / "x.orc").write_bytes(data)
        with pytest.raises(ConfigError, match=r"not an ORC file|is empty"):
            fw.read(str(tmp_path / "x.orc"), format="orc")
