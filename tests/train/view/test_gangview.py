"""How the ranks of a gang get on: rates, waits, who is slow, and the line and the table that tell it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairway.cli.gangrows import render_gang
from fairway.cli.live import LiveDisplay
from fairway.cli.style import spell_number
from fairway.engine.gangview import GangNow, RankNow, find_slowest, judge, rate_of, read_gang, spell_gang, sum_up
from fairway.engine.ranks import find_last_words
from fairway.testing.memory import MemoryStreamStore
from tests.cli.project import Project


def write(streams: MemoryStreamStore, name: str, *lines: Any) -> None:
    streams.append(f"r/a/{name}", "".join(json.dumps(line) + "\n" for line in lines).encode())


def test_a_rate_is_that_of_the_last_moments() -> None:
    slow = [(float(n), n * 1.0) for n in range(100)]
    fast = [(100.0 + n, 100 + n * 10.0) for n in range(40)]
    assert rate_of(slow) == pytest.approx(1.0)
    assert rate_of([*slow, *fast]) == pytest.approx(10.0)


def test_what_begins_again_is_measured_from_there() -> None:
    assert rate_of([(0.0, 500.0), (1.0, 0.0), (2.0, 3.0), (3.0, 6.0)]) == pytest.approx(3.0)
    assert rate_of([(0.0, 5.0)]) == rate_of([]) == 0.0


@given(st.lists(st.tuples(st.floats(0, 1e6), st.floats(0, 1e9)), max_size=30))
def test_a_rate_is_never_negative(points: list[tuple[float, float]]) -> None:
    assert rate_of(sorted(points)) >= 0


def test_a_rank_is_told_from_the_ends_of_its_streams() -> None:
    streams = MemoryStreamStore()
    gpu = [[0, 97, 1 << 30, 80 << 30]]
    write(streams, "samples.1", [10, 1e6, 1.0, {"input": 0.0, "steps": 0}], [20, 2e6, 6.0, {"input": 2.5, "gpu": gpu, "host": "node-a"}])
    write(streams, "progress.1", [10, 0, 200], [20, 50, 200])
    write(streams, "metrics.1", [10, 0, {"loss": 2}], [20, 49, {"loss": 0.5, "note": "text"}])
    streams.append("r/a/metrics.1", b"[21,50,{")  # cut off by a kill
    one = read_gang(streams, "r", "a", 2).ranks[1]
    assert (one.done, one.total, one.rate, one.cpu) == (50, 200, 5.0, 0.5)
    assert (one.waits["input"], one.waited["input"], one.waiting) == (0.25, 2.5, 0.25)
    assert (one.memory_bytes, one.gpus, one.host) == (2_000_000, ((0, 97, 1 << 30, 80 << 30),), "node-a")
    assert (one.metrics, one.seen_at) == ({"loss": 0.5}, 20)


def test_where_no_progress_is_reported_steps_of_metrics_count() -> None:
    one = sum_up(0, samples=[], progress=[], metrics=[[0.0, 0, {}], [2.0, 9, {"loss": 1.0}]])
    assert (one.done, one.rate) == (10, 4.5)


def test_a_rank_that_goes_on_more_slowly_is_named() -> None:
    assert find_slowest([RankNow(0, rate=10.0), RankNow(1, rate=6.0), RankNow(2, rate=10.0)]) == (1, "40% slower than the others")
    assert find_slowest([RankNow(0, rate=10.0), RankNow(1, rate=9.5)]) == (-1, "")
    assert find_slowest([RankNow(0, rate=10.0)]) == (-1, "")


def test_in_lockstep_the_slow_rank_is_the_one_that_does_not_wait() -> None:
    ranks = [RankNow(n, rate=10.0, waits={"network": 0.0 if n == 2 else 0.3}, seen_at=1.0) for n in range(4)]
    assert find_slowest(ranks) == (2, "the others wait for it 30% of the time")


def test_the_line_of_a_gang() -> None:
    ranks = [
        RankNow(n, done=12.0 - n, total=40.0, rate=35.04, waits={"input": 0.12}, metrics={"loss": 0.25 + n / 10}, seen_at=1.0)
        for n in range(2)
    ]
    assert spell_gang(judge(ranks), 2, spell_number) == "2 ranks  11/40  35 steps/s  loss 0.3  waits 12% (input)"
    assert spell_gang(judge([ranks[0], RankNow(1)]), 2, spell_number).startswith("1 of 2 ranks")
    assert spell_gang(judge([]), 3, spell_number) == "3 ranks"


def test_the_table_leaves_out_what_nobody_knows() -> None:
    now = judge([RankNow(0, rate=10.0, seen_at=1.0, waited={"input": 3.0}), RankNow(1, rate=5.0, seen_at=1.0)])
    head, *rows, slow = render_gang(now)
    assert head.split() == ["rank", "steps/s", "waited"]
    assert rows[0].split() == ["0", "10", "3.0s", "for", "input"]
    assert slow == "rank 1 is slow: 50% slower than the others"
    assert len(render_gang(GangNow(tuple(RankNow(n) for n in range(40))))) == 34


def test_show_has_a_row_for_each_rank(gang: Project) -> None:
    text = gang.ask("show", "last", "fit").out
    assert [line.split()[:2] for line in text.splitlines() if line.endswith(("/4", "steps/s")) or "4/4" in line][-2:] == [
        ["0", "4/4"],
        ["1", "4/4"],
    ]
    (task,) = gang.ask("show", "last", "fit", "-o", "json").data
    assert [rank["metrics"]["loss"] for rank in task["ranks"]] == [0.25, 1.25]
    assert "ranks" not in gang.ask("show", "last", "report", "-o", "json").data[0]


def test_the_last_words_of_any_rank() -> None:
    streams = MemoryStreamStore()
    streams.append("r/a/log.0", b"2026-11-24T08:15:01.000Z first\n2026-11-24T08:15:03.000Z  \n")
    streams.append("r/a/log.1", b"2026-11-24T08:15:02.000Z second\n2026-11-24T08:15:09.000Z not whole")
    assert find_last_words(streams, "r", "a", 2) == "rank 1  second"
    streams.append("r/a/log", b"2026-11-24T08:15:05.000Z rank 1 was killed, ending the others\n")
    assert find_last_words(streams, "r", "a", 2) == "rank 1 was killed, ending the others"
    assert find_last_words(streams, "r", "b", 2) == ""


def test_the_live_view_has_a_line_for_the_gang(gang: Project) -> None:
    run = gang.last()
    events = [event for _, event in run.workspace.events(run.id)]
    last = next(n for n, event in enumerate(events) if type(event).__name__ == "AttemptEnded")
    from fairway.engine.apply import fold

    display = LiveDisplay(run.workspace.streams)
    state: Any = fold(events[:last])
    display._run, display._state = run.id, state
    display.board.apply(events[:last], state)
    text = display.draw().plain
    assert "2 ranks  4/4" in text
    assert "rank 1 says 3" in text or "rank 0 says 3" in text
