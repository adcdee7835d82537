"""The audit log: kept, put aside when it is large, read from its end."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from fairway.web.audit import FILE, KEPT_FILES, Audit
from fairway.web.identity import NOBODY, Identity

ANN, BEN = Identity("ann", "admin"), Identity("ben", "run", (), "session")


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        self.now += 1
        return self.now


def test_the_newest_is_told_first(tmp_path: Path) -> None:
    audit = Audit(tmp_path, clock=Clock())
    audit.note(ANN, "POST /runs", "/api/v1/runs", 201, "10.0.0.1")
    audit.note(BEN, "POST /logout", "/logout", 303, "10.0.0.2")
    audit.note(NOBODY, "login", "/session", 401, "10.0.0.3")
    found = audit.read()
    assert [(entry.user, entry.via, entry.did, entry.status, entry.source) for entry in found] == [
        ("", "", "login", 401, "10.0.0.3"),
        ("ben", "session", "POST /logout", 303, "10.0.0.2"),
        ("ann", "token", "POST /runs", 201, "10.0.0.1"),
    ]
    assert [entry.at for entry in audit.read(limit=1)] == [3.0]
    assert [entry.at for entry in audit.read(before=3.0)] == [2.0, 1.0]
    assert [entry.at for entry in audit.read(user="ann")] == [1.0]


def test_nobody_else_on_the_machine_reads_it(tmp_path: Path) -> None:
    Audit(tmp_path).note(ANN, "login", "/session", 200, "")
    assert (tmp_path / FILE).stat().st_mode & 0o077 == 0


def test_a_log_that_has_grown_is_put_aside_and_the_oldest_goes(tmp_path: Path) -> None:
    audit = Audit(tmp_path, clock=Clock(), most_bytes=1000)
    for n in range(100):
        audit.note(ANN, "POST /runs", f"/{n:03}", 201, "")
    files = sorted(path.name for path in tmp_path.iterdir())
    assert files == [FILE, *(f"{FILE}.{n}" for n in range(1, KEPT_FILES + 1))]
    assert all(path.stat().st_size < 1200 for path in tmp_path.iterdir())
    found = [entry.on for entry in audit.read(limit=1000)]
    assert found == [f"/{n:03}" for n in range(99, 99 - len(found), -1)], "in order, without a gap"
    assert len(found) > 20


def test_half_a_line_is_passed_over(tmp_path: Path) -> None:
    audit = Audit(tmp_path, clock=Clock())
    audit.note(ANN, "login", "/session", 200, "")
    with (tmp_path / FILE).open("ab") as file:
        file.write(b'{"at": 3,\n')
    audit.note(BEN, "login", "/session", 200, "")
    assert [entry.user for entry in audit.read()] == ["ben", "ann"]


def test_lines_longer_than_what_is_read_at_once_come_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fairway.web.audit._CHUNK_BYTES", 7)
    audit = Audit(tmp_path, clock=Clock())
    for n in range(5):
        audit.note(ANN, "POST /runs", f"/{n}", 201, "")
    assert [entry.on for entry in audit.read()] == ["/4", "/3", "/2", "/1", "/0"]


def test_a_path_without_end_is_cut(tmp_path: Path) -> None:
    audit = Audit(tmp_path)
    audit.note(ANN, "POST /runs", "/" + "x" * 100_000, 404, "")
    assert (tmp_path / FILE).stat().st_size < 1000


def test_a_home_that_cannot_be_written_keeps_nobody_from_working(tmp_path: Path) -> None:
    audit = Audit(tmp_path / "gone")
    audit.note(ANN, "login", "/session", 200, "")
    assert audit.read() == [] and not os.path.exists(tmp_path / "gone")
