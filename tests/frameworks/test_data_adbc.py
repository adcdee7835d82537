"""Databases through ADBC drivers, whose rows arrive as Arrow."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import psycopg
import pytest

import fairway as fw
from fairway.errors import ConfigError


def test_sqlite(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "x.db") as link:
        link.execute("create table t (id integer, name text)")
        link.executemany("insert into t values (?, ?)", [(n, f"é{n}") for n in range(10_000)])
    link.close()
    table = fw.read(f"sqlite:///{tmp_path}/x.db", table="t", driver="adbc", where="id < 9000")
    assert [(one.name, one.arrow) for one in table.fields] == [("id", "int64"), ("name", "string")]
    assert table.count() == 9_000
    assert table.rows(2) == [{"id": 0, "name": "é0"}, {"id": 1, "name": "é1"}]
    with pytest.raises(ConfigError, match="no such table"):
        fw.read(f"sqlite:///{tmp_path}/x.db", table="nope", driver="adbc")


def test_postgresql(postgres_server: str) -> None:
    with psycopg.connect(postgres_server, autocommit=True) as link:
        link.execute("create table adbc_t as select n as id, n / 2.0::float8 as x, 'n' || n as s from generate_series(1, 1000) n")
    table = fw.read(postgres_server, table="adbc_t", driver="adbc")
    assert [(one.name, one.kind) for one in table.fields] == [("id", "integer"), ("x", "float"), ("s", "string")]
    assert table.select("s", "x").rows(1) == [{"s": "n1", "x": 0.5}]
    with pytest.raises(ConfigError) as caught:
        fw.read(postgres_server.replace("fairway@", "nobody:s3cret@"), table="adbc_t", driver="adbc")
    assert "s3cret" not in str(caught.value)
