"""A file that grows: followed through partial lines, rotation and truncation. It is looked at a few times a second, so that network file
systems, which tell nobody of changes, work as well."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any, BinaryIO, Literal

from fairway.data.streams.lines import Lines
from fairway.data.streams.transport import EndOfStream, Records
from fairway.errors import ConfigError, NotFoundError

_PIECE = 1 << 18
_LOOK_S = 0.1
_GRACE_S = 2.0
_FINGERPRINT = 1024


class TailTransport:
    """Records of one path, whichever file it names. A position is the file's identity (number, digest of its first bytes) and a byte."""

    resumable = True
    keeps_offsets = False

    def __init__(
        self, path: Path, *, start: Literal["new", "oldest"] = "new", quoted: bool = False, once: bool = False, wait: bool = False
    ) -> None:
        self.path, self.start, self.quoted, self.once, self.wait = path, start, quoted, once, wait
        self.notes: list[str] = []
        self._file: BinaryIO | None = None
        self._lines = Lines(quoted=quoted)
        self._identity: dict[str, Any] = {}
        self._next: list[Path] = []
        self.grace_s = 0.0 if once else _GRACE_S
        self.sleep: Callable[[float], None] = time.sleep
        self._quiet_since: float | None = None
        self._at_end = False

    def open(self, position: Any) -> None:
        if position is not None:
            self._resume(position)
        elif self.path.exists():
            self._begin(self.path, 0)
            if self.start == "new" and self._file is not None:
                self._go_to_end(self._file)
        elif not self.wait:
            raise NotFoundError(f"there is no file {self.path}", hint="name one that is there, or wait for it with wait=True (--wait)")

    def receive(self, timeout_s: float) -> Records | None:
        until = time.monotonic() + timeout_s
        while True:
            made = self._read()
            if made is not None:
                return made
            left = until - time.monotonic()
            if left <= 0:
                return None
            self.sleep(min(_LOOK_S, left))

    def commit(self, positions: list[Any]) -> None:
        """The group's file of offsets keeps it."""

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None

    def _read(self) -> Records | None:
        if self._file is None and not self._follow():
            if self.once:
                raise EndOfStream
            return None
        assert self._file is not None
        identity = self._identity
        if not self._at_end or self._is_what_it_was():
            data = self._file.read(_PIECE)
            self._at_end = len(data) < _PIECE
            if data:
                self._quiet_since = None
                return self._records(data, last=False, identity=identity)
        change = self._look()
        if change == "rotated" and not self._next and not self._is_quiet():
            return None
        if change == "same":
            if not self.once:
                return None
            rest = self._records(b"", last=True, identity=identity)
            if rest is None:
                raise EndOfStream
            return rest
        rest = self._records(self._file.read(), last=True, identity=identity) if change == "rotated" else None
        self._file.close()
        self._file, self._quiet_since = None, None
        self._follow()
        return rest

    def _records(self, data: bytes, *, last: bool, identity: dict[str, Any]) -> Records | None:
        self._fingerprint()
        return self._lines.records(data, lambda end: {**identity, "offset": end}, last=last)

    def _look(self) -> Literal["same", "rotated", "truncated"]:
        assert self._file is not None
        here = os.fstat(self._file.fileno())
        if here.st_size < self._file.tell() or not self._is_what_it_was():
            self.notes.append(f"{self.path.name} was truncated: read again from its start")
            return "truncated"
        if self._next:
            return "rotated"
        try:
            there = self.path.stat()
        except FileNotFoundError:
            return "same"  # moved away, and not there anew: whoever writes may still write to this one
        if (there.st_ino, there.st_dev) == (here.st_ino, here.st_dev):
            return "same"
        return "rotated"

    def _is_quiet(self) -> bool:
        """Has whoever writes the old file had the time to notice that there is a new one?"""
        now = time.monotonic()
        if self._quiet_since is None:
            self._quiet_since = now
        return now - self._quiet_since >= self.grace_s

    def _is_what_it_was(self) -> bool:
        """Do the first bytes of the file still have the digest that they had?"""
        assert self._file is not None
        size = self._identity.get("size", 0)
        return not size or _digest(self._file, size) == self._identity["digest"]

    def _follow(self) -> bool:
        """Open the file that comes next, from its start."""
        path = self._next.pop(0) if self._next else self.path
        return self._begin(path, 0)

    def _begin(self, path: Path, offset: int) -> bool:
        if path.exists() and not path.is_file():
            raise ConfigError(
                f"{path} is a pipe, a device or a folder", hint=f"follow a pipe as standard input: fairway data watch - < {path}"
            )
        try:
            self._file = path.open("rb", buffering=0)  # type: ignore[assignment]  # what is read is read at once
        except FileNotFoundError:
            return False
        except OSError as error:
            raise ConfigError(f"{path} cannot be read: {error.strerror}", hint="may you read it?") from None
        assert self._file is not None
        self._file.seek(offset)
        self._at_end = False
        self._lines = Lines(offset, quoted=self.quoted)
        self._identity = {"inode": os.fstat(self._file.fileno()).st_ino, "size": 0, "digest": ""}
        self._fingerprint()
        return True

    def _fingerprint(self) -> None:
        """Know the file by its first bytes, by more of them while there are few."""
        assert self._file is not None
        if self._identity["size"] >= _FINGERPRINT:
            return
        size = min(_FINGERPRINT, os.fstat(self._file.fileno()).st_size)
        if size > self._identity["size"]:
            self._identity["size"], self._identity["digest"] = size, _digest(self._file, size)

    def _go_to_end(self, file: BinaryIO) -> None:
        """To the end of the last whole line."""
        size = file.seek(0, os.SEEK_END)
        place = size
        while place > 0:
            begin = max(0, place - _PIECE)
            found = os.pread(file.fileno(), place - begin, begin).rfind(b"\n")
            if found >= 0:
                place = begin + found + 1
                break
            place = begin
        file.seek(place)
        self._lines = Lines(place, quoted=self.quoted)

    def _resume(self, position: dict[str, Any]) -> None:
        """To the file in which the group was, even if it was rotated meanwhile; then through those that came after it."""
        candidates = [self.path, *sorted(self.path.parent.glob(f"{self.path.name}*"), key=_modified, reverse=True)]
        for path in candidates:
            if _is_file_of(path, position):
                self._begin(path, position["offset"])
                inode = position["inode"]
                self._next = [one for one in reversed(_unique(candidates)) if _modified(one) >= _modified(path) and _inode(one) != inode]
                if path != self.path:
                    self.notes.append(f"{self.path.name} was rotated: read on in {path.name}")
                return
        self.notes.append(f"{self.path.name} is not the file it was: read from its start")
        self._begin(self.path, 0)


def _unique(paths: list[Path]) -> list[Path]:
    """Each file once, the path itself (the newest) first."""
    seen: dict[int, Path] = {}
    for path in paths:
        inode = _inode(path)
        if inode is not None and path.suffix not in (".gz", ".xz", ".zst", ".bz2"):
            seen.setdefault(inode, path)
    return list(seen.values())


def _is_file_of(path: Path, position: dict[str, Any]) -> bool:
    try:
        with path.open("rb") as file:
            here = os.fstat(file.fileno())
            same = here.st_ino == position["inode"] and here.st_size >= position["offset"]
            return same and (not position["size"] or _digest(file, position["size"]) == position["digest"])
    except OSError:
        return False


def _digest(file: BinaryIO, size: int) -> str:
    return sha256(os.pread(file.fileno(), size, 0)).hexdigest()[:32]


def _inode(path: Path) -> int | None:
    try:
        return path.stat().st_ino
    except OSError:
        return None


def _modified(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0
