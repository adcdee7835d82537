"""Hive tables through a real HiveServer2: the Thrift server that PySpark brings along. Needs Java."""

from __future__ import annotations

import importlib.util
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import fairway as fw
from fairway.data.sources.hivewire import HiveAddress, HiveSession
from fairway.errors import ConfigError, NotFoundError
from fairway.step.freeports import free_ports

_STARTS_WITHIN_S = 400
_COLUMNS = "i int, l bigint, d double, s string, dec decimal(10,2), at timestamp, day date, ok boolean"
_NESTED = "tags array<int>, who struct<a:int,b:string>"
_ROW = "1, 2, 1.5, 'é', 1.25, timestamp'2024-01-01 10:00:00.5', date'2024-01-02', true, array(1, 2), named_struct('a', 1, 'b', 'x')"
_TABLES = (
    f"create table typed ({_COLUMNS}, {_NESTED}, m map<string,int>, raw binary) using parquet",
    f"insert into typed values ({_ROW}, map('k', 1), cast('ab' as binary)), ({', '.join(['null'] * 12)})",
    "create table parted (v int, day string) using parquet partitioned by (day)",
    "insert into parted values (1, '2024-01-01'), (2, '2024-01-02'), (3, '2024-01-02')",
    "create table empty (v array<string>, n decimal(5,1)) using parquet",
)


@pytest.fixture(scope="module")
def hive(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    spark = importlib.util.find_spec("pyspark")
    assert spark is not None and spark.origin is not None, "pip install pyspark"
    assert shutil.which("java"), "the server needs Java: apt-get install openjdk-17-jre-headless"
    home, folder = Path(spark.origin).parent, tmp_path_factory.mktemp("hive")
    (port,) = free_ports(1)
    command = [
        str(home / "bin" / "spark-submit"), "--master", "local[1]", "--driver-memory", "700m", "--conf", "spark.ui.enabled=false",
        "--conf", "spark.sql.shuffle.partitions=1", "--class", "org.apache.spark.sql.hive.thriftserver.HiveThriftServer2", "spark-internal",
        "--hiveconf", f"hive.server2.thrift.port={port}", "--hiveconf", "hive.server2.thrift.bind.host=127.0.0.1",
    ]  # fmt: skip
    environment = {**os.environ, "SPARK_HOME": str(home), "SPARK_LOCAL_IP": "127.0.0.1"}
    with (folder / "server.log").open("wb") as log:
        running = subprocess.Popen(command, cwd=folder, env=environment, stdout=log, stderr=subprocess.STDOUT)
    try:
        _wait(running, port, folder / "server.log")
        session = HiveSession(HiveAddress("127.0.0.1", port, "default", "me", ""))
        for statement in _TABLES:
            session.run(statement).close()
        session.close()
        yield f"hive://me@127.0.0.1:{port}/default"
    finally:
        running.terminate()
        running.wait(120)


def _wait(running: subprocess.Popen[bytes], port: int, log: Path) -> None:
    end = time.monotonic() + _STARTS_WITHIN_S
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            assert running.poll() is None, log.read_text()[-2_000:]
            assert time.monotonic() < end, log.read_text()[-2_000:]
            time.sleep(0.2)
        else:
            return


def test_types_are_kept(hive: str) -> None:
    table = fw.read(f"{hive}?table=typed")
    assert {one.name: one.arrow for one in table.fields} == {
        "i": "int64", "l": "int64", "d": "double", "s": "string", "dec": "decimal128(10, 2)", "at": "timestamp[us]", "day": "date32[day]",
        "ok": "bool", "tags": "list<int64>", "who.a": "int64", "who.b": "string", "m": "string", "raw": "binary",
    }  # fmt: skip
    first, second = table.rows()
    assert first == {
        "i": 1, "l": 2, "d": 1.5, "s": "é", "dec": 1.25, "at": "2024-01-01T10:00:00.500000", "day": "2024-01-02", "ok": True,
        "tags": [1, 2], "who.a": 1, "who.b": "x", "m": '{"k":1}', "raw": b"ab",
    }  # fmt: skip
    assert set(second.values()) == {None}
    assert fw.read(hive, query="select * from typed").rows() == [first, second]
    assert table.select("who.b", "dec").rows() == [{"who.b": "x", "dec": 1.25}, {"who.b": None, "dec": None}]


def test_an_empty_table_has_its_types(hive: str) -> None:
    table = fw.read(hive, table="empty")
    assert [one.arrow for one in table.fields] == ["list<string>", "decimal128(5, 1)"]
    assert table.rows() == []


def test_partitions_are_pruned_by_the_server(hive: str) -> None:
    assert sorted(row["v"] for row in fw.read(hive, table="parted", where="day = '2024-01-02'").rows()) == [2, 3]
    plan = fw.read(hive, query="explain select * from parted where day = '2024-01-02'").rows()[0]["plan"]
    assert "PartitionFilters: [isnotnull(day" in plan, plan


def test_many_rows_arrive_once_and_in_order(hive: str) -> None:
    table = fw.read(hive, query="select id, id * 0.5 as x, concat('text', id) as s from range(50000)")
    seen = [value for batch in table.batches(["id"]) for value in batch.columns["id"].data.tolist()]
    assert seen == list(range(50_000))


def test_what_is_not_there_is_named(hive: str) -> None:
    with pytest.raises(NotFoundError, match="no table 'typd'") as caught:
        fw.read(hive, table="typd")
    assert caught.value.hint == "did you mean 'typed'?"
    with pytest.raises(ConfigError, match="nowhere"):
        fw.read(hive.replace("default", "nowhere"), table="typed")
    with pytest.raises(ConfigError, match="PARSE_SYNTAX_ERROR"):
        fw.read(hive, query="selec 1")
    with pytest.raises(ConfigError, match="broke off"):
        fw.read(f"{hive}?auth=NOSASL", table="typed")
