"""How durations, sizes and the like are spelled."""

from __future__ import annotations

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairway.cli.style import clip, clip_painted, paint, spell_age, spell_count, spell_duration, spell_number, spell_size, spell_value


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-1, "0.00s"),
        (0.042, "0.04s"),
        (0.999, "1.0s"),
        (3.24, "3.2s"),
        (59.96, "1m00s"),
        (65, "1m05s"),
        (3599.7, "1h00m"),
        (7380, "2h03m"),
        (273600, "3d04h"),
    ],
)
def test_durations(seconds: float, text: str) -> None:
    assert spell_duration(seconds) == text


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.0 KB"),
        (4240, "4.2 KB"),
        (9_960, "10 KB"),
        (200_000_000, "200 MB"),
        (3.2e12, "3.2 TB"),
        (5e15, "5.0 PB"),
    ],
)
def test_sizes(size: float, text: str) -> None:
    assert spell_size(size) == text


@pytest.mark.parametrize(("seconds", "text"), [(3, "just now"), (50, "1m ago"), (3500, "58m ago"), (7200, "2h ago"), (200000, "2d ago")])
def test_ages(seconds: float, text: str) -> None:
    assert spell_age(1_000_000.0 - seconds, 1_000_000.0) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(3, "3"), (3.0, "3"), (0.123456, "0.12346"), (1e300, "1e+300"), (float("nan"), "nan"), (float("inf"), "inf"), (True, "1")],
)
def test_numbers(value: float, text: str) -> None:
    assert spell_number(value) == text


def test_counts_have_a_plural() -> None:
    assert (spell_count(1, "task"), spell_count(1000, "task")) == ("1 task", "1,000 tasks")


@given(st.text(), st.integers(1, 50))
def test_clipped_text_is_one_printable_line(text: str, width: int) -> None:
    line = clip(text, width)
    assert len(line) <= width
    assert line.isprintable() or line == ""


def test_values_are_spelled_as_typed() -> None:
    assert spell_value([1, 2]) == "[1, 2]"
    assert spell_value("text") == "text"


def test_no_colours_where_there_is_no_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FORCE_COLOR", raising=False)
    assert paint("x", "red", io.StringIO()) == "x"
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert paint("x", "red", io.StringIO()) == "\033[31mx\033[0m"
    monkeypatch.setenv("NO_COLOR", "1")
    assert paint("x", "red", io.StringIO()) == "x"


@given(st.lists(st.tuples(st.text(st.characters(codec="ascii", exclude_categories=["Cc"])), st.booleans())), st.integers(1, 30))
def test_painted_text_is_cut_by_what_is_seen(parts: list[tuple[str, bool]], width: int) -> None:
    painted = "".join(f"\033[32m{text}\033[0m" if coloured else text for text, coloured in parts)
    plain = "".join(text for text, _ in parts)
    cut = clip_painted(painted, width)
    seen = cut.replace("\033[32m", "").replace("\033[0m", "")
    assert len(seen) <= width
    if len(plain) <= width:
        assert cut == painted
    else:
        assert seen == plain[: width - 1] + "…"
    assert cut.count("\033[32m") == cut.count("\033[0m")
    assert clip_painted(painted, 0) == painted
