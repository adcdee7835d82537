"""What is still to be sent, in a file: it survives the kill of the process at any point."""

from __future__ import annotations

import fcntl
import json
from hashlib import sha256
from pathlib import Path
from threading import Lock
from typing import IO, Any

from fairway.data.notify.messages import AlarmRecord
from fairway.errors import ConflictError

_LARGEST = 4 << 20
_NEEDED = ("id", "at", "kind", "column", "severity", "message", "state")


def key_digest(key: str) -> str:
    """What a target is called in the file: its key may hold a secret."""
    return sha256(key.encode()).hexdigest()[:16]


class NotificationJournal:
    """A line for each alarm that is to be sent (`{"n", "alarm", "to"}`) and for each delivery (`{"done", "to"}`). Held by one process at a
    time. A line that was cut by a kill is left out: whoever wrote it had not been told that it was written."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file: IO[str] | None = None
        self._lock_file: IO[bytes] | None = None
        self._lock = Lock()
        self._next = 0
        self._waiting: dict[int, tuple[AlarmRecord, set[str]]] = {}

    def open(self) -> list[tuple[int, AlarmRecord, frozenset[str]]]:
        """What was not delivered: its number, the alarm, to which targets. Raises ConflictError if another process has it open."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        lock = self.path.with_name(self.path.name + ".lock").open("ab")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            lock.close()
            raise ConflictError(f"another process sends the alarms of {self.path}", hint="end that one, or name another file") from None
        self._lock_file = lock
        self._read()
        self._rewrite()
        return [(number, alarm, frozenset(to)) for number, (alarm, to) in sorted(self._waiting.items())]

    def add(self, alarm: AlarmRecord, to: list[str]) -> int:
        """The alarm's number; it is in the file when this returns."""
        with self._lock:
            number = self._next
            self._next += 1
            self._waiting[number] = (alarm, set(to))
            self._write({"n": number, "alarm": alarm, "to": to})
            return number

    def done(self, numbers: list[int], to: str) -> None:
        """These were delivered to one target."""
        with self._lock:
            for number in numbers:
                waiting = self._waiting.get(number)
                if waiting is not None:
                    waiting[1].discard(to)
                    if not waiting[1]:
                        del self._waiting[number]
            self._write({"done": numbers, "to": to})
            if self._file is not None and self._file.tell() > _LARGEST:
                self._rewrite()

    def close(self) -> None:
        with self._lock:
            if self._file is not None:
                self._file.close()
                self._file = None
            if self._lock_file is not None:
                self._lock_file.close()
                self._lock_file = None

    def _write(self, told: dict[str, Any]) -> None:
        if self._file is not None:
            self._file.write(json.dumps(told) + "\n")
            self._file.flush()

    def _read(self) -> None:
        try:
            lines = self.path.read_text(encoding="utf-8", errors="replace").split("\n")
        except FileNotFoundError:
            return
        for line in lines:
            told = _told(line)
            if told is None:
                continue
            if "alarm" in told:
                self._waiting[told["n"]] = (told["alarm"], set(told["to"]))
                self._next = max(self._next, told["n"] + 1)
                continue
            for number in told["done"]:
                if number in self._waiting:
                    self._waiting[number][1].discard(told["to"])
        self._waiting = {number: one for number, one in self._waiting.items() if one[1]}

    def _rewrite(self) -> None:
        written = self.path.with_name(self.path.name + ".new")
        lines = [
            json.dumps({"n": number, "alarm": alarm, "to": sorted(to)}) + "\n" for number, (alarm, to) in sorted(self._waiting.items())
        ]
        written.write_text("".join(lines), encoding="utf-8")
        if self._file is not None:
            self._file.close()
        written.replace(self.path)
        self._file = self.path.open("a", encoding="utf-8")


def _told(line: str) -> dict[str, Any] | None:
    """What a line says; None for one that was cut or damaged."""
    try:
        told = json.loads(line)
        if "alarm" in told:
            whole = isinstance(told["n"], int) and all(isinstance(one, str) for one in told["to"])
            return told if whole and all(isinstance(told["alarm"][name], str) for name in _NEEDED) else None
        whole = isinstance(told["to"], str) and all(isinstance(one, int) for one in told["done"])
        return told if whole else None
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
