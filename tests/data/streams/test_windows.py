"""When windows close, with a clock of our own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fairway.data.streams.follow import time_reader
from fairway.data.streams.rejects import StreamRejects
from fairway.data.streams.stream import Stream
from fairway.data.streams.transport import EndOfStream, Records
from fairway.data.streams.windows import ArrivalWindows, Cut, EventWindows, Windowing, parse_cut, parse_seconds
from fairway.errors import ConfigError


class Script:
    """A transport that plays steps: bytes arrive, or time passes (a number of seconds)."""

    resumable = True
    keeps_offsets = True

    def __init__(self, steps: list[list[bytes] | float]) -> None:
        self.notes: list[str] = []
        self.steps, self.now = list(steps), 1000.0
        self.committed: list[int] = []
        self._count = 0

    def open(self, position: Any) -> None:
        """At the first step."""

    def receive(self, timeout_s: float) -> Records | None:
        if not self.steps:
            raise EndOfStream
        step = self.steps[0]
        if isinstance(step, list):
            self.steps.pop(0)
            first = self._count
            self._count += len(step)
            return Records(step, lambda count: first + count)
        passed = min(step, max(timeout_s, 1e-3))
        self.now += passed
        self.steps[0] = step - passed
        if self.steps[0] <= 1e-9:
            self.steps.pop(0)
        return None

    def commit(self, positions: list[Any]) -> None:
        self.committed.append(positions[-1])

    def close(self) -> None:
        """Nothing to do."""


class Raw:
    """A decoder that keeps payloads as they are."""

    def decode(self, payloads: list[bytes], first: int) -> Any:
        return _Raw(payloads, first)


class _Raw:
    def __init__(self, payloads: list[bytes], first: int) -> None:
        self.payloads, self.first_row, self.rows = payloads, first, len(payloads)


def _stream(script: Script, windowing: Callable[[float], Windowing]) -> Stream:
    return Stream("test", script, Raw(), windowing, StreamRejects(), clock=lambda: script.now)


def _windows(steps: list[Any], windowing: Callable[[float], Windowing]) -> list[list[bytes]]:
    return [window.batch.payloads for window in _stream(Script(steps), windowing)]  # type: ignore[attr-defined]


def _records(*numbers: int) -> list[bytes]:
    return [b"%d" % number for number in numbers]


def test_windows_by_count() -> None:
    made = _windows([_records(1, 2, 3, 4, 5), _records(6, 7)], lambda now: ArrivalWindows(Cut(rows=3), now))
    assert made == [_records(1, 2, 3), _records(4, 5, 6), _records(7)]


def test_windows_by_time_end_by_it_even_when_nothing_comes() -> None:
    made = _windows([_records(1), 4.0, _records(2), 7.0, 10.0, _records(3)], lambda now: ArrivalWindows(Cut(seconds=10), now))
    assert made == [_records(1, 2), [], _records(3)]


def test_windows_by_count_or_time() -> None:
    made = _windows([_records(1, 2, 3), 6.0, _records(4), 10.0], lambda now: ArrivalWindows(Cut(rows=2, seconds=10), now))
    assert made == [_records(1, 2), _records(3, 4), []]


def test_a_window_by_count_closes_when_nothing_has_come_for_long() -> None:
    made = _windows([_records(1), 3.0, _records(2), 5.0, 5.0, _records(3)], lambda now: ArrivalWindows(Cut(rows=100), now, idle_s=5))
    assert made == [_records(1, 2), [], _records(3)]


def test_bytes_bound_what_is_held() -> None:
    made = _windows([[b"x" * 10] * 3, [b"y" * 10] * 3], lambda now: ArrivalWindows(Cut(rows=100, bytes_=25), now))
    assert [len(one) for one in made] == [3, 3]


def _at(*seconds: float) -> list[bytes]:
    return [b'{"t": %.1f}' % one for one in seconds]


def _by_event(lateness_s: float = 0, idle_s: float = 60, **cut: Any) -> Callable[[float], Windowing]:
    return lambda now: EventWindows(Cut(seconds=10, **cut), time_reader("t"), lateness_s, idle_s, now)


def test_windows_by_the_time_that_rows_tell() -> None:
    made = _windows([_at(1, 5, 12, 3, 25)], _by_event())
    assert made == [_at(1, 5, 3), _at(12), _at(25)]


def test_lateness_is_waited_for_and_what_is_later_still_is_not_lost() -> None:
    script = Script([_at(1, 12), _at(14), _at(9), _at(16), _at(2), _at(27)])
    windows = list(_stream(script, _by_event(lateness_s=5)))
    assert [window.batch.payloads for window in windows] == [_at(1, 9), _at(12, 14, 16, 2), _at(27)]  # type: ignore[attr-defined]
    assert [window.late for window in windows] == [0, 1, 0]


def test_event_windows_close_when_nothing_comes() -> None:
    made = _windows([_at(1), 30.0, 30.0, _at(2), _at(11)], _by_event(idle_s=30))
    assert made == [_at(1), [], _at(2, 11)] or made == [_at(1), [], _at(11, 2)]


def test_a_record_without_a_time_goes_with_its_neighbours() -> None:
    made = _windows([[*_at(1), b"{}", b"nonsense", *_at(2)]], _by_event())
    assert made == [[*_at(1), b"{}", b"nonsense", *_at(2)]]


def test_event_windows_bound_what_is_held() -> None:
    made = _windows([_at(1, 11, 21, 31, 41)], _by_event(lateness_s=1000, bytes_=30))
    assert sum(len(one) for one in made) == 5
    assert len(made) == 5


def test_times_are_read_in_any_unit() -> None:
    read = time_reader("t")
    at = 1_772_409_600.0
    texts = [f'{{"t": {value}}}'.encode() for value in (at, at * 1e3, at * 1e6, at * 1e9, '"2026-03-02T00:00:00Z"', "null", '"x"', "true")]
    assert read(texts) == [at, at, at, at, at, None, None, None]


@pytest.mark.parametrize(
    ("window", "cut"),
    [(500, (500, 0)), ("500", (500, 0)), ("500 rows", (500, 0)), ("10s", (0, 10)), ("1 min", (0, 60)), ("250ms", (0, 0.25)),
     ("1000 rows or 30s", (1000, 30))],
)  # fmt: skip
def test_windows_are_spelt(window: str | int, cut: tuple[int, float]) -> None:
    made = parse_cut(window)
    assert (made.rows, made.seconds) == cut


@pytest.mark.parametrize("window", ["", "many", "10 parsecs", "0 rows", 0, "-5 rows", "10s or"])
def test_windows_that_make_no_sense_are_refused(window: str | int) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_cut(window)
    assert caught.value.hint


def test_lengths_of_time() -> None:
    assert [parse_seconds(one) for one in ("10s", "2 min", 3, "1h")] == [10, 120, 3, 3600]
    with pytest.raises(ConfigError):
        parse_seconds("soon")


_STEPS = st.lists(st.one_of(st.integers(1, 6), st.sampled_from([0.5, 3.0, 11.0])), max_size=12)


@settings(max_examples=150, deadline=None)
@given(_STEPS, st.integers(1, 5), st.booleans(), st.data())
def test_whatever_is_committed_nothing_uncommitted_is_passed_over(steps: list[Any], rows: int, by_event: bool, data: Any) -> None:
    """At every moment, each record below the committed position was in a window that was committed; and every record comes once."""
    count = 0
    played: list[Any] = []
    for step in steps:
        if isinstance(step, float):
            played.append(step)
            continue
        times = data.draw(st.lists(st.integers(0, 60), min_size=step, max_size=step))
        played.append([b'{"t": %d, "n": %d}' % (at, count + place) for place, at in enumerate(times)])
        count += step
    script = Script(played)
    windowing = _by_event(lateness_s=3, idle_s=10) if by_event else lambda now: ArrivalWindows(Cut(rows=rows, seconds=5), now)
    given_out: list[Any] = []
    seen: list[int] = []
    done: set[int] = set()
    for window in _stream(script, windowing):
        numbers = [int(one.split(b'"n": ')[1][:-1]) for one in window.batch.payloads]  # type: ignore[attr-defined]
        seen += numbers
        given_out.append((window, numbers))
        while given_out and data.draw(st.booleans()):
            chosen, numbers = given_out.pop(data.draw(st.integers(0, len(given_out) - 1)))
            done |= set(numbers)
            chosen.commit()
            assert set(range(script.committed[-1] if script.committed else 0)) <= done
    assert sorted(seen) == list(range(count))
    for chosen, _ in given_out:
        chosen.commit()
    assert (script.committed[-1] if script.committed else 0) == count
