"""Databases by URL: SQLite, and a real PostgreSQL."""

from __future__ import annotations

import datetime as dt
import sqlite3
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st

import fairway as fw
from fairway.data.sources.sql import Database
from fairway.data.sources.sqlparts import in_parallel, ranges
from fairway.data.sources.urls import secrets_of, shown, without
from fairway.errors import ConfigError, DataAnomalies, NotFoundError, UnsupportedError


@pytest.fixture
def lite(tmp_path: Path) -> str:
    path = tmp_path / "shop.db"
    with sqlite3.connect(path) as link:
        link.execute(
            "create table sale (id integer primary key, price real, name text, day date, at timestamp, ok boolean, dec decimal(10,2))"
        )
        rows = [(i, i / 2, f"é{i}" if i % 3 else None, "2024-01-02", "2024-01-02 03:04:05", i % 2, 1.25) for i in range(20_000)]
        link.executemany("insert into sale values (?,?,?,?,?,?,?)", rows)
    link.close()
    return f"sqlite:///{path}"


def test_a_table_has_its_declared_types(lite: str) -> None:
    table = fw.read(lite, table="sale")
    assert {one.name: one.arrow for one in table.fields} == {
        "id": "int64", "price": "double", "name": "string", "day": "date32[day]", "at": "timestamp[us]", "ok": "bool",
        "dec": "decimal128(10, 2)",
    }  # fmt: skip
    assert table.head(1).rows() == [
        {"id": 0, "price": 0.0, "name": None, "day": "2024-01-02", "at": "2024-01-02T03:04:05.000000", "ok": False, "dec": 1.25}
    ]
    assert table.count() == 20_000
    assert sum(batch.rows for batch in table.batches()) == 20_000


def test_a_query_may_hold_colons_and_percents(lite: str) -> None:
    table = fw.read(lite, query="select id, '12:30 :x' as a, 'b%' as b from sale where name like 'é1%' order by id desc;")
    assert table.head(1).rows() == [{"id": 19_999, "a": "12:30 :x", "b": "b%"}]
    bound = fw.read(lite, query="select id from sale where id < :top", parameters={"top": 5})
    assert bound.count() == 5


def test_where_is_for_the_database(lite: str) -> None:
    assert fw.read(lite, table="sale", where="id >= 19990").rows()[0]["id"] == 19_990
    assert fw.read(lite, query="select id from sale", where="id >= 19990").count() == 10


def test_parts_hold_every_row_once(lite: str) -> None:
    table = fw.read(lite, table="sale", partition="id", partitions=4)
    seen = sorted(value for batch in table.batches(["id"]) for value in batch.columns["id"].data.tolist())
    assert seen == list(range(20_000))
    assert any("no order" in note for note in table.notes)


@pytest.mark.parametrize(
    ("options", "kind", "words"),
    [
        ({"table": "sail"}, NotFoundError, "has no table 'sail'.*did you mean 'sale'"),
        ({"query": "selec 1"}, ConfigError, "syntax error"),
        ({"query": "drop table sale"}, ConfigError, "readonly"),
        ({}, ConfigError, "by table= or by query="),
        ({"table": "sale", "query": "select 1"}, ConfigError, "by table= or by query="),
        ({"query": "select id, id from sale"}, ConfigError, "two columns 'id'"),
        ({"table": "sale", "partition": "no"}, NotFoundError, "no column 'no'"),
        ({"table": "sale", "partition": "name"}, ConfigError, "cannot be divided"),
        ({"table": "sale", "partitions": 3}, ConfigError, "needs partition="),
        ({"table": "sale", "partition": "id", "partitions": 0}, ConfigError, "not between"),
        ({"table": "sale", "driver": "other"}, ConfigError, "driver='other'"),
        ({"table": "sale", "tabel": "x"}, ConfigError, "no option 'tabel'.*did you mean 'table'"),
    ],
)
def test_what_is_said_wrongly_is_told(lite: str, options: dict[str, Any], kind: type[Exception], words: str) -> None:
    with pytest.raises(kind) as caught:
        fw.read(lite, **options)
    import re

    assert re.search(words, f"{caught.value} {caught.value.hint}"), caught.value  # type: ignore[attr-defined]


def test_no_file_is_made(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="there is no file"):
        fw.read(f"sqlite:///{tmp_path}/none.db", table="x")
    assert not list(tmp_path.iterdir())


def test_garbage_is_no_database(tmp_path: Path) -> None:
    (tmp_path / "x.db").write_bytes(bytes(range(256)) * 20)
    with pytest.raises(ConfigError, match="not a database"):
        fw.read(f"sqlite:///{tmp_path}/x.db", table="x")


def test_a_value_of_another_type_is_a_reject(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "x.db") as link:  # SQLite holds any value in any column
        link.execute("create table t (id integer, day date)")
        link.executemany("insert into t values (?,?)", [(1, "2024-01-01"), (2, "yesterday"), (3, None)])
    link.close()
    table = fw.read(f"sqlite:///{tmp_path}/x.db", table="t", max_rejects=1)
    assert [row["id"] for row in table.rows()] == [1, 3]
    assert [(one.line, one.column, one.text) for one in table.rejects.rows] == [(2, "day", "yesterday")]
    with pytest.raises(DataAnomalies):
        fw.read(f"sqlite:///{tmp_path}/x.db", table="t").rows()


@pytest.fixture
def shop(postgres_server: str) -> Iterator[str]:
    with psycopg.connect(postgres_server, autocommit=True) as link:
        link.execute("create schema if not exists shop")
        link.execute(
            "create table shop.sale (id bigint, price double precision, amount numeric(12,3), any_amount numeric, name text, tags text[],"
            " day date, at timestamp, zoned timestamptz, t time, ok boolean, raw bytea, j jsonb, u uuid, i interval)"
        )
        link.execute(
            "insert into shop.sale select n, n / 3.0, n * 1.001, n * 0.5, case when n % 7 = 0 then null else 'n' || n end, array['a','b'],"
            " date '2024-01-01' + (n % 300), timestamp '2024-01-01 10:00' + n * interval '5 s', timestamptz '2024-01-01 10:00+02',"
            " '10:11:12', n % 2 = 0, '\\x01', '{\"a\": 1}', gen_random_uuid(), interval '2 days 3 s' from generate_series(1, 30000) n"
        )
    yield postgres_server
    with psycopg.connect(postgres_server, autocommit=True) as link:
        link.execute("drop schema shop cascade")


_OF_POSTGRES = {
    "id": "int64", "price": "double", "amount": "decimal128(12, 3)", "any_amount": "decimal128(38, 9)", "name": "string",
    "tags": "list<string>",
    "day": "date32[day]", "at": "timestamp[us]", "zoned": "timestamp[us, UTC]", "t": "time[us]", "ok": "bool", "raw": "binary",
    "j": "string", "u": "string", "i": "duration[us]",
}  # fmt: skip


@pytest.mark.parametrize("how", [{"table": "shop.sale"}, {"query": "select * from shop.sale"}])
def test_postgresql_keeps_its_types(shop: str, how: dict[str, str]) -> None:
    table = fw.read(shop, **how)
    assert {one.name: one.arrow for one in table.fields} == _OF_POSTGRES
    row = fw.read(shop, **how, where="id = 6").rows()[0]
    assert row | {"u": ""} == {
        "id": 6, "price": 2.0, "amount": 6.006, "any_amount": 3.0, "name": "n6", "tags": ["a", "b"], "day": "2024-01-07",
        "at": "2024-01-01T10:00:30.000000", "zoned": "2024-01-01T08:00:00.000000Z", "t": "10:11:12.000000", "ok": True, "raw": b"\x01",
        "j": '{"a": 1}', "u": "", "i": 2 * 86_400_000_000 + 3_000_000,
    }  # fmt: skip


def test_postgresql_in_parts_sees_one_moment(shop: str) -> None:
    """Rows that come between the reading of two parts are in none of them."""
    database = Database(shop, "shop.sale", "", {"partition": "id", "partitions": 3})
    fields, _ = database.look()
    first, *others = database.parts(fields)
    with database.one_moment() as moment:
        rows = sum(chunk.rows for chunk in database.chunks(["id"], first, moment))
        with psycopg.connect(shop, autocommit=True) as link:
            link.execute("insert into shop.sale (id) select n from generate_series(1, 30000) n")
        rows += sum(chunk.rows for part in others for chunk in database.chunks(["id"], part, moment))
    assert rows == 30_000
    assert fw.read(shop, table="shop.sale", partition="id", partitions=3).select("id").rows(60_000)[0]["id"] > 0
    assert sum(batch.rows for batch in fw.read(shop, table="shop.sale", partition="id", partitions=3).batches(["id"])) == 60_000


def test_postgresql_refuses_to_write_and_says_what_is_wrong(shop: str) -> None:
    with pytest.raises(ConfigError, match="refuses"):
        fw.read(shop, query="delete from shop.sale returning id")
    assert fw.read(shop, table="shop.sale").count() == 30_000
    with pytest.raises(NotFoundError, match=r"no table 'shop\.sail'"):
        fw.read(shop, table="shop.sail")
    with pytest.raises(ConfigError, match="nobody"):
        fw.read(shop.replace("fairway@", "nobody:s3cret@"), table="shop.sale")


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://u:s3cret@127.0.0.1:1/db", "mysql://u:s3cret@h/db", "snowflake://u:s3cret@h/db", "nodb+x://u:s3cret@h/db",
        "postgresql://u:s3c%40ret@127.0.0.1:1/db?sslpassword=s3cret", "postgresql://u:a@s3cret@h/db", "postgresql://u@127.0.0.1:1/db?password=s3cret",
    ],
)  # fmt: skip
def test_no_message_holds_a_password(url: str) -> None:
    with pytest.raises((ConfigError, UnsupportedError)) as caught:
        fw.read(url, table="t", format="sql", timeout_s=2)
    said = f"{caught.value!r} {caught.value} {caught.value.hint}"
    assert "s3cret" not in said
    assert "s3c@ret" not in said
    assert "s3c%40ret" not in said


def test_a_table_shows_no_password(shop: str) -> None:
    table = fw.read(shop.replace("fairway@", "fairway:s3cret@"), table="shop.sale")
    assert "s3cret" not in repr(table) + table._repr_html_() + table.uri + str(table.rejects)
    assert "***" in table.uri


@given(
    st.text(st.characters(codec="ascii", exclude_characters="/?#@:&;"), min_size=4),
    st.sampled_from(["u:{}@h/db", "u@h/db?password={}", "h/d?x=1&token={}"]),
)
def test_shown_hides_every_password(word: str, shape: str) -> None:
    url = "db://" + shape.format("<" + word + ">")
    assert f"<{word}>" not in shown(url)
    assert "***" in shown(url)
    assert f"<{word}>" not in without(f"failed: {url}", secrets_of(url))


@given(
    st.one_of(
        st.tuples(st.integers(), st.integers()),
        st.tuples(st.decimals(-1e6, 1e6), st.decimals(-1e6, 1e6)),
        st.tuples(st.datetimes(), st.datetimes()),
    ),
    st.integers(1, 20),
    st.data(),
)
def test_each_value_is_in_one_range(ends: tuple[Any, Any], count: int, data: st.DataObject) -> None:
    low, high = sorted(ends)
    made = ranges("c", low, high, count)
    for value in (low, high, low + (high - low) / 3 if not isinstance(low, int) else data.draw(st.integers(low, high))):
        assert sum(_within(value, parameters) for _, parameters in made) == 1
    assert len(made) <= count


def _within(value: Any, parameters: dict[str, Any]) -> bool:
    return parameters.get("fairway_low", value) <= value and ("fairway_high" not in parameters or value < parameters["fairway_high"])


def test_a_failing_part_ends_the_others() -> None:
    def endless() -> Iterator[Any]:
        while True:
            yield object()

    def broken() -> Iterator[Any]:
        yield object()
        raise ConfigError("broken")

    with pytest.raises(ConfigError, match="broken"):
        for _ in in_parallel([endless, broken]):
            pass


def test_decimals_are_exact(shop: str) -> None:
    import duckdb

    table = fw.read(shop, query="select amount, day from shop.sale where id = 3")
    assert duckdb.connect().from_arrow(table).fetchall() == [(Decimal("3.003"), dt.date(2024, 1, 4))]
