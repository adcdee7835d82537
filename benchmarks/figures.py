"""What a benchmark promises and what it found: bars, samples and rows, and the arithmetic on them. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import median

OURS = "fairway"


@dataclass(frozen=True)
class Bar:
    """A promise: the figure called `name` is at most `limit`. `peers`: peers are measured for it too."""

    name: str
    what: str
    limit: float
    unit: str


@dataclass(frozen=True)
class Sample:
    """One run of one command: seconds from start to exit, CPU seconds (user + system) of it and of the children that it waited for, and
    the machine's load average as it began."""

    wall_s: float
    cpu_s: float
    load: float = 0.0


@dataclass
class Row:
    """One figure of one contender. `values` in the order of the rounds; None is a round in which it did not take part.

    `ratio`: median over the rounds of its value by ours. `note`: what stands beside the figure, or why there is none.
    """

    figure: str
    contender: str
    unit: str
    values: list[float | None] = field(default_factory=list)
    cpu_s: list[float | None] = field(default_factory=list)
    ratio: float | None = None
    note: str = ""
    load: float | None = None

    @property
    def present(self) -> list[float]:
        """The values of the rounds in which it took part."""
        return [value for value in self.values if value is not None]

    @property
    def value(self) -> float | None:
        """The median, or None if it was not measured."""
        return median(self.present) if self.present else None

    @property
    def minimum(self) -> float | None:
        """The least value, or None if it was not measured."""
        return min(self.present) if self.present else None

    @property
    def cpu_median_s(self) -> float | None:
        """The median of the CPU seconds, or None."""
        present = [value for value in self.cpu_s if value is not None]
        return median(present) if present else None


def judge(bar: Bar, rows: Sequence[Row]) -> str:
    """ "met", "missed" or "not measured": does our row for the bar's figure keep it?"""
    for row in rows:
        if row.figure == bar.name and row.contender == OURS and row.value is not None:
            return "met" if row.value <= bar.limit else "missed"
    return "not measured"


def ratio_of_pairs(theirs: Sequence[float | None], ours: Sequence[float | None]) -> float | None:
    """The median of theirs / ours over the rounds that have both; None if there is none. Pairs share a round, so also its noise."""
    pairs = [a / b for a, b in zip(theirs, ours, strict=False) if a is not None and b is not None and b > 0]
    return median(pairs) if pairs else None


def difference_of_pairs(more: Sequence[float | None], less: Sequence[float | None], scale: float = 1.0) -> list[float | None]:
    """(more - less) * scale, round by round; None where either is missing."""
    return [None if a is None or b is None else (a - b) * scale for a, b in zip(more, less, strict=False)]


def plain_number(value: float | None, unit: str) -> str:
    """A figure with its unit, three significant digits: "0.152 s", "58.1 MB", "5.60 ms", "10 lines"."""
    if value is None:
        return "–"
    if unit in ("lines", "distributions", "re-runs", "hangs", "errors", "pods") and value == int(value):
        return f"{int(value)} {unit}"
    digits = 2 if value == 0 else max(0, 2 - math.floor(math.log10(abs(value))))
    return f"{value:,.{min(digits, 4)}f} {unit}".rstrip()
