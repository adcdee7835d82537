"""Batches: hashes mean the same everywhere, rows can be taken and joined, lengths are characters."""

from __future__ import annotations

import itertools

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from fairway.data.batch import Batch, batches_of, joined, sliced, taken, values_of
from fairway.data.hashing import first_words, hash_texts

texts = st.lists(st.one_of(st.none(), st.text(max_size=30), st.text("ab", min_size=240, max_size=300)), max_size=30)
numbers = st.lists(st.one_of(st.none(), st.integers(-(2**63), 2**63 - 1)), max_size=30)
lists = st.lists(st.one_of(st.none(), st.lists(st.floats(-5, 5), max_size=4)), min_size=1, max_size=20).filter(any)


@settings(deadline=None, max_examples=50)
@given(texts, st.integers(0, 10))
def test_the_hash_of_a_text_does_not_depend_on_where_it_is(column: list[str | None], before: int) -> None:
    alone = [None if one is None else int(values_of([one]).hashes()[0]) for one in column]
    moved = values_of(["é" * before, *column, "x"]).hashes()[1:-1].tolist()
    assert moved == [one or 0 for one in alone]
    slices = [int(sliced(values_of(["a", *column]), row, row + 1).hashes()[0]) for row in range(1, len(column) + 1)]
    assert slices == moved


def test_texts_that_differ_anywhere_have_different_hashes() -> None:
    made = ["", "\0", "\0\0", *("a" * n for n in range(1, 600))]
    for length, byte in itertools.product((7, 8, 9, 16, 24, 255, 256, 257, 300), (1, 128)):
        for place in range(length):
            raw = bytearray(b"k" * length)
            raw[place] ^= byte
            made.append(raw.decode("latin-1"))
    hashes = values_of(made).hashes()
    assert len(set(hashes.tolist())) == len(set(made))


def test_hashes_of_texts_spread_over_all_bits() -> None:
    hashes = values_of([f"user-{n}" for n in range(20_000)]).hashes()
    ones = [(int(np.count_nonzero(hashes >> np.uint64(bit) & np.uint64(1)))) for bit in range(64)]
    assert all(9_600 < one < 10_400 for one in ones)


@settings(deadline=None, max_examples=50)
@given(st.lists(st.integers(-(2**53), 2**53), min_size=1, max_size=20))
def test_a_whole_number_has_the_hash_of_the_float_of_its_value(column: list[int]) -> None:
    assert values_of(column).hashes().tolist() == values_of([float(one) for one in column]).hashes().tolist()
    assert len(set(values_of(column).hashes().tolist())) == len(set(column))


def test_zero_and_nan_are_one_value_each() -> None:
    zero, minus, nan, other = values_of(np.array([0.0, -0.0, np.nan, -np.nan])).hashes().tolist()
    assert zero == minus
    assert nan == other


def test_the_hash_of_a_list_does_not_depend_on_where_it_is() -> None:
    made = values_of([[1.0, 2.0], None, [], [2.0, 1.0], [1.0, 2.0], [0.0]])
    hashes = made.hashes().tolist()
    assert hashes[0] == hashes[4] != hashes[3]
    assert hashes[1] == 0
    assert len(set(hashes)) == 5


@settings(deadline=None, max_examples=50)
@given(st.one_of(texts, numbers, lists).filter(len), st.data())
def test_rows_are_taken_in_the_order_asked_for(column: list, data: st.DataObject) -> None:
    rows = np.array(data.draw(st.lists(st.integers(0, len(column) - 1), max_size=20)), np.int64)
    made = taken(values_of(column), rows)
    assert made.values(range(len(rows))) == [values_of(column).value(int(row)) for row in rows]


@settings(deadline=None, max_examples=50)
@given(st.one_of(texts, numbers, lists).filter(len), st.integers(0, 30))
def test_parts_joined_are_the_whole(column: list, cut: int) -> None:
    whole = values_of(column)
    made = joined([sliced(whole, 0, min(cut, len(whole))), sliced(whole, min(cut, len(whole)), len(whole))])
    assert made.values(range(len(whole))) == whole.values(range(len(whole)))


def test_whole_numbers_joined_to_floats_are_floats_and_texts_among_them_are_null() -> None:
    made = joined([values_of([1, 2]), values_of([2.5]), values_of(["x"]), values_of([None])])
    assert made.values(range(5)) == [1.0, 2.0, 2.5, None, None]


@settings(deadline=None, max_examples=50)
@given(st.lists(st.text(max_size=12), min_size=1, max_size=20), st.integers(0, 5))
def test_lengths_are_characters(column: list[str], cut: int) -> None:
    assert values_of(column).lengths().tolist() == [len(one) for one in column]
    assert sliced(values_of(column), min(cut, len(column)), len(column)).lengths().tolist() == [len(one) for one in column[cut:]]


@settings(deadline=None, max_examples=50)
@given(st.lists(st.binary(max_size=20), min_size=1, max_size=20), st.integers(0, 16))
def test_first_words_stand_in_the_order_of_the_bytes(column: list[bytes], skip: int) -> None:
    made = values_of(column)
    assert made.offsets is not None
    words = first_words(made.offsets, made.data, np.arange(len(column)), skip).tolist()
    assert words == [int.from_bytes(one[skip : skip + 8].ljust(8, b"\0")) for one in column]


def test_a_hundred_thousand_long_texts_are_hashed_in_pieces() -> None:
    offsets = np.arange(2_001, dtype=np.int64) * 1_000
    data = np.tile(np.arange(200, dtype=np.uint8), 10_000)
    made = hash_texts(offsets, data)
    assert len(set(made.tolist())) == 1
    assert made[0] == hash_texts(offsets[:2], data)[0]


def test_arrow_arrives_without_a_copy_and_is_the_same_as_from_python() -> None:
    import duckdb

    relation = duckdb.connect().sql(
        "select i as n, i / 4 as f, case when i % 3 = 0 then null else 'ä' || i end as t, [i, i + 1] as l, i % 2 = 0 as b,"
        " TIMESTAMP '2024-01-01' + INTERVAL (i) HOUR as ts, {'x': i} as s from range(100) r(i)"
    )
    (made,) = batches_of(relation)
    assert list(made.columns) == ["n", "f", "t", "l", "b", "ts", "s.x"]
    assert made.columns["t"].values([0, 1]) == [None, "ä1"]
    assert made.columns["l"].value(3) == [3, 4]
    assert made.columns["ts"].value(25) == "2024-01-02T01:00:00.000000"
    same = Batch.of({"t": [None if n % 3 == 0 else f"ä{n}" for n in range(100)], "f": [n / 4 for n in range(100)]})
    for name in ("t", "f"):
        assert made.columns[name].hashes().tolist() == same.columns[name].hashes().tolist()
