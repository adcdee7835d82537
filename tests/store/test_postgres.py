"""PostgreSQL's own: many processes, lost connections, schemas, URLs."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from fairway.errors import ConfigError, JournalConflict, StoreUnavailable
from fairway.spec.event import ClockAdvanced
from fairway.spec.ports import run_now
from fairway.spec.query import Comparison, RunQuery
from fairway.spec.summary import RunSummary
from fairway.store import open_journal, postgres, wire
from fairway.store.postgres import PostgresJournal, hide_password, split_url
from fairway.store.postgres_news import PostgresNews

_WRITER = """
import sys
from fairway.spec.event import ClockAdvanced
from fairway.spec.ports import run_now
from fairway.store import open_journal

journal, run = open_journal(sys.argv[1]), sys.argv[2]
head = run_now(journal.head(run))
for _ in range(int(sys.argv[3])):
    head = run_now(journal.append(run, head, [ClockAdvanced(float(head + i)) for i in range(37)], f"{run}-{head}"))
    print(head, flush=True)
"""


def _start(url: str, run: str, batches: int) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", _WRITER, url, run, str(batches)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def test_processes_that_come_at_once_make_one_schema_and_do_not_mix(postgres_url: str) -> None:
    writers = [_start(postgres_url, f"r{n}", 4) for n in range(12)]
    for writer in writers:
        _, errors = writer.communicate(timeout=120)
        assert writer.returncode == 0, errors
    journal = open_journal(postgres_url)
    for n in range(12):
        assert [e.at for _, e in run_now(journal.read(f"r{n}"))] == [float(i) for i in range(4 * 37)]
    run_now(journal.close())


def test_of_many_writers_of_one_run_one_wins_each_time(postgres_url: str) -> None:
    journals = [PostgresJournal(postgres_url) for _ in range(6)]
    run_now(journals[0].append("r", 0, [ClockAdvanced(0.0)], "first"))
    barrier = threading.Barrier(len(journals))
    won: list[int] = []
    lost: list[int] = []

    def write(n: int) -> None:
        barrier.wait()
        try:
            run_now(journals[n].append("r", 1, [ClockAdvanced(float(n))], f"b{n}"))
            won.append(n)
        except JournalConflict:
            lost.append(n)

    threads = [threading.Thread(target=write, args=(n,)) for n in range(len(journals))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(won), len(lost)) == (1, 5)
    assert [e.at for _, e in run_now(journals[0].read("r"))] == [0.0, float(won[0])]
    for journal in journals:
        run_now(journal.close())


def test_a_killed_writer_leaves_whole_batches(postgres_url: str) -> None:
    journal = PostgresJournal(postgres_url)
    for _ in range(3):
        writer = _start(postgres_url, "r", 100_000)
        assert writer.stdout is not None
        for _ in range(5):
            told = int(writer.stdout.readline())
        writer.send_signal(signal.SIGKILL)
        rest = writer.communicate()[0].split()
        told = int(rest[-1]) if rest else told
        head = run_now(journal.head("r"))
        assert head >= told
        assert head % 37 == 0
        events = run_now(journal.read("r"))
        assert [e.at for _, e in events] == [float(i) for i in range(len(events))]
        _wait_for_the_servers_side_to_end(journal)
    run_now(journal.close())


def _wait_for_the_servers_side_to_end(journal: PostgresJournal) -> None:
    until = time.monotonic() + 60
    last = -1
    while (head := run_now(journal.head("r"))) != last:
        assert time.monotonic() < until
        last = run_now(journal.watch("r", head, 0.1))


def test_a_lost_connection_is_made_again_and_nothing_is_written_twice(postgres_url: str) -> None:
    journal, other = PostgresJournal(postgres_url), PostgresJournal(postgres_url)
    head = run_now(journal.append("r", 0, [ClockAdvanced(0.0)], "b0"))
    for n in range(1, 4):
        pid = journal._opened.info.backend_pid
        run_now(other._call("read", lambda db, pid=pid: db.execute("SELECT pg_terminate_backend(%s)", (pid,)).fetchone()))
        head = run_now(journal.append("r", head, [ClockAdvanced(float(n))], f"b{n}", summary=RunSummary("r", "p")))
    assert [e.at for _, e in run_now(other.read("r"))] == [0.0, 1.0, 2.0, 3.0]
    run_now(journal.close())
    run_now(other.close())


def test_a_reply_lost_after_the_commit_is_found(postgres_url: str) -> None:
    journal = PostgresJournal(postgres_url)
    run_now(journal.append("r", 0, [ClockAdvanced(0.0)], "b0"))
    import psycopg

    commits = 0

    class LosesReply:
        def __init__(self, db: Any) -> None:
            self._db = db

        def __getattr__(self, name: str) -> Any:
            return getattr(self._db, name)

        def transaction(self) -> Any:
            nonlocal commits
            commits += 1
            db, inner = self._db, self._db.transaction()

            class Once:
                def __enter__(self) -> Any:
                    return inner.__enter__()

                def __exit__(self, *error: object) -> Any:
                    inner.__exit__(*error)
                    db.close()
                    raise psycopg.OperationalError("server closed the connection unexpectedly")

            return Once()

    journal._opened = LosesReply(journal._opened)
    assert run_now(journal.append("r", 1, [ClockAdvanced(1.0)], "b1")) == 2
    assert commits == 1
    assert [e.at for _, e in run_now(journal.read("r"))] == [0.0, 1.0]
    run_now(journal.close())


def test_schemas_are_apart(postgres_server: str) -> None:
    one, two = (PostgresJournal(f'{postgres_server}&schema=a"b {n}') for n in (1, 2))
    run_now(one.append("r", 0, [ClockAdvanced(0.0)], "b"))
    assert run_now(two.head("r")) == 0
    assert run_now(one.head("r")) == 1
    run_now(one.close())
    run_now(two.close())


def test_a_server_that_does_not_answer_is_named_without_its_password() -> None:
    journal = PostgresJournal("postgresql://me:secret@127.0.0.1:1/db")
    with pytest.raises(StoreUnavailable) as caught:
        run_now(journal.send("r", "cancel", {}))
    assert "postgresql://me@127.0.0.1:1/db" in caught.value.message
    assert "secret" not in caught.value.message


def test_a_newer_schema_is_refused(postgres_url: str) -> None:
    journal = PostgresJournal(postgres_url)
    run_now(journal._call("write", lambda db: db.execute("INSERT INTO schema_version (number) VALUES (99)")))
    run_now(journal.close())
    with pytest.raises(StoreUnavailable, match="schema 99"):
        run_now(PostgresJournal(postgres_url).head("r"))


@pytest.mark.parametrize(
    ("url", "libpq", "schema"),
    [
        ("postgresql://u:p@h:5432/d", "postgresql://u:p@h:5432/d", "fairway"),
        ("postgresql://u@/d?host=/run/x&schema=team", "postgresql://u@/d?host=/run/x", "team"),
        ("postgresql:///d?schema=a%20b", "postgresql:///d", "a b"),
        ("postgresql:///d?host=/run/x", "postgresql:///d?host=/run/x", "fairway"),
    ],
)
def test_the_schema_is_taken_out_of_the_url(url: str, libpq: str, schema: str) -> None:
    got, name = split_url(url)
    assert (got.replace("%2F", "/"), name) == (libpq, schema)


def test_an_empty_schema_name_is_refused() -> None:
    with pytest.raises(ConfigError, match="schema"):
        split_url("postgresql:///d?schema=")


def test_passwords_are_hidden_wherever_they_stand() -> None:
    assert hide_password("postgresql://u:p@h/d") == "postgresql://u@h/d"
    assert hide_password("postgresql:///d?password=p&host=/run/x") == "postgresql:///d?password=***&host=/run/x"


def _rows_looked_at(journal: PostgresJournal) -> int:
    """By all statements so far, in the tables of runs: the same on every machine, busy or idle."""
    run_now(journal._rows("SELECT pg_stat_force_next_flush()"))
    ((found,),) = run_now(
        journal._rows(
            "SELECT sum(seq_tup_read + coalesce(idx_tup_fetch, 0)) FROM pg_stat_user_tables "
            "WHERE schemaname = current_schema() AND relname IN ('runs', 'listed')"
        )
    )
    return int(found)


def test_listing_a_hundred_thousand_runs_looks_at_few_of_them(postgres_url: str) -> None:
    journal = PostgresJournal(postgres_url)
    run_now(journal.append("r", 0, [ClockAdvanced(1.0)], "b"))
    run = "'20260101-' || lpad(n::text, 6, '0') || '-aaaaa'"
    summary = """'{"run":"' || n || '","pipeline":"p","status":"succeeded"}'"""
    status = "CASE WHEN n % 3 = 0 THEN 'failed' ELSE 'succeeded' END"
    for sql in (
        f"INSERT INTO runs (run, head, summary) SELECT {run}, 1, {summary} FROM generate_series(0, 99999) AS n",
        f"""INSERT INTO listed (run, pipeline, status, archived, project, target, created_by, name, started_at, words)
        SELECT {run}, 'p' || n % 50, {status}, 0, '', 'local', '', '', 0, {run} FROM generate_series(0, 99999) AS n""",
        "INSERT INTO run_tags (tag, no) SELECT 'gold', no FROM listed WHERE no % 997 = 0",
        "ANALYZE",
    ):
        run_now(journal._call("write", lambda db, sql=sql: db.execute(sql)))
    for filters in (
        {},
        {"pipeline": "p7"},
        {"status": "failed"},
        {"pipeline": "p7", "status": "running"},
        {"tag": "gold"},
        {"pipeline": "no"},
    ):
        before = _rows_looked_at(journal)
        run_now(journal.summaries(**filters))
        assert 0 < _rows_looked_at(journal) - before < 2_000, filters
    run_now(journal.close())


def test_commits_of_others_are_told_at_once_and_again_after_the_connection_broke(postgres_url: str) -> None:
    told: list[str] = []
    ever: set[str] = set()

    async def scene() -> None:
        heard = asyncio.Event()

        def tell(run: str) -> None:
            told.append(run)
            ever.add(run)
            heard.set()

        async def wait(run: str) -> None:
            async with asyncio.timeout(60):
                while run not in told:
                    heard.clear()
                    await heard.wait()
            told.clear()

        reader, writer, quiet = (PostgresJournal(postgres_url, quiet=n == 2) for n in range(3))
        news = reader.open_news(tell, asyncio.get_running_loop())
        try:
            await wait("")  # it listens from here on
            await quiet.append("r0", 0, [ClockAdvanced(1.0)], "b")
            await writer.append("r1", 0, [ClockAdvanced(1.0)], "b")
            await wait("r1")
            await writer.send("r2", "cancel", {})
            await wait("r2")
            await writer.delete_run("r1")
            await wait("r1")
            await writer._rows("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'LISTEN%%'", {})
            await wait("")
            await writer.append("r3", 0, [ClockAdvanced(1.0)], "b")
            await wait("r3")
            assert ever == {"", "r1", "r2", "r3"}, "who is quiet tells nobody"
        finally:
            news.close()
            for journal in (reader, writer, quiet):
                await journal.close()

    asyncio.run(scene())


def test_who_waits_for_a_database_that_is_not_there_is_told_when_it_is(postgres_url: str) -> None:
    tries = 0
    journal = PostgresJournal(postgres_url)

    def connect() -> Any:
        nonlocal tries
        tries += 1
        if tries == 1:
            raise StoreUnavailable("not yet")
        return journal._listen()

    async def scene() -> None:
        told = asyncio.Event()
        news = PostgresNews(connect, lambda run: told.set(), asyncio.get_running_loop())
        await asyncio.wait_for(told.wait(), 60)
        news.close()

    asyncio.run(scene())
    assert tries == 2


def test_a_journal_from_before_searches_is_found_in(postgres_url: str) -> None:
    import psycopg

    url, schema = split_url(postgres_url)
    first = (Path(postgres.__file__).parent / "postgres_schema/0001_first.sql").read_text()
    summary = RunSummary("r1", "p", "failed", "shop", params={"depth": 4}, metrics={"auc": 0.9}, tags=("best",))
    with psycopg.connect(url, autocommit=True) as db:
        db.execute(f'CREATE SCHEMA "{schema}"; SET search_path TO "{schema}"')  # type: ignore[call-overload]
        db.execute("CREATE TABLE schema_version (number integer PRIMARY KEY, at timestamptz NOT NULL DEFAULT now())")
        db.execute(first)  # type: ignore[call-overload]
        db.execute("INSERT INTO schema_version (number) VALUES (1)")
        sql = "INSERT INTO runs (run, head, pipeline, status, tags, summary) VALUES (%s, 1, 'p', 'failed', ARRAY['best'], %s)"
        db.execute(sql, ("r1", wire.render_summary(summary)))
        db.execute(sql, ("r2", "no JSON"))
    journal = PostgresJournal(postgres_url)
    asked = RunQuery(projects=("shop",), tags=("best",), names=(Comparison("depth", "=", 4.0), Comparison("auc", ">", 0.8)))
    assert run_now(journal.search(asked)).rows == (summary,)
    assert run_now(journal.search(RunQuery())).total == 1
    run_now(journal.close())
