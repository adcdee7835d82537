"""How SQLite finds runs: whichever way a search takes, it finds the same; journals from before there were searches are found in too."""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fairway.errors import StoreUnavailable
from fairway.spec.event import ClockAdvanced
from fairway.spec.ports import Journal, run_now
from fairway.spec.query import Comparison, RunQuery
from fairway.spec.record import replace
from fairway.spec.summary import RunSummary
from fairway.store import sqlite, sqlite_search, wire
from fairway.store.listing import list_summary, matches
from fairway.store.sqlite import SqliteJournal
from fairway.testing.contracts.finding import FindingContract, random_query, random_run
from fairway.testing.memory import MemoryJournal

_SCHEMA = Path(sqlite.__file__).parent / "sqlite_schema"


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[SqliteJournal]:
    journal = SqliteJournal(tmp_path / "fairway.db")
    yield journal
    run_now(journal.close())


class TestSearchesThatNoFilterMakesNarrow(FindingContract):
    """As with very many runs: first a few are looked at in order, then the narrowest filter gives the runs, or all are read."""

    @pytest.fixture(autouse=True, params=[(0, 3), (2, 1), (0, 10_000)], ids=str)
    def few(self, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(sqlite_search, "_FEW", request.param[0])
        monkeypatch.setattr(sqlite_search, "_WINDOW", request.param[1])

    @pytest.fixture
    def writer(self, journal: Journal) -> Journal:
        return journal

    def run(self, coroutine: Any) -> Any:
        return run_now(coroutine)


def test_what_is_too_much_to_count_is_found_all_the_same(journal: SqliteJournal, monkeypatch: pytest.MonkeyPatch) -> None:
    """With every bound at a few runs, pages are those of the plain meaning; totals say that there are more."""
    for name, value in (("_FEW", 1), ("_WINDOW", 4), ("_MANY", 5), ("COUNTED", 6)):
        monkeypatch.setattr(sqlite_search, name, value)
    plain = MemoryJournal()
    rng = random.Random(8)
    runs = [random_run(rng, n) for n in range(80)]
    for one in runs:
        for each in (journal, plain):
            run_now(each.append(one.run, 0, [ClockAdvanced(1.0)], "b", summary=one))
    inexact = 0
    for _ in range(300):
        query = replace(random_query(rng), limit=rng.choice((2, 5)))
        wanted = sum(matches(list_summary(one), query) for one in runs)
        ours = theirs = query
        while True:
            found, meant = run_now(journal.search(ours)), run_now(plain.search(theirs))
            assert [row.run for row in found.rows] == [row.run for row in meant.rows], query
            assert found.total == wanted if found.exact else len(found.rows) <= found.total <= wanted, query
            assert bool(found.next) == bool(meant.next)
            inexact += not found.exact
            if not found.next:
                break
            ours, theirs = replace(query, cursor=found.next), replace(query, cursor=meant.next)
    assert inexact > 20


def test_an_append_that_changes_only_counts_writes_nothing_to_find_by(journal: SqliteJournal) -> None:
    first = RunSummary("r", "p", params={"a": 1}, metrics={"m": 1.0}, tags=("t",))
    run_now(journal.append("r", 0, [ClockAdvanced(1.0)], "b0", summary=first))
    db = sqlite3.connect(journal.path)
    db.executescript("DELETE FROM run_values; DELETE FROM run_tags; DELETE FROM listed")
    db.close()
    run_now(journal.append("r", 1, [ClockAdvanced(2.0)], "b1", summary=replace(first, counts={"running": 1})))
    assert run_now(journal.search(RunQuery())).rows == ()


def test_what_another_process_wrote_meanwhile_is_written_over_whole(journal: SqliteJournal) -> None:
    first = RunSummary("r", "p", params={"a": 1}, tags=("old",))
    run_now(journal.append("r", 0, [ClockAdvanced(1.0)], "b0", summary=first))
    other = SqliteJournal(journal.path)
    run_now(other.append("r", 1, [ClockAdvanced(2.0)], "b1", summary=replace(first, params={"a": 1, "b": 2}, tags=("new",), archived=True)))
    run_now(other.close())
    run_now(journal.append("r", 2, [ClockAdvanced(3.0)], "b2", summary=first))
    assert run_now(journal.search(RunQuery(tags=("old",)))).total == 1
    for query in (RunQuery(tags=("new",)), RunQuery(archived=True), RunQuery(names=(Comparison("b", "=", 2.0),))):
        assert run_now(journal.search(query)).rows == ()


def test_a_journal_from_before_searches_is_found_in(tmp_path: Path) -> None:
    path = tmp_path / "fairway.db"
    db = sqlite3.connect(path)
    db.executescript((_SCHEMA / "0001_first.sql").read_text())
    done = RunSummary("r1", "p", "succeeded", "shop", "named", started_at=5.0, ended_at=9.0, tags=("best",))
    summaries = [replace(done, params={"depth": 4}, metrics={"auc": 0.9}), RunSummary("r2", "q", "failed", archived=True)]
    for n, one in enumerate(summaries, 3):
        row = (n, one.run, one.pipeline, one.status, one.name, int(one.archived), wire.render_summary(one))
        db.execute("INSERT INTO runs (no, run, head, pipeline, status, name, archived, summary) VALUES (?, ?, 1, ?, ?, ?, ?, ?)", row)
        db.execute("INSERT INTO batches VALUES (?, 1, 'b0', ?)", (n << 32 | 1, wire.render_events([ClockAdvanced(1.0)])))
        db.executemany("INSERT INTO tags VALUES (?, ?)", [(tag, one.run) for tag in one.tags])
    db.execute("INSERT INTO runs (no, run, head) VALUES (9, 'bare', 1)")
    db.execute("DELETE FROM runs WHERE run = 'bare'")
    db.execute("PRAGMA user_version = 1")
    db.commit()
    db.close()
    journal = SqliteJournal(path)
    asked = RunQuery(
        projects=("shop",), tags=("best",), words=("named",), names=(Comparison("depth", "=", 4.0), Comparison("auc", ">", 0.8))
    )
    assert run_now(journal.search(asked)).rows == (summaries[0],)
    assert run_now(journal.search(RunQuery(archived=True))).rows == (summaries[1],)
    assert run_now(journal.find_runs("named")) == ["r1"]
    assert run_now(journal.read("r1")) == [(1, ClockAdvanced(1.0))]
    assert run_now(journal.append("r1", 1, [ClockAdvanced(2.0)], "b1", summary=replace(summaries[0], tags=()))) == 2
    assert run_now(journal.search(RunQuery(tags=("best",)))).rows == ()
    run_now(journal.append("r3", 0, [ClockAdvanced(1.0)], "b"))
    run_now(journal.close())
    db = sqlite3.connect(path)
    assert db.execute("SELECT no FROM runs WHERE run = 'r3'").fetchone() == (10,)  # a number is never given twice
    db.close()


def test_a_summary_that_cannot_be_read_keeps_nobody_from_the_rest(tmp_path: Path) -> None:
    good = wire.render_summary(RunSummary("s", "p"))
    path = _old_journal(tmp_path, f"INSERT INTO runs (run, head, summary) VALUES ('r', 1, 'no JSON'), ('s', 1, '{good}')")
    journal = SqliteJournal(path)
    assert [row.run for row in run_now(journal.search(RunQuery())).rows] == ["s"]
    assert run_now(journal.find_runs("r")) == ["r"]
    run_now(journal.close())


def test_a_migration_that_fails_changes_nothing(tmp_path: Path) -> None:
    path = _old_journal(tmp_path, "INSERT INTO runs (run, head) VALUES ('r', 1); DROP TABLE tags")
    with pytest.raises(StoreUnavailable, match="no such table"):
        run_now(SqliteJournal(path).head("r"))
    db = sqlite3.connect(path)
    assert db.execute("PRAGMA user_version").fetchone() == (1,)
    assert db.execute("SELECT run, pipeline FROM runs").fetchall() == [("r", "")]
    db.close()


def _old_journal(folder: Path, sql: str) -> Path:
    """One of schema 1, in which `sql` was done."""
    path = folder / "fairway.db"
    db = sqlite3.connect(path)
    db.executescript((_SCHEMA / "0001_first.sql").read_text() + sql + "; PRAGMA user_version = 1")
    db.close()
    return path
