"""Python's values as Arrow: what is inferred holds what it was inferred from, and what does not fit is a reject."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fairway.data.batch import batches_of
from fairway.data.sources.arrowstream import ChunkStream, find_failure
from fairway.data.sources.engine import connect
from fairway.data.sources.rejects import RejectLimit, Rejects
from fairway.data.sources.rowbuilder import Chunk, RowSource, gathered, infer, type_of_values
from fairway.data.sources.texttypes import type_of_texts
from fairway.errors import ConfigError


def source(columns: dict[str, list[Any]], *more: Chunk, texts: bool = False) -> RowSource:
    rows = len(next(iter(columns.values())))
    rejects = Rejects("memory", RejectLimit.parse("all"))
    return RowSource(infer(columns, texts=texts), lambda _: iter([Chunk(rows, columns), *more]), rejects, texts=texts)


def read(one: RowSource) -> list[tuple[Any, ...]]:
    return one.relation(connect(), None).fetchall()


_EXACT = st.one_of(
    st.lists(st.none() | st.integers(-(2**63), 2**63 - 1)),
    st.lists(st.none() | st.floats(allow_nan=False)),
    st.lists(st.none() | st.text(st.characters(exclude_categories=["Cs"]))),
    st.lists(st.none() | st.booleans()),
    st.lists(st.none() | st.dates()),
    st.lists(st.none() | st.datetimes()),
    st.lists(st.none() | st.times()),
    st.lists(st.none() | st.binary()),
    st.lists(st.none() | st.decimals(-(10**9), 10**9, places=3)),
    st.lists(st.none() | st.lists(st.none() | st.integers(-5, 5))),
)


@settings(max_examples=50, deadline=None)
@given(_EXACT.filter(bool))
def test_values_come_back_as_they_were(values: list[Any]) -> None:
    one = source({"v": values})
    found = [row[0] for row in read(one)]
    assert not one.rejects.count
    assert found == values


@pytest.mark.parametrize(
    ("values", "arrow"),
    [
        ([1, 2.5], "double"), ([1, Decimal("2.5")], "decimal128(38, 1)"), ([2**70], "decimal128(38, 0)"), ([10**40], "string"), ([1, "a"],
        "string"),
        ([True, 1], "string"), ([None], "null"), ([[1], ["a"]], "list<string>"), ([[{"a": 1}]], "string"),
        ([dt.date(2024, 1, 1), dt.datetime(2024, 1, 1)], "timestamp[us]"),
        ([dt.datetime(2024, 1, 1, tzinfo=dt.UTC), dt.datetime(2024, 1, 1)], "string"), ([dt.timedelta(1)], "duration[us]"),
        ([Decimal("NaN"), Decimal(1)], "double"),
    ],
)  # fmt: skip
def test_types_of_values(values: list[Any], arrow: str) -> None:
    assert type_of_values(values) == arrow


@pytest.mark.parametrize(
    ("texts", "arrow"),
    [
        (["1", " 2 ", ""], "int64"), (["007"], "string"), (["-0"], "int64"), (["1.5", "2"], "double"), (["1e3", "NaN"], "double"),
        (["01.5"], "string"),
        (["true", "False"], "bool"), (["1_000"], "string"), (["2024-01-31"], "date32[day]"), (["2024-02-31"], "string"),
        (["2024-01-31T10:00:00"], "timestamp[us]"), (["2024-01-31T10:00:00Z", "2024-01-31 10:00:00+02:00"], "timestamp[us, UTC]"),
        (["2024-01-31T10:00:00Z", "2024-01-31 10:00:00"], "string"), (["", " "], "null"), (["12345678901234567890"], "double"), (["٣"],
        "string"),
    ],
)  # fmt: skip
def test_types_of_texts(texts: list[str], arrow: str) -> None:
    assert type_of_texts(texts) == arrow


def test_a_row_that_does_not_fit_is_rejected_whole() -> None:
    more = Chunk(4, {"a": [3, "x", 5, 2**70], "s": ["p", "q", None, "r"]}, lines=[10, 11, 12, 13])
    one = source({"a": [1, 2], "s": ["x", "y"]}, more)
    assert read(one) == [(1, "x"), (2, "y"), (3, "p"), (5, None)]
    assert [(bad.line, bad.column, bad.text) for bad in one.rejects.rows] == [(11, "a", "x"), (13, "a", str(2**70))]
    assert read(one) == [(1, "x"), (2, "y"), (3, "p"), (5, None)], "each pass begins anew"
    assert one.rejects.count == 2


def test_texts_are_read_as_the_type_that_was_found() -> None:
    more = Chunk(5, {"n": ["7", " 8 ", "", "1_0", "x"], "d": ["2024-01-02", None, " ", "2024-01-03", "2024-01-04"]})
    one = source({"n": ["1"], "d": ["2024-01-01"]}, more, texts=True)
    assert read(one) == [(1, dt.date(2024, 1, 1)), (7, dt.date(2024, 1, 2)), (8, None), (None, None)]
    assert [bad.text for bad in one.rejects.rows] == ["1_0", "x"]


@given(st.lists(st.dictionaries(st.sampled_from("abc"), st.integers())))
def test_gathered_columns_are_of_one_length(records: list[dict[str, int]]) -> None:
    made = gathered(records)
    assert all(len(column) == len(records) for column in made.values())
    for row, record in enumerate(records):
        assert {name: column[row] for name, column in made.items() if column[row] is not None} == record


def test_an_error_reaches_who_reads_through_duckdb() -> None:
    import nanoarrow as na

    error = ConfigError("line 7 is bad", where="x:7")

    def chunks() -> Iterator[Any]:
        raise error
        yield

    stream = ChunkStream(na.c_schema(na.struct({"a": na.int64()})), chunks)
    with pytest.raises(duckdb.Error, match="x:7: line 7 is bad") as caught:
        connect().from_arrow(stream).fetchall()
    assert find_failure(str(caught.value)) is error


def test_names_that_differ_in_case_stay_apart() -> None:
    one = source({"a": [1], "A": ["x"], "a_2": [True]})
    assert [field.name for field in one.fields] == ["a", "A_2", "a_2_2"]
    assert one.relation(connect(), ["A_2", "a"]).project('"A_2", a').fetchall() == [("x", 1)]


def test_who_reads_no_further_lets_everything_go() -> None:
    closed: list[bool] = []

    def chunks(_: Any) -> Iterator[Chunk]:
        try:
            while True:
                yield Chunk(2, {"a": [1, 2]})
        finally:
            closed.append(True)

    one = RowSource(infer({"a": [1]}), chunks, Rejects("memory"))
    batches = batches_of(one.stream(one.fields))
    assert next(batches).rows == 2
    batches.close()  # type: ignore[attr-defined]
    assert closed == [True]
