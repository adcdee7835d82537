"""The table's file: read at the start and whenever another stands there, written when the keeper sends a table."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

from fairway.errors import ConfigError
from fairway.serve.gateway.table import Table, parse_table

_Stamp = tuple[int, int, int]


class TableFile:
    """The file at `path`. A table that cannot be read is told of once, and the one before stays in force."""

    def __init__(self, path: Path, apply: Callable[[Table], None]) -> None:
        self.path, self._apply = path, apply
        self._seen: _Stamp | None = None
        self._version = -1

    def look(self) -> None:
        """Apply what stands there now, unless it is what was seen last, or older than what is in force."""
        stamp = self._stamp()
        if stamp is None or stamp == self._seen:
            return
        self._seen = stamp
        try:
            table = parse_table(self.path.read_bytes())
        except (OSError, ConfigError) as error:
            print(f"fairway gateway: the table {self.path} is not used: {error}", file=sys.stderr, flush=True)
            return
        if table.version >= self._version:
            self._version = table.version
            self._apply(table)

    def save(self, data: bytes) -> None:
        """What is in force now, so that the next start begins with it. A folder that cannot be written to is no error: it is another's."""
        made = self.path.with_name(f".{self.path.name}.{os.getpid()}")
        try:
            made.write_bytes(data)
            made.replace(self.path)
        except OSError:
            made.unlink(missing_ok=True)
            return
        self._seen = self._stamp()
        self._version = parse_table(data).version

    def _stamp(self) -> _Stamp | None:
        try:
            found = self.path.stat()
        except OSError:
            return None
        return found.st_mtime_ns, found.st_ino, found.st_size
