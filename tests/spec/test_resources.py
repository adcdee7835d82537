"""Amounts of memory and time as people write them."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairway.errors import DefinitionError
from fairway.spec.resources import parse_duration, parse_memory

UNITS = {"": 1, "k": 1000, "K": 1000, "M": 10**6, "G": 10**9, "T": 10**12, "P": 10**15}
BINARY = {f"{unit}i": 1024**power for power, unit in enumerate("KMGTP", 1)} | {"ki": 1024}


@given(st.integers(0, 10**5), st.sampled_from(list({**UNITS, **BINARY})), st.sampled_from(["", "B"]), st.sampled_from(["", " "]))
def test_memory_is_a_number_and_a_unit(number: int, unit: str, byte: str, space: str) -> None:
    assert parse_memory(f"{space}{number}{space}{unit}{byte}{space}") == number * {**UNITS, **BINARY}[unit]


@given(st.integers(0, 2**60) | st.floats(0, 2.0**60))
def test_a_bare_number_is_bytes(number: float) -> None:
    assert parse_memory(number) == int(number)


def test_fractions_of_a_unit() -> None:
    assert parse_memory("1.5Gi") == 3 << 29
    assert parse_memory("0.5k") == 500


ODD = ["", True, None, [], -1, float("nan"), float("inf")]


@pytest.mark.parametrize("wrong", ["lots", "5i", "5iB", "-1", "1e9", "1 2", "Gi", "5Gib", "5Xi", "9" * 400 + "G", *ODD])
def test_what_is_not_memory_is_refused_with_an_example(wrong: Any) -> None:
    with pytest.raises(DefinitionError) as caught:
        parse_memory(wrong)
    assert "512Mi" in caught.value.hint


SECONDS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400}


@given(st.lists(st.tuples(st.integers(1, 999), st.sampled_from(list(SECONDS))), min_size=1, max_size=4), st.sampled_from(["", " "]))
def test_durations_add_up(parts: list[tuple[int, str]], space: str) -> None:
    text = space.join(f"{number}{space}{unit}" for number, unit in parts)
    assert parse_duration(text) == pytest.approx(sum(number * SECONDS[unit] for number, unit in parts))


@given(st.integers(1, 10**9) | st.floats(0.001, 1e9))
def test_a_bare_duration_is_seconds(number: float) -> None:
    assert parse_duration(number) == float(number)


@pytest.mark.parametrize("wrong", ["soon", "1", "1x", "-1s", "1h and 2m", "1e3s", "0s", "9" * 400 + "d", 0, *ODD])
def test_what_is_not_a_duration_is_refused_with_an_example(wrong: Any) -> None:
    with pytest.raises(DefinitionError) as caught:
        parse_duration(wrong)
    assert "10m" in caught.value.hint
