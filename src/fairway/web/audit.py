"""Who has done what: a line of JSON for each write, login and logout. Never what was sent, and never a token."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import msgspec

from fairway.web.identity import Identity

FILE = "audit.jsonl"
MOST_BYTES = 16 << 20
KEPT_FILES = 3
_TEXT_LIMIT = 300
_CHUNK_BYTES = 64 << 10


class AuditEntry(msgspec.Struct, frozen=True):
    """`did` is what was called ("POST /runs/{run}/cancel", "login"), `on` the path as it was, `status` the answer's, `source` the address
    it came from, `at` epoch seconds."""

    at: float
    user: str
    via: str
    did: str
    on: str
    status: int
    source: str = ""


class Audit:
    """Appends to `HOME/audit.jsonl`. A file that has grown too large is put aside; three are kept beside the one that is written."""

    def __init__(self, home: str | Path, *, clock: Callable[[], float] = time.time, most_bytes: int = MOST_BYTES) -> None:
        self._path, self._clock, self._most_bytes = Path(home) / FILE, clock, most_bytes

    def note(self, identity: Identity, did: str, on: str, status: int, source: str) -> None:
        """One thing done, or refused. A disk that is full does not keep the server from working."""
        entry = AuditEntry(round(self._clock(), 3), identity.user, identity.via, did[:_TEXT_LIMIT], on[:_TEXT_LIMIT], status, source[:64])
        with suppress(OSError):
            file = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
            try:
                os.write(file, msgspec.json.encode(entry) + b"\n")
                size = os.fstat(file).st_size
            finally:
                os.close(file)
            if size >= self._most_bytes:
                self._rotate()

    def read(self, *, limit: int = 200, before: float = 0.0, user: str = "") -> list[AuditEntry]:
        """The newest first; with `before` those that are older, with `user` that user's alone. For a thread: it reads files."""
        found: list[AuditEntry] = []
        for line in self._lines():
            try:
                entry = msgspec.json.decode(line, type=AuditEntry)
            except ValueError:  # half a line, of a disk that was full
                continue
            if (before and entry.at >= before) or (user and entry.user != user):
                continue
            found.append(entry)
            if len(found) >= limit:
                break
        return found

    def _lines(self) -> Iterator[bytes]:
        for number in range(KEPT_FILES + 1):
            yield from _lines_backwards(self._aside(number))

    def _aside(self, number: int) -> Path:
        return self._path.with_name(f"{FILE}.{number}") if number else self._path

    def _rotate(self) -> None:
        for number in range(KEPT_FILES, 0, -1):
            with suppress(FileNotFoundError):
                self._aside(number - 1).replace(self._aside(number))


def _lines_backwards(path: Path) -> Iterator[bytes]:
    try:
        file = path.open("rb")
    except OSError:
        return
    with file:
        position = file.seek(0, os.SEEK_END)
        rest = b""
        while position > 0:
            begin = max(0, position - _CHUNK_BYTES)
            file.seek(begin)
            first, *lines = (file.read(position - begin) + rest).split(b"\n")
            yield from (line for line in reversed(lines) if line)
            rest, position = first, begin
        if rest:
            yield rest
