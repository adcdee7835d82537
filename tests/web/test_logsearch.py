"""Search in logs: it finds what a naive reader finds, however the log is cut, coloured or stamped; and lines by number."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from fairway.testing.memory import MemoryStreamStore
from fairway.web import loglines
from fairway.web.loglines import LineIndex
from fairway.web.logsearch import (
    ESCAPE,
    PIECE_BYTES,
    PatternProcess,
    PatternSearch,
    Search,
    check_pattern,
    find_literal,
)

STAMP = "2026-11-24T08:15:03.250Z "
STAMPED = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?Z ")
LETTERS = "abAB01 :ä-T"
COLOURS = ("\x1b[32m", "\x1b[0m", "\x1b[1;38;5;208m", "\x1b]8;;x\x07", "\x1b[K", "\x1b(B")
plain = st.text(LETTERS, max_size=12)
coloured = st.lists(st.one_of(plain, st.sampled_from(COLOURS)), max_size=6).map("".join)
lines = st.lists(st.tuples(st.booleans(), st.one_of(plain, coloured)), max_size=12).map(
    lambda made: [(STAMP if stamped else "") + text for stamped, text in made]
)
sizes = st.lists(st.integers(1, 40), min_size=1, max_size=30)


def feed(search: Any, data: bytes, cuts: Sequence[int]) -> list[tuple[int, int, int]]:
    """All hits in `data`, given in parts of these sizes, over and over."""
    hits: list[tuple[int, int, int]] = []
    at = number = 0
    while at < len(data):
        size = cuts[number % len(cuts)]
        hits += search.feed(data[at : at + size])
        at, number = at + size, number + 1
    return hits + search.finish()


def naive(made: list[str], matches: Callable[[str], bool], *, stamps: bool) -> list[tuple[int, int]]:
    """(line, byte where it begins) of the lines whose visible text matches."""
    found, at = [], 0
    for number, line in enumerate(made, 1):
        stamp = STAMPED.match(line)
        text = line if stamps or stamp is None else line[stamp.end() :]
        if matches(ESCAPE.sub(b"", text.encode()).decode()):
            found.append((number, at))
        at += len(line.encode()) + 1
    return found


def fold(text: str) -> str:
    return text.lower()


@settings(max_examples=300)
@given(lines, st.text(LETTERS, min_size=1, max_size=5), sizes, st.booleans(), st.booleans(), st.booleans())
@example([STAMP + "a"], "1", [100], False, False, True)
@example(["\x1b[32mINFO\x1b[0m: b"], "O: b", [7], True, False, False)
def test_it_finds_the_lines_that_a_naive_reader_finds(
    made: list[str], sought: str, cuts: list[int], case: bool, stamps: bool, ended: bool
) -> None:
    data = ("\n".join(made) + ("\n" if ended and made else "")).encode()
    hits = feed(Search(sought, case=case, stamps=stamps), data, cuts)
    wanted = naive(made, lambda text: sought in text if case else fold(sought) in fold(text), stamps=stamps)
    assert [(line, begin) for line, begin, _ in hits] == wanted
    assert all(begin <= at < begin + PIECE_BYTES for _, begin, at in hits)


@given(lines, st.text(LETTERS, min_size=1, max_size=5), sizes)
def test_counting_lines_by_an_index_makes_no_difference(made: list[str], sought: str, cuts: list[int]) -> None:
    data = "".join(f"{line}\n" for line in made).encode()
    search = Search(sought, number_at=lambda at: data.count(b"\n", 0, at) + 1)
    assert feed(search, data, cuts) == feed(Search(sought), data, cuts)
    assert search.line == data.count(b"\n") + 1


@given(lines, st.text(LETTERS, min_size=1, max_size=4), st.integers(0, 11), sizes)
def test_a_search_goes_on_where_one_ended(made: list[str], sought: str, cut: int, cuts: list[int]) -> None:
    data = "".join(f"{line}\n" for line in made).encode()
    first = "".join(f"{line}\n" for line in made[:cut]).encode()
    begun = Search(sought)
    hits = feed(begun, first, cuts)
    assert (begun.position, begun.line) == (len(first), min(cut, len(made)) + 1)
    hits += feed(Search(sought, position=begun.position, line=begun.line), data[len(first) :], cuts)
    assert hits == feed(Search(sought), data, cuts)


@settings(max_examples=200)
@given(
    lines, st.sampled_from(["a+b", "^a", "b$", "[01]{2}", "A|1", r"\d a", "a.b", "(ab)+", "a?b", "ä"]), sizes, st.booleans(), st.booleans()
)
def test_an_expression_is_tried_on_each_line(made: list[str], pattern: str, cuts: list[int], case: bool, stamps: bool) -> None:
    data = "".join(f"{line}\n" for line in made).encode()
    hits = feed(PatternSearch(pattern, case=case, stamps=stamps), data, cuts)
    tried = re.compile(pattern, 0 if case else re.IGNORECASE)
    assert [(line, begin) for line, begin, _ in hits] == naive(made, lambda text: tried.search(text) is not None, stamps=stamps)


@pytest.mark.filterwarnings("ignore::FutureWarning")
@given(st.from_regex(r"[ab.*?+()\[\]{}^$\\d|1,]{1,10}", fullmatch=True), st.text("ab1d(", max_size=8))
def test_what_an_expression_matches_has_its_literal(pattern: str, text: str) -> None:
    if check_pattern(pattern):
        return
    found = re.search(pattern, text)
    if found is not None:
        assert find_literal(pattern) in text


def test_literals_are_found() -> None:
    assert find_literal(r"needle-\d{6}77$") == "needle-"
    assert find_literal(r"lo[sx]s: (.*) done") == " done"
    assert find_literal(r"colou?r") == "colo"
    assert find_literal("a|b") == ""


def test_an_endless_line_is_searched_in_pieces() -> None:
    data = b"x" * (3 * PIECE_BYTES) + b"needle" + b"y" * PIECE_BYTES + b"needle needle"
    for search in (Search("needle"), PatternSearch("needle")):
        hits = feed(search, data, [1000])
        assert [at for _, _, at in hits] == [3 * PIECE_BYTES, 4 * PIECE_BYTES + 6]
        assert [(line, begin) for line, begin, _ in hits] == [(1, 3 * PIECE_BYTES), (1, 4 * PIECE_BYTES)]


def test_what_most_lines_have_in_their_time_is_found_in_their_text_alone() -> None:
    data = "".join(f"{STAMP}{'about 2026' if n % 50 == 7 else 'other'}\n" for n in range(400)).encode()
    assert [line for line, _, _ in feed(Search("2026"), data, [1 << 20])] == [n + 1 for n in range(400) if n % 50 == 7]
    assert len(feed(Search("2026", stamps=True), data, [1 << 20])) == 400


def test_a_process_finds_the_same() -> None:
    data = "".join(f"{STAMP}row {n}\n" for n in range(3000)).encode()
    process = PatternProcess(r"row \d99$")
    try:
        assert feed(process, data, [7000]) == feed(PatternSearch(r"row \d99$"), data, [7000])
        assert process.line == 3001
    finally:
        process.close()


def test_an_expression_that_never_ends_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fairway.web.logsearch.REPLY_S", 0.3)
    process = PatternProcess("(a+)+$")
    try:
        with pytest.raises(TimeoutError):
            feed(process, b"a" * 64 + b"!\n", [100])
    finally:
        process.close()


@pytest.mark.parametrize("pattern", ["(", "a{1", "[", "*"])
def test_what_is_no_expression_is_told(pattern: str) -> None:
    assert bool(check_pattern(pattern)) == (pattern != "a{1")


# --- lines by number


@settings(max_examples=150)
@given(st.lists(st.integers(0, 9), max_size=40), st.booleans(), st.integers(1, 7), st.integers(1, 45), st.data())
def test_lines_are_found_by_number(lengths: list[int], ended: bool, block: int, number: int, data: st.DataObject) -> None:
    text = b"\n".join(b"x" * length for length in lengths) + (b"\n" if ended and lengths else b"")
    streams = MemoryStreamStore()
    streams.append("r/a/log", text)
    starts = [0] + [at + 1 for at in range(len(text)) if text[at : at + 1] == b"\n"]
    known = starts[:-1] if text.endswith(b"\n") else starts
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loglines, "BLOCK_BYTES", block)
        patch.setattr(loglines, "_READ_BYTES", 3)
        index = LineIndex(streams)
        line = min(number, max(len(known), 1))
        assert index.find_line("r/a/log", number) == ((known or [0])[line - 1], line)
        offset = data.draw(st.integers(0, len(text)))
        assert index.number_at("r/a/log", offset) == text.count(b"\n", 0, offset) + 1
        assert index.count("r/a/log") == (len(known) if text else 0, len(text))


def test_an_index_follows_a_log_that_grows_and_one_that_begins_again() -> None:
    streams = MemoryStreamStore()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loglines, "BLOCK_BYTES", 8)
        index = LineIndex(streams)
        streams.append("r/a/log", b"one\ntwo\n")
        assert index.count("r/a/log") == (2, 8)
        streams.append("r/a/log", b"three\nfour\nfi")
        assert index.find_line("r/a/log", 4) == (14, 4)
        assert index.count("r/a/log") == (5, 21)
        streams.delete("r")
        streams.append("r/a/log", b"\n\n\n")
        assert index.find_line("r/a/log", 3) == (2, 3)
