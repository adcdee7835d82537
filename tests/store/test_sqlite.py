"""SQLite's own: many processes, kills, full and read-only disks, newer and broken files, network file systems."""

from __future__ import annotations

import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

from fairway.engine.query import parse_query
from fairway.errors import JournalConflict, StoreUnavailable, UnsupportedError
from fairway.spec.event import AttemptPlanned, ClockAdvanced
from fairway.spec.ports import run_now
from fairway.spec.summary import CacheEntry, RunSummary
from fairway.store import network
from fairway.store.sqlite import SqliteJournal

_WRITER = """
import sys
from fairway.spec.event import ClockAdvanced
from fairway.spec.ports import run_now
from fairway.spec.summary import CacheEntry, RunSummary
from fairway.store import open_journal

place, run, batches, size = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
journal = open_journal(place)
head = run_now(journal.head(run))
for number in range(batches):
    events = [ClockAdvanced(float(head + i)) for i in range(size)]
    summary = RunSummary(run, "p", counts={"n": head + size})
    cache = [CacheEntry(f"{run}-{head}", run, "n", {})]
    head = run_now(journal.append(run, head, events, f"{run}-{head}", summary=summary, cache=cache))
    print(head, flush=True)
"""


def _start(place: str | Path, run: str, batches: int, size: int) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", _WRITER, str(place), run, str(batches), str(size)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_fifty_processes_write_fifty_runs_at_once(tmp_path: Path) -> None:
    place = tmp_path / "home" / "fairway.db"
    writers = [_start(place, f"r{n:02}", 5, 2) for n in range(50)]
    for writer in writers:
        _, errors = writer.communicate(timeout=120)
        assert writer.returncode == 0, errors
    journal = SqliteJournal(place)
    for n in range(50):
        assert [e.at for _, e in run_now(journal.read(f"r{n:02}"))] == [float(i) for i in range(10)]
    assert len(run_now(journal.summaries(limit=0))) == 50


def test_of_two_writers_of_one_run_one_gets_a_conflict(tmp_path: Path) -> None:
    first, second = SqliteJournal(tmp_path / "fairway.db"), SqliteJournal(tmp_path / "fairway.db")
    run_now(first.append("r", 0, [ClockAdvanced(1.0)], "a"))
    assert run_now(second.head("r")) == 1
    run_now(first.append("r", 1, [ClockAdvanced(2.0)], "b"))
    with pytest.raises(JournalConflict, match="another process drives it"):
        run_now(second.append("r", 1, [ClockAdvanced(2.0)], "c"))
    assert run_now(second.append("r", 2, [ClockAdvanced(3.0)], "d")) == 3
    with pytest.raises(JournalConflict):
        run_now(first.append("r", 2, [ClockAdvanced(3.0)], "e"))


def test_a_killed_writer_leaves_whole_batches_and_all_it_was_told_are_there(tmp_path: Path) -> None:
    place = tmp_path / "fairway.db"
    draw = random.Random(7)
    told = 0
    for _ in range(8):
        writer = _start(place, "r", 10_000, 37)
        assert writer.stdout is not None
        for _ in range(draw.randrange(1, 12)):
            told = int(writer.stdout.readline())
        until = time.perf_counter() + draw.random() * 0.004
        while time.perf_counter() < until:
            pass
        writer.send_signal(signal.SIGKILL)
        rest = writer.communicate()[0].split()
        told = int(rest[-1]) if rest else told
        journal = SqliteJournal(place)
        head = run_now(journal.head("r"))
        events = run_now(journal.read("r"))
        assert head >= told
        assert head % 37 == 0
        assert [n for n, _ in events] == list(range(1, head + 1))
        assert [e.at for _, e in events] == [float(i) for i in range(head)]
        summary = run_now(journal.find_summary("r"))
        assert summary is not None
        assert summary.counts == {"n": head}
        assert len(run_now(journal.cached())) == head // 37
        run_now(journal.close())


def test_inbox_version_sees_other_processes(tmp_path: Path) -> None:
    mine, other = SqliteJournal(tmp_path / "fairway.db"), SqliteJournal(tmp_path / "fairway.db")
    before = run_now(mine.inbox_version())
    run_now(other.send("r", "cancel", {}))
    assert run_now(mine.inbox_version()) != before


def test_a_full_disk_is_named_and_loses_nothing(tmp_path: Path) -> None:
    code = """
import resource, sys
from fairway.errors import StoreUnavailable
from fairway.spec.event import ClockAdvanced
from fairway.spec.ports import run_now
from fairway.store.sqlite import SqliteJournal
journal = SqliteJournal(sys.argv[1])
head = run_now(journal.append("r", 0, [ClockAdvanced(0.0)], "b"))
resource.setrlimit(resource.RLIMIT_FSIZE, (400_000, resource.RLIM_INFINITY))
try:
    while True:
        head = run_now(journal.append("r", head, [ClockAdvanced(0.0)] * 500, f"b{head}"))
except StoreUnavailable as error:
    print(head, error.message, "|", error.hint)
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
assert run_now(journal.append("r", head, [ClockAdvanced(0.0)], "last")) == head + 1
"""
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "fairway.db")], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert "cannot write the journal" in done.stdout
    head = int(done.stdout.split()[0])
    assert head % 500 == 1
    assert len(run_now(SqliteJournal(tmp_path / "fairway.db").read("r"))) == head + 1


def test_a_journal_deleted_in_use_is_noticed(tmp_path: Path) -> None:
    journal = SqliteJournal(tmp_path / "fairway.db")
    run_now(journal.append("r", 0, [ClockAdvanced(1.0)], "a"))
    (tmp_path / "fairway.db").unlink()
    with pytest.raises(StoreUnavailable, match="deleted or replaced"):
        run_now(journal.append("r", 1, [ClockAdvanced(1.0)], "b"))


def test_a_file_that_is_no_journal(tmp_path: Path) -> None:
    (tmp_path / "fairway.db").write_text("hello, this is a text file and no database at all" * 100)
    with pytest.raises(StoreUnavailable, match="not a journal at all"):
        run_now(SqliteJournal(tmp_path / "fairway.db").head("r"))


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreUnavailable) as caught:
        run_now(SqliteJournal(tmp_path / "file" / "home" / "fairway.db").head("r"))
    assert "FAIRWAY_HOME" in caught.value.hint


def test_a_journal_of_a_newer_version_is_refused(tmp_path: Path) -> None:
    run_now(SqliteJournal(tmp_path / "fairway.db").head("r"))
    db = sqlite3.connect(tmp_path / "fairway.db")
    db.execute("PRAGMA user_version = 99")
    db.close()
    with pytest.raises(StoreUnavailable) as caught:
        run_now(SqliteJournal(tmp_path / "fairway.db").head("r"))
    assert "99" in caught.value.message
    assert "pip install -U fairway" in caught.value.hint


def test_an_event_of_a_newer_version_is_named(tmp_path: Path) -> None:
    journal = SqliteJournal(tmp_path / "fairway.db")
    run_now(journal.append("r", 0, [ClockAdvanced(1.0)], "a"))
    db = sqlite3.connect(tmp_path / "fairway.db")
    db.execute("UPDATE batches SET events = replace(events, 'ClockAdvanced', 'MoonRisen')")
    db.commit()
    db.close()
    with pytest.raises(UnsupportedError, match="MoonRisen"):
        run_now(journal.read("r"))


def test_every_append_is_synced(tmp_path: Path) -> None:
    journal = SqliteJournal(tmp_path / "fairway.db")
    run_now(journal.head("r"))
    assert journal._opened is not None
    assert journal._opened.execute("PRAGMA synchronous").fetchone() == (2,)
    assert journal._opened.execute("PRAGMA journal_mode").fetchone() == ("wal",)


MOUNTS = [
    "/dev/vda / ext4 rw 0 0",
    "tmpfs /tmp tmpfs rw 0 0",
    "server:/home /home nfs4 rw 0 0",
    "/dev/vdb /home/me/local ext4 rw 0 0",
    "host:/x /mnt/my\\040share fuse.sshfs rw 0 0",
]


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/", "ext4"),
        ("/tmp/x", "tmpfs"),
        ("/tmpx", "ext4"),
        ("/home", "nfs4"),
        ("/home/me", "nfs4"),
        ("/home/me/local/.fairway", "ext4"),
        ("/mnt/my share/a", "fuse.sshfs"),
    ],
)
def test_the_nearest_mount_tells_the_file_system(path: str, kind: str) -> None:
    assert network.find_mount_type(path, MOUNTS) == kind


def test_on_a_network_file_system_one_process_has_it_for_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(network, "find_network_type", lambda path: "nfs4")
    journal = SqliteJournal(tmp_path / "fairway.db")
    run_now(journal.append("r", 0, [ClockAdvanced(1.0)], "a"))
    assert not (tmp_path / "fairway.db-shm").exists()
    with pytest.raises(StoreUnavailable, match=r"network file system \(nfs4\)"):
        run_now(SqliteJournal(tmp_path / "fairway.db", busy_timeout_s=0.05).head("r"))
    run_now(journal.close())
    assert run_now(SqliteJournal(tmp_path / "fairway.db").head("r")) == 1


class Work:
    """Instructions of SQLite's machine that a block takes: they are the same on every machine, busy or idle."""

    def __init__(self, journal: SqliteJournal) -> None:
        self.instructions = 0
        run_now(journal.head("r"))
        assert journal._opened is not None
        self._db = journal._opened

    def __enter__(self) -> Work:
        self.instructions = 0
        self._db.set_progress_handler(self._note, 1)
        return self

    def __exit__(self, *_: object) -> None:
        self._db.set_progress_handler(None, 1)

    def _note(self) -> int:
        self.instructions += 1
        return 0


def test_an_append_costs_the_same_however_long_the_journal_is(tmp_path: Path) -> None:
    journal = SqliteJournal(tmp_path / "fairway.db")
    work, took = Work(journal), list[int]()
    for n in range(200):
        events = [AttemptPlanned("a" * 22, "", "train", ((n,),), 1, 1.0, ("ab" * 32,)), ClockAdvanced(1.0)]
        with work:
            run_now(journal.append("r", 2 * n, events, f"b{n}", summary=RunSummary("r", "p", counts={"done": n})))
        took.append(work.instructions)
    assert 0 < max(took[1:]) < 1_000 and max(took[150:]) <= max(took[1:50])


def test_listing_a_hundred_thousand_runs_looks_at_few_of_them(tmp_path: Path) -> None:
    journal = SqliteJournal(tmp_path / "fairway.db")
    run_now(journal.append("r", 0, [ClockAdvanced(1.0)], "b"))
    db = sqlite3.connect(tmp_path / "fairway.db")
    text = '{"run":"%s","pipeline":"p","status":"succeeded","counts":{"succeeded":12},"metrics":{"auc":0.77}}'
    runs = [(n + 10, f"20260101-{n:06}-aaaaa", text % n) for n in range(100_000)]
    db.executemany("INSERT INTO runs (no, run, head, summary) VALUES (?, ?, 1, ?)", runs)
    listed = (
        (no, run, f"p{no % 50}", ("succeeded", "failed", "running")[no % 3 if no % 1000 else 2], f"{run}\np{no % 50}")
        for no, run, _ in runs
    )
    db.executemany("INSERT INTO listed VALUES (?, ?, ?, ?, 0, '', 'local', '', '', 0.0, NULL, ?)", listed)
    db.executemany("INSERT INTO run_tags VALUES ('gold', ?, 0)", [(n + 10,) for n in range(0, 100_000, 997)])
    db.execute("INSERT INTO value_names VALUES (1, 'metric', 'auc')")
    db.executemany("INSERT INTO run_values VALUES (?, 1, ?, NULL, 0)", [(n + 10, n % 1000 / 1000) for n in range(100_000)])
    db.commit()
    db.close()
    work = Work(journal)
    for filters in (
        {},
        {"pipeline": "p7"},
        {"status": "failed"},
        {"pipeline": "p7", "status": "running"},
        {"tag": "gold"},
        {"tag": "none"},
        {"pipeline": "no"},
    ):
        with work:
            run_now(journal.summaries(**filters))
        assert 0 < work.instructions < 100_000, (filters, work.instructions)
    for text, total in (
        *(("", 10_000), ("failed", 10_000), ("pipeline:p7", 2000), ("auc>0.8", 10_000), ("auc>0.9999", 0), ("tag:gold", 101)),
        *(("zebra", 0), ("000777", 1), ("sort:metric.auc", 10_000), ("sort:duration", 10_000), ("auc>0.998 failed", 34)),
    ):
        query = parse_query(text, 0.0)
        with work:
            found = run_now(journal.search(query))
        assert found.total == total, text
        assert 0 < work.instructions < 1_000_000, (text, work.instructions)  # a word is looked for in each: 6 for one
    with work:
        assert run_now(journal.find_runs("000777-aaaaa")) == ["20260101-000777-aaaaa"]
    assert 0 < work.instructions < 1_000_000


def test_a_cache_of_many_entries_stays_quick(tmp_path: Path) -> None:
    journal = SqliteJournal(tmp_path / "fairway.db")
    head = 0
    for n in range(10):
        entries = [CacheEntry(f"{n * 1000 + i:064x}", "r", f"n[{i}]", {}) for i in range(1000)]
        head = run_now(journal.append("r", head, [ClockAdvanced(1.0)], f"b{n}", cache=entries))
    with Work(journal) as work:
        assert len(run_now(journal.find_cached([f"{i:064x}" for i in range(0, 10_000, 500)]))) == 20
    assert 0 < work.instructions < 5_000


def test_nothing_heavy_is_imported() -> None:
    code = "import sys, fairway.store.sqlite, fairway.store.live, fairway.store.runs; print([m for m in sys.modules if m in %r])"
    heavy = {
        "asyncio",
        "dataclasses",
        "inspect",
        "logging",
        "tempfile",
        "uuid",
        "subprocess",
        "msgspec",
        "psycopg",
        "multiprocessing",
        "random",
    }
    done = subprocess.run(
        [sys.executable, "-c", code % heavy], capture_output=True, text=True, check=True, env={**os.environ, "PYTHONPATH": ""}
    )
    assert done.stdout.strip() == "[]"
