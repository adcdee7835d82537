"""How the ranks of a gang get on: rates, waits, who is slow, and the line and the table that tell it."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import fairway as fw
from fairway.cli.gangrows import render_gang
from fairway.cli.live import LiveDisplay
from fairway.cli.style import spell_number
from fairway.engine.gangview import GangNow, RankNow, find_slowest, judge, rate_of, read_gang, spell_gang, sum_up
from fairway.engine.ranks import find_last_words, stream_of
from fairway.engine.reading import find_progress
from fairway.spec.record import replace
from fairway.step import pulse
from fairway.step.gangsamples import Ended, Sampler
from fairway.step.metrics import PointWriter
from fairway.step.processes import Use
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


@pytest.mark.parametrize(
    ("logged", "taken", "done"),
    [
        ([1, 2, 3], 3, 3),  # step=data.steps after each batch
        ([0, 1, 2], 3, 3),  # enumerate
        ([1, 2, 3], 4, 4),  # it works on the fourth
        ([151, 152], 152, 152),  # gone on with after a restart
        ([0, 1, 2], 0, 3),  # without fw.shard the first one tells
        ([1, 2, 3], 0, 3),
        ([0, 1, 2], 900, 3),  # another shard, of what is checked in between, is longer
    ],
)
def test_steps_are_counted_right_whether_they_are_logged_from_0_or_from_1(logged: list[int], taken: int, done: int) -> None:
    streams = MemoryStreamStore()
    write(streams, "samples.0", [10, 1, 0.0, {"taken": taken}] if taken else [10, 1, 0.0, {}])
    write(streams, "metrics", *([10.0 + n, step, {"loss": 1}] for n, step in enumerate(logged)))
    assert read_gang(streams, "r", "a", 1).done == done


def test_which_step_was_logged_first_is_known_when_there_are_many() -> None:
    for first, done in ((0, 2000), (1, 2000)):
        streams = MemoryStreamStore()
        write(streams, "metrics", *([10.0 + n, first + n, {"loss": 1}] for n in range(2000)))
        assert read_gang(streams, "r", "a", 1).done == done


@pytest.mark.parametrize(("first", "again", "last", "done"), [(0, 4, 9, 10), (1, 5, 9, 9)])
def test_a_gang_that_went_on_counts_its_steps_as_it_began(first: int, again: int, last: int, done: int) -> None:
    streams = MemoryStreamStore()
    for rank in range(2):
        for attempt, begin, end in (("a", first, again), ("b", again, last)):
            lines = "".join(json.dumps([10.0 + n, n, {"loss": 1}]) + "\n" for n in range(begin, end + 1))
            streams.append(f"r/{attempt}/{stream_of('metrics', rank)}", lines.encode())
    assert read_gang(streams, "r", "b", 2, before=["a"]).done == done
    assert read_gang(streams, "r", "b", 3, before=["gone", "a"]).done == done


def test_no_rank_is_further_than_there_are_steps() -> None:
    assert sum_up(0, samples=[], progress=[[1.0, 301, 300]], metrics=[]).done == 300


def test_the_steps_of_a_shard_go_on_after_a_restart_and_are_known_at_the_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pulse, "_cells", pulse._cells)
    pulses, streams = pulse.Pulses(str(tmp_path / "pulses"), 1), MemoryStreamStore()
    pulse.enter(pulses.path, 0)
    sampler = Sampler("r/a", streams, pulses)
    sampler.sample({0: os.getpid()})
    data = fw.shard(list(range(12)), batch=4, shuffle=False)
    next(iter(data))
    again = fw.shard(list(range(12)), batch=4, shuffle=False).resume(data.state())
    assert len(list(again)) == 2
    sampler.sample({})
    assert json.loads(streams.read("r/a/samples.0").splitlines()[-1])[3]["taken"] == 3


def test_a_gang_that_ends_between_two_samples_is_known_to_its_last_batch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pulse, "_cells", pulse._cells)
    pulses, streams = pulse.Pulses(str(tmp_path / "pulses"), 2), MemoryStreamStore()
    pulse.enter(pulses.path, 0)
    sampler = Sampler("r/a", streams, pulses)
    sampler.sample({0: os.getpid(), 1: os.getpid()})
    assert len(list(fw.shard(list(range(12)), batch=4))) == 3
    before = json.loads(streams.read("r/a/samples.0"))
    sampler.end({0: Ended(before[0] + 1000, Use(1, before[2] + 1000), 7), 1: Ended(before[0], Use(1, 0.0), 8)})
    after = json.loads(streams.read("r/a/samples.0").splitlines()[1])
    assert after[0] >= before[0]
    assert after[2] - before[2] == pytest.approx(after[0] - before[0], abs=1e-3), "it kept one core busy up to its last batch, and after it"
    assert read_gang(streams, "r", "a", 2).ranks[0].done == 3
    assert streams.read("r/a/samples.1").count(b"\n") == 1, "who has had no more batches has no other line"


def test_a_rank_that_was_gone_before_the_first_samples_has_one(tmp_path: Path) -> None:
    streams = MemoryStreamStore()
    sampler = Sampler("r/a", streams, pulse.Pulses(str(tmp_path / "pulses"), 2))
    sampler.end({0: Ended(20.0, Use(3 << 20, 0.5), 7), 1: Ended(21.0, Use(4 << 20, 0.25), 8)})
    now = read_gang(streams, "r", "a", 2)
    assert [(one.pid, one.memory_bytes, one.ended, one.seen_at) for one in now.ranks] == [
        (7, 3 << 20, True, 20.0),
        (8, 4 << 20, True, 21.0),
    ]
    assert now.come == 2


def test_batches_that_shard_gives_are_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pulse, "_cells", pulse._cells)
    pulses = pulse.Pulses(str(tmp_path / "pulses"), 1)
    pulse.enter(pulses.path, 0)
    assert "samples" not in pulses.counts(0)
    assert len(list(fw.shard(list(range(10)), batch=4))) == 3
    assert len(list(fw.shard(iter(range(5)), batch=2, shuffle=False))) == 3
    assert len(list(fw.shard(list(range(7)), batch=4).sampler())) == 7
    assert {name: pulses.counts(0)[name] for name in ("batches", "samples", "steps")} == {"batches": 8, "samples": 22, "steps": 8}


def test_who_only_iterates_a_shard_has_a_throughput() -> None:
    samples = [[10.0 + n, 0, 0.0, {"batches": 5 * n, "samples": 160 * n, "host": "n"}] for n in range(3)]
    one = sum_up(0, samples=samples, progress=[], metrics=[])
    assert (one.done, one.rate, one.works) == (10, 5.0, {"samples": 160.0})
    both = judge([one, replace(one, rank=1, host="m")])
    assert spell_gang(both, 2, spell_number) == "2 ranks on 2 hosts  10  5 steps/s  320 samples/s"
    assert render_gang(both)[0].split() == ["rank", "host", "at", "steps/s", "samples/s"]
    assert "host" not in render_gang(judge([one, replace(one, rank=1)]))[0]  # one machine needs no name


def test_what_a_step_counts_is_shown_by_its_name() -> None:
    streams = MemoryStreamStore()
    points = PointWriter(streams, "r/a")
    for done in range(4):
        points.progress(done, 3, {"tokens": 1000})
    last = json.loads(streams.read("r/a/progress").splitlines()[-1])
    assert last[1:] == [3, 3, {"tokens": 4000}]
    assert find_progress(streams, "r", "a") == (3, 3)
    progress = [[1.0, 0, 3, {"tokens": 1000, "samples": 4}], [3.0, 3, 3, {"tokens": 4000, "samples": 10}]]
    counted = [[n, 1, 0.0, {"batches": n, "samples": 999 * n}] for n in range(4)]
    assert sum_up(0, samples=counted, progress=progress, metrics=[]).works == {"samples": 3.0, "tokens": 1500.0}  # who says it knows it


def test_a_slow_rank_is_named_with_its_machine() -> None:
    ranks = [RankNow(n, rate=6.0 if n == 1 else 10.0, host=f"node-{n}", seen_at=1.0) for n in range(3)]
    assert spell_gang(judge(ranks), 3, spell_number).endswith("rank 1 slow (node-1)")


def test_a_rank_that_goes_on_more_slowly_is_named() -> None:
    assert find_slowest([RankNow(0, rate=10.0), RankNow(1, rate=6.0), RankNow(2, rate=10.0)]) == (1, "40% slower than the others")
    assert find_slowest([RankNow(0, rate=10.0), RankNow(1, rate=9.5)]) == (-1, "")
    assert find_slowest([RankNow(0, rate=10.0)]) == (-1, "")
    first = [sum_up(n, samples=[], progress=[[0.0, 0, 9], [0.5, 5 - n, 9]], metrics=[]) for n in range(3)]
    assert (first[2].rate, find_slowest(first)) == (6.0, (-1, ""))  # the first half second says nothing


def test_where_the_others_report_progress_the_silent_rank_holds_them_up() -> None:
    ranks = [RankNow(0, rate=10.0, done=50.0), RankNow(1), RankNow(2, rate=10.0, done=50.0)]
    assert find_slowest(ranks) == (1, "it has not reported any progress, the others have")
    assert find_slowest([*ranks[:2], RankNow(2)]) == (-1, "")  # rank 0 alone reports
    assert find_slowest([ranks[0], RankNow(1, ended=True), ranks[2]]) == (-1, "")


def test_a_rank_that_has_ended_is_known_while_others_run(tmp_path: Path) -> None:
    streams = MemoryStreamStore()
    sampler = Sampler("r/a", streams, pulse.Pulses(str(tmp_path / "pulses"), 2))
    sampler.sample({0: os.getpid(), 1: os.getpid()})
    sampler.sample({1: os.getpid()})
    sampler.sample({1: os.getpid()})
    now = read_gang(streams, "r", "a", 2)
    assert [(one.ended, one.memory_bytes > 0) for one in now.ranks] == [(True, True), (False, True)]
    assert len(streams.read("r/a/samples.0").splitlines()) == 2
    assert {(one.host, one.pid) for one in now.ranks} == {(os.uname().nodename, os.getpid())}
    assert render_gang(now)[0].split()[:2] == ["rank", "PID"]
    assert render_gang(now)[2].split()[:2] == ["1", str(os.getpid())]


def test_in_a_pod_the_machine_is_its_node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAIRWAY_NODE", "node-7")
    streams = MemoryStreamStore()
    Sampler("r/a", streams, pulse.Pulses(str(tmp_path / "pulses"), 1)).sample({0: os.getpid()})
    assert read_gang(streams, "r", "a", 1).ranks[0].host == "node-7"


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


def test_on_a_narrow_terminal_rates_are_left_out_first_and_the_rank_at_fault_never() -> None:
    ranks = [
        RankNow(n, done=9.0, total=40.0, rate=9.0 + n, works={"samples": 320.0}, waits={"input": 0.12}, metrics={"loss": 0.5}, seen_at=1.0)
        for n in range(2)
    ]
    whole = "2 ranks  9/40  10 steps/s  640 samples/s  loss 0.5  waits 12% (input)  rank 0 slow"
    at_fault = replace(judge(ranks), slowest=0)
    said = [spell_gang(at_fault, 2, spell_number, width) for width in range(len(whole), 0, -1)]
    assert list(dict.fromkeys(said)) == [
        whole,
        "2 ranks  9/40  10 steps/s  loss 0.5  waits 12% (input)  rank 0 slow",
        "2 ranks  9/40  loss 0.5  waits 12% (input)  rank 0 slow",
        "2 ranks  9/40  loss 0.5  rank 0 slow",
        "2 ranks  9/40  rank 0 slow",
        "2 ranks  rank 0 slow",
        "rank 0 slow",
    ]
    assert all(len(line) <= width for line, width in zip(said, range(len(whole), 10, -1), strict=False))


def test_the_live_line_shows_the_rank_at_fault_whatever_the_width(gang: Project) -> None:
    display = running(gang)
    now = read_gang(gang.last().workspace.streams, gang.last().id, next(iter(display._state.live)), 2)
    metrics = {f"a_long_name_of_a_metric_{n}": 0.5 for n in range(3)}
    at_fault = replace(now, slowest=1, ranks=tuple(replace(one, rate=449.0) for one in now.ranks), metrics=metrics)
    display._gangs = {attempt: (time.monotonic() + 1e6, at_fault) for attempt in display._state.live}
    for width in (200, 120, 80, 60):
        display._console.width = width
        (line,) = (line for line in display.draw().plain.splitlines() if " fit " in line)
        assert line.endswith("rank 1 slow")
        assert len(line) <= width
    assert "steps/s" not in line


def hung(*, total: int = 900, until: int = 45, shown: float = 0.2, **more: Any) -> MemoryStreamStore:
    """Two ranks that have made a step in `shown` seconds for 10 s, and then none until the second `until`."""
    streams = MemoryStreamStore()
    for rank, suffix in ((0, ""), (1, ".1")):
        write(streams, f"progress{suffix}", *([1000.0 + n * shown, n, total] for n in range(int(10 / shown) + 1)))
        write(streams, f"samples.{rank}", *([1000.0 + n, 1, 0.0, {"batches": min(n, 10), **more}] for n in range(until + 1)))
    return streams


def test_of_a_gang_that_hangs_no_rate_is_told_but_for_how_long() -> None:
    now = read_gang(hung(), "r", "a", 2)
    assert (now.rate, now.still_s) == (0.0, 35.0)
    assert spell_gang(now, 2, spell_number) == "2 ranks  50/900  no step for 35 s"
    assert "no step for 35 s" in render_gang(now)[1]
    assert spell_gang(read_gang(hung(until=250), "r", "a", 2), 2, spell_number).endswith("no step for 4 min")


def test_what_goes_on_as_usual_or_is_over_does_not_hang() -> None:
    for streams in (hung(until=13), hung(shown=2.0, until=20), hung(total=50), hung(ended=True)):
        now = read_gang(streams, "r", "a", 2)
        assert (now.rate > 0, now.still_s) == (True, 0.0)
    well = read_gang(hung(), "r", "a", 2, ended_well=True)
    assert (well.rate, well.still_s) == (pytest.approx(5.0), 0.0)


def test_who_takes_batches_goes_on_however_seldom_it_reports() -> None:
    samples = [[1000.0 + n, 1, 0.0, {"batches": n}] for n in range(60)]
    metrics = [[1000.0, 0, {"loss": 1}], [1001.0, 1, {"loss": 1}]]
    assert sum_up(0, samples=samples, progress=[], metrics=metrics).still_s == 0.0
    alone = [[1000.0 + n, 1, 0.0, {"batches": min(n, 10)}] for n in range(30)]
    assert sum_up(0, samples=alone, progress=[], metrics=[]).still_s == 19.0
    fast = [[1000.0 + n, 1, 0.0, {"batches": 100 * min(n, 10)}] for n in range(15)]  # looked at once a second
    assert sum_up(0, samples=fast, progress=[], metrics=[]).still_s == 4.0
    seldom = [[1000.0 + n, 100 * n, {"loss": 1}] for n in range(11)]  # each hundredth step is logged
    assert sum_up(0, samples=[[1014.0, 1, 0.0, {}]], progress=[], metrics=seldom).still_s == 0.0


def test_the_rank_that_stands_still_while_most_go_on_is_at_fault() -> None:
    ranks = [RankNow(n, done=9.0, rate=0.0 if n == 1 else 10.0, still_s=35.0 if n == 1 else 0.0) for n in range(3)]
    assert find_slowest(ranks) == (1, "no step for 35 s, the others go on")


def test_the_table_leaves_out_what_nobody_knows() -> None:
    now = judge([RankNow(0, rate=10.0, seen_at=1.0, waited={"input": 3.0}), RankNow(1, rate=5.0, seen_at=1.0)])
    head, *rows, slow = render_gang(now)
    assert head.split() == ["rank", "steps/s", "waited"]
    assert rows[0].split() == ["0", "10", "3.0s", "for", "input"]
    assert slow == "rank 1 is slow: 50% slower than the others"
    assert len(render_gang(GangNow(tuple(RankNow(n) for n in range(40))))) == 34


def test_show_has_a_row_for_each_rank(gang: Project) -> None:
    text = gang.ask("show", "last", "fit").out
    assert [line.split()[0] for line in text.splitlines() if " 4/4" in line] == ["0", "1"]
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


def running(gang: Project) -> LiveDisplay:
    """The live view of the project's run just before its last attempt ended."""
    run = gang.last()
    events = [event for _, event in run.workspace.events(run.id)]
    last = next(n for n, event in enumerate(events) if type(event).__name__ == "AttemptEnded")
    from fairway.engine.apply import fold

    display = LiveDisplay(run.workspace.streams)
    state: Any = fold(events[:last])
    display._run, display._state = run.id, state
    display.board.apply(events[:last], state)
    return display


def test_the_live_view_has_a_line_for_the_gang(gang: Project) -> None:
    text = running(gang).draw().plain
    assert "2 ranks  4/4" in text
    assert "rank 1 says 3" in text or "rank 0 says 3" in text
