"""Ways that are measured in turns, of which one may fail to start now and then: that is told, and the round taken again."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from benchmarks.process import CommandError

MOST_FAILED = 3
"""Rounds that may be taken again; when one more fails, something is wrong."""


@dataclass
class Rounds:
    """What was found of each way, round by round, and why rounds were taken again: "WAY: what it said"."""

    found: dict[str, list[float | None]]
    failed: list[str] = field(default_factory=list)

    @property
    def note(self) -> str:
        """What stands beside the figure; "" where nothing failed."""
        again = f"{len(self.failed)} round{'s' * (len(self.failed) > 1)} taken again"
        return f"{again}: {'; '.join(self.failed)}" if self.failed else ""


def take_rounds(ways: Mapping[str, Callable[[], float]], count: int, talk: Callable[[str], None]) -> Rounds:
    """`count` whole rounds, so that each way has as many values, each beside those of the others. Nobody is always the second.

    Raises CommandError when more than `MOST_FAILED` rounds have failed, whoever it was.
    """
    rounds = Rounds({name: [] for name in ways})
    number = 0
    while number < count:
        values: dict[str, float] = {}
        for name in list(ways)[:: 1 if number % 2 else -1]:
            talk(f"{name} {number + 1} of {count}")
            try:
                values[name] = ways[name]()
            except CommandError as error:
                rounds.failed.append(f"{name}: {error}")
                if len(rounds.failed) > MOST_FAILED:
                    raise CommandError(rounds.note) from error
                break
        else:
            number += 1
            for name, value in values.items():
                rounds.found[name].append(value)
    return rounds
