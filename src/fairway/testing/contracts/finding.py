"""What every journal promises of searches: a part of `JournalReaderContract`."""

from __future__ import annotations

import random
from typing import Any

import pytest

from fairway.errors import ConfigError
from fairway.spec.event import ClockAdvanced
from fairway.spec.ports import Journal
from fairway.spec.query import COUNTED, Comparison, Facets, PipelineStats, RecentRun, RunQuery, RunsFound
from fairway.spec.record import replace
from fairway.spec.summary import RunSummary
from fairway.store.listing import list_summary, matches

_RUNS = (
    RunSummary(
        "r1", "churn", "succeeded", "shop", "nightly-1", created_by="ann", target="local", started_at=100.0, ended_at=110.0,
        params={"depth": 4, "model": "forest", "version": "3.10", "shuffle": True, "seed": None, "cols": ["a", "b"]},
        metrics={"auc": 0.9, "loss": 0.1}, tags=("best", "nightly"),
    ),
    RunSummary(
        "r2", "churn", "failed", "shop", created_by="bob", target="campus", started_at=200.0, ended_at=260.0,
        params={"depth": 8, "model": "Boosting", "shuffle": False, "auc": "high"}, error="train: KeyError: 'agee'", note="50% of_it",
    ),
    RunSummary(
        "r3", "fraud", "succeeded", "bank", created_by="ann", target="local", started_at=300.0, ended_at=305.0,
        params={"depth": 4.5, "model": "forest", "big": 10**400}, metrics={"auc": 0.7, "top 5": 1.0, "bad": float("nan")}, tags=("best",),
    ),
    RunSummary("r4", "fraud", "running", "bank", created_by="ann", started_at=400.0, params={"depth": "deep"}, metrics={"loss": 0.5}),
    RunSummary("r5", "fraud", "succeeded", "bank", created_by="bob", started_at=500.0, ended_at=520.0, metrics={"auc": 0.9}, archived=True),
)  # fmt: skip


def _compare(name: str, op: str, value: float | str | bool) -> dict[str, Any]:
    return {"names": (Comparison(name, op, value),)}


_ASKED: tuple[tuple[dict[str, Any], str], ...] = (
    ({}, "r4 r3 r2 r1"),
    ({"archived": True}, "r5"),
    ({"archived": None}, "r5 r4 r3 r2 r1"),
    ({"pipelines": ("churn",)}, "r2 r1"),
    ({"pipelines": ("churn", "fraud")}, "r4 r3 r2 r1"),
    ({"statuses": ("failed", "running")}, "r4 r2"),
    ({"tags": ("best",)}, "r3 r1"),
    ({"tags": ("nightly", "none")}, "r1"),
    ({"tags": ("best", "nightly")}, "r3 r1"),
    ({"users": ("ann",), "statuses": ("succeeded",)}, "r3 r1"),
    ({"targets": ("campus",)}, "r2"),
    ({"projects": ("bank",)}, "r4 r3"),
    ({"projects": ("bank", "shop"), "pipelines": ("churn",)}, "r2 r1"),
    ({"projects": ("none",)}, ""),
    ({"since": 200.0, "until": 400.0}, "r3 r2"),
    ({"longer_s": 10.0}, "r2 r1"),
    ({"longer_s": 10.0, "shorter_s": 60.0}, "r1"),
    ({"shorter_s": 10.0}, "r3"),
    ({"words": ("R1",)}, "r1"),
    ({"words": ("CHUR",)}, "r2 r1"),
    ({"words": ("nightly-1",)}, "r1"),
    ({"words": ("keyerror",)}, "r2"),
    ({"words": ("50% of_it",)}, "r2"),
    ({"words": ("5_%",)}, ""),
    ({"words": ("bob", "churn")}, "r2"),
    ({"words": ("best", "fraud")}, "r3"),
    (_compare("depth", "=", 4.0), "r1"),
    (_compare("depth", ">", 4.0), "r3 r2"),
    (_compare("depth", ">=", 4.0), "r3 r2 r1"),
    (_compare("depth", "<", 8.0), "r3 r1"),
    (_compare("depth", "<=", 8.0), "r3 r2 r1"),
    (_compare("depth", "!=", 4.0), "r4 r3 r2"),
    (_compare("depth", "=", "deep"), "r4"),
    (_compare("depth", "=", "4"), ""),
    (_compare("model", "=", "forest"), "r3 r1"),
    (_compare("model", "!=", "forest"), "r2"),
    (_compare("model", "~", "boost"), "r2"),
    (_compare("model", "~", "%"), ""),
    (_compare("version", "=", 3.1), "r1"),
    (_compare("version", "=", "3.10"), "r1"),
    (_compare("version", "=", "3.1"), ""),
    (_compare("shuffle", "=", True), "r1"),
    (_compare("shuffle", "!=", True), "r2"),
    (_compare("seed", "=", "none"), "r1"),
    (_compare("cols", "~", '"b"'), "r1"),
    (_compare("bad", "=", "nan"), "r3"),
    (_compare("bad", ">", 0.0), ""),
    (_compare("big", "~", "000"), "r3"),
    (_compare("top 5", "=", 1.0), "r3"),
    (_compare("auc", ">", 0.8), "r1"),
    (_compare("auc", "~", "HIGH"), "r2"),
    (_compare("auc", "!=", 0.7), "r2 r1"),
    ({"metrics": (Comparison("auc", "!=", 0.7),)}, "r1"),
    ({"params": (Comparison("auc", "!=", 0.7),)}, "r2"),
    (_compare("nowhere", "!=", 1.0), ""),
    ({"names": (Comparison("auc", ">", 0.5), Comparison("loss", "<", 0.2))}, "r1"),
    ({"tags": ("best",), "words": ("ann",), "metrics": (Comparison("auc", "<", 0.8),), "since": 1.0, "projects": ("bank",)}, "r3"),
)
_ORDERED = (
    ("", "r5 r4 r3 r2 r1", "r1 r2 r3 r4 r5"),
    ("started", "r5 r4 r3 r2 r1", "r1 r2 r3 r4 r5"),
    ("duration", "r2 r5 r1 r3 r4", "r3 r1 r5 r2 r4"),
    ("pipeline", "r5 r4 r3 r2 r1", "r1 r2 r3 r4 r5"),
    ("status", "r5 r3 r1 r4 r2", "r2 r4 r1 r3 r5"),
    ("metric:auc", "r5 r1 r3 r4 r2", "r3 r1 r5 r2 r4"),
    ("param:depth", "r2 r3 r1 r4 r5", "r1 r3 r2 r4 r5"),
    ("param:nowhere", "r5 r4 r3 r2 r1", "r1 r2 r3 r4 r5"),
)


class FindingContract:
    """Give the fixtures of `JournalReaderContract`."""

    def run(self, coroutine: Any) -> Any:
        raise NotImplementedError

    def fill(self, writer: Journal, runs: tuple[RunSummary, ...] = _RUNS) -> None:
        for summary in runs:
            self.run(writer.append(summary.run, 0, [ClockAdvanced(1.0)], "b", summary=summary))

    def found(self, journal: Journal, **fields: Any) -> list[str]:
        return [row.run for row in self.run(journal.search(RunQuery(**fields))).rows]

    def test_runs_are_found_by_what_they_are(self, journal: Journal, writer: Journal) -> None:
        self.fill(writer)
        for fields, runs in _ASKED:
            page = self.run(journal.search(RunQuery(**fields)))
            assert [row.run for row in page.rows] == runs.split(), fields
            assert (page.total, page.exact, page.next) == (len(page.rows), True, ""), fields
        row = self.run(journal.search(RunQuery(words=("r1",)))).rows[0]
        assert row == self.run(journal.find_summary("r1"))

    def test_orders_and_their_pages(self, journal: Journal, writer: Journal) -> None:
        self.fill(writer)
        for sort, down, up in _ORDERED:
            for ascending, wanted in ((False, down), (True, up)):
                for limit in (1, 2, 4, 5, 0):
                    pages = self.pages(journal, RunQuery(sort=sort, ascending=ascending, archived=None, limit=limit))
                    assert [row.run for page in pages for row in page.rows] == wanted.split(), (sort, ascending, limit)
                    assert {page.total for page in pages} == {5}
                    assert limit == 0 or all(len(page.rows) == limit for page in pages[:-1])

    def pages(self, journal: Journal, query: RunQuery) -> list[RunsFound]:
        """All pages of the query."""
        out: list[RunsFound] = [self.run(journal.search(query))]
        while out[-1].next:
            out.append(self.run(journal.search(replace(query, cursor=out[-1].next))))
            assert len(out) < 1000
        return out

    def test_what_is_no_order_or_no_cursor_is_refused(self, journal: Journal, writer: Journal) -> None:
        self.fill(writer)
        for sort, cursor in (("colour", ""), ("metric:", ""), ("duration", "x"), ("duration", "7b7d")):
            with pytest.raises(ConfigError):
                self.run(journal.search(RunQuery(sort=sort, cursor=cursor)))

    def test_whatever_is_asked_for_is_what_is_found(self, journal: Journal, writer: Journal) -> None:
        """Random queries over random runs, against the plain meaning of each; with pages of every size."""
        rng = random.Random(3)
        runs = tuple(random_run(rng, n) for n in range(60))
        self.fill(writer, runs)
        for _ in range(120):
            query = random_query(rng)
            wanted = [one for one in runs if matches(list_summary(one), query)]
            pages = self.pages(journal, query)
            rows = [row for page in pages for row in page.rows]
            assert sorted(row.run for row in rows) == [one.run for one in wanted], query
            assert {page.total for page in pages} == {len(wanted)}
            if not query.sort:
                assert [row.run for row in rows] == sorted((row.run for row in rows), reverse=not query.ascending)
            if query.sort == "metric:auc":
                scores = [list_summary(row).values.get(("metric", "auc"), (None, None))[0] for row in rows]
                known = [score for score in scores if score is not None]
                assert scores == [*sorted(known, reverse=not query.ascending), *[None] * (len(scores) - len(known))]

    def test_a_run_is_found_by_what_it_is_now(self, journal: Journal, writer: Journal) -> None:
        first = RunSummary("r1", "p", "running", "shop", params={"a": 1, "b": 2}, metrics={"loss": 1.0}, tags=("old",), started_at=5.0)
        second = replace(
            first,
            status="failed",
            project="bank",
            metrics={"auc": 0.5},
            params={"a": 1, "b": "two"},
            tags=("new",),
            note="look",
            ended_at=9.0,
        )
        self.fill(writer, (first,))
        assert self.found(journal, projects=("shop",), tags=("old",), **_compare("loss", ">", 0)) == ["r1"]
        self.run(writer.append("r1", 1, [ClockAdvanced(2.0)], "b2", summary=second))
        fields: dict[str, Any]
        for fields in ({"projects": ("bank",)}, {"tags": ("new",)}, {"words": ("look",)}, {"longer_s": 3.0}, _compare("auc", "=", 0.5)):
            assert self.found(journal, **fields) == ["r1"], fields
        for fields in (
            {"projects": ("shop",)},
            {"tags": ("old",)},
            {"statuses": ("running",)},
            _compare("loss", ">", 0),
            _compare("b", "=", 2.0),
        ):
            assert self.found(journal, **fields) == [], fields
        self.run(writer.append("r1", 2, [ClockAdvanced(3.0)], "b3"))
        self.run(writer.append("r1", 3, [ClockAdvanced(4.0)], "b4", summary=replace(second, metrics={"auc": 0.6}, note="")))
        assert self.found(journal, **_compare("auc", "=", 0.6)) == ["r1"]
        assert self.found(journal, words=("look",)) == []
        self.run(journal.delete_run("r1"))
        assert self.found(journal) == []
        assert self.run(journal.facets()) == Facets()

    def test_odd_texts_are_kept_and_found(self, journal: Journal, writer: Journal) -> None:
        odd = "na\u00efve \U0001f6a2 %_'\"\\"
        lost = replace(
            RunSummary("r2", "p\udc80\0", "failed", name="\udc80"), tags=("\0", "\udc80"), params={"\udc80": "\udc80\0"}, metrics={"\0": 1}
        )
        self.fill(writer, (RunSummary("r1", odd, created_by=odd, tags=(odd,), params={odd: odd}, metrics={odd + "!": 1.0}), lost))
        for fields in (
            {"pipelines": (odd,)},
            {"users": (odd,)},
            {"tags": (odd,)},
            {"words": (odd,)},
            _compare(odd, "=", odd),
            _compare(odd + "!", ">", 0),
        ):
            assert self.found(journal, **fields) == ["r1"], fields
        assert self.found(journal, statuses=("failed",)) == ["r2"]
        assert self.found(journal, sort=f"metric:{odd}!") == ["r1", "r2"]

    def test_facets_are_the_names_there_are(self, journal: Journal, writer: Journal) -> None:
        assert self.run(journal.facets()) == Facets()
        self.fill(writer)
        assert self.run(journal.facets()) == Facets(
            pipelines=("fraud", "churn"),
            tags=("best", "nightly"),
            users=("ann", "bob"),
            params=("depth", "model", "shuffle", "auc", "big", "cols", "seed", "version"),
            metrics=("auc", "loss", "bad", "top 5"),
            targets=("local", "campus"),
            projects=("bank", "shop"),
        )
        shop = self.run(journal.facets(("shop", "none")))
        assert (shop.pipelines, shop.projects, shop.metrics) == (("churn",), ("shop",), ("auc", "loss"))
        assert self.run(journal.facets(("none",))) == Facets()

    def test_figures_of_a_pipeline(self, journal: Journal, writer: Journal) -> None:
        assert self.run(journal.pipeline_stats("churn")) == PipelineStats("churn")
        self.fill(writer)
        stats = self.run(journal.pipeline_stats("churn"))
        assert stats == PipelineStats(
            "churn", 2, 1, 1, 10.0, 10.0, 10.0, (RecentRun("r2", "failed", 200.0, 60.0), RecentRun("r1", "succeeded", 100.0, 10.0))
        )
        assert self.run(journal.pipeline_stats("churn", ("bank",))) == PipelineStats("churn")
        fraud = self.run(journal.pipeline_stats("fraud", ("bank", "shop")))
        assert (fraud.runs, fraud.succeeded, fraud.recent[0]) == (2, 1, RecentRun("r4", "running", 400.0, 0.0))
        more = tuple(RunSummary(f"s{n:03}", "long", "succeeded", started_at=1.0, ended_at=1.0 + n) for n in range(260))
        self.fill(writer, more)
        long = self.run(journal.pipeline_stats("long"))
        assert (long.runs, len(long.recent), long.recent[0].run) == (260, 200, "s259")
        assert (long.usual_low_s, long.usual_s, long.usual_high_s) == pytest.approx((222.25, 234.5, 246.75))

    def test_no_more_are_counted_than_need_be(self, journal: Journal, writer: Journal) -> None:
        assert COUNTED == 10_000
        self.fill(writer)
        page = self.run(journal.search(RunQuery(limit=2)))
        assert (len(page.rows), page.total, page.exact) == (2, 4, True)


def random_run(rng: random.Random, n: int) -> RunSummary:
    status = rng.choice(("running", "succeeded", "failed", "cancelled"))
    began = float(rng.randrange(100))
    return RunSummary(
        f"r{n:03}", rng.choice("pq"), status, rng.choice(("", "shop", "bank")), rng.choice(("", "night")),
        target=rng.choice(("local", "campus")), created_by=rng.choice(("ann", "bob")), started_at=began,
        ended_at=0.0 if status == "running" else began + rng.randrange(20),
        params={name: rng.choice((1, 2.5, "one", "2.5", True, None, [1])) for name in ("a", "b", "c") if rng.random() < 0.7},
        metrics={name: rng.choice((0.0, 1.0, -1.5, 7.5, float("nan"))) for name in ("auc", "a") if rng.random() < 0.7},
        tags=tuple(rng.sample(("x", "y", "z"), rng.randrange(3))), note=rng.choice(("", "Look Here")), archived=rng.random() < 0.3,
    )  # fmt: skip


def random_query(rng: random.Random) -> RunQuery:
    def some(*values: str) -> tuple[str, ...]:
        return tuple(rng.sample(values, rng.choice((0, 0, 0, 1, 2))))

    def compared(*names: str) -> tuple[Comparison, ...]:
        if rng.random() < 0.7:
            return ()
        op = rng.choice(("=", "!=", ">", ">=", "<", "<=", "~"))
        values: tuple[Any, ...] = ("o", "2") if op == "~" else (0.0, 1.0, 2.5, float("inf"))
        return (Comparison(rng.choice(names), op, rng.choice((*values, "one", True, "2.5", "nan") if op in ("=", "!=") else values)),)

    return RunQuery(
        words=some("ann", "look", "r0", "x"), pipelines=some("p", "q", "s"), statuses=some("running", "failed"), tags=some("x", "y"),
        users=some("ann", "bob"), targets=some("local", "campus"), projects=some("", "shop", "bank"), names=compared("a", "b", "auc"),
        params=compared("a", "c"), metrics=compared("a", "auc"), since=rng.choice((0, 0, 30.0)), until=rng.choice((0, 0, 70.0)),
        longer_s=rng.choice((0, 0, 5.0)), shorter_s=rng.choice((0, 0, 15.0)), archived=rng.choice((False, True, None)),
        sort=rng.choice(("", "duration", "started", "pipeline", "status", "metric:auc", "param:a", "param:c")),
        ascending=rng.random() < 0.5, limit=rng.choice((0, 1, 3, 50)),
    )  # fmt: skip
