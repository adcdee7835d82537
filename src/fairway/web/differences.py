"""A unified diff as lines with their numbers, for a page to draw. Pure."""

from __future__ import annotations

import re

from fairway.engine.differ import Difference
from fairway.spec.record import Record, record

LINES_LIMIT = 3_000
_HUNK = re.compile(r"@@ -(\d+)(?:,\d+)? \+(\d+)(?:,\d+)? @@")


@record
class DiffLine(Record):
    """`kind`: "add", "del", "same", "gap" (lines are left out here). `old` and `new` are line numbers, 0 where there is none."""

    kind: str
    text: str = ""
    old: int = 0
    new: int = 0


@record
class FileDiff(Record):
    """One file. `state`: "edited", "added", "removed", "unknown" (its text is not kept)."""

    path: str
    state: str
    lines: tuple[DiffLine, ...] = ()
    added: int = 0
    removed: int = 0
    more: int = 0


def read_diff(difference: Difference) -> FileDiff:
    """A difference of code as `engine.differ` tells it."""
    lines = read_lines(difference.text)
    state = "unknown" if difference.what == "bundle" and not difference.text else "edited"
    if difference.before is None:
        state = "added"
    elif difference.after is None:
        state = "removed"
    added, removed = (sum(line.kind == kind for line in lines) for kind in ("add", "del"))
    return FileDiff(difference.what, state, tuple(lines[:LINES_LIMIT]), added, removed, max(0, len(lines) - LINES_LIMIT))


def read_lines(text: str) -> list[DiffLine]:
    """The lines of a unified diff of one file."""
    found: list[DiffLine] = []
    old = new = 0
    for line in text.split("\n") if text else ():
        hunk = _HUNK.match(line)
        if hunk:
            old, new = int(hunk[1]), int(hunk[2])
            if found:
                found.append(DiffLine("gap"))
        elif not (old or new):  # the names of the files
            continue
        elif line[:1] == "+":
            found.append(DiffLine("add", line[1:], 0, new))
            new += 1
        elif line[:1] == "-":
            found.append(DiffLine("del", line[1:], old, 0))
            old += 1
        elif line[:1] == " " or not line:
            found.append(DiffLine("same", line[1:], old, new))
            old, new = old + 1, new + 1
    return found
