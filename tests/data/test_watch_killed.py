"""A watch that is killed at any line that keeps offsets, its state or its alarms: the next one loses no alarm and counts no row twice."""

from __future__ import annotations

import json
import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

from fairway.cli.datawatch import _follow
from fairway.data.notify import Notifier
from fairway.data.notify.messages import Message
from fairway.data.notify.notifier import Pace
from fairway.data.schema.parse import parse_schema
from fairway.data.streams import follow
from fairway.data.watch import Watch
from fairway.data.watchfile import WatchFile
from tests.data.killed import killed_at

ROWS = 60
_FILES = ("offsets.py", "stream.py", "journal.py", "notifier.py", "watchfile.py", "datawatch.py", "tail.py")
_SCHEMA = {"type": "object", "properties": {"n": {"type": "integer"}, "x": {"type": "integer", "minimum": 0, "maximum": 9}}}


class _File:
    """A target that writes the ids it gets."""

    key = shown = "file"

    def __init__(self, path: Path) -> None:
        self.path = path

    def deliver(self, message: Message) -> None:
        handle = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        os.write(handle, "".join(f"{alarm['id']} {alarm['state']}\n" for alarm in message.alarms).encode())
        os.close(handle)


def _watch(folder: Path) -> None:
    watch = Watch(parse_schema(_SCHEMA), None, clear_after=1)
    kept = WatchFile(folder, "g", "u", watch)
    kept.load()
    stream = follow(str(folder.parent / "d.ndjson"), window="5 rows", group="g", start="oldest", once=True, offsets=folder)
    notifier = Notifier([_File(folder / "told")], source="s", journal=folder / "alarms", pace=Pace(0.0))
    view = cast("Any", SimpleNamespace(show=lambda *_: None))
    with notifier:
        _follow(stream, watch, notifier, view, kept)
    (folder / "rows").write_text(str(watch.rows))


def _killed_at(number: int, folder: Path) -> bool:
    folder.mkdir(exist_ok=True)
    return killed_at(number, lambda file: file.endswith(_FILES), lambda: _watch(folder))


def _told(folder: Path) -> list[str]:
    return (folder / "told").read_text().split("\n")[:-1]


def test_no_alarm_is_lost_and_no_row_counted_twice(tmp_path: Path) -> None:
    rows = [{"n": n, "x": 50 if n // 5 in (1, 2, 5, 8, 9) else n % 10} for n in range(ROWS)]
    (tmp_path / "d.ndjson").write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert not _killed_at(0, tmp_path / "whole")
    whole = _told(tmp_path / "whole")
    assert len(whole) == len(set(whole)) == 6  # three times raised and cleared
    number, kills = 1, 0
    while True:
        folder = tmp_path / f"at-{number}"
        killed = _killed_at(number, folder)
        assert not _killed_at(0, folder)
        assert set(_told(folder)) == set(whole), f"alarms after a kill at line {number}"
        assert (folder / "rows").read_text() == str(ROWS), f"rows after a kill at line {number}"
        if not killed:
            break
        kills += 1
        number += 37
    assert kills > 20
