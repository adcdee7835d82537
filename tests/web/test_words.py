"""Numbers, sizes and times in words."""

from __future__ import annotations

import math

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from fairway.web.pages.words import spell_ago, spell_duration, spell_ms, spell_number, spell_rate, spell_share, spell_size

NOW = 1_800_000_000.0
UNITS_S = {"ms": 0.001, "s": 1.0, "min": 60.0, "h": 3600.0, "d": 86400.0}
SIZES = {"B": 1, "kB": 1e3, "MB": 1e6, "GB": 1e9, "TB": 1e12, "PB": 1e15}


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.0, "0 ms"),
        (0.0342, "34 ms"),
        (0.9996, "1.0 s"),
        (4.21, "4.2 s"),
        (59.4, "59 s"),
        (59.97, "1 min"),
        (185, "3 min 5 s"),
        (3599.6, "1 h"),
        (7440, "2 h 4 min"),
        (266400, "3 d 2 h"),
        (None, ""),
        (math.nan, ""),
        (-3.0, "0 ms"),
    ],
)
def test_durations(seconds: float | None, text: str) -> None:
    assert spell_duration(seconds) == text


@given(st.floats(0.001, 1e7))
def test_a_duration_in_words_is_near_the_duration(seconds: float) -> None:
    words = spell_duration(seconds).split()
    told = sum(float(number) * UNITS_S[unit] for number, unit in zip(words[::2], words[1::2], strict=True))
    assert abs(told - seconds) <= max(0.06 * seconds, 0.0005)


@pytest.mark.parametrize(
    ("passed", "text"),
    [
        (-90.0, "in 1 min 30 s"),
        (0.0, "just now"),
        (12.9, "12 s ago"),
        (60.0, "1 min ago"),
        (7300.0, "2 h ago"),
        (3 * 86400.0, "3 d ago"),
        (30 * 86400.0, "2026-12-16"),
    ],
)
def test_how_long_ago(passed: float, text: str) -> None:
    assert spell_ago(NOW - passed, NOW) == text


def test_no_time_is_no_word() -> None:
    assert spell_ago(0.0, NOW) == ""


@given(st.floats(0, 9e17))
@example(999.7)  # never "1000 B"
def test_a_size_in_words_is_near_the_size(size: float) -> None:
    number, unit = spell_size(size).split()
    assert abs(float(number) * SIZES[unit] - size) <= max(0.06 * size, 0.5)
    assert len(number) <= 3 or unit == "PB" or "." in number


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (12345, "12,345"),
        (0.81234, "0.8123"),
        (1.2e-07, "1.2e-07"),
        (3.0, "3"),
        (1234.56, "1,234.6"),
        (math.inf, "∞"),
        (math.nan, "NaN"),
        (True, "True"),
        (None, ""),
        ("word", "word"),
        (10**20, "1e+20"),
        (-0.5, "-0.5"),
    ],
)
def test_numbers(value: object, text: str) -> None:
    assert spell_number(value) == text


@pytest.mark.parametrize(
    ("rate", "text"), [(0, "0 /s"), (0.01, "< 0.1 /s"), (0.32, "0.3 /s"), (12.44, "12.4 /s"), (142.2, "142 /s"), (12_345, "12,345 /s")]
)
def test_rates(rate: float, text: str) -> None:
    assert spell_rate(rate) == text


@pytest.mark.parametrize(
    ("ms", "text"),
    [(None, "–"), (math.nan, "–"), (0.24, "0.24 ms"), (4.14, "4.1 ms"), (9.96, "10 ms"), (142.2, "142 ms"), (3_200, "3.2 s")],
)
def test_latencies(ms: float | None, text: str) -> None:
    assert spell_ms(ms) == text


@pytest.mark.parametrize(
    ("share", "text"),
    [(0, "0 %"), (0.0001, "< 0.1 %"), (0.004, "0.4 %"), (0.02, "2 %"), (0.123, "12 %"), (0.9999, "99 %"), (1, "100 %")],
)
def test_shares(share: float, text: str) -> None:
    assert spell_share(share) == text
