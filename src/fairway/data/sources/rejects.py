"""Rows that could not be read: counted, kept aside with line number and reason, and a limit above which reading fails."""

from __future__ import annotations

import json
import os
import re
import tempfile
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from fairway.errors import ConfigError, DataAnomalies
from fairway.step.leftovers import goes_with_process, stays

SHOWN = 100
_CUT = 200


@dataclass(frozen=True, slots=True)
class Reject:
    """One row that could not be read: the line (or record) it begins on, from 1; the column to blame, if one is; what stood there."""

    line: int | None
    column: str
    text: str
    reason: str
    file: str = ""


@dataclass(frozen=True, slots=True)
class RejectLimit:
    """How many rows may be rejected: a number, or a share of all rows."""

    rows: int = 0
    share: float = 0.0
    unlimited: bool = False

    @classmethod
    def parse(cls, said: int | str | RejectLimit) -> RejectLimit:
        """From 0, 20, "20", "1%" or "all". Raises ConfigError."""
        if isinstance(said, RejectLimit):
            return said
        words = str(said).strip().lower()
        if words == "all":
            return cls(unlimited=True)
        found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*(%?)", words)
        if found and found[2] and float(found[1]) <= 100:
            return cls(share=float(found[1]) / 100)
        if found and not found[2] and "." not in found[1]:
            return cls(rows=int(found[1]))
        raise ConfigError(f"max_rejects={said!r} is no limit", hint='write a number (0: none), a share ("1%") or "all"')

    def allows(self, rejected: int, read: int) -> bool:
        """Whether `rejected` of `rejected + read` rows are few enough."""
        return self.unlimited or rejected <= (self.share * (rejected + read) if self.share else self.rows)

    def __str__(self) -> str:
        return "all" if self.unlimited else f"{self.share:.3g}%" if self.share else str(self.rows)


@dataclass
class Rejects:
    """What one pass over a source could not read. `rows` are the first hundred; `file` holds all of them, as NDJSON."""

    uri: str = ""
    limit: RejectLimit = field(default_factory=RejectLimit)
    keep_at: str = ""
    hint: Callable[[Reject], str] | None = None
    count: int = 0
    rows: list[Reject] = field(default_factory=list)
    file: Path | None = None
    _open: IO[str] | None = None

    def begin(self) -> None:
        """A pass begins: nothing is rejected yet."""
        self.close()
        self.count, self.rows = 0, []
        if self.file is not None:
            self.file.unlink(missing_ok=True)
            stays(str(self.file))
            self.file = None

    def add(self, line: int | None, column: str, text: str, reason: str, file: str = "") -> None:
        """Keep one row aside. Raises DataAnomalies as soon as there are more than a limit in rows allows, with some to show."""
        self.count += 1
        if len(self.rows) < SHOWN:
            self.rows.append(Reject(line, column, text[:_CUT], reason[:_CUT], file))
        try:
            self._write({"line": line, "column": column, "text": text, "reason": reason, "file": file})
        except OSError as error:
            raise self._unkept(error) from error
        if not self.limit.unlimited and not self.limit.share and self.count > self.limit.rows + SHOWN:
            self.check(0, more=True)

    def _write(self, one: dict[str, Any]) -> None:
        if self._open is None:
            if self.keep_at:
                self.file = Path(self.keep_at)
                self.file.parent.mkdir(parents=True, exist_ok=True)
                self._open = self.file.open("w", encoding="utf-8", errors="backslashreplace")
            else:
                handle, path = tempfile.mkstemp(prefix="fairway-rejects-", suffix=".ndjson")
                goes_with_process(path)
                self.file, self._open = Path(path), os.fdopen(handle, "w", encoding="utf-8", errors="backslashreplace")
        self._open.write(json.dumps(one, ensure_ascii=False) + "\n")

    def close(self) -> None:
        """Everything is in the file. Raises ConfigError where it cannot be."""
        kept, self._open = self._open, None
        try:
            if kept is not None:
                kept.close()
        except OSError as error:
            raise self._unkept(error) from error

    def _unkept(self, error: OSError) -> ConfigError:
        kept, self._open = self._open, None
        with suppress(OSError):
            if kept is not None:
                kept.close()
        place = self.file or self.keep_at or tempfile.gettempdir()
        return ConfigError(
            f"rows of {self.uri} that cannot be read cannot be kept in {place}: {error.strerror}",
            hint="free space there; rejects=FILE or TMPDIR=/path names another place",
        )

    def told(self) -> Path | None:
        """The file, of which somebody is told now: it outlives the process."""
        self.close()
        stays(str(self.file))
        return self.file

    def check(self, read: int, *, more: bool = False) -> None:
        """Raises DataAnomalies when more rows were rejected than the limit allows; `read` rows were not."""
        self.close()
        if self.limit.allows(self.count, read):
            return
        first = self.rows[0]
        lines = [
            f"  {_place(one)}{f'column {one.column!r}: ' if one.column else ''}{one.reason} (in {one.text[:80]!r})" for one in self.rows[:5]
        ]
        rest = self.count - len(lines)
        if rest > 0:
            lines.append(f"  … and {rest:,} more" + (" at least" if more else ""))
        advice = self.hint(first) if self.hint else ""
        raise DataAnomalies(
            f"{self.count:,}{' or more' if more else ''} row{'s' if self.count != 1 else ''} of {self.uri} cannot be read, "
            f"and max_rejects allows {'none' if str(self.limit) == '0' else self.limit}:\n" + "\n".join(lines),
            hint=(f"{advice}; or " if advice else "")
            + f'let them pass with max_rejects="all" (or a number, or "1%"); all are in {self.told()}',
        )


def _place(one: Reject) -> str:
    where = f"{one.file} " if one.file else ""
    return f"{where}line {one.line}: " if one.line is not None else f"{where}: " if where else ""
