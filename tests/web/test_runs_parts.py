"""What the runs' page is made of: columns, changed queries, durations beside the usual, parameters that tell runs apart."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from functools import wraps
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairway.engine.query import parse_query, parse_sort, render_query
from fairway.errors import ConfigError, StoreUnavailable
from fairway.spec.query import RUN_STATUSES, Comparison, Facets, PipelineStats, RunQuery
from fairway.spec.record import replace
from fairway.spec.summary import RunSummary
from fairway.web.pages.columns import COLUMNS_LIMIT, NONE, PLAIN, Column, next_sort, offered, parse_columns, render_columns, usual_columns
from fairway.web.pages.filters import command_line, error_position, error_words, narrow, only_state
from fairway.web.pages.rowviews import CHIPS, gauge, spell_value, tell_apart
from fairway.web.remembered import Remembered

names = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0"), min_size=1, max_size=12)
columns = st.one_of(st.sampled_from(list(PLAIN)).map(Column), st.builds(Column, st.sampled_from(["metric", "param"]), names))
words = st.text(st.characters(exclude_categories=("Cs", "Cc")), min_size=1, max_size=8)
queries = st.builds(
    RunQuery,
    words=st.lists(words, max_size=2, unique=True).map(tuple),
    tags=st.lists(words, max_size=2, unique=True).map(tuple),
    statuses=st.lists(st.sampled_from(RUN_STATUSES), max_size=2, unique=True).map(tuple),
    metrics=st.lists(st.builds(Comparison, words, st.just(">"), st.floats(-9, 9)), max_size=2, unique=True).map(tuple),
)
NOW = 1_795_000_000.0


# ---- columns


@given(st.lists(columns, min_size=1, max_size=COLUMNS_LIMIT, unique=True))
def test_columns_are_read_as_they_were_written(chosen: list[Column]) -> None:
    assert list(parse_columns(render_columns(chosen))) == chosen


@given(st.text(max_size=200))
def test_any_text_names_some_columns_or_none(text: str) -> None:
    found = parse_columns(text)
    assert len(found) == len(set(found)) <= COLUMNS_LIMIT


def test_no_columns_are_written_as_such() -> None:
    assert render_columns([]) == NONE
    assert parse_columns(NONE) == ()


def test_what_is_no_column_is_left_out() -> None:
    assert parse_columns("metric:auc,colour,metric:,param:depth,tags,tags") == (
        Column("metric", "auc"),
        Column("param", "depth"),
        Column("tags"),
    )


def test_usual_columns_are_the_first_metrics_and_what_there_are_several_of() -> None:
    one = Facets(metrics=("auc", "f1", "loss", "lr"), users=("ann",), targets=("local",))
    assert render_columns(usual_columns(one)) == "params,metric:auc,metric:f1,metric:loss"
    several = Facets(tags=("best",), users=("ann", "bob"), targets=("local", "campus"), projects=("a", "b"))
    assert render_columns(usual_columns(several)) == "params,tags,who,target,project"


def test_chosen_columns_are_offered_though_no_run_has_them_any_more() -> None:
    groups = dict(offered(Facets(metrics=("auc",)), [Column("metric", "gone"), Column("who")]))
    assert [column.name for column in groups["Metrics"]] == ["auc", "gone"]
    assert [column.kind for column in groups["Run"]] == list(PLAIN)


@pytest.mark.parametrize("sort", ["duration", "metric:auc", "param:-desc", "metric:a b"])
def test_a_head_sorts_largest_first_then_smallest_then_not(sort: str) -> None:
    down = next_sort(sort, "", False)
    assert parse_sort(down) == (sort, False)
    up = next_sort(sort, sort, False)
    assert parse_sort(up) == (sort, True)
    assert next_sort(sort, sort, True) == ""


def test_runs_are_turned_oldest_first_and_back() -> None:
    assert next_sort("started", "", False) == "oldest"
    assert next_sort("started", "", True) == next_sort("started", "duration", False) == ""


# ---- queries


@given(queries, st.sampled_from(["", *RUN_STATUSES]))
def test_a_state_is_chosen_and_all_else_of_the_query_stays(query: RunQuery, status: str) -> None:
    text = only_state(render_query(query), status, NOW)
    assert parse_query(text, NOW) == replace(query, statuses=(status,) if status else ())


def test_a_query_stays_as_it_was_typed_where_it_can() -> None:
    assert only_state("churn  since:2d failed", "running", NOW) == "churn since:2d running"
    assert only_state("status:failed,timeout auc>0.8", "", NOW) == "auc>0.8"


def test_a_state_that_is_another_filters_value_stays() -> None:
    assert parse_query(only_state("tag: failed", "running", NOW), NOW) == RunQuery(tags=("failed",), statuses=("running",))


@given(queries, words)
def test_a_narrowed_query_has_one_condition_more(query: RunQuery, tag: str) -> None:
    part = render_query(RunQuery(tags=(tag,)))
    text = narrow(render_query(query), part)
    assert tag in parse_query(text, NOW).tags
    assert narrow(text, part) == text


@pytest.mark.parametrize(("text", "at"), [("auc>", 4), ("churn depth>x", 12), ('"open', 0), ("a -b", 2)])
def test_a_mistake_is_where_the_reader_says(text: str, at: int) -> None:
    with pytest.raises(ConfigError) as raised:
        parse_query(text, NOW)
    assert error_position(raised.value, text) == at
    assert "character" not in error_words(raised.value)


def test_a_mistake_without_a_place_is_at_the_end() -> None:
    assert error_position(ConfigError("not an order: 'x'"), "abc") == 3


def test_the_command_is_quoted_for_a_shell() -> None:
    assert command_line("auc>0.8") == "fairway runs 'auc>0.8'"
    assert command_line("") == "fairway runs"


# ---- durations

times = st.floats(0, 1e6, allow_nan=False)


@given(times, st.tuples(times, times, times).map(sorted))
def test_a_gauge_stays_on_its_scale(duration_s: float, usual: list[float]) -> None:
    low, median, high = usual
    found = gauge(duration_s, PipelineStats("p", 9, 9, 0, median, low, high))
    if median == 0:
        assert found is None
        return
    assert found is not None
    assert 0 <= found.low <= found.usual <= found.high <= 100
    assert 0 <= found.at <= 100
    if duration_s <= high:
        assert not found.slow


def test_far_longer_than_usual_is_slow_but_noise_is_not() -> None:
    usual = PipelineStats("p", 9, 9, 0, 10.0, 9.0, 12.0)
    assert gauge(18.1, usual).slow and not gauge(17.9, usual).slow  # type: ignore[union-attr]
    quick = PipelineStats("p", 9, 9, 0, 0.02, 0.02, 0.03)
    assert not gauge(0.4, quick).slow and gauge(0.6, quick).slow  # type: ignore[union-attr]


def test_nothing_is_usual_before_a_run_has_succeeded() -> None:
    assert gauge(3.0, None) is None
    assert gauge(3.0, PipelineStats("p", 1, 0, 1)) is None


# ---- parameters

values = st.one_of(st.integers(0, 2), st.text(max_size=50), st.lists(st.integers(), max_size=3))
params = st.dictionaries(st.sampled_from("abcdef"), values, max_size=6)
runs = st.lists(st.tuples(st.sampled_from(["p", "q"]), params), max_size=8).map(
    lambda rows: [RunSummary(f"r{n}", pipeline, params=given) for n, (pipeline, given) in enumerate(rows)]
)


@given(runs)
def test_chips_and_what_is_left_out_are_all_parameters(rows: list[RunSummary]) -> None:
    found = tell_apart(rows)
    for row in rows:
        chips = found[row.run]
        assert len(chips.shown) <= CHIPS
        assert len(chips.shown) + chips.more == len(row.params)
        assert all(chip.name in row.params and len(chip.text) <= 32 for chip in chips.shown)


@given(runs)
def test_a_parameter_that_all_runs_share_sets_none_apart(rows: list[RunSummary]) -> None:
    found = tell_apart(rows)
    for row in rows:
        twins = [other for other in rows if other.pipeline == row.pipeline]
        for chip in found[row.run].shown:
            if all(other.params.get(chip.name, ...) == row.params[chip.name] for other in twins):
                assert not chip.apart


def test_what_is_not_as_in_the_run_before_comes_first() -> None:
    rows = [
        RunSummary(f"r{n}", "p", params={"rows": 5, "path": "a.csv (0123456789ab)", "depth": depth}) for n, depth in enumerate([4, 4, 8])
    ]
    found = tell_apart(rows)
    assert [(chip.name, chip.text, chip.apart) for chip in found["r1"].shown] == [
        ("depth", "4", True),
        ("rows", "5", False),
        ("path", "a.csv", False),
    ]
    assert not any(chip.apart for run in ("r0", "r2") for chip in found[run].shown)


@given(runs, params)
def test_a_new_run_changes_nothing_in_older_rows(rows: list[RunSummary], given: dict[str, Any]) -> None:
    before = tell_apart(rows)
    after = tell_apart([RunSummary("new", "p", params=given), *rows])
    assert {run: after[run] for run in before} == before


def test_values_are_spelled_as_they_are_typed() -> None:
    assert [spell_value(value) for value in ("a b", 12345, 0.25, True, [1, "x"], None)] == [
        "a b", "12,345", "0.25", "true", '[1, "x"]', "null",
    ]  # fmt: skip


# ---- what is remembered


def in_a_loop(test: Callable[[], Coroutine[Any, Any, None]]) -> Callable[[], None]:
    """The test, run in an event loop of its own."""

    @wraps(test)
    def run() -> None:
        asyncio.run(test())

    return run


class Clock:
    """Time that passes when it is told to."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class Source:
    """Answers 1, 2, 3 …; each takes `cost_s` of the clock, and waits for `gate` if there is one."""

    def __init__(self, clock: Clock, cost_s: float = 0.0) -> None:
        self.clock, self.cost_s = clock, cost_s
        self.asked = 0
        self.gate: asyncio.Event | None = None

    async def __call__(self) -> int:
        self.asked += 1
        self.clock.now += self.cost_s
        if self.gate is not None:
            await self.gate.wait()
        return self.asked


@in_a_loop
async def test_an_answer_is_kept_until_it_is_old() -> None:
    clock = Clock()
    remembered, source = Remembered(clock), Source(clock)
    assert [await remembered.get("a", source, 5) for _ in range(3)] == [1, 1, 1]
    assert await remembered.get("b", source, 5) == 2
    clock.now += 5
    assert await remembered.get("a", source, 5) == 3


@in_a_loop
async def test_many_who_ask_at_once_ask_once() -> None:
    clock = Clock()
    remembered, source = Remembered(clock), Source(clock)
    source.gate = asyncio.Event()
    asking = [asyncio.create_task(remembered.get("a", source, 5)) for _ in range(4)]
    await asyncio.sleep(0)
    source.gate.set()
    assert await asyncio.gather(*asking) == [1, 1, 1, 1]


@in_a_loop
async def test_a_slow_answer_is_not_waited_for_and_there_for_the_next() -> None:
    clock = Clock()
    remembered, source = Remembered(clock), Source(clock, cost_s=1.0)
    source.gate = asyncio.Event()
    assert await remembered.get_soon("a", source, 0.8, 0.001) == (None, False)
    source.gate.set()
    assert await remembered.get("a", source, 9) == 1
    clock.now += 5
    assert await remembered.get_soon("a", source, 0.8, 60) == (1, False)  # the old one, at once
    assert await remembered.get("a", source, 3) == 2


@in_a_loop
async def test_a_quick_answer_is_always_a_new_one() -> None:
    clock = Clock()
    remembered, source = Remembered(clock), Source(clock)
    for count in (1, 2, 3):
        assert await remembered.get_soon("a", source, 0.8, 60) == (count, True)
        clock.now += 1


@in_a_loop
async def test_a_failure_is_told_and_not_kept() -> None:
    remembered = Remembered()
    answers: list[Any] = [StoreUnavailable("away"), 7]

    async def ask() -> int:
        found = answers.pop(0)
        if isinstance(found, Exception):
            raise found
        return found

    with pytest.raises(StoreUnavailable):
        await remembered.get("a", ask, 5)
    assert await remembered.get("a", ask, 5) == 7
