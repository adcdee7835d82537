"""The query language of runs: what it means, that it is written back as it was read, and what is said of mistakes."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from fairway.engine.query import parse_query, parse_sort, render_query, render_sort
from fairway.errors import ConfigError
from fairway.spec.query import OPERATORS, RUN_STATUSES, SORTS, Comparison, RunQuery
from fairway.spec.record import replace

NOW = 1_795_000_000.0
DAY_S = 86_400.0
NOVEMBER = datetime(2026, 11, 1, tzinfo=UTC).timestamp()


def read(text: str) -> RunQuery:
    return parse_query(text, NOW)


@pytest.mark.parametrize(
    ("text", "fields"),
    [
        ("", {}),
        ("  \t\n ", {}),
        ("churn  tree", {"words": ("churn", "tree")}),
        ('"two words" "failed" "tag:a"', {"words": ("two words", "failed", "tag:a")}),
        (r'"say \"hi\" \\ \n"', {"words": ('say "hi" \\ \\n',)}),
        ("failed churn", {"statuses": ("failed",), "words": ("churn",)}),
        ("status:failed,timeout state:running", {"statuses": ("failed", "timeout", "running")}),
        ("status=failed", {"statuses": ("failed",)}),
        ("status != succeeded", {"statuses": ("running", "failed", "cancelled", "timeout")}),
        ('tag:best,"a b" tag:new', {"tags": ("best", "a b", "new")}),
        ("pipeline:churn by:ann user:bob on:kind target:local project:p", {
            "pipelines": ("churn",), "users": ("ann", "bob"), "targets": ("kind", "local"), "projects": ("p",),
        }),
        ("tag:a tag:a", {"tags": ("a",)}),
        ("auc>0.8 depth=4", {"names": (Comparison("auc", ">", 0.8), Comparison("depth", "=", 4.0))}),
        ("auc > .5  loss<= -1e-3", {"names": (Comparison("auc", ">", 0.5), Comparison("loss", "<=", -0.001))}),
        ("churn >0.8", {"names": (Comparison("churn", ">", 0.8),)}),
        ("model~forest depth~4", {"names": (Comparison("model", "~", "forest"), Comparison("depth", "~", "4"))}),
        ('shuffle=true seed="7" x!=nan', {
            "names": (Comparison("shuffle", "=", True), Comparison("seed", "=", "7"), Comparison("x", "!=", "nan")),
        }),
        ("param.depth=4 metric.auc>0.8", {"params": (Comparison("depth", "=", 4.0),), "metrics": (Comparison("auc", ">", 0.8),)}),
        ('"my metric">1 param."a b"=c "tag"=1', {
            "names": (Comparison("my metric", ">", 1.0), Comparison("tag", "=", 1.0)), "params": (Comparison("a b", "=", "c"),),
        }),
        ("val/auc>0.5 top-5>=2", {"names": (Comparison("val/auc", ">", 0.5), Comparison("top-5", ">=", 2.0))}),
        ("since:2d", {"since": NOW - 2 * DAY_S}),
        ("until:90m", {"until": NOW - 5400}),
        ("since:2w since:1d", {"since": NOW - DAY_S}),
        ("started>=2026-11-01 started<2026-11-03", {"since": NOVEMBER, "until": NOVEMBER + 2 * DAY_S}),
        ("started>2026-11-01", {"since": NOVEMBER + DAY_S}),
        ("started<=2026-11-01", {"until": NOVEMBER + DAY_S}),
        ("started=2026-11-01", {"since": NOVEMBER, "until": NOVEMBER + DAY_S}),
        ("since:2026-11-01 until:2026-11-02", {"since": NOVEMBER, "until": NOVEMBER + 2 * DAY_S}),
        ("started>=2026-11-01T12:30", {"since": NOVEMBER + 12.5 * 3600}),
        ("started>=2026-11-01T12:30:00+01:00", {"since": NOVEMBER + 11.5 * 3600}),
        ("duration>10m duration<2h", {"longer_s": 600.0, "shorter_s": 7200.0}),
        ("archived", {"archived": True}),
        ("archived:any", {"archived": None}),
        ("-archived", {"archived": False}),
        ("sort:duration", {"sort": "duration"}),
        ("sort:metric.auc", {"sort": "metric:auc"}),
        ("sort:param:depth-asc", {"sort": "param:depth", "ascending": True}),
        ("sort:oldest", {"ascending": True}),
        ("sort:newest", {}),
        ('sort:metric."a-asc"-desc', {"sort": "metric:a-asc"}),
        ("failed churn tag:best auc>0.8 depth=4 by:ann since:2d -archived", {
            "statuses": ("failed",), "words": ("churn",), "tags": ("best",), "users": ("ann",), "since": NOW - 2 * DAY_S,
            "names": (Comparison("auc", ">", 0.8), Comparison("depth", "=", 4.0)),
        }),
    ],
)  # fmt: skip
def test_what_a_query_means(text: str, fields: dict[str, Any]) -> None:
    assert read(text) == RunQuery(**fields)


@pytest.mark.parametrize(
    ("text", "at", "what"),
    [
        ("churn auc>", 11, "a value is missing after 'auc>'"),
        (">0.8", 1, "a name is missing before '>'"),
        ("ok :: x", 1, "there is no filter 'ok'"),
        ("'ok' :", 1, "there is no filter"),
        (" :x", 2, "a name is missing before ':'"),
        ("colour:red", 1, "there is no filter 'colour'"),
        ("x status:broken", 10, "there is no state 'broken'"),
        ("auc>high", 5, "> compares numbers"),
        ("auc>=true", 6, ">= compares numbers"),
        ('tag:"a', 5, "a quote is not closed"),
        ("since:yesterday", 7, "not a time"),
        ("started>2d", 9, "not a time"),
        ("started=2026-11-01T10:00", 9, "no run starts at exactly"),
        ("since>2d", 1, "since cannot be used with >"),
        ("duration=5m", 1, "duration cannot be used with ="),
        ("duration>soon", 10, "not a duration"),
        ("duration>inf", 10, "must be above zero, and end"),
        ("-failed", 1, "only -archived"),
        ("tag>3", 1, "tag cannot be compared with >"),
        ("archived:maybe", 10, "not a choice of archived"),
        ("sort:auc", 6, "not an order: 'auc'"),
        ("sort:metric.", 6, "not an order"),
        ('sort:metric."a"x', 6, "not an order"),
        ("tag:", 5, "a value is missing after 'tag:'"),
        ("tag:a,", 7, "a value is missing after 'tag:a,'"),
        ("since:@inf", 7, "not a time"),
    ],
)
def test_a_mistake_is_shown_where_it_is(text: str, at: int, what: str) -> None:
    with pytest.raises(ConfigError, match=f"at character {at}: ") as caught:
        read(text)
    assert what in caught.value.message
    assert caught.value.hint


_TEXTS = st.text(max_size=8) | st.sampled_from(
    ["failed", "archived", "tag", "a:b", "a,b", "-x", "true", "4", "inf", "nan", '"', "\\", "metric.a", "x-asc", "", " ", "a\nb", "!", "!="]
)
_NAMES = _TEXTS.filter(bool)
_NUMBERS = st.floats(allow_nan=False)
_TIMES = st.floats(1.0, 4e9) | st.integers(1, 50_000).map(lambda day: day * DAY_S) | st.integers(1, 4_000_000_000).map(float)


@st.composite
def _comparisons(draw: Any) -> Comparison:
    op = draw(st.sampled_from(OPERATORS))
    values: Any = {"=": _NUMBERS | st.booleans() | _TEXTS, "!=": _NUMBERS | st.booleans() | _TEXTS, "~": _TEXTS}.get(op, _NUMBERS)
    return Comparison(draw(_NAMES), op, draw(values))


def _some(values: Any) -> Any:
    return st.lists(values, max_size=3, unique=True).map(tuple)


_COMPARED = st.lists(_comparisons(), max_size=3, unique_by=repr).map(tuple)
_BOUNDS = st.just(0.0) | st.floats(1e-3, 1e300)
_QUERIES = st.builds(
    RunQuery,
    words=_some(_NAMES), pipelines=_some(_TEXTS), statuses=_some(st.sampled_from(RUN_STATUSES)), tags=_some(_TEXTS), users=_some(_TEXTS),
    targets=_some(_TEXTS), projects=_some(_TEXTS), names=_COMPARED, params=_COMPARED, metrics=_COMPARED,
    since=st.just(0.0) | _TIMES, until=st.just(0.0) | _TIMES, longer_s=_BOUNDS, shorter_s=_BOUNDS,
    archived=st.sampled_from([True, False, None]), ascending=st.booleans(),
    sort=st.just("") | st.sampled_from(SORTS) | st.builds("{}:{}".format, st.sampled_from(["metric", "param"]), _NAMES),
)  # fmt: skip


@given(_QUERIES)
@example(RunQuery(words=("failed", "churn"), names=(Comparison("auc", ">", 0.8),), sort="metric:a b-asc", ascending=True))
def test_what_is_written_is_read_again(query: RunQuery) -> None:
    assert parse_query(render_query(query), NOW) == query


@given(st.text(max_size=40) | st.text('ab=<>~:,!"\\- .0123456789@', max_size=30))
def test_any_text_is_read_or_refused_in_words(text: str) -> None:
    try:
        query = read(text)
    except ConfigError as error:
        assert "at character" in error.message
        assert error.hint
        return
    assert parse_query(render_query(query), NOW + 1000) == query


def test_a_query_is_written_as_one_would_type_it() -> None:
    text = "churn failed tag:best,new by:ann auc>0.8 param.depth=4 started>=2026-11-01 duration>=600s archived:any sort:metric.auc-asc"
    assert render_query(read(text)) == text
    assert render_query(replace(RunQuery(), since=NOVEMBER + 60)) == "started>=2026-11-01T00:01:00Z"


def test_an_order_stands_alone_too() -> None:
    assert parse_sort("") == ("", False)
    assert parse_sort("metric:val auc"[:10]) == ("metric:val", False)
    assert parse_sort(render_sort("param:a b", True)) == ("param:a b", True)
    for text in ("auc", "duration failed", "duration tag:x"):
        with pytest.raises(ConfigError):
            parse_sort(text)


def test_nought_and_false_are_two_values() -> None:
    found = parse_query("metric.a!=0 metric.a!=false metric.a!=0", NOW)
    assert [comparison.value for comparison in found.metrics] == [0, False]
