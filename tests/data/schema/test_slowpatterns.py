"""Patterns that a short text holds up for years are known by what they are, and by what they do."""

from __future__ import annotations

import re
import time

import pytest

from fairway.data.schema.slowpatterns import is_slow


@pytest.mark.parametrize(
    ("pattern", "text"),
    [
        (r"^(a+)+$", "a" * 60 + "!"),
        (r"(a|a)+$", "a" * 60 + "!"),
        (r"^(aa|a)+$", "a" * 90 + "!"),
        (r"^(a|ab|b)*c$", "ab" * 60 + "!"),
        (r"^(\w|\da)+$", "1a" * 60 + "!"),
        (r"^(.a|a.)*x$", "a" * 160 + "!"),
        (r"^([a-z]|[a-f]x?)*$", "a" * 60 + "!"),
        (r"^(x(a|b)|xa)+$", "xa" * 60 + "!"),
        (r"^(?:\d+|[0-9a-f]{1,8})*$", "1" * 60 + "!"),
        (r"^(a?b?)*$", ""),
    ],
)
def test_patterns_with_two_ways_are_slow(pattern: str, text: str) -> None:
    assert text is not None
    assert is_slow(pattern)


@pytest.mark.parametrize(
    ("pattern", "text"),
    [
        (r"^[A-Z]{2}-\d{4,8}$", "AB-" + "1" * 9_000),
        (r"^(a|ab)*c$", "ab" * 3_000),
        (r"^(\w|\d)+$", "1" * 9_000 + "!"),
        (r"^[a-z]+(-[a-z]+)*$", "ab-" * 300 + "!"),
        (r"^\d{1,3}(,\d{3})*(\.\d+)?$", "1" + ",111" * 3_000 + "!"),
        (r"^(foo|bar|baz)+$", "foobar" * 2_000 + "!"),
        (r"^[\w.+-]+@[\w-]+\.[\w.-]+$", "a" * 3_000),
        (r"^(\d{4}-\d{2}-\d{2})?(T\d{2}:\d{2}(:\d{2})?Z?)?$", "2024-01-01T00:00:00Zx"),
        (r"^(?:25[0-5]|2[0-4]\d|1?\d?\d)(?:\.(?:25[0-5]|2[0-4]\d|1?\d?\d)){3}$", "1.1.1.1111"),
        (r'^"([^"\\]|\\.)*"$', '"' + "\\a" * 3_000),
    ],
)
def test_ordinary_patterns_are_not_and_run_soon(pattern: str, text: str) -> None:
    assert not is_slow(pattern)
    begun = time.process_time()
    re.match(pattern, text)
    assert time.process_time() - begun < 1


def test_a_large_pattern_is_looked_at_in_bounded_time() -> None:
    begun = time.process_time()
    is_slow("|".join(f"(w{n}[a-z]*x{n}|v{n}.*)" for n in range(2_000)))
    is_slow("(" + "|".join(chr(97 + n % 26) * (n % 7 + 1) for n in range(60)) + ")*")
    is_slow("(?:a{1000}){1000}(b?){500}")
    assert time.process_time() - begun < 60
