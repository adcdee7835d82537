"""ISO 8601 texts as numbers, against the standard library."""

from __future__ import annotations

import datetime as dt

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fairway.data.streams.columns import texts
from fairway.data.streams.times import parse_dates, parse_times

_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)


def _parse(values: list[str | None]) -> tuple[list[int], bool] | None:
    column = texts(values)
    assert column.offsets is not None
    parsed = parse_times(column.offsets, column.data, column.valid)
    return None if parsed is None else (parsed[0].tolist(), parsed[1])


def _microseconds(one: dt.datetime) -> int:
    return (one - _EPOCH) // dt.timedelta(microseconds=1)


_ZONES = st.integers(-14 * 60, 14 * 60).map(lambda minutes: dt.timezone(dt.timedelta(minutes=minutes)))
_MOMENTS = st.datetimes(dt.datetime(1, 1, 3), dt.datetime(9999, 12, 29), timezones=_ZONES)


def _spell(moment: dt.datetime, how: int) -> str:
    text = moment.isoformat(sep=" " if how & 1 else "T")
    if moment.utcoffset() == dt.timedelta(0) and how & 2:
        return text.removesuffix("+00:00") + "Z"
    if how & 4:
        head, tail = text[:-3], text[-2:]
        return head + tail
    return text


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(_MOMENTS, st.integers(0, 7)), min_size=1, max_size=8))
def test_every_spelling_with_a_zone(moments: list[tuple[dt.datetime, int]]) -> None:
    parsed = _parse([_spell(moment, how) for moment, how in moments])
    assert parsed == ([_microseconds(moment) for moment, _ in moments], True)


@settings(max_examples=80, deadline=None)
@given(st.lists(st.one_of(st.none(), st.datetimes(dt.datetime(1, 1, 1), dt.datetime(9999, 12, 31))), min_size=1, max_size=8))
def test_wall_clocks_and_nulls(moments: list[dt.datetime | None]) -> None:
    parsed = _parse([None if one is None else one.isoformat() for one in moments])
    if all(one is None for one in moments):
        assert parsed is None
    else:
        assert parsed == ([0 if one is None else _microseconds(one.replace(tzinfo=dt.UTC)) for one in moments], False)


def test_shorter_and_longer_fractions() -> None:
    at = _microseconds(dt.datetime(2026, 3, 2, 1, 2, 3, tzinfo=dt.UTC))
    parsed = _parse([f"2026-03-02T01:02:03{part}Z" for part in ("", ".5", ".25", ".123456789", ",75")])
    assert parsed == ([at, at + 500_000, at + 250_000, at + 123_456, at + 750_000], True)
    assert _parse(["2026-03-02T01:02"]) == ([at - 3_000_000], False)


@pytest.mark.parametrize(
    "text",
    ["", "x", "2026-03-02", "2026-02-30T00:00:00Z", "2026-13-01T00:00:00Z", "2026-03-02T24:00:00Z", "2026-03-02T00:60:00Z",
     "2026-03-02T00:00:00.Z", "2026-03-02T00:00:00X", "2026-03-02x00:00:00", "2026-03-02T00:00:00+0a:00", "20260302T000000Z",
     "2026-03-02T00:00:00Z ", "２０２６-03-02T00:00:00"],
)  # fmt: skip
def test_what_is_no_time(text: str) -> None:
    assert _parse([text]) is None
    assert _parse(["2026-03-02T00:00:00Z", text]) is None


def test_times_with_and_without_a_zone_do_not_mix() -> None:
    assert _parse(["2026-03-02T00:00:00Z", "2026-03-02T00:00:00"]) is None


@settings(max_examples=80, deadline=None)
@given(st.lists(st.dates(), min_size=1, max_size=6))
def test_dates(days: list[dt.date]) -> None:
    column = texts([one.isoformat() for one in days])
    assert column.offsets is not None
    parsed = parse_dates(column.offsets, column.data, None)
    assert parsed is not None
    assert parsed.tolist() == [(one - dt.date(1970, 1, 1)).days for one in days]


@settings(max_examples=100, deadline=None)
@given(st.lists(st.text(alphabet="0123456789-T:.+Z ", max_size=32), max_size=4))
def test_no_text_breaks_it(values: list[str]) -> None:
    column = texts(list(values))
    assert column.offsets is not None
    parsed = parse_times(column.offsets, column.data, None)
    assert parsed is None or parsed[0].dtype == np.int64
