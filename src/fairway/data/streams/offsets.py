"""Where a group's followers of files and of HTTP streams have come to: one small file for each group and stream."""

from __future__ import annotations

import fcntl
import json
import re
from hashlib import sha256
from pathlib import Path
from typing import Any, BinaryIO

from fairway.errors import ConfigError, ConflictError

_GROUP = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


def check_group(group: str) -> str:
    """The group's name, if it is one. Raises ConfigError."""
    if group and not _GROUP.fullmatch(group):
        raise ConfigError(f"{group!r} is no name of a group", hint="use letters, digits, dots, dashes and underscores, 100 at most")
    return group


class OffsetFile:
    """One group's place in one stream. Held by one process at a time; survives the kill of any process at any point."""

    def __init__(self, folder: Path, group: str, uri: str) -> None:
        self.path = folder / group / f"{sha256(uri.encode()).hexdigest()[:24]}.json"
        self.group = group
        self._lock: BinaryIO | None = None

    def load(self) -> dict[str, Any] | None:
        """What was last saved; None if nothing was. Raises ConflictError if another process follows the same stream for the group."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        lock = self.path.with_suffix(".lock").open("ab")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            lock.close()
            raise ConflictError(
                f"another process follows this stream for the group {self.group!r}", hint="end that one, or give this one another group"
            ) from None
        self._lock = lock
        try:
            return json.loads(self.path.read_bytes())
        except FileNotFoundError:
            return None
        except ValueError:
            raise ConfigError("this is no file of offsets", where=str(self.path), hint="delete it to start again") from None

    def save(self, told: dict[str, Any]) -> None:
        written = self.path.with_suffix(".new")
        written.write_text(json.dumps(told), encoding="utf-8")
        written.replace(self.path)

    def close(self) -> None:
        if self._lock is not None:
            self._lock.close()
            self._lock = None
