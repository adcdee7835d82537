"""Records of JSON as batches."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fairway.data.batch import Batch
from fairway.data.streams.ndjson import NdjsonDecoder
from fairway.data.streams.rejects import StreamRejects

ROWS = [{"x": 1.5, "n": 3, "s": "a", "b": True, "at": "2026-03-02T00:00:05Z"}, {"x": 2, "n": 4, "s": "é", "b": None, "at": None}]


def _encode(rows: list[Any]) -> list[bytes]:
    return [json.dumps(row).encode() for row in rows]


def _plain(batch: Batch) -> list[dict[str, Any]]:
    columns = {name: one.values(range(batch.rows)) for name, one in batch.columns.items()}
    return [{name: values[row] for name, values in columns.items()} for row in range(batch.rows)]


def _kinds(batch: Batch) -> dict[str, str]:
    return {name: one.kind for name, one in batch.columns.items()}


@pytest.mark.parametrize("windows", [1, 2])
def test_kinds_and_values_are_the_same_in_the_first_window_and_later(windows: int) -> None:
    decoder = NdjsonDecoder(StreamRejects())
    for _ in range(windows):
        batch = decoder.decode(_encode(ROWS), 7)
    assert batch.first_row == 7
    assert _kinds(batch) == {"x": "float", "n": "integer", "s": "string", "b": "boolean", "at": "timestamp"}
    assert batch.columns["at"].arrow == "timestamp[us, UTC]"
    assert _plain(batch) == [
        {"x": 1.5, "n": 3, "s": "a", "b": True, "at": "2026-03-02T00:00:05.000000Z"},
        {"x": 2.0, "n": 4, "s": "é", "b": None, "at": None},
    ]


def test_a_kind_that_changes_is_seen_and_so_is_its_return() -> None:
    decoder = NdjsonDecoder(StreamRejects())
    told = [_kinds(decoder.decode(_encode([{"n": value}, {"n": value}]), 0))["n"] for value in (1, 2, 2.5, 2.5, "x", 3, None, 1)]
    assert told == ["integer", "integer", "float", "float", "string", "integer", "null", "integer"]


def test_a_pinned_float_takes_whole_numbers_and_a_pinned_integer_shows_fractions() -> None:
    decoder = NdjsonDecoder(StreamRejects(), {"x": "float", "n": "integer"})
    assert _kinds(decoder.decode(_encode([{"x": 1, "n": 1}]), 0)) == {"x": "float", "n": "integer"}
    assert _kinds(decoder.decode(_encode([{"x": 1, "n": 1.5}]), 0)) == {"x": "float", "n": "float"}


def test_a_column_that_is_missing_is_missing_and_one_that_is_null_is_null() -> None:
    decoder = NdjsonDecoder(StreamRejects(), {"x": "float", "é": "string"})
    assert _kinds(decoder.decode(_encode([{"x": 1.0}]), 0)) == {"x": "float"}
    batch = decoder.decode(_encode([{"x": 1.0, "é": None}]), 0)
    assert _kinds(batch) == {"x": "float", "é": "string"}
    assert batch.columns["é"].nulls == 1
    assert _kinds(decoder.decode(['{"x": 1.0, "é": null}'.encode()], 0)) == {"x": "float", "é": "string"}


def test_a_column_that_is_added_is_there_at_once() -> None:
    decoder = NdjsonDecoder(StreamRejects())
    decoder.decode(_encode([{"x": 1.0}]), 0)
    assert _plain(decoder.decode(_encode([{"x": 1.0}, {"x": 2.0, "new": 5}]), 0)) == [{"x": 1.0, "new": None}, {"x": 2.0, "new": 5}]
    assert set(decoder.decode(_encode([{"x": 1.0}]), 0).columns) == {"x"}


def test_objects_are_columns_of_their_fields() -> None:
    decoder = NdjsonDecoder(StreamRejects())
    rows = [{"at": {"lat": 1.5, "deep": {"n": 1}}, "l": [1, 2]}, {"at": {"lat": 2.5, "deep": {"n": 2}}, "l": []}]
    for _ in range(2):
        batch = decoder.decode(_encode(rows), 0)
        assert _kinds(batch) == {"at.lat": "float", "at.deep.n": "integer", "l": "list"}
        assert _plain(batch)[0] == {"at.lat": 1.5, "at.deep.n": 1, "l": [1, 2]}
    batch = decoder.decode(_encode([{"at": {"lat": 1.0}, "l": None}]), 0)
    assert _plain(batch) == [{"at.lat": 1.0, "l": None}]


def test_what_is_no_record_is_kept_aside_with_its_number() -> None:
    rejects = StreamRejects()
    decoder = NdjsonDecoder(rejects, {"n": "integer"})
    deep = [b"[" * 100_000, b'{"n":' * 90 + b"1" + b"}" * 90]
    poison = [b"{", b"[1]", b"7", b'{"n": 1} {"n": 2}', b'{"n": "\xff"}', *deep, b"nan", b'{"n":NaN}']
    batch = decoder.decode([b'{"n": 1}', *poison, b'{"n": 2}'], 100)
    assert batch.columns["n"].data.tolist() == [1, 2]
    assert rejects.count == len(poison)
    assert [one.record for one in rejects.rows] == list(range(101, 101 + len(poison)))
    assert rejects.rows[1].reason == "not an object but a list"
    assert "nested" in rejects.rows[5].reason
    assert len(rejects.rows[5].text) < 500


def test_all_rejects_are_written_to_a_file_and_few_are_held(tmp_path: Any) -> None:
    rejects = StreamRejects(tmp_path / "deep" / "rejects.ndjson", limit=3)
    NdjsonDecoder(rejects).decode([b"bad %d" % number for number in range(10)], 5)
    lines = [json.loads(line) for line in (tmp_path / "deep" / "rejects.ndjson").read_text().splitlines()]
    assert [line["text"] for line in lines] == [f"bad {number}" for number in range(10)]
    assert (rejects.count, len(rejects.rows), lines[0]["record"]) == (10, 3, 5)


_VALUES = st.one_of(
    st.none(), st.booleans(), st.integers(-(2**70), 2**70), st.floats(allow_nan=False, allow_infinity=False), st.text(max_size=8),
    st.lists(st.integers(0, 9), max_size=3),
)  # fmt: skip


@settings(max_examples=100, deadline=None)
@given(st.lists(st.lists(st.dictionaries(st.sampled_from("abcé"), _VALUES, max_size=4), min_size=1, max_size=5), min_size=1, max_size=4))
def test_whatever_shapes_come_a_later_window_is_as_a_first_would_be(windows: list[list[dict[str, Any]]]) -> None:
    """Whatever a decoder has learnt before, it loses no row and no value; a column has the kind that it would have without the past, but
    that whole numbers of a column of fractions are fractions, and texts may be times only where they were before."""
    decoder = NdjsonDecoder(StreamRejects())
    for window in windows:
        batch = decoder.decode(_encode(window), 0)
        fresh = NdjsonDecoder(StreamRejects()).decode(_encode(window), 0)
        assert batch.rows == fresh.rows == len(window)
        assert set(batch.columns) == set(fresh.columns)
        for name, column in batch.columns.items():
            expected = fresh.columns[name]
            both = {column.kind, expected.kind}
            assert len(both) == 1 or both <= {"float", "integer"} or "null" in both
            if column.kind == expected.kind:
                assert column.values(range(batch.rows)) == expected.values(range(batch.rows))
            else:
                assert column.nulls == expected.nulls


@settings(max_examples=100, deadline=None)
@given(st.lists(st.binary(max_size=30).filter(lambda one: b"\n" not in one and one.strip()), max_size=6))
def test_no_bytes_break_it(payloads: list[bytes]) -> None:
    rejects = StreamRejects()
    batch = NdjsonDecoder(rejects, {"a": "float"}).decode([b'{"a": 1}', *payloads], 0)
    assert batch.rows + rejects.count == 1 + len(payloads)


def test_many_rows_are_parsed_in_columns() -> None:
    rows = [{"x": number / 7, "n": number, "s": f"s{number % 5}"} for number in range(5000)]
    decoder = NdjsonDecoder(StreamRejects())
    decoder.decode(_encode(rows[:10]), 0)
    batch = decoder.decode(_encode(rows), 0)
    assert np.array_equal(batch.columns["x"].data, np.arange(5000) / 7)
    assert np.array_equal(batch.columns["n"].data, np.arange(5000))
    assert batch.columns["s"].value(4999) == "s4"
