"""Texts that stay bytes: the same numbers, days and texts as Python reads from them."""

from __future__ import annotations

import datetime as dt

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairway.data.sources.utf8texts import Utf8Texts

_WORDS = st.text(st.characters(blacklist_characters="\0", blacklist_categories=("Cs",)), max_size=40)
_NUMBERS = st.one_of(
    st.integers(-(10**16), 10**16).map(str),
    st.floats(allow_nan=False, allow_infinity=False).map(repr),
    st.decimals(-(10**9), 10**9, places=4).map(str),
    st.text("0123456789.+-e ", max_size=8),
)


def _cut(texts: list[str]) -> Utf8Texts:
    raw = [text.encode() for text in texts]
    ends = np.cumsum([len(one) + 1 for one in raw])
    starts = ends - np.array([len(one) + 1 for one in raw])
    return Utf8Texts.cut(b"|".join(raw), starts, ends - 1)


@given(st.lists(_WORDS, min_size=1, max_size=8))
def test_texts_are_the_same_however_they_are_kept(texts: list[str]) -> None:
    raw = [text.encode() for text in texts]
    for made in (Utf8Texts(raw), Utf8Texts.joined(b"\0".join(raw)), _cut(texts)):
        assert len(made) == len(texts)
        data, lengths = made.arrow()
        assert bytes(data) == b"".join(raw)
        assert lengths.tolist() == list(map(len, raw))
        assert made.strings() == texts
        assert made.parts() == raw
        assert made[0] == texts[0]


@given(st.lists(_NUMBERS, min_size=1, max_size=6))
def test_numbers_are_those_that_python_reads_or_are_left_to_it(texts: list[str]) -> None:
    for arrow, read in (("int64", int), ("double", float)):
        found = _cut(texts).values(arrow)
        if found is not None:
            expected = [read(text) for text in texts]
            assert found.tolist() == expected
            assert [str(one) for one in found.tolist()] == [str(one) for one in expected]  # -0.0 is not 0.0


@pytest.mark.parametrize("texts", [["1", "-22", "+3"], ["9007199254740991"]])
def test_plain_whole_numbers_are_read_at_once(texts: list[str]) -> None:
    found = _cut(texts).values("int64")
    assert found is not None
    assert found.tolist() == list(map(int, texts))


def test_plain_decimals_are_read_at_once() -> None:
    found = _cut(["65.16", "-0.1", ".5", "7.", "12345678.901234"]).values("double")
    assert found is not None
    assert found.tolist() == [65.16, -0.1, 0.5, 7.0, 12345678.901234]


@given(st.lists(st.one_of(st.dates().map(str), st.text("0123456789-", min_size=10, max_size=10)), min_size=1, max_size=5))
def test_days_are_those_of_the_calendar(texts: list[str]) -> None:
    found = _cut(texts).values("date32[day]")
    try:
        expected = [(dt.datetime.strptime(text, "%Y-%m-%d").date() - dt.date(1970, 1, 1)).days for text in texts]
    except ValueError:
        assert found is None
        return
    assert found is not None
    assert found.tolist() == expected


def test_what_is_no_plain_number_is_left_to_python() -> None:
    for text in ("", " 1", "1_0", "1e5", "nan", "--1", "1.2.3", "+", ".", "٣", "9" * 17):
        assert _cut([text]).values("int64") is None
        assert _cut([text]).values("double") is None or text == "9" * 16
    assert _cut(["1.5"]).values("int64") is None
    assert _cut(["1.5"]).values("string") is None
