"""What a benchmark promises and what it found: bars, samples and rows, and the arithmetic on them. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import median, stdev

OURS = "fairway"


@dataclass(frozen=True)
class Bar:
    """A promise: the figure called `name` is at most `limit`, or at least that much."""

    name: str
    what: str
    limit: float
    unit: str
    at_least: bool = False

    @property
    def sign(self) -> str:
        """Which of both, in front of the limit."""
        return sign_of(self.at_least)


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

    `ratio`: median over the rounds of its value by ours. `interval`: the 95% interval of a ratio, if it was taken. `note`: what stands
    beside the figure, or why there is none.
    """

    figure: str
    contender: str
    unit: str
    values: list[float | None] = field(default_factory=list)
    cpu_s: list[float | None] = field(default_factory=list)
    ratio: float | None = None
    note: str = ""
    load: float | None = None
    interval: tuple[float, float] | tuple[()] = ()

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
            return "met" if (row.value >= bar.limit if bar.at_least else row.value <= bar.limit) else "missed"
    return "not measured"


def sign_of(at_least: bool) -> str:
    """In front of a limit."""
    return "≥" if at_least else "≤"


def ratio_of_pairs(theirs: Sequence[float | None], ours: Sequence[float | None]) -> float | None:
    """The median of theirs / ours over the rounds that have both; None if there is none. Pairs share a round, so also its noise."""
    pairs = [a / b for a, b in zip(theirs, ours, strict=False) if a is not None and b is not None and b > 0]
    return median(pairs) if pairs else None


def interval_of_ratios(ratios: Sequence[float | None]) -> tuple[float, float] | None:
    """The 95% interval of a ratio that was measured several times: Student's, of the logarithms. None for fewer than two."""
    logs = [math.log(ratio) for ratio in ratios if ratio is not None and ratio > 0]
    if len(logs) < 2:
        return None
    half = _student(len(logs) - 1) * stdev(logs) / math.sqrt(len(logs))
    middle = sum(logs) / len(logs)
    return math.exp(middle - half), math.exp(middle + half)


def _student(freedom: int) -> float:
    """The 97.5% quantile of Student's distribution; from 30 on a formula that is right to three digits."""
    known = (
        12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145, 2.131,
        2.120, 2.110, 2.101, 2.093, 2.086, 2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045,
    )  # fmt: skip
    return known[freedom - 1] if freedom <= len(known) else 1.96 + 2.4 / freedom


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
