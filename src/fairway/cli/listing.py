"""Listings on stdout: aligned columns for people, JSON for programs."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from typing import Any

from fairway.cli.style import clip, find_width, paint

MIN_COLUMN = 10


def print_json(value: Any) -> None:
    """Write `value` (records allowed) as indented JSON."""
    from fairway.spec.record import to_plain

    sys.stdout.write(json.dumps(to_plain(value), indent=2, ensure_ascii=False, default=str) + "\n")


def print_table(
    headers: Sequence[str], rows: Sequence[Sequence[str]], *, right: Sequence[int] = (), colours: Sequence[dict[int, str]] = ()
) -> None:
    """Write aligned columns. `right`: columns set flush right; `colours`: for each row, column -> colour.

    On a terminal that is too narrow the last column is cut.
    """
    width = find_width(sys.stdout)
    last = len(headers) - 1
    room = width - sum(max(len(header), *(len(row[i]) for row in rows), 0) + 2 for i, header in enumerate(headers[:last]) if rows)
    if width and rows and last not in right:
        rows = [(*row[:last], clip(row[last], max(room, MIN_COLUMN))) for row in rows]
    sys.stdout.write("\n".join(lay_out(headers, rows, right=right, colours=colours)) + "\n")


def lay_out(
    headers: Sequence[str], rows: Sequence[Sequence[str]], *, right: Sequence[int] = (), colours: Sequence[dict[int, str]] = ()
) -> list[str]:
    """The lines of a table as `print_table` writes it."""
    widths = [max(len(header), *(len(row[i]) for row in rows), 0) if rows else len(header) for i, header in enumerate(headers)]

    def line(cells: Sequence[str], paints: dict[int, str]) -> str:
        parts = []
        for i, cell in enumerate(cells):
            padded = cell.rjust(widths[i]) if i in right else cell.ljust(widths[i])
            parts.append(paint(padded, paints[i], sys.stdout) if i in paints else padded)
        return "  ".join(parts).rstrip()

    lines = [line(headers, dict.fromkeys(range(len(headers)), "dim"))]
    lines += [line(row, colours[n] if n < len(colours) else {}) for n, row in enumerate(rows)]
    return lines


def print_pairs(pairs: Sequence[tuple[str, str]], indent: str = "") -> None:
    """Write `name  value` lines, aligned."""
    width = max((len(name) for name, _ in pairs), default=0)
    sys.stdout.write("".join(f"{indent}{name:<{width}}  {value}".rstrip() + "\n" for name, value in pairs))
