"""What every journal promises. Give a fixture `journal`: an empty one."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from fairway.errors import JournalConflict
from fairway.spec.artifact import ArtifactRef
from fairway.spec.event import AttemptPlanned, ClockAdvanced, RunEnded, RunLabelled, RunStarted
from fairway.spec.graph import Graph
from fairway.spec.ports import Journal, run_now
from fairway.spec.record import replace
from fairway.spec.summary import CacheEntry, RunSummary, RunTally
from fairway.store.wire import parse_events
from fairway.testing.contracts.finding import FindingContract

_REF = ArtifactRef("ab" * 32, 3, "json", "int", inline="123", meta={"rows": 2})


def _started(run: str) -> RunStarted:
    return RunStarted(run, Graph("p", doc="naïve \U0001f6a2 \udc80 \x00"), {"n": _REF}, "cd" * 32, 1.5, tags=("a", "b"))


def _ticks(count: int, first: int = 1) -> list[ClockAdvanced]:
    return [ClockAdvanced(float(first + i)) for i in range(count)]


def _summary(run: str, **fields: Any) -> RunSummary:
    return replace(RunSummary(run, "p"), **fields)


class JournalReaderContract(FindingContract):
    """What everybody may ask of a journal. Subclass it and give the fixture `journal`; `writer`, the same journal as its drivers see it,
    only where that is another object."""

    @pytest.fixture
    def writer(self, journal: Journal) -> Journal:
        return journal

    def run(self, coroutine: Any) -> Any:
        """Override where the journal needs an event loop."""
        return run_now(coroutine)

    def test_events_are_read_as_they_were_written(self, journal: Journal, writer: Journal) -> None:
        events = [_started("r1"), AttemptPlanned("a1", "", "n", ((0,), (1,)), 1, 2.0, ("k0", "k1")), RunLabelled(3.0, archived=False)]
        assert self.run(writer.append("r1", 0, events, "b1")) == 3
        assert self.run(writer.append("r1", 3, [RunEnded("succeeded", 4.0, {"out": _REF})], "b2")) == 4
        assert list(self.run(journal.read("r1"))) == list(enumerate([*events, RunEnded("succeeded", 4.0, {"out": _REF})], 1))

    def test_a_run_that_is_not_there_is_empty(self, journal: Journal, writer: Journal) -> None:
        assert self.run(journal.head("nope")) == 0
        assert list(self.run(journal.read("nope"))) == []
        assert self.run(journal.find_summary("nope")) is None
        assert list(self.run(journal.inbox("nope"))) == []
        assert self.run(journal.digests("nope")) == set()

    def test_reading_can_begin_and_end_within_a_batch(self, journal: Journal, writer: Journal) -> None:
        self.run(writer.append("r1", 0, _ticks(3), "b1"))
        self.run(writer.append("r1", 3, _ticks(3, 4), "b2"))
        assert [n for n, _ in self.run(journal.read("r1", 1))] == [2, 3, 4, 5, 6]
        assert [(n, e.at) for n, e in self.run(journal.read("r1", 1, 3))] == [(2, 2.0), (3, 3.0), (4, 4.0)]
        assert list(self.run(journal.read("r1", 6))) == []

    def test_batches_are_read_as_text_in_portions(self, journal: Journal, writer: Journal) -> None:
        head = self.run(writer.append("r1", 0, [_started("r1"), *_ticks(2)], "b1"))
        for n in range(6):
            head = self.run(writer.append("r1", head, _ticks(10, n), f"b{n + 2}"))
        wanted = list(self.run(journal.read("r1")))
        for limit_bytes in (0, 1, 600):
            after, found = 0, []
            while texts := self.run(journal.read_text("r1", after, limit_bytes)):
                assert limit_bytes == 0 or sum(len(text) for _, text in texts[:-1]) < limit_bytes
                for first, text in texts:
                    found += parse_events(text, first, after)
                    after = found[-1][0]
            assert found == wanted
        (first, text), *_ = self.run(journal.read_text("r1", 1))
        assert parse_events(text, first, 1)[0][0] == 2
        assert list(self.run(journal.read_text("r2", 0, 10))) == []

    def test_runs_do_not_mix(self, journal: Journal, writer: Journal) -> None:
        self.run(writer.append("r1", 0, _ticks(2), "b"))
        self.run(writer.append("r2", 0, _ticks(1, 7), "b"))
        self.run(writer.append("r1", 2, _ticks(1, 3), "b2"))
        assert [e.at for _, e in self.run(journal.read("r1"))] == [1.0, 2.0, 3.0]
        assert [e.at for _, e in self.run(journal.read("r2"))] == [7.0]
        assert self.run(journal.head("r1")) == 3

    def test_many_events_in_one_batch(self, journal: Journal, writer: Journal) -> None:
        assert self.run(writer.append("r1", 0, _ticks(5_000), "b1")) == 5_000
        assert self.run(journal.read("r1"))[-1] == (5_000, ClockAdvanced(5_000.0))

    def test_summary_and_cache_change_with_the_append(self, journal: Journal, writer: Journal) -> None:
        entry = CacheEntry("ef" * 32, "r1", "train[3]", {"result": _REF}, 2.0, {"auc": 0.5})
        odd = CacheEntry("not a digest", "r1", "load", {})
        self.run(writer.append("r1", 0, _ticks(1), "b1", summary=_summary("r1", status="running"), cache=[entry, odd]))
        assert self.run(journal.find_cached([entry.key, "absent", odd.key])) == {entry.key: entry, odd.key: odd}
        newer = replace(entry, run="r1", task="train[4]")
        self.run(writer.append("r1", 1, _ticks(1), "b2", summary=_summary("r1", status="failed", error="boom"), cache=[newer]))
        assert self.run(journal.find_cached([entry.key])) == {entry.key: newer}
        assert self.run(journal.find_summary("r1")) == _summary("r1", status="failed", error="boom")

    def test_many_cache_entries_at_once(self, journal: Journal, writer: Journal) -> None:
        entries = [CacheEntry(f"{i:064x}", "r1", f"n[{i}]", {"result": _REF}) for i in range(2_500)]
        self.run(writer.append("r1", 0, _ticks(1), "b1", cache=entries))
        assert self.run(journal.find_cached([e.key for e in entries])) == {e.key: e for e in entries}

    def test_forgotten_entries_are_gone(self, journal: Journal, writer: Journal) -> None:
        entries = [CacheEntry(key, "r1", "n", {}) for key in ("k1", "k2")]
        self.run(writer.append("r1", 0, _ticks(1), "b1", cache=entries))
        self.run(journal.forget_cached(["k1", "absent"]))
        assert list(self.run(journal.find_cached(["k1", "k2"]))) == ["k2"]

    def test_summaries_are_listed_newest_first_and_filtered(self, journal: Journal, writer: Journal) -> None:
        for n in range(6):
            fields = {
                "pipeline": "ab"[n % 2],
                "status": "failed" if n < 3 else "succeeded",
                "archived": n == 5,
                "tags": ("gold",) if n in (1, 4) else (),
            }
            self.run(writer.append(f"r{n}", 0, _ticks(1), "b", summary=_summary(f"r{n}", **fields)))

        def listed(**filters: Any) -> list[str]:
            return [s.run for s in self.run(journal.summaries(**filters))]

        assert listed() == ["r4", "r3", "r2", "r1", "r0"]
        assert listed(archived=True) == ["r5", "r4", "r3", "r2", "r1", "r0"]
        assert listed(pipeline="a") == ["r4", "r2", "r0"]
        assert listed(status="failed") == ["r2", "r1", "r0"]
        assert listed(tag="gold") == ["r4", "r1"]
        assert listed(tag="gold", pipeline="a", status="succeeded") == ["r4"]
        assert listed(limit=2) == ["r4", "r3"]
        assert listed(limit=2, before="r3") == ["r2", "r1"]
        assert listed(limit=0) == listed()

    def test_runs_are_counted_by_pipeline_status_and_archive(self, journal: Journal, writer: Journal) -> None:
        assert list(self.run(journal.tally())) == []
        self.run(writer.append("bare", 0, _ticks(1), "b"))
        for n, (pipeline, status, archived) in enumerate(
            [("b", "failed", False), ("a", "running", False), ("a", "failed", True), ("a", "running", False)]
        ):
            summary = replace(RunSummary(f"r{n}", pipeline), status=status, archived=archived, project=("shop", "bank")[n % 2])
            self.run(writer.append(f"r{n}", 0, _ticks(1), "b", summary=summary))
        assert list(self.run(journal.tally())) == [
            RunTally("a", "failed", True, 1, "r2"),
            RunTally("a", "running", False, 2, "r3"),
            RunTally("b", "failed", False, 1, "r0"),
        ]
        assert list(self.run(journal.tally(("shop",)))) == [RunTally("a", "failed", True, 1, "r2"), RunTally("b", "failed", False, 1, "r0")]
        assert list(self.run(journal.tally(("shop", "bank")))) == list(self.run(journal.tally()))
        assert list(self.run(journal.tally(("none",)))) == []

    def test_labels_that_change_are_found_by_their_new_value(self, journal: Journal, writer: Journal) -> None:
        self.run(writer.append("r1", 0, _ticks(1), "b1", summary=_summary("r1", tags=("old", "both"))))
        self.run(writer.append("r1", 1, _ticks(1), "b2", summary=_summary("r1", tags=("both", "new"), name="nightly", archived=True)))
        for tag, count in (("old", 0), ("both", 1), ("new", 1)):
            assert len(self.run(journal.summaries(tag=tag, archived=True))) == count, tag
        assert list(self.run(journal.summaries())) == []
        assert list(self.run(journal.find_runs("nightly"))) == ["r1"]

    def test_runs_are_found_by_beginning_end_or_name(self, journal: Journal, writer: Journal) -> None:
        ids = ["20260101-000000-aaaaa", "20260102-000000-bbbbb", "20260102-000001-abbbb"]
        for n, id in enumerate(ids):
            self.run(writer.append(id, 0, _ticks(1), "b", summary=_summary(id, name=f"name%{n}")))
        assert list(self.run(journal.find_runs("20260102"))) == [ids[2], ids[1]]
        assert list(self.run(journal.find_runs("bbbbb"))) == [ids[1]]
        assert list(self.run(journal.find_runs("bbbb"))) == [ids[2], ids[1]]
        assert list(self.run(journal.find_runs("name%1"))) == [ids[1]]
        assert list(self.run(journal.find_runs("name"))) == []
        assert list(self.run(journal.find_runs("%"))) == []
        assert list(self.run(journal.find_runs("_"))) == []
        for n in range(25):
            self.run(writer.append(f"many-{n:02}", 0, _ticks(1), "b"))
        assert list(self.run(journal.find_runs("many-"))) == [f"many-{n:02}" for n in range(24, 4, -1)]

    def test_a_deleted_run_leaves_only_orphans(self, journal: Journal, writer: Journal) -> None:
        entry = CacheEntry("k", "r1", "n", {"result": _REF})
        self.run(writer.append("r1", 0, [_started("r1")], "b", summary=_summary("r1", tags=("t",), name="x"), cache=[entry]))
        self.run(writer.append("r2", 0, _ticks(2), "b", summary=_summary("r2"), cache=[replace(entry, key="k2", run="r2")]))
        self.run(writer.send("r1", "cancel", {}))
        assert list(self.run(journal.cached(orphaned=True))) == []
        self.run(journal.delete_run("r1"))
        self.run(journal.delete_run("r1"))
        assert self.run(journal.head("r1")) == 0
        assert list(self.run(journal.read("r1"))) == []
        assert list(self.run(journal.inbox("r1"))) == []
        assert self.run(journal.find_summary("r1")) is None
        assert list(self.run(journal.summaries(tag="t"))) == []
        assert list(self.run(journal.find_runs("x"))) == []
        assert list(self.run(journal.cached(orphaned=True))) == [entry]
        assert sorted(e.key for e in self.run(journal.cached())) == ["k", "k2"]
        assert self.run(journal.find_cached(["k"])) == {"k": entry}
        assert len(self.run(journal.read("r2"))) == 2

    def test_digests_are_all_that_the_events_name(self, journal: Journal, writer: Journal) -> None:
        self.run(writer.append("r1", 0, [_started("r1"), RunEnded("succeeded", 4.0, {"out": replace(_REF, digest="01" * 32)})], "b"))
        assert self.run(journal.digests("r1")) == {"ab" * 32, "cd" * 32, "01" * 32}

    def test_watch_returns_at_once_if_there_is_more_and_in_time_if_not(self, journal: Journal, writer: Journal) -> None:
        self.run(writer.append("r1", 0, _ticks(2), "b"))
        assert self.run(journal.watch("r1", 1, 60.0)) == 2
        assert self.run(journal.watch("r1", 2, 0.01)) == 2

    def test_it_works_inside_an_event_loop(self, journal: Journal, writer: Journal) -> None:
        async def main() -> int:
            await writer.append("r1", 0, _ticks(2), "b")
            return await journal.watch("r1", 2, 0.01)

        assert asyncio.run(main()) == 2

    def test_a_closed_journal_opens_again(self, journal: Journal, writer: Journal) -> None:
        self.run(writer.append("r1", 0, _ticks(2), "b"))
        self.run(journal.close())
        self.run(journal.close())
        if type(journal).__name__ != "MemoryJournal":
            assert self.run(journal.head("r1")) == 2


class JournalContract(JournalReaderContract):
    """All of it: what drivers need too. Subclass it and give the fixture `journal`."""

    def test_a_writer_behind_the_head_is_refused_and_nothing_is_written(self, journal: Journal) -> None:
        self.run(journal.append("r1", 0, _ticks(2), "b1", summary=_summary("r1", tags=("kept",))))
        command = self.run(journal.send("r1", "cancel", {}))
        for after in (0, 1, 3):
            with pytest.raises(JournalConflict):
                entry = CacheEntry("k", "r1", "n", {})
                self.run(
                    journal.append("r1", after, _ticks(1), "b2", summary=_summary("r1", tags=("lost",)), cache=[entry], handled=command)
                )
        assert self.run(journal.head("r1")) == 2
        assert self.run(journal.find_cached(["k"])) == {}
        assert self.run(journal.find_summary("r1")).tags == ("kept",)
        assert [s.run for s in self.run(journal.summaries(tag="kept"))] == ["r1"]
        assert list(self.run(journal.summaries(tag="lost"))) == []
        assert len(self.run(journal.inbox("r1"))) == 1

    def test_the_same_batch_again_returns_the_head_and_adds_nothing(self, journal: Journal) -> None:
        assert self.run(journal.append("r1", 0, _ticks(2), "b1")) == 2
        assert self.run(journal.append("r1", 0, _ticks(2), "b1")) == 2
        assert self.run(journal.append("r1", 2, _ticks(1, 3), "b2")) == 3
        assert self.run(journal.append("r1", 2, _ticks(1, 3), "b2")) == 3
        assert len(self.run(journal.read("r1"))) == 3
        with pytest.raises(JournalConflict):  # an older batch is no longer what follows
            self.run(journal.append("r1", 0, _ticks(2), "b1"))

    def test_a_writer_of_a_deleted_run_is_refused(self, journal: Journal) -> None:
        self.run(journal.append("r1", 0, _ticks(2), "b1"))
        self.run(journal.delete_run("r1"))
        with pytest.raises(JournalConflict):
            self.run(journal.append("r1", 2, _ticks(1), "b2"))

    def test_inbox(self, journal: Journal) -> None:
        self.run(journal.append("r1", 0, _ticks(1), "b1"))
        before = self.run(journal.inbox_version())
        assert self.run(journal.inbox_version()) == before
        first = self.run(journal.send("r1", "cancel", {"by": "ann", "reason": "too slow"}))
        second = self.run(journal.send("r1", "label", {"add_tags": ["x"]}))
        other = self.run(journal.send("r2", "cancel", {}))
        assert self.run(journal.inbox_version()) != before
        assert second > first
        got = self.run(journal.inbox("r1"))
        assert [(c.id, c.kind, c.body) for c in got] == [
            (first, "cancel", {"by": "ann", "reason": "too slow"}),
            (second, "label", {"add_tags": ["x"]}),
        ]
        assert [c.id for c in self.run(journal.inbox("r1", first))] == [second]
        self.run(journal.append("r1", 1, _ticks(1), "b2", handled=first))
        assert [c.id for c in self.run(journal.inbox("r1"))] == [second]
        assert [c.id for c in self.run(journal.inbox("r2"))] == [other]
